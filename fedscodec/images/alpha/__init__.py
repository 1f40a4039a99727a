"""Alpha: how it comes in and goes out (`transparency`), and how a file holds it (`planes`)."""
