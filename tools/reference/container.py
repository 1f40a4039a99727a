"""The container of a .feds file, read from docs/format.md alone: header, streams, boxes, and every check on the way."""

from __future__ import annotations

import zlib
from dataclasses import dataclass


class RefusedError(Exception):
    """The file is not sound; the message says where."""


@dataclass
class Container:
    """What a file holds. `seed` is the CRC-32 of the header before its checksum, bit 7 of the layout as 0."""

    fingerprint: str
    quality: int  # thousandths
    width: int
    height: int
    grey: bool
    streams: list[bytes]  # z first
    checksum: int
    seed: int
    boxes: dict[str, bytes]  # as they stand in the file, those that a v1 reader must know and those it may skip


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise RefusedError(f"ends at byte {len(self.data)}, where {count} bytes from {self.at} on are needed")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def varint(self) -> int:
        value = 0
        for place in range(5):
            byte = self.number(1)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if (place and not byte) or value >= 2**32:
                    break
                return value
        raise RefusedError(f"no varint in shortest form, below 2**32, before byte {self.at}")


def read_container(data: bytes) -> Container:
    """Take a file apart; RefusedError where anything is off that can be known without decoding."""
    read = _Bytes(data)
    if read.take(4) != b"FEDS":
        raise RefusedError("does not begin with FEDS")
    if (version := read.number(1)) != 1:
        raise RefusedError(f"is of version {version}, which is not 1")
    layout, fingerprint, quality = read.number(1), read.take(8), read.number(2)
    width, height = read.varint(), read.varint()
    lengths = [read.varint() for _ in range(1 + (layout & 0x3F))]
    seed = zlib.crc32(data[:5] + bytes([layout & 0x7F]) + data[6 : read.at])
    checksum = read.number(4)
    check = zlib.crc32(data[: read.at]) & 0xFFFF
    if read.number(2) != check:
        raise RefusedError("has a damaged header")
    if not (quality and layout & 0x3F and 0 < width < 2**31 and 0 < height < 2**31 and width * height <= 2**31):
        raise RefusedError(f"has an impossible header: quality {quality}, {width}x{height}, {layout & 0x3F} slices")
    streams = [read.take(length) for length in lengths]
    boxes = _read_boxes(read) if layout & 0x80 else {}
    if read.at != len(data):
        raise RefusedError(f"goes on behind its end, byte {read.at}")
    if "sums" in boxes and boxes["sums"] != b"".join((zlib.crc32(s) & 0xFFFF).to_bytes(2, "little") for s in streams):
        raise RefusedError("has a stream that does not fit its sum")
    grey = bool(layout & 0x40)
    return Container(fingerprint.hex(), quality, width, height, grey, streams, checksum, seed, boxes)


KNOWN = {"ICCP": "ICCP", "ICCZ": "ICCP", "EXIF": "EXIF", "exiz": "EXIF", "XMP ": "XMP ", "xmpz": "XMP "}


def _read_boxes(read: _Bytes) -> dict[str, bytes]:
    boxes: dict[str, bytes] = {}
    if not (count := read.varint()):
        raise RefusedError("promises boxes and has none")
    for _ in range(count):
        kind = read.take(4)
        payload = read.take(read.varint())
        if read.number(4) != zlib.crc32(kind + payload) or not all(0x20 <= byte <= 0x7E for byte in kind):
            raise RefusedError("has a damaged box")
        name = kind.decode()
        plain = KNOWN.get(name, name)
        if plain in boxes or {plain, *boxes} >= {"ICCP", "srgb"}:
            raise RefusedError(f"has two boxes where one {plain} is allowed")
        if plain not in KNOWN and name not in ("ALPH", "PIXL") and not name[0].islower():
            raise RefusedError(f"has a box {name}, which a reader must know and this one does not")
        boxes[plain] = _inflated(payload) if plain != name else payload
    return boxes


def _inflated(payload: bytes) -> bytes:
    read = _Bytes(payload)
    length = read.varint()
    if not 1 <= length <= 2**24:
        raise RefusedError(f"has a box that inflates to {length} bytes")
    coder = zlib.decompressobj(-15)
    try:
        plain = coder.decompress(payload[read.at :], length + 1)
    except zlib.error as error:
        raise RefusedError(f"has a box that does not inflate ({error})") from error
    if not coder.eof or coder.unused_data or len(plain) != length:
        raise RefusedError("has a box that does not inflate to what it says")
    return plain
