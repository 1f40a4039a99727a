"""Pillow opens and saves .feds files."""
