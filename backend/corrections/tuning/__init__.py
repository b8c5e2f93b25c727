"""Score thresholds from corrected tasks."""
