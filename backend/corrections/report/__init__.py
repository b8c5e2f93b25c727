"""What people changed in predictions, as figures, text, JSON and a page."""
