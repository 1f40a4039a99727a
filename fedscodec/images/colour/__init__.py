"""Colours: the meaning of samples without a profile (`encodings`, `curves`), and profiles (`profiles`, `icc`)."""
