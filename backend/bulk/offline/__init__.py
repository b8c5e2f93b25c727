"""Predictions for tasks in files, into a file that Label Studio imports."""
