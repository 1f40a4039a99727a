"""Payloads of ALPH boxes that must be refused, for a picture of 64x64 pixels."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

SIDE = 64
BOMB = bytes(20_000_000)
PLANE = np.add.outer(np.arange(SIDE), 3 * np.arange(SIDE)).astype(np.uint8)
GREY = Image.fromarray(PLANE)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """An image as a file."""
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG, with a check that fits."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def head(width: int = SIDE, height: int = SIDE, depth: int = 8, colour: int = 0, interlace: int = 0) -> bytes:
    """The first chunk of a PNG."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


ROWS = b"".join(b"\0" + row.tobytes() for row in PLANE)
IDAT, IEND = chunk(b"IDAT", zlib.compress(ROWS, 9)), chunk(b"IEND", b"")


def png(*chunks: bytes) -> bytes:
    """A PNG of these chunks."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def pixels(data: bytes) -> bytes:
    """A PNG whose pixels are what a stream says."""
    return png(head(), chunk(b"IDAT", data), IEND)


def riff(*chunks: bytes) -> bytes:
    """A WebP of these chunks."""
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def part(kind: bytes, body: bytes) -> bytes:
    """A chunk of a WebP."""
    return kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def lossless(image: Image.Image) -> bytes:
    """The pixels of a lossless WebP: what its one chunk holds."""
    data = saved(image, "WEBP", lossless=True, quality=100)
    assert data[12:16] == b"VP8L"
    return data[20 : 20 + int.from_bytes(data[16:20], "little")]


def claiming(body: bytes, width: int, height: int, alpha: int = 0, version: int = 0) -> bytes:
    """Pixels of a lossless WebP under another head; one colour fits any size."""
    bits = width - 1 | height - 1 << 14 | alpha << 28 | version << 29
    return body[:1] + struct.pack("<I", bits) + body[5:]


def alphas() -> dict[str, bytes]:
    """Every payload, by name."""
    return other_formats() | pngs() | webps()


def other_formats() -> dict[str, bytes]:
    """What Pillow reads, or would run, and the format has no place for."""
    return {
        "empty": b"",
        "four-letters": b"RIFF",
        "tiff": saved(GREY, "TIFF", compression="tiff_adobe_deflate"),
        "gif": saved(GREY, "GIF"),
        "jpeg": saved(GREY, "JPEG"),
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n(x) run\n",
        "bmp": saved(GREY.convert("1"), "BMP"),
        "wav": b"RIFF" + struct.pack("<I", 40) + b"WAVEfmt " + bytes(32),
    }


def pngs() -> dict[str, bytes]:
    """PNGs of another size or kind, cut, or with more in them than pixels."""
    sound = png(head(), IDAT, IEND)
    squeezed = zlib.compress(BOMB, 9)
    colours = np.dstack([PLANE, PLANE, PLANE.T])
    return {
        "smaller-png": saved(GREY.crop((0, 0, 63, 64)), "PNG"),
        "larger-png": saved(GREY.resize((64, 65)), "PNG"),
        "turned-png": png(head(32, 128), IDAT, IEND),
        "of-no-width-png": png(head(0, 64), IDAT, IEND),
        "of-4-thousand-megapixels-png": png(head(65535, 65535), chunk(b"IDAT", squeezed), IEND),
        "of-2-to-the-62-png": png(head(2**31 - 1, 2**31 - 1), IDAT, IEND),
        "colours-png": saved(Image.fromarray(colours), "PNG"),
        "with-alpha-png": saved(GREY.convert("LA"), "PNG"),
        "palette-png": saved(GREY.convert("P"), "PNG"),
        "one-bit-png": saved(GREY.convert("1"), "PNG"),
        "16-bit-png": saved(Image.fromarray(PLANE.astype(np.uint16) * 257), "PNG"),
        "interlaced-png": png(head(interlace=1), IDAT, IEND),
        "text-bomb-png": png(head(), chunk(b"zTXt", b"a\0\0" + squeezed), IDAT, IEND),
        "profile-bomb-png": png(head(), chunk(b"iCCP", b"a\0\0" + squeezed), IDAT, IEND),
        "transparent-grey-png": png(head(), chunk(b"tRNS", b"\0\1"), IDAT, IEND),
        "animated-png": png(head(), chunk(b"acTL", struct.pack(">II", 1, 0)), IDAT, IEND),
        "pixels-bomb-png": pixels(squeezed),
        "pixels-short-png": pixels(zlib.compress(ROWS[:-65], 9)),
        "pixels-long-png": pixels(zlib.compress(ROWS + b"\0", 9)),
        "pixels-and-more-png": pixels(zlib.compress(ROWS, 9) + b"\0"),
        "pixels-cut-png": pixels(zlib.compress(ROWS, 9)[:-9]),
        "pixels-missing-png": png(head(), IEND),
        "pixels-of-noise-png": pixels(b"\xff" * 40),
        "pixels-of-another-sum-png": pixels(zlib.compress(ROWS, 9)[:-1] + b"\0"),
        "row-of-unknown-filter-png": pixels(zlib.compress(ROWS[:65] + b"\5" + ROWS[66:], 9)),
        "cut-png": sound[:100],
        "without-end-png": sound[:-12],
        "check-flipped-png": sound[:-1] + b"\0",
        "chunk-of-4-gigabytes-png": png(head(), b"\xff\xff\xff\xffIDAT"),
        "two-heads-png": png(head(), head(), IDAT, IEND),
        "without-head-png": png(IDAT, IEND),
        "bytes-behind-png": sound + b"\0",
        "end-with-body-png": png(head(), IDAT, chunk(b"IEND", b"a")),
        "chunk-of-escapes-png": png(head(), chunk(b"\x1b[2J", b""), IDAT, IEND),
    }


def webps() -> dict[str, bytes]:
    """WebPs of another size or kind, cut, animated, or with more in them than pixels."""
    spots = np.random.default_rng(1).integers(0, 2, (SIDE, SIDE), dtype=np.uint8) * np.uint8(255)
    body, one_colour = lossless(Image.fromarray(spots)), lossless(Image.new("L", (SIDE, SIDE), 90))
    sound = riff(part(b"VP8L", body))
    extended = part(b"VP8X", bytes(4) + 2 * (SIDE - 1).to_bytes(3, "little"))
    frames = [GREY, GREY.transpose(Image.Transpose.ROTATE_90)]
    return {
        "smaller-webp": riff(part(b"VP8L", claiming(one_colour, 63, 64))),
        "larger-webp": riff(part(b"VP8L", claiming(one_colour, 64, 65))),
        "of-268-megapixels-webp": riff(part(b"VP8L", claiming(one_colour, 16384, 16384))),
        "of-281-million-megapixels-webp": riff(part(b"VP8X", bytes(4) + b"\xff" * 6), part(b"VP8L", body)),
        "colours-webp": saved(Image.fromarray(np.dstack([PLANE, PLANE, PLANE.T])), "WEBP", lossless=True),
        "with-alpha-webp": riff(part(b"VP8L", claiming(body, SIDE, SIDE, alpha=1))),
        "version-1-webp": riff(part(b"VP8L", claiming(body, SIDE, SIDE, version=1))),
        "lossy-webp": saved(GREY, "WEBP", quality=30),
        "animated-webp": saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True),
        "extended-webp": riff(extended, part(b"VP8L", body)),
        "with-profile-webp": riff(extended, part(b"ICCP", b"a profile"), part(b"VP8L", body)),
        "cut-webp": sound[:-200],
        "pixels-cut-webp": riff(part(b"VP8L", body[:-200])),
        "pixels-missing-webp": riff(part(b"VP8L", body[:5])),
        "pixels-of-noise-webp": riff(part(b"VP8L", body[:5] + b"\xff" * 40)),
        "chunk-of-4-gigabytes-webp": sound[:16] + b"\xff" * 4 + sound[20:],
        "riff-of-4-gigabytes-webp": sound[:4] + b"\xff" * 4 + sound[8:],
        "bytes-behind-webp": sound + b"\0\0",
        "chunk-behind-webp": riff(part(b"VP8L", body), part(b"EXIF", b"II")),
        "head-alone-webp": riff(part(b"VP8L", body[:3])),
    }
