"""Speaks Label Studio: its label configs, regions, brush format, API and image addresses."""
