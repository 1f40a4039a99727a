"""How many bits a sample has in a file of which Pillow gives eight, and does not say so."""

from __future__ import annotations

import struct
from contextlib import suppress

from PIL import Image

_HEAD = 2**16  # bytes in which the description of a picture stands


def bits_a_sample(image: Image.Image) -> int:
    """Bits of a sample in the file of a colour picture that is not decoded yet; 8 where nothing says more."""
    tiles = getattr(image, "tile", ())
    if any(";16" in str(tile[3]) for tile in tiles):  # the raw mode of PNG and TIFF
        return 16
    if image.format == "PPM":
        return max((int(tile[3][1]).bit_length() for tile in tiles if isinstance(tile[3], tuple)), default=8)
    if image.format == "SGI":
        return 16 if any("16" in str(tile[0]) for tile in tiles) else 8
    if image.format in ("AVIF", "JPEG2000"):
        with suppress(OSError, struct.error, IndexError):
            return bits_in_head(_head(image), image.format)
    return 8


def _head(image: Image.Image) -> bytes:
    stream = getattr(image, "fp", None) or getattr(image, "_fp", None)
    if stream is None:
        return b""
    at = stream.tell()
    stream.seek(0)
    head: bytes = stream.read(_HEAD)
    stream.seek(at)
    return head


def bits_in_head(head: bytes, kind: str) -> int:
    """Bits of a sample by the first bytes of an AVIF or JPEG 2000 file; 8 where they do not say."""
    if kind == "AVIF":  # av1C: marker and version, profile and level, then tier, high_bitdepth, twelve_bit, ...
        flags = head[head.index(b"av1C") + 6] if b"av1C" in head else 0
        return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    start = head.find(b"\xff\x4f\xff\x51")  # the codestream's SIZ: 40 bytes, then bits - 1 of each component
    return 8 if start < 0 else 1 + (head[start + 42] & 0x7F)
