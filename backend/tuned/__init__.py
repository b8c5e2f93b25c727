"""Thresholds tuned for a project: the only state that labelvino keeps."""
