"""Pixels ↔ bytes: the room where pictures, networks, coder and file format meet."""
