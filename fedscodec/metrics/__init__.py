"""Metrics for the difference between two pictures: a table of them, and a file for each."""
