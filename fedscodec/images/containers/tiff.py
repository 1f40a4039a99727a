"""TIFF: read the tags about samples, and turn the others into Exif, XMP and the rest."""

from __future__ import annotations

import struct
from contextlib import suppress
from os import SEEK_CUR
from typing import Any, BinaryIO

from ...errors import ImageError
from ..account import listed
from ..metadata.directories import ENTRY, GPS, INTEROP, LONG, Directory, Entry, below, first_of, order_of, packed
from ..metadata.directories import EXIF as EXIF_TAG
from ..metadata.exif import DESCRIPTIVE, ORIENTATION
from .contents import EXIF, ICC, IPTC, XMP, Contents
from .photoshop import read_resources
from .streams import read_at_most

_XMP, _IPTC, _PHOTOSHOP, _ICC = 700, 33723, 34377, 34675
_SUBFILE_TYPE, _MAKER_NOTE = 254, 0x927C
BIG = (b"II+\0", b"MM\0+")
"""First bytes of a BigTIFF, which has other directories."""
_HEAD = 2**16  # in which Exif may stay where it stands
_FILE_AT_MOST = 2**32
FRAMES_AT_MOST = 1000
"""Directories that are counted."""
OF_THE_SAMPLES = frozenset((
    254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 284, 288, 289, 290, 291,
    292, 293, 297, 301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 326, 327, 328, 330, 332, 334, 336, 338, 339, 340,
    341, 342, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532,
))  # fmt: skip
"""Tags about how the samples of a file are stored, which say nothing about the picture."""


def inspect(stream: BinaryIO, tags: Any) -> Contents:
    """Read what a TIFF has besides its samples; `tags` are Pillow's `tag_v2`."""
    contents = Contents()
    try:
        stream.seek(0)
        data = read_at_most(stream, _FILE_AT_MOST)
        iptc = first_of(data).get(_IPTC)  # which some write as LONG
        contents.found(IPTC, iptc.value if iptc else b"")
        block = collected(data, contents)
    except (ValueError, struct.error):
        contents.account.had(EXIF, "Exif was damaged and was not kept.")
    else:
        contents.found(EXIF, block)
    take(tags, contents)
    return contents


def require_whole(tags: Any) -> None:
    """Raise ImageError if the first picture of a TIFF, of which Pillow has read the tags, is a copy made smaller."""
    if tags.get(_SUBFILE_TYPE, 0) & 1:
        found = "found a TIFF that begins with a small copy of it, as raw photographs do"
        raise ImageError(f"expected a picture, {found}: develop it first")


def frames_of(stream: BinaryIO) -> int:
    """How many directories follow one another, up to one more than FRAMES_AT_MOST; a loop or damage ends them.

    Pillow's `n_frames` reads all their tags, and compares each directory with all those before it.
    """
    here = stream.tell()
    stream.seek(0)
    head = stream.read(16)
    order = "<" if head.startswith(b"II") else ">"
    count, entry, offset = ("Q", 20, "Q") if head.startswith(BIG) else ("H", ENTRY, "I")
    seen = set[int]()
    with suppress(struct.error, OSError, OverflowError):
        (at,) = struct.unpack_from(order + offset, head, 8 if count == "Q" else 4)
        while at and at not in seen and len(seen) <= FRAMES_AT_MOST:
            stream.seek(at)
            (entries,) = struct.unpack(order + count, stream.read(struct.calcsize(order + count)))
            seen.add(at)
            stream.seek(entry * entries, SEEK_CUR)
            (at,) = struct.unpack(order + offset, stream.read(struct.calcsize(order + offset)))
    stream.seek(here)
    return len(seen)


def take(tags: Any, contents: Contents) -> None:
    """Read what Pillow has of the tags, except what becomes Exif."""
    for tag, what in ((_XMP, XMP), (_IPTC, IPTC), (_ICC, ICC)):
        value = _bytes(tags.get(tag))
        if value:
            contents.found(what, value)
    if resources := _bytes(tags.get(_PHOTOSHOP)):
        read_resources(resources, contents)
    known = (*DESCRIPTIVE, ORIENTATION, _XMP, _IPTC, _ICC, _PHOTOSHOP)
    others = [tag for tag in sorted(tags) if tag not in OF_THE_SAMPLES and tag not in known]
    if others:
        plural, were = ("tags", "were") if len(others) > 1 else ("tag", "was")
        contents.account.had("tags", f"The TIFF {plural} {listed(map(str, others))} {were} not kept.")


