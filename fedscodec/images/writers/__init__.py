"""What Pillow's writers do not do: TIFF that keeps Exif where it stands, and long XMP in JPEG."""
