"""Boxes, which may follow the streams of a .feds file, and how their payloads are compressed.

    type    payload                                                                          a reader that does not
    ------  -------------------------------------------------------------------------------  know the type
    "ICCP"  an ICC profile                                                                   refuses the file
    "ICCZ"  an ICC profile, deflated                                                         refuses the file
    "srgb"  nothing: the profile was one that means sRGB, and need not be in the file        skips the box
    "EXIF"  an Exif block, from its TIFF header on                                           refuses the file
    "exiz"  an Exif block, deflated                                                          skips the box
    "XMP "  an XMP packet                                                                    refuses the file
    "xmpz"  an XMP packet, deflated                                                          skips the box
    "ALPH"  the alpha plane: a PNG (8-bit grey, not interlaced) or a lossless WebP (VP8L,    refuses the file
            no alpha, grey) of the picture's size, without other chunks or bytes after it
    "PIXL"  all pixels without loss, as alpha is: grey, or RGB where the picture is not grey.  refuses the file
            Then all streams are empty, and there are no symbols
    "sums"  the low 16 bits of the CRC-32 of each stream, z first, 2 bytes each              skips the box
    "prev"  a preview: a WebP of at most 64x64 pixels and 2048 bytes, in sRGB, not animated, skips the box
            to be shown while, or where, the streams cannot be decoded

A deflated payload is a varint with the length before deflating (1 to 2**24), and a raw deflate stream of exactly that
length. `pack_boxes` deflates a payload if that makes it smaller; readers see one kind of box in both cases.
Types start with an upper-case letter if the picture would look different without the box; EXIF and XMP do too.
By default, stream checks are written if they take at most a thousandth of the file, and a preview if it takes at
most a two-hundredth.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from fedscodec.errors import FormatError

ICC, EXIF, XMP, ALPHA, SRGB, STREAM_CHECKS, PREVIEW, PIXELS = (
    b"ICCP", b"EXIF", b"XMP ", b"ALPH", b"srgb", b"sums", b"prev", b"PIXL",
)  # fmt: skip
KNOWN_BOXES = (ICC, EXIF, XMP, ALPHA, SRGB, STREAM_CHECKS, PREVIEW, PIXELS)  # also the order in which they are written
INFLATED_AT_MOST = 2**24
PREVIEW_AT_MOST, PREVIEW_SIDE = 2048, 64  # bytes, pixels
UINT32_END = 2**32
VARINT_BYTES = 5
OPAQUE = "the picture is shown opaque"
ALL_LOST = "what stood in boxes behind that is lost (alpha, ICC profile, Exif, XMP)"
_WITHOUT = {  # what a picture is without a box
    ALPHA: OPAQUE, ICC: "its colours are shown without their profile", SRGB: "its colours are shown without a profile",
    EXIF: "its Exif is lost", XMP: "its XMP is lost", STREAM_CHECKS: "no stream checks tell which stream is damaged",
    PREVIEW: "it has no preview", PIXELS: "nothing of it can be shown",
}  # fmt: skip
_DEFLATED = {ICC: b"ICCZ", EXIF: b"exiz", XMP: b"xmpz"}
_INFLATED = {deflated: plain for plain, deflated in _DEFLATED.items()}


def pack_boxes(boxes: Mapping[bytes, bytes]) -> bytes:
    """The bytes of boxes of known types, empty for none; each box in the smaller of its two forms."""
    if not boxes:
        return b""
    parts = [varint(len(boxes))]
    for plain in KNOWN_BOXES:
        if plain in boxes:
            kind, payload = _stored(plain, boxes[plain])
            parts += [kind, varint(len(payload)), payload, _check(kind, payload)]
    return b"".join(parts)


def _stored(kind: bytes, payload: bytes) -> tuple[bytes, bytes]:
    if kind not in _DEFLATED or not 0 < len(payload) <= INFLATED_AT_MOST:
        return kind, payload
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = varint(len(payload)) + coder.compress(payload) + coder.flush()
    return (_DEFLATED[kind], deflated) if len(deflated) < len(payload) else (kind, payload)


def unpack_boxes(cursor: Cursor) -> tuple[dict[bytes, bytes], dict[bytes, int]]:
    """Payloads by known type, and the size of each in the file.

    Leaves out unknown boxes that may be skipped. Raises FormatError for any other fault.
    """
    boxes: dict[bytes, bytes] = {}
    sizes: dict[bytes, int] = {}
    count = cursor.varint("the boxes")
    if count == 0:
        raise cursor.error("the header says that boxes follow the streams, found none")
    for _ in range(count):
        _accept(*_take_box(cursor), boxes, sizes, cursor)
    return boxes, sizes


def salvage_boxes(cursor: Cursor) -> tuple[dict[bytes, bytes], dict[bytes, int], list[str]]:
    """What `unpack_boxes` gives when some boxes may be damaged, and a sentence for each fault and what is lost."""
    boxes: dict[bytes, bytes] = {}
    sizes: dict[bytes, int] = {}
    faults: list[str] = []
    try:
        for _ in range(cursor.varint("the boxes")):
            stored, payload, check = _take_box(cursor)
            try:
                _accept(stored, payload, check, boxes, sizes, cursor)
            except FormatError as error:
                without = _WITHOUT.get(_INFLATED.get(stored, stored), "what it holds is not shown")
                faults.append(f"{error}; {without}")
    except FormatError as error:
        faults += [str(error), ALL_LOST]
        cursor.at = len(cursor.data)
    return boxes, sizes, [fault.removeprefix(f"{cursor.name}: ") for fault in faults]


def _take_box(cursor: Cursor) -> tuple[bytes, bytes, bytes]:
    """Type, payload and check of the next box. Raises FormatError if there is no box to read."""
    kind = cursor.take(4, "the boxes")
    if not all(0x20 <= byte <= 0x7E for byte in kind):
        raise cursor.error(f"expected a box type of four printable letters, found the bytes {kind.hex()}")
    length = cursor.varint("the boxes")
    if length + 4 > cursor.left:
        raise cursor.error(f"the {kind.decode()} box needs {length + 4} bytes but only {cursor.left} are left")
    return kind, cursor.take(length, "the boxes"), cursor.take(4, "the boxes")


def _accept(
    stored: bytes, payload: bytes, check: bytes, boxes: dict[bytes, bytes], sizes: dict[bytes, int], cursor: Cursor
) -> None:
    """Add a box to the known ones. Raises FormatError if it is damaged, invalid, or not allowed."""
    if check != _check(stored, payload):
        raise cursor.error(f"the {stored.decode()} box is damaged (its checksum is wrong)")
    kind = _INFLATED.get(stored, stored)
    if kind in boxes:
        raise cursor.error(f"expected one {kind.decode()} box, found a second")
    if {kind, *boxes} >= {ICC, SRGB}:
        raise cursor.error("expected one box about colours, found both an ICC profile and sRGB")
    if kind in KNOWN_BOXES:
        boxes[kind] = payload if kind == stored else _inflated(stored, payload, cursor.name)
        sizes[kind] = len(payload)
    elif not kind[:1].islower():
        raise cursor.error(f"the box type {kind.decode()} is unknown, the file was written by a later version")


def _inflated(kind: bytes, payload: bytes, name: str) -> bytes:
    """The inflated payload; its length is known, and limited, before anything is inflated."""
    inner = Cursor(payload, f"{name}: inside the {kind.decode()} box")
    length = inner.varint("its length")
    if not 1 <= length <= INFLATED_AT_MOST:
        raise inner.error(f"a deflated payload has 1 to {INFLATED_AT_MOST} bytes, found {length}")
    coder = zlib.decompressobj(-15)
    try:
        plain = coder.decompress(inner.take(inner.left, "its payload"), length + 1)
        if coder.eof and len(plain) == length and not coder.unused_data:
            return plain
    except zlib.error as error:
        raise inner.error(f"expected a deflate stream, found: {error}") from error
    raise inner.error(f"expected a deflate stream of exactly {length} bytes")


def _check(kind: bytes, payload: bytes) -> bytes:
    return uint32(zlib.crc32(payload, zlib.crc32(kind)))


def stream_checks_of(streams: tuple[bytes, ...]) -> bytes:
    """The stream checks of these streams: the payload of a "sums" box."""
    return b"".join(uint32(zlib.crc32(stream))[:2] for stream in streams)


def damaged_streams(streams: tuple[bytes, ...], boxes: Mapping[bytes, bytes]) -> list[int]:
    """Numbers of the streams, 0 for z, that do not match their stream checks; none if there are none."""
    if STREAM_CHECKS not in boxes:
        return []
    told, found = boxes[STREAM_CHECKS], stream_checks_of(streams)
    return [k for k in range(len(streams)) if told[2 * k : 2 * k + 2] != found[2 * k : 2 * k + 2]]


def preview_size(payload: bytes) -> tuple[int, int] | None:
    """Width and height in the payload of a "prev" box, or None if no such box may hold this payload.

    Checked before anything is decoded, because a WebP of a few bytes can claim 268 megapixels.
    """
    if len(payload) > PREVIEW_AT_MOST or payload[:4] != b"RIFF" or payload[8:12] != b"WEBP" or len(payload) < 30:
        return None

    def number(first: int, count: int) -> int:
        return int.from_bytes(payload[first : first + count], "little")

    kind, packed = payload[12:16], number(21, 4)
    sizes = {
        b"VP8 ": (number(26, 2) & 0x3FFF, number(28, 2) & 0x3FFF),
        b"VP8L": ((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1),
        b"VP8X": (number(24, 3) + 1, number(27, 3) + 1),
    }
    width, height = sizes.get(kind, (0, 0))
    animated = kind == b"VP8X" and payload[20] & 0x02
    small = 1 <= width <= PREVIEW_SIDE and 1 <= height <= PREVIEW_SIDE
    return (width, height) if small and not animated else None


def uint32(value: int) -> bytes:
    """A number as four bytes, little-endian."""
    return value.to_bytes(4, "little")


def varint(value: int) -> bytes:
    """A number as a varint of 1 to 5 bytes, see `fileformat`. Raises ValueError for a number outside 0 … 2**32 - 1."""
    if not 0 <= value < UINT32_END:
        raise ValueError(f"a varint is 0 or more and below 2**32, found {value}")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(slots=True)
class Cursor:
    """A position in the bytes of a file; it never returns more bytes than there are."""

    data: bytes
    name: str
    at: int = 0

    @property
    def left(self) -> int:
        """The number of bytes left."""
        return len(self.data) - self.at

    def error(self, text: str) -> FormatError:
        """The exception for a fault of this file."""
        return FormatError(f"{self.name}: {text}")

    def take(self, count: int, where: str) -> bytes:
        """The next bytes. Raises FormatError if there are fewer."""
        if count > self.left:
            raise self.error(f"ends after {len(self.data)} bytes inside {where}")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self, where: str) -> int:
        """The next number. Raises FormatError unless it is a varint in its shortest form."""
        start, value = self.at, 0
        for place in range(VARINT_BYTES):
            byte = self.take(1, where)[0]
            value |= (byte & 0x7F) << 7 * place
            if byte == 0 and place:
                raise self.error(f"the number at byte {start} inside {where} is not in its shortest form")
            if byte < 0x80 and value < UINT32_END:
                return value
        raise self.error(f"the number at byte {start} inside {where} is not below 2**32")