def collected(data: bytes, contents: Contents) -> bytes:
    """The tags about the picture as an Exif block, empty if there are none.

    Values in the first 64 kB keep their offset; otherwise values move together, and maker notes with them. This is
    reported, because some maker notes count offsets from the start of the file.
    """
    order, first = order_of(data), first_of(data)
    kept = [entry for entry in first.entries if entry.tag in (*DESCRIPTIVE, ORIENTATION)]
    if not kept:
        return b""
    exif, gps = below(data, first, EXIF_TAG), below(data, first, GPS)
    interop = below(data, exif, INTEROP) if exif else None
    places = [(entry.at, entry.at + len(entry.value)) for entry in kept if entry.at is not None]
    for one in (exif, gps, interop):
        if one is not None:
            places += [(one.at, one.end)]
            places += [(entry.at, entry.at + len(entry.value)) for entry in one.entries if entry.at is not None]
    if exif and max((end for _, end in places), default=0) <= _HEAD:
        return _in_place(data, kept, places, order)
    if exif and exif.get(_MAKER_NOTE):
        contents.account.had("maker", "The maker notes in Exif were moved, by which some of them cannot be read.")
    return _moved(kept, exif, gps, interop, order)


def _in_place(data: bytes, kept: list[Entry], places: list[tuple[int, int]], order: str) -> bytes:
    end = max(end for _, end in places)
    block = bytearray(end + end % 2)
    for start, stop in places:
        block[start:stop] = data[start:stop]
    block[:8] = data[:4] + struct.pack(f"{order}I", len(block))
    return bytes(block) + packed(kept, len(block), order)


def _moved(
    kept: list[Entry], exif: Directory | None, gps: Directory | None, interop: Directory | None, order: str
) -> bytes:
    block = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))

    def placed(entries: list[Entry]) -> int:
        at = len(block)
        block.extend(packed([Entry(e.tag, e.kind, e.count, e.value) for e in entries], at, order))
        return at

    def linked(tag: int, at: int) -> Entry:
        return Entry(tag, LONG, 1, struct.pack(f"{order}I", at))

    words = [entry for entry in kept if entry.tag not in (EXIF_TAG, GPS)]
    if exif:
        inner = [entry for entry in exif.entries if entry.tag != INTEROP]
        inner += [linked(INTEROP, placed(list(interop.entries)))] if interop else []
        words.append(linked(EXIF_TAG, placed(inner)))
    if gps:
        words.append(linked(GPS, placed(list(gps.entries))))
    struct.pack_into(f"{order}I", block, 4, placed(words))
    return bytes(block)


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, tuple):
        if all(isinstance(part, bytes) for part in value):
            return b"".join(value)
        with_order = [part for part in value if isinstance(part, int)]  # IPTC is written as LONG by some
        return b"".join(struct.pack("<I", part & 0xFFFFFFFF) for part in with_order)
    return bytes(value) if isinstance(value, bytes | bytearray) else b""


def describe(head: bytes, data: bytes) -> str:
    """The kind of samples in a TIFF, for a message; empty if its tags cannot be read."""
    try:
        order, first = order_of(head), first_of(data)
    except (ValueError, struct.error):
        return ""

    def numbers(tag: int) -> tuple[int, ...]:
        entry = first.get(tag)
        letter = {1: "B", 3: "H", 4: "I"}.get(entry.kind) if entry else None
        return struct.unpack(f"{order}{entry.count}{letter}", entry.value) if entry and letter else ()

    bits, kinds = numbers(258) or (1,), {1: "", 2: "signed ", 3: "floating-point ", 4: ""}
    colours = {0: "grey (white is zero)", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab", 9: "Lab"}
    colour = colours.get((numbers(262) or (-1,))[0], f"photometric {(numbers(262) or ('?',))[0]}")
    kind = kinds.get((numbers(339) or (1,))[0], "")
    count = len(bits)
    return f"a TIFF of {count} {kind}sample{'s' if count > 1 else ''} of {max(bits)} bits ({colour})"
