"""Lets Pillow open and save .feds files."""
