"""Picture files made byte by byte: what the libraries that write pictures do not write."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

SMOOTH = np.fromfunction(lambda i, j, c: 40 + 2 * i + j + 20 * c, (32, 48, 3)).astype(np.uint8)
XMP_HEAD, RDF = '<x:xmpmeta xmlns:x="adobe:ns:meta/">', 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
NAMES = 'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"'


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    """An image as a file of Pillow's."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(samples: np.ndarray, *extra: tuple[bytes, bytes], end: bool = True) -> bytes:
    """A PNG of uint8 or uint16 [H, W] or [H, W, 2..4], with chunks before its pixels."""
    depth = 8 * samples.itemsize
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[1 if samples.ndim == 2 else samples.shape[2]]
    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colour, 0, 0, 0)
    big = samples.astype(f">u{samples.itemsize}")
    rows = b"".join(b"\0" + row.tobytes() for row in big)
    body = chunk(b"IHDR", head) + b"".join(chunk(*one) for one in extra) + chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + body + (chunk(b"IEND", b"") if end else b"")


def tiff(samples: bytes, width: int, height: int, tags: dict[int, tuple[int, ...]], order: str = "<") -> bytes:
    """A TIFF of one strip; `tags` are SHORT, and so is all that is not given: one sample of 8 bits, black is zero."""
    given = {258: (8,), 259: (1,), 262: (1,), 277: (len(tags.get(258, (8,))),)} | tags
    given |= {256: (width,), 257: (height,), 278: (height,)}
    at = 8 + len(samples) + len(samples) % 2
    entries, behind = b"", b""
    values = {tag: ("H", 3, value) for tag, value in given.items()}
    values = {273: ("I", 4, (8,)), 279: ("I", 4, (len(samples),))} | values
    for tag in sorted(values):
        letter, kind, numbers = values[tag]
        packed = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
        if len(packed) > 4:
            place = at + 2 + 12 * len(values) + 4 + len(behind)
            behind += packed + b"\0" * (len(packed) % 2)
            packed = struct.pack(f"{order}I", place)
        entries += struct.pack(f"{order}HHI", tag, kind, len(numbers)) + packed.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    table = struct.pack(f"{order}H", len(values)) + entries + bytes(4) + behind
    return head + samples + b"\0" * (len(samples) % 2) + table


def planar(values: np.ndarray, tags: dict[int, tuple[int, ...]], *, packed: bool) -> bytes:
    """A TIFF with a plane for each channel of uint8 or uint16 [H, W, C], deflated or not."""
    height, width, channels = values.shape
    planes = [values[:, :, c].tobytes() for c in range(channels)]
    planes = [zlib.compress(plane) for plane in planes] if packed else planes
    sizes = tuple(len(plane) for plane in planes)
    starts = tuple(8 + sum(sizes[:c]) for c in range(channels))
    given = {258: (8 * values.itemsize,) * channels, 259: (8 if packed else 1,), 273: starts, 279: sizes, 284: (2,)}
    return tiff(b"".join(planes), width, height, given | tags)


def segment(marker: int, body: bytes) -> bytes:
    """A segment of JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(*segments: bytes, image: Image.Image | None = None) -> bytes:
    """A JPEG with segments right after its start."""
    plain = saved(image or Image.fromarray(SMOOTH), "JPEG", quality=95)
    return plain[:2] + b"".join(segments) + plain[2:]


def xmp(properties: str = "", attributes: str = "") -> bytes:
    """A packet of some properties."""
    inner = f'<rdf:Description rdf:about="" {NAMES} {attributes}>{properties}</rdf:Description>'
    return f"{XMP_HEAD}<rdf:RDF {RDF}>{inner}</rdf:RDF></x:xmpmeta>".encode()


def box(kind: bytes, body: bytes) -> bytes:
    """A box of AVIF, HEIF or JPEG 2000."""
    return struct.pack(">I", 8 + len(body)) + kind + body
