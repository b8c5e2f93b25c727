"""What people changed: predictions against the annotations that came of them."""
