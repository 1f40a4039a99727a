"""Metadata of a picture: Exif (`exif`, `directories`), XMP (`xmp`), and texts that become XMP (`texts`, `iptc`)."""
