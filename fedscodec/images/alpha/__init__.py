"""Alpha: how it comes in, and goes out where a format has none."""
