"""Edit Exif in place, so that all offsets in it stay valid, especially those of maker notes.

Every picture is upright once it is read, so orientation is always removed. If the picture was turned, its thumbnail is
removed together with its bytes. Resolution is added from where other formats have it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from PIL import Image

from ..account import Account
from ..containers.contents import DENSITY, Density
from .directories import (
    ENTRY,
    EXIF,
    GPS,
    INTEROP,
    LONG,
    SHORT,
    Directory,
    Entry,
    below,
    first_of,
    number,
    of_number,
    of_ratio,
    order_of,
    packed,
    read,
)

ORIENTATION = 0x0112  # tags of TIFF and Exif
TURNS = {value: Image.Transpose(turn) for value, turn in enumerate((0, 3, 1, 5, 4, 6, 2), start=2)}
"""The transpose that makes a picture of an orientation upright."""
EXIF_PREFIX = b"Exif\0\0"
SRGB, UNCALIBRATED = 1, 0xFFFF  # of ColorSpace
ACROSS, DOWN, UNIT = 0x011A, 0x011B, 0x0128
# What a first directory says of the picture (makers, words, dates), and not of the strips of one file.
_WORDS = (0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298)
_WORDS_OF_WINDOWS = tuple(range(0x9C9B, 0x9CA0))
DESCRIPTIVE = (*_WORDS, *_WORDS_OF_WINDOWS, ACROSS, DOWN, UNIT, EXIF, GPS)
_COLOUR_SPACE, _WIDTH, _HEIGHT = 0xA001, 0xA002, 0xA003
_THUMBNAIL, _THUMBNAIL_BYTES = (0x0201, 0x0202), (0x0111, 0x0117)
_STRIPS_AT_MOST = 4096  # of a thumbnail
_SIDEWAYS = (5, 6, 7, 8)  # orientations by which width and height change places


@dataclass
class ExifBlock:
    """An Exif block, from its TIFF header on, that is edited in place. Raises ValueError if it is damaged."""

    data: bytearray

    def __init__(self, block: bytes) -> None:
        self.data = bytearray(re.sub(rb"^(Exif\0\0)+", b"", block))
        self.order = order_of(self.data)
        self._first = first_of(self.data)
        Image.Exif().load(bytes(self.data))  # what Pillow trips over, others may too

    @property
    def first(self) -> Directory:
        """The first directory."""
        return self._first

    @property
    def orientation(self) -> int | None:
        """How the picture must be turned, 1 to 8 if valid; None if the block does not say."""
        return number(self._first.get(ORIENTATION), self.order)

    @property
    def density(self) -> Density | None:
        """The resolution in the block."""
        found = [self._first.get(tag) for tag in (ACROSS, DOWN)]
        ratios = [struct.unpack(f"{self.order}II", entry.value) for entry in found if entry and len(entry.value) == 8]
        if len(ratios) < 2 or any(under == 0 for _, under in ratios):
            return None
        (a, b), (c, d) = ratios
        return Density(a / b, c / d, number(self._first.get(UNIT), self.order) or 2)

    def make_upright(self, turned: int) -> bool:
        """Remove the orientation, and the thumbnail of a picture that was turned by `turned`. Return whether there was
        one.
        """
        had = False
        if turned in TURNS:
            had = self._cut_thumbnail()
            if turned in _SIDEWAYS:
                self._change_places()
        entries = tuple(entry for entry in self._raw_entries() if entry[:2] != self._tag(ORIENTATION))
        following = 0 if turned in TURNS else self._first.next
        table = struct.pack(f"{self.order}H", len(entries)) + b"".join(entries)
        table += struct.pack(f"{self.order}I", following)
        length = self._raw_end() - self._first.at
        self.data[self._first.at : self._first.at + length] = table.ljust(length, b"\0")[:length]
        self._first = first_of(self.data)
        return had

    def without_thumbnail(self) -> bool:
        """Remove the second directory, which is that of a thumbnail. Return whether there was one."""
        had = self._cut_thumbnail()
        if self._first.next:
            self.data[self._raw_end() - 4 : self._raw_end()] = bytes(4)
            self._first = first_of(self.data)
        return had

    def set_colour_space(self, value: int) -> None:
        """Set the colour space, if the block has one."""
        exif = below(self.data, self._first, EXIF)
        if exif is not None:
            self._patch(exif, _COLOUR_SPACE, struct.pack(f"{self.order}H", value))

    def set_density(self, density: Density) -> None:
        """Set the resolution, replacing any existing one."""
        kept = [entry for entry in self._first.entries if entry.tag not in (ACROSS, DOWN, UNIT)]
        added = [of_ratio(ACROSS, density.across, self.order), of_ratio(DOWN, density.down, self.order)]
        added.append(of_number(UNIT, SHORT, density.unit, self.order))
        at, end = len(self.data) + len(self.data) % 2, self._raw_end()
        table = packed([*kept, *added], at, self.order, self._first.next)
        self.data[self._first.at : end] = bytes(end - self._first.at)
        self.data += b"\0" * (at - len(self.data)) + table
        struct.pack_into(f"{self.order}I", self.data, 4, at)
        self._first = first_of(self.data)

    @property
    def says_something(self) -> bool:
        """Whether any entry is left."""
        return bool(self._first.entries) or self._first.next != 0

    def _tag(self, tag: int) -> bytes:
        return struct.pack(f"{self.order}H", tag)

    def _raw_entries(self) -> list[bytes]:
        start, end = self._first.at + 2, self._raw_end() - 4
        return [bytes(self.data[at : at + ENTRY]) for at in range(start, end, ENTRY) if at + ENTRY <= len(self.data)]

    def _raw_end(self) -> int:
        (count,) = struct.unpack_from(f"{self.order}H", self.data, self._first.at)
        return min(int(self._first.at + 2 + ENTRY * count + 4), len(self.data))

    def _patch(self, directory: Directory, tag: int, value: bytes) -> None:
        (count,) = struct.unpack_from(f"{self.order}H", self.data, directory.at)
        for at in range(directory.at + 2, directory.at + 2 + ENTRY * count, ENTRY):
            if self.data[at : at + 2] == self._tag(tag):
                self.data[at + 8 : at + 8 + len(value)] = value

    def _change_places(self) -> None:
        """Swap width and height, and the resolutions across and down, for a picture that lay on its side."""
        exif = below(self.data, self._first, EXIF)
        for directory, one, other in ((self._first, ACROSS, DOWN), (exif, _WIDTH, _HEIGHT)):
            a, b = (directory.get(tag) if directory else None for tag in (one, other))
            if directory and a and b and (a.kind, a.count) == (b.kind, b.count):
                for tag, entry in ((one, b), (other, a)):
                    inside = entry.value if entry.at is None else struct.pack(f"{self.order}I", entry.at)
                    self._patch(directory, tag, inside.ljust(4, b"\0"))

    def _cut_thumbnail(self) -> bool:
        """Fill the second directory, its values and its picture with zeros."""
        if not self._first.next:
            return False
        try:
            second = read(self.data, self._first.next, self.order)
        except ValueError:
            return False
        dead = [(second.at, second.end), *_values_of(second)]
        for places, lengths in (_THUMBNAIL, _THUMBNAIL_BYTES):
            starts, sizes = (self._numbers(second.get(tag)) for tag in (places, lengths))
            dead += [(start, start + size) for start, size in zip(starts, sizes, strict=False)]
        needed = [(start, bytes(self.data[start:end])) for start, end in [(0, 8), *ranges_of(self.data)]]
        done = 0
        for start, end in sorted(dead):  # a hostile block may let them overlap
            first, last = max(start, done), min(end, len(self.data))
            if first < last:
                self.data[first:last] = bytes(last - first)
                done = last
        for start, kept in needed:  # and over all else
            self.data[start : start + len(kept)] = kept
        return True

    def _numbers(self, entry: Entry | None) -> tuple[int, ...]:
        letter = {SHORT: "H", LONG: "I"}.get(entry.kind) if entry else None
        if entry is None or letter is None or entry.count > _STRIPS_AT_MOST:
            return ()
        return struct.unpack(f"{self.order}{entry.count}{letter}", entry.value)


def ranges_of(block: bytes | bytearray) -> list[tuple[int, int]]:
    """The byte ranges of the first directory, of the directories below it, and of all their values."""
    first = first_of(block)
    exif = below(block, first, EXIF)
    interop = below(block, exif, INTEROP) if exif else None
    found = [first, exif, interop, below(block, first, GPS)]
    return [place for one in found if one for place in ((one.at, one.end), *_values_of(one))]


def _values_of(directory: Directory) -> list[tuple[int, int]]:
    return [(entry.at, entry.at + len(entry.value)) for entry in directory.entries if entry.at is not None]


def of_density(density: Density) -> bytes:
    """A block with a resolution and nothing else."""
    entries = [of_ratio(ACROSS, density.across, "<"), of_ratio(DOWN, density.down, "<")]
    return b"II*\0" + struct.pack("<I", 8) + packed([*entries, of_number(UNIT, SHORT, density.unit, "<")], 8, "<")


def with_density(block: ExifBlock | None, density: Density | None, account: Account) -> bytes | None:
    """The bytes of a block, none for an empty one, with a resolution that was found elsewhere in the file."""
    if density is not None:
        account.kept(DENSITY)
        if block is None:
            return of_density(density)
        own = block.density
        if own is None or not own.says_something:
            block.set_density(density)
    return bytes(block.data) if block is not None and block.says_something else None
