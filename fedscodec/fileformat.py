"""The .feds file, version 1, byte by byte.

All integers are little-endian. A varint is an unsigned LEB128 number (seven bits a byte, low bits first, the
top bit set in every byte but the last) below 2**32 in its shortest form: 1 to 5 bytes. CRC-32 is zlib's.

    offset  bytes  content
    ------  -----  -----------------------------------------------------------------------------------------
       0      4    magic, the ASCII letters "FEDS"
       4      1    format version, 1
       5      1    layout: bits 0-5  number of slice streams, 1 to 63
                           bit 6     the picture is grey: the decoder gives one channel back
                           bit 7     boxes follow the streams
       6      8    fingerprint: first 8 bytes of the SHA-256 of the integer weights that decode the streams
      14      2    quality in thousandths: 1000 is q1, 7000 is q7, 0 is not allowed
      16      v    width in pixels, varint, 1 to 2**31 - 1
       .      v    height in pixels, varint, 1 to 2**31 - 1; width times height is at most 2**31
       .      v    length in bytes of the z stream, varint; 0 is allowed, here and for the slices
       .      v    length in bytes of each slice stream, one varint each, in order
       .      4    symbol checksum: CRC-32 of every byte above (bit 7 of the layout taken as 0, so that boxes
                   come and go without decoding) followed by the decoded symbols; see symbol_checksum
       .      2    header check: the low 16 bits of the CRC-32 of every byte above, as it stands in the file
    ------  -----  -----------------------------------------------------------------------------------------
       .      .    z stream
       .      .    slice streams, in order
    ------  -----  only if bit 7 of the layout is set ------------------------------------------------------
       .      v    number of boxes, varint, at least 1 (so that a file cut between two boxes is noticed)
                   then each box:
       .      4        type, printable ASCII (0x20 to 0x7e)
       .      v        length of the payload in bytes, varint
       .      .        payload
       .      4        CRC-32 of type and payload

The file ends where its last stream or box ends. `boxes` lists the box types, each at most once: ICC profile,
Exif, XMP, alpha, checks of single streams. A reader that does not know a type skips the box if the type starts
with a-z, and refuses the file otherwise.

The checks of header and boxes reveal damage to them before anything is decoded. The symbol checksum reveals, after
decoding, damage to the streams, other weights, and arithmetic that differs.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from fedscodec.boxes import (
    ALL_LOST,
    KNOWN_BOXES,
    STREAM_CHECKS,
    UINT32_END,
    VARINT_BYTES,
    Cursor,
    damaged_streams,
    pack_boxes,
    salvage_boxes,
    stream_checks_of,
    uint32,
    unpack_boxes,
    varint,
)
from fedscodec.errors import FormatError, StreamError, TooLargeError

MAGIC = b"FEDS"
FORMAT_VERSION = 1

SIDE_AT_MOST = 2**31 - 1
PIXELS_AT_MOST = 2**31
SLICES_AT_MOST = 63
DEFAULT_MAX_PIXELS = 2**26
STREAM_CHECKS_SHARE = 1000  # of a file, what stream checks may take where nobody asked for them: 22 bytes of 22 kB
_COUNTED_SIDE, _SMALL_WORK = 64, 2**20  # see `excess`

_FIXED = struct.Struct("<4sBB8sH")  # magic, version, layout, fingerprint, quality
_SLICES_MASK, _GREY_BIT, _BOXES_BIT = 0x3F, 0x40, 0x80
_SIZE_AND_LENGTHS_AT_MOST = 2 + 1 + SLICES_AT_MOST

HEADER_BYTES_AT_MOST = _FIXED.size + VARINT_BYTES * _SIZE_AND_LENGTHS_AT_MOST + 4 + 2


@dataclass(frozen=True, slots=True)
class Header:
    """What a .feds file says about itself before its first stream.

    `fingerprint` has 8 bytes, `quality` is in thousandths (1 to 65535), `width` and `height` are in pixels,
    `stream_lengths` are in bytes with the z stream first, `checksum` is that of `symbol_checksum`.
    """

    fingerprint: bytes
    quality: int
    width: int
    height: int
    grey: bool
    stream_lengths: tuple[int, ...]
    checksum: int


@dataclass(frozen=True, slots=True)
class FedsFile:
    """A whole file: its header, its streams (z first) and its boxes (type to payload, of `KNOWN_BOXES`).

    `box_sizes` are the sizes of the payloads in the file, if it was read from one; less than the payload if deflated.
    """

    header: Header
    streams: tuple[bytes, ...]
    boxes: dict[bytes, bytes] = field(default_factory=dict)
    box_sizes: dict[bytes, int] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Salvage:
    """The result of `salvage`: a file, the number of its intact first streams, and a sentence for each fault."""

    file: FedsFile
    whole: int
    faults: tuple[str, ...]

    @property
    def header(self) -> Header:
        """The header of the file."""
        return self.file.header


def assemble(
    *,
    fingerprint: bytes,
    quality: int,
    width: int,
    height: int,
    grey: bool,
    streams: Iterable[bytes],
    symbols: Iterable[bytes | memoryview],
    boxes: Mapping[bytes, bytes] | None = None,
    stream_checks: bool | None = False,
) -> FedsFile:
    """Make a file for `pack`; its stream lengths and checksum follow from `streams` (z first) and `symbols`.

    With `stream_checks` it also gets a box with a check of every stream, which locates damage; with None, only if the
    box takes at most a thousandth of the file. Raises ValueError for values that no file can hold.
    """
    kept = tuple(streams)
    header = Header(fingerprint, quality, width, height, grey, tuple(map(len, kept)), checksum=0)
    header = replace(header, checksum=symbol_checksum(header, symbols))
    file = FedsFile(header, kept, dict(boxes or {}))
    if stream_checks or (stream_checks is None and _stream_checks_are_cheap(file)):
        file.boxes[STREAM_CHECKS] = stream_checks_of(kept)
    return file


def _stream_checks_are_cheap(file: FedsFile) -> bool:
    """Whether stream checks would take at most 1/STREAM_CHECKS_SHARE of a file that has none."""
    box = len(pack_boxes({STREAM_CHECKS: stream_checks_of(file.streams)})) - bool(file.boxes)  # a byte counts all boxes
    return STREAM_CHECKS_SHARE * box <= len(pack(file))


def symbol_checksum(header: Header, chunks: Iterable[bytes | memoryview]) -> int:
    """CRC-32 of the decoded symbols, seeded with the CRC-32 of the header before its checksum field.

    `chunks` are the symbols as bytes in coding order, z first; it does not matter where they are cut. Because of the
    seed, a changed quality or size is a mismatch too. `header.checksum` is not read. Raises ValueError for a header
    that no file can hold.
    """
    _require_possible(header)
    checksum = zlib.crc32(_before_checksum(header, has_boxes=False))
    for chunk in chunks:
        checksum = zlib.crc32(chunk, checksum)
    return checksum


def pack(file: FedsFile) -> bytes:
    """The bytes of `file`.

    Raises ValueError for what no file can hold, for stream lengths that do not match the streams, and for boxes of an
    unknown type.
    """
    _require_possible(file.header)
    if tuple(map(len, file.streams)) != file.header.stream_lengths:
        raise ValueError("the stream lengths in the header are not those of the streams")
    if unknown := set(file.boxes) - set(KNOWN_BOXES):
        raise ValueError(f"boxes have one of the types {KNOWN_BOXES}, found {sorted(unknown)}")
    if file.boxes.get(STREAM_CHECKS, stream_checks_of(file.streams)) != stream_checks_of(file.streams):
        raise ValueError("the stream checks are not those of the streams")
    head = _before_checksum(file.header, has_boxes=bool(file.boxes)) + uint32(file.header.checksum)
    return b"".join((head, _header_check(head), *file.streams, pack_boxes(file.boxes)))


def unpack(data: bytes, *, name: str = "the file", max_pixels: int | None = DEFAULT_MAX_PIXELS) -> FedsFile:
    """Unpack a file from its bytes, and check everything that can be checked without decoding.

    Errors start with `name`. Raises TooLargeError for more than `max_pixels` pixels (None: no limit except that of the
    format), FormatError for any other fault. Leaves out unknown boxes that may be skipped.
    """
    cursor = Cursor(data, name)
    header, has_boxes = _unpack_header(cursor)
    if fault := excess(header.width, header.height, max_pixels):
        raise TooLargeError(f"{name}: {fault}")
    streams = _unpack_streams(cursor, header.stream_lengths)
    boxes, sizes = unpack_boxes(cursor) if has_boxes else ({}, {})
    if cursor.left:
        last = "box" if has_boxes else "stream"
        raise cursor.error(f"expected the end after the last {last}, found {cursor.left} bytes more")
    if damaged := _damaged(cursor, streams, boxes):
        found = "is damaged (its sum does not fit its bytes)"
        raise StreamError(f"{name}: the {_stream(damaged[0])} stream {found}", damaged[0])
    return FedsFile(header, streams, boxes, sizes)


def salvage(data: bytes, *, name: str = "the file", max_pixels: int | None = DEFAULT_MAX_PIXELS) -> Salvage:
    """Unpack what is intact of a damaged or cut file; raises like `unpack` if the header is damaged.

    Damaged streams become empty. Without stream checks only cut streams are known to be damaged; the decoder must
    find the others. Damaged boxes are left out.
    """
    cursor = Cursor(data, name)
    header, has_boxes = _unpack_header(cursor)
    if fault := excess(header.width, header.height, max_pixels):
        raise TooLargeError(f"{name}: {fault}")
    faults: list[str] = []
    streams: list[bytes] = []
    boxes: dict[bytes, bytes] = {}
    sizes: dict[bytes, int] = {}
    try:
        for number, length in enumerate(header.stream_lengths):
            streams.append(cursor.take(length, f"the {_stream(number)} stream"))
        boxes, sizes, lost = salvage_boxes(cursor) if has_boxes else ({}, {}, [])
        faults += [*lost, *([f"{cursor.left} bytes follow its end"] if cursor.left else [])]
        damaged = _damaged(cursor, tuple(streams), boxes)
    except FormatError as error:
        faults.append(str(error).removeprefix(f"{name}: "))
        faults += [ALL_LOST] if has_boxes and len(streams) < len(header.stream_lengths) else []
        damaged = []
    faults += [f"the {_stream(number)} stream is damaged" for number in damaged]
    whole = min([len(streams), *damaged])
    kept = (*streams[:whole], *[b""] * (len(header.stream_lengths) - whole))
    return Salvage(FedsFile(header, kept, boxes, sizes), whole, tuple(faults))


def _damaged(cursor: Cursor, streams: tuple[bytes, ...], boxes: Mapping[bytes, bytes]) -> list[int]:
    if STREAM_CHECKS in boxes and len(boxes[STREAM_CHECKS]) != 2 * len(streams):
        raise cursor.error(f"the sums box should have {2 * len(streams)} bytes, found {len(boxes[STREAM_CHECKS])}")
    return damaged_streams(streams, boxes)


def _stream(number: int) -> str:
    return f"slice {number}" if number else "z"


def excess(width: int, height: int, max_pixels: int | None) -> str | None:
    """A sentence if a picture of that size is too large, else None; a limit of None allows everything.

    Networks see pictures whose sides are multiples of 64, so one row of a million pixels is as much work as 64 rows.
    From a megapixel of such work on, a side below 64 counts as 64.
    """
    thick = max(width, _COUNTED_SIDE) * max(height, _COUNTED_SIDE)
    counted = thick if thick > _SMALL_WORK else width * height
    if max_pixels is None or counted <= max_pixels:
        return None
    size = f"{width}x{height} pixels"
    size = size if counted == width * height else f"{size}, as much work as {counted},"
    return f"{size} are more than the limit of {max_pixels}"


def read_header(data: bytes, *, name: str = "the file") -> Header:
    """The header of a file; its first `HEADER_BYTES_AT_MOST` bytes are always enough.

    Raises FormatError, starting with `name`, if the header is cut, damaged or of a later version.
    """
    return _unpack_header(Cursor(data, name))[0]


def _fault(header: Header) -> str | None:
    """What makes the header invalid, or None; the one list of rules, for writing and for reading."""
    if len(header.fingerprint) != 8:
        return f"a fingerprint has 8 bytes, found {len(header.fingerprint)}"
    if not 1 <= header.quality <= 0xFFFF:
        return f"the quality should be 1 to 65535 thousandths, found {header.quality}"
    if not (1 <= header.width <= SIDE_AT_MOST and 1 <= header.height <= SIDE_AT_MOST):
        return f"width and height should be 1 to {SIDE_AT_MOST}, found {header.width}x{header.height}"
    if header.width * header.height > PIXELS_AT_MOST:
        return f"the format holds at most {PIXELS_AT_MOST} pixels, found {header.width}x{header.height}"
    if not 1 <= len(header.stream_lengths) - 1 <= SLICES_AT_MOST:
        return f"expected 1 to {SLICES_AT_MOST} slice streams, found {len(header.stream_lengths) - 1}"
    if not all(0 <= length < UINT32_END for length in header.stream_lengths):
        return f"stream lengths should be below 2**32, found {header.stream_lengths}"
    if not 0 <= header.checksum < UINT32_END:
        return f"the checksum should be below 2**32, found {header.checksum}"
    return None


def _require_possible(header: Header) -> None:
    if fault := _fault(header):
        raise ValueError(fault)


def _before_checksum(header: Header, *, has_boxes: bool) -> bytes:
    layout = len(header.stream_lengths) - 1
    layout |= (_GREY_BIT if header.grey else 0) | (_BOXES_BIT if has_boxes else 0)
    fixed = _FIXED.pack(MAGIC, FORMAT_VERSION, layout, header.fingerprint, header.quality)
    return fixed + b"".join(map(varint, (header.width, header.height, *header.stream_lengths)))


def _header_check(head: bytes) -> bytes:
    return uint32(zlib.crc32(head))[:2]


def _unpack_header(cursor: Cursor) -> tuple[Header, bool]:
    """The header, and whether boxes follow the streams."""
    where = "the header"
    _check_magic_and_version(cursor)
    _, _, layout, fingerprint, quality = _FIXED.unpack(cursor.take(_FIXED.size, where))
    width, height = cursor.varint(where), cursor.varint(where)
    lengths = tuple(cursor.varint(where) for _ in range(1 + (layout & _SLICES_MASK)))
    checksum = int.from_bytes(cursor.take(4, where), "little")
    # The check comes before the rules: a flipped bit is called damage, not a wrong width.
    expected = _header_check(cursor.data[: cursor.at])
    found = cursor.take(2, where)
    if found != expected:
        raise cursor.error(f"the header is damaged (its checksum should be {expected.hex()}, found {found.hex()})")
    header = Header(fingerprint, quality, width, height, bool(layout & _GREY_BIT), lengths, checksum)
    if fault := _fault(header):
        raise cursor.error(fault)
    return header, bool(layout & _BOXES_BIT)


def _check_magic_and_version(cursor: Cursor) -> None:
    start = cursor.data[: len(MAGIC) + 1]
    if not MAGIC.startswith(start[:4]):
        raise cursor.error(f"not a .feds file (expected the bytes FEDS at the start, found {start[:4].hex()})")
    version = start[4] if len(start) > 4 else FORMAT_VERSION
    if version > FORMAT_VERSION:
        raise cursor.error(f"format version {version} is newer than {FORMAT_VERSION}, the latest this release reads")
    if version < 1:
        raise cursor.error(f"format version {version} does not exist, the first is 1")


def _unpack_streams(cursor: Cursor, lengths: tuple[int, ...]) -> tuple[bytes, ...]:
    left = cursor.left
    for index, length in enumerate(lengths):
        if length > left:
            found = f"needs {length} bytes but only {left} are left"
            raise StreamError(f"{cursor.name}: the {_stream(index)} stream {found}", index)
        left -= length
    return tuple(cursor.take(length, "the streams") for length in lengths)
