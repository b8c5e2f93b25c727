"""Predictions for many tasks at once: planned, made in chunks, written, and complete at the end."""
