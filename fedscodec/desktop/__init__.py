""".feds files on freedesktop systems: a media type, thumbnails, and a program that opens them."""
