"""Pictures to .feds bytes and back: brings together pictures, networks, coder and file format."""
