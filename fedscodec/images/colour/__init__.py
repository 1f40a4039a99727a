"""Colours: what samples mean without a profile (`encodings`, `curves`), and profiles (`profiles`, `icc`)."""
