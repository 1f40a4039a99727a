"""TIFF 6.0, uncompressed, that starts with the Exif block, so everything in it keeps its offset, maker notes too."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from ...errors import OutputError
from ..containers.tiff import OF_THE_SAMPLES
from ..metadata.directories import BYTE, LONG, SHORT, UNDEFINED, Entry, packed
from ..metadata.exif import ExifBlock

_XMP, _ICC, _ELSEWHERE = 0x02BC, 0x8773, (0x02BC, 0x8773, 33723, 34377)
_STRIP = 2**20  # bytes, about
_FILE_AT_MOST = 2**32 - 2**24


def tiff_bytes(samples: NDArray[np.uint8], exif: bytes | None, icc: bytes | None, xmp: bytes | None) -> bytes:
    """A TIFF of samples [H, W, C]: grey (1), grey with alpha (2), RGB (3), RGB with alpha (4).

    Raises OutputError for more than 4 GB, and ValueError for a damaged Exif block.
    """
    height, width, channels = samples.shape
    if samples.nbytes > _FILE_AT_MOST:
        raise OutputError(f"expected at most 4 GB for a TIFF, found {samples.nbytes:,} bytes of pixels")
    block, order, words = bytearray(b"II*\0" + bytes(4)), "<", list[Entry]()
    if exif:
        edited = ExifBlock(exif)
        edited.without_thumbnail()
        block, order = edited.data, edited.order
        words = [e for e in edited.first.entries if e.tag not in OF_THE_SAMPLES and e.tag not in _ELSEWHERE]
        block[edited.first.at : edited.first.end] = bytes(edited.first.end - edited.first.at)
    block += b"\0" * (len(block) % 2)
    rows = max(_STRIP // max(width * channels, 1), 1)
    sizes = [min(rows, height - top) * width * channels for top in range(0, height, rows)]
    starts = [len(block) + rows * width * channels * number for number in range(len(sizes))]
    directory = len(block) + samples.nbytes + samples.nbytes % 2
    struct.pack_into(f"{order}I", block, 4, directory)

    def entry(tag: int, kind: int, *values: int) -> Entry:
        letter = {SHORT: "H", LONG: "I"}[kind]
        return Entry(tag, kind, len(values), struct.pack(f"{order}{len(values)}{letter}", *values))

    entries = [
        entry(256, LONG, width), entry(257, LONG, height), entry(258, SHORT, *[8] * channels), entry(259, SHORT, 1),
        entry(262, SHORT, 1 if channels < 3 else 2), entry(273, LONG, *starts), entry(277, SHORT, channels),
        entry(278, LONG, rows), entry(279, LONG, *sizes), entry(284, SHORT, 1), *words,
    ]  # fmt: skip
    entries += [entry(338, SHORT, 2)] if channels in (2, 4) else []
    entries += [Entry(_XMP, BYTE, len(xmp), xmp)] if xmp else []
    entries += [Entry(_ICC, UNDEFINED, len(icc), icc)] if icc else []
    pixels = samples.tobytes()
    return bytes(block) + pixels + b"\0" * (len(pixels) % 2) + packed(entries, directory, order)
