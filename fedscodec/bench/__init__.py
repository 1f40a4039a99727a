"""Benchmarks on real files, encoded and decoded."""
