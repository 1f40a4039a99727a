"""Alpha: reading it, and removing it for formats without it."""
