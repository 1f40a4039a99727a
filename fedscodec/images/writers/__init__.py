"""Writers for what Pillow cannot write: TIFF that keeps the offsets of Exif, and long XMP in JPEG."""
