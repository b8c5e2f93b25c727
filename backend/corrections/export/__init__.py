"""Annotations as COCO files."""
