"""Directories of TIFF 6.0, which make up Exif: untrusted entries as bytes of any type.

block   "II" or "MM", 42, offset of the first directory; offsets count from its first byte
entry   tag, type, count, and four bytes: the value, or the offset of a longer one
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

EXIF, GPS, INTEROP = 0x8769, 0x8825, 0xA005
SHORT, LONG, RATIONAL, BYTE, UNDEFINED = 3, 4, 5, 1, 7
Block = bytes | bytearray
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
ENTRY = 12


@dataclass(frozen=True)
class Entry:
    """One entry: its value as bytes in the block's byte order, and its offset if the value is outside the entry."""

    tag: int
    kind: int
    count: int
    value: bytes
    at: int | None = None


@dataclass(frozen=True)
class Directory:
    """The entries of one directory, its offset, and the offset of the next one (0: none)."""

    entries: tuple[Entry, ...]
    at: int
    next: int

    def get(self, tag: int) -> Entry | None:
        """The entry with a tag."""
        return next((entry for entry in self.entries if entry.tag == tag), None)

    @property
    def end(self) -> int:
        """Where the bytes after it begin."""
        return self.at + 2 + ENTRY * len(self.entries) + 4


def order_of(block: Block) -> str:
    """`<` or `>` by the first bytes of a block. Raises ValueError if they are not a header."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))
    if order is None or len(block) < 8:
        raise ValueError("no TIFF header")
    return order


def first_of(block: Block) -> Directory:
    """The first directory of a block. Raises ValueError if it is not all inside."""
    order = order_of(block)
    return read(block, struct.unpack_from(f"{order}I", block, 4)[0], order)


def read(block: Block, at: int, order: str) -> Directory:
    """The directory at an offset. Leaves out values that are not all inside the block.

    Raises ValueError if the directory is not all inside, or if its values together are longer than the block: they then
    overlap, and 64 kB could stand for many gigabytes.
    """
    if at < 8 or at + 2 > len(block):
        raise ValueError("a directory outside the block")
    (count,) = struct.unpack_from(f"{order}H", block, at)
    end = at + 2 + ENTRY * count
    if end > len(block):
        raise ValueError("a directory outside the block")
    entries, left = [], len(block)
    for start in range(at + 2, end, ENTRY):
        tag, kind, number, inside = struct.unpack_from(f"{order}HHI4s", block, start)
        size = _SIZES.get(kind, 0) * number
        place = struct.unpack(f"{order}I", inside)[0] if size > 4 else None
        if size and (place is None or place + size <= len(block)):
            left -= 0 if place is None else size
            if left < 0:
                raise ValueError("values that overlap")
            value = inside[:size] if place is None else bytes(block[place : place + size])
            entries.append(Entry(tag, kind, number, value, place))
    following = struct.unpack_from(f"{order}I", block, end)[0] if end + 4 <= len(block) else 0
    return Directory(tuple(entries), at, following)


def below(block: Block, directory: Directory, tag: int) -> Directory | None:
    """The directory that an entry points to; None if there is none, or a damaged one."""
    entry = directory.get(tag)
    if entry is None or len(entry.value) != 4:
        return None
    try:
        order = order_of(block)
        return read(block, struct.unpack(f"{order}I", entry.value)[0], order)
    except ValueError:
        return None


def number(entry: Entry | None, order: str) -> int | None:
    """The first number of an integer entry."""
    letter = {BYTE: "B", SHORT: "H", LONG: "I"}.get(entry.kind) if entry else None
    return None if entry is None or letter is None else int(struct.unpack_from(order + letter, entry.value)[0])


def of_number(tag: int, kind: int, value: int, order: str) -> Entry:
    """An entry with one integer."""
    letter = {BYTE: "B", SHORT: "H", LONG: "I"}[kind]
    return Entry(tag, kind, 1, struct.pack(order + letter, value))


def of_ratio(tag: int, value: float, order: str) -> Entry:
    """An entry with one number as numerator and denominator."""
    over = 1 if value == int(value) else 10_000
    return Entry(tag, RATIONAL, 1, struct.pack(f"{order}II", round(value * over), over))


def packed(entries: Iterable[Entry], at: int, order: str, following: int = 0) -> bytes:
    """The bytes of a directory at offset `at`, followed by the values that do not fit into it.

    Values that have an offset already (`Entry.at`) stay there.
    """
    ordered = sorted(entries, key=lambda entry: entry.tag)
    behind, values, table = at + 2 + ENTRY * len(ordered) + 4, bytearray(), bytearray()
    for entry in ordered:
        inside = entry.value.ljust(4, b"\0")
        if len(entry.value) > 4:
            place = behind + len(values) if entry.at is None else entry.at
            inside = struct.pack(f"{order}I", place)
            values += (entry.value + b"\0" * (len(entry.value) % 2)) if entry.at is None else b""
        table += struct.pack(f"{order}HHI", entry.tag, entry.kind, entry.count) + inside
    return b"".join((struct.pack(f"{order}H", len(ordered)), table, struct.pack(f"{order}I", following), values))
