"""The .feds file against its byte table: literal bytes, every cut, every flipped bit, hostile numbers."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedscodec.errors import FedsError, FormatError, TooLargeError
from fedscodec.fileformat import (
    HEADER_BYTES_AT_MOST,
    FedsFile,
    Header,
    assemble,
    excess,
    pack,
    read_header,
    symbol_checksum,
    unpack,
)

FINGERPRINT = bytes.fromhex("0123456789abcdef")
SYMBOLS = (b"\x01\x00\xfe\xff", b"\x05")

# A grey picture of 768x512 at q3.5, three slices, the last of them empty, a profile and an empty XMP packet.
# The CRCs in it come from a bitwise CRC-32, not from zlib.
FILE_HEX = f"""
    46454453  01  c3  0123456789abcdef  ac0d  8006  8004
    03  c801  01  00  e7622b8d  b6b7
    aabbcc    {"00" * 200}    7f
    02
    49434350  07  70726f66696c65  50930d1d
    584d5020  00                  5e9b6ad6
"""
STREAMS = (b"\xaa\xbb\xcc", bytes(200), b"\x7f", b"")
BOXES = {b"ICCP": b"profile", b"XMP ": b""}
LATER = "is unknown, the file was written by a later version"
AT_16 = "the number at byte 16 inside the header"


def crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def sample(streams: Sequence[bytes] = STREAMS, boxes: Mapping[bytes, bytes] = BOXES, grey: bool = True) -> FedsFile:
    return assemble(
        fingerprint=FINGERPRINT,
        quality=3500,
        width=768,
        height=512,
        grey=grey,
        streams=streams,
        symbols=SYMBOLS,
        boxes=boxes,
    )


def sealed(before_check: bytes) -> bytes:
    """The header bytes given with a header check that fits, so that what is wrong in them is looked at."""
    return before_check + crc(before_check)[:2]


def header_bytes(
    layout: int = 1, quality: bytes = b"\xe8\x03", size: bytes = b"\x10\x10", lengths: bytes = b"\x00\x00"
) -> bytes:
    return sealed(b"FEDS\x01" + bytes([layout]) + FINGERPRINT + quality + size + lengths + bytes(4))


def box(kind: bytes, payload: bytes) -> bytes:
    return kind + bytes([len(payload)]) + payload + crc(kind + payload)


def with_boxes(count: int, *boxes: bytes) -> bytes:
    return header_bytes(layout=0x81) + bytes([count]) + b"".join(boxes)


def flips(data: bytes, start: int, end: int) -> Iterator[bytes]:
    """`data` with one bit flipped, for each bit of the bytes `start` to `end` - 1."""
    for bit in range(start * 8, end * 8):
        yield (int.from_bytes(data, "little") ^ 1 << bit).to_bytes(len(data), "little")


def message(data: bytes, error: type[FedsError] = FormatError) -> str:
    with pytest.raises(error) as caught:
        unpack(data, name="photo.feds")
    return str(caught.value)


def test_literal_bytes_of_a_whole_file() -> None:
    header = Header(FINGERPRINT, 3500, 768, 512, True, (3, 200, 1, 0), 0x8D2B62E7)
    assert sample() == FedsFile(header, STREAMS, BOXES)
    assert pack(sample()) == bytes.fromhex(FILE_HEX)
    assert unpack(bytes.fromhex(FILE_HEX)) == sample()


def test_literal_bytes_of_the_smallest_file() -> None:
    literal = bytes.fromhex("46454453 01 01 0123456789abcdef e803 01 01 00 00 575c405c 1cdf")
    header = Header(FINGERPRINT, 1000, 1, 1, False, (0, 0), 0x5C405C57)
    assert pack(FedsFile(header, (b"", b""))) == literal
    assert unpack(literal) == FedsFile(header, (b"", b""), {})
    assert symbol_checksum(header, ()) == header.checksum


def test_fixed_cost_of_a_plain_picture() -> None:
    streams = [bytes(16383)] * 6
    assert len(pack(sample(streams, boxes={}, grey=False))) - sum(map(len, streams)) == 38  # goal: under 40


def test_boxes_come_and_go_without_another_checksum() -> None:
    assert sample(boxes={}).header == sample().header
    assert pack(sample(boxes={}))[5] == 0x43
    assert unpack(pack(sample(boxes={}))).boxes == {}


def test_boxes_are_written_in_one_order() -> None:
    turned = dict(reversed(BOXES.items()))
    assert pack(sample(boxes=turned)) == pack(sample())


@pytest.mark.parametrize("change", [{"quality": 3501}, {"width": 767}, {"fingerprint": bytes(8)}])
def test_symbol_checksum_depends_on_the_header(change: dict[str, object]) -> None:
    header = sample().header
    assert symbol_checksum(header, SYMBOLS) == header.checksum
    assert symbol_checksum(replace(header, **change), SYMBOLS) != header.checksum  # type: ignore[arg-type]


def test_symbol_checksum_depends_on_the_symbols_but_not_on_their_chunks() -> None:
    header = sample().header
    assert symbol_checksum(header, [b"".join(SYMBOLS)]) == header.checksum
    assert symbol_checksum(replace(header, checksum=0), iter(SYMBOLS)) == header.checksum
    assert symbol_checksum(header, reversed(SYMBOLS)) != header.checksum


def test_header_is_read_without_the_streams() -> None:
    data = pack(sample())
    assert read_header(data[:31]) == read_header(data) == sample().header
    with pytest.raises(FormatError, match="^x: ends after 30 bytes inside the header$"):
        read_header(data[:30], name="x")


def test_longest_header_fits_the_announced_size() -> None:
    size = b"\xff\xff\xff\xff\x07" + b"\x01"
    longest = header_bytes(layout=63, size=size, lengths=b"\xff\xff\xff\xff\x0f" * 64)
    assert read_header(longest).stream_lengths == (2**32 - 1,) * 64
    assert read_header(longest).width == 2**31 - 1
    assert len(longest) == 348 <= HEADER_BYTES_AT_MOST


@pytest.mark.parametrize("boxes", [{}, BOXES])
def test_every_cut_is_an_error(boxes: dict[bytes, bytes]) -> None:
    data = pack(sample(boxes=boxes))
    for length in range(len(data)):
        with pytest.raises(FormatError, match="^cut: "):
            unpack(data[:length], name="cut")


def test_every_flipped_bit_of_the_header_is_an_error() -> None:
    for damaged in flips(pack(sample()), 0, 31):
        with pytest.raises((FormatError, TooLargeError), match="^flip: "):
            unpack(damaged, name="flip")
        with pytest.raises(FormatError, match="^flip: "):
            read_header(damaged, name="flip")


def test_header_check_notices_any_flipped_bit_at_any_distance() -> None:
    untouched = [zlib.crc32(bytes(count)) & 0xFFFF for count in range(HEADER_BYTES_AT_MOST)]
    for count in range(1, HEADER_BYTES_AT_MOST):
        for bit in range(8):
            flipped = bytes([1 << bit]) + bytes(count - 1)
            assert zlib.crc32(flipped) & 0xFFFF != untouched[count]


def test_every_flipped_bit_of_the_boxes_is_an_error() -> None:
    data = pack(sample())
    for damaged in flips(data, 31 + sum(map(len, STREAMS)), len(data)):
        message(damaged)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x89PNG\r\n", "not a .feds file (expected the bytes FEDS at the start, found 89504e47)"),
        (b"FX", "not a .feds file (expected the bytes FEDS at the start, found 4658)"),
        (b"", "ends after 0 bytes inside the header"),
        (header_bytes()[:17], "ends after 17 bytes inside the header"),
        (b"FEDS\x02", "format version 2 is newer than 1, the latest this release reads"),
        (b"FEDS\x00", "format version 0 does not exist, the first is 1"),
        (
            header_bytes()[:-2] + b"\x00\x00",
            "the header is damaged (its checksum should be c6cb, found 0000)",
        ),
        (header_bytes(quality=b"\x00\x00"), "the quality should be 1 to 65535 thousandths, found 0"),
        (header_bytes(size=b"\x00\x10"), "width and height should be 1 to 2147483647, found 0x16"),
        (
            header_bytes(size=b"\x01\x80\x80\x80\x80\x08"),
            "width and height should be 1 to 2147483647, found 1x2147483648",
        ),
        (
            header_bytes(size=b"\x80\x80\x04\x81\x80\x02"),
            "the format holds at most 2147483648 pixels, found 65536x32769",
        ),
        (header_bytes(layout=0, lengths=b"\x00"), "expected 1 to 63 slice streams, found 0"),
        (header_bytes(lengths=b"\x02\x00") + b"a", "the z stream needs 2 bytes but only 1 are left"),
        (
            header_bytes(layout=3, lengths=b"\x02\x03\x00\xac\x06") + bytes(45),
            "the slice 3 stream needs 812 bytes but only 40 are left",
        ),
        (header_bytes() + b"abc", "expected the end after the last stream, found 3 bytes more"),
        (header_bytes(size=b"\x90\x00\x10"), f"{AT_16} is not in its shortest form"),
        (header_bytes(size=b"\x80\x80\x00\x10"), f"{AT_16} is not in its shortest form"),
        (header_bytes(size=b"\x80\x80\x80\x80\x10\x10"), f"{AT_16} is not below 2**32"),
        (header_bytes(size=b"\x80\x80\x80\x80\x80\x01\x10"), f"{AT_16} is not below 2**32"),
    ],
)
def test_message_for_wrong_headers_and_streams(data: bytes, text: str) -> None:
    assert message(data) == f"photo.feds: {text}"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (with_boxes(0), "the header says that boxes follow the streams, found none"),
        (with_boxes(1) + b"EXI", f"ends after {len(with_boxes(1)) + 3} bytes inside the boxes"),
        (with_boxes(1, box(b"EXIF", b"a"), b"yz"), "expected the end after the last box, found 2 bytes more"),
        (with_boxes(1, box(b"EX\nF", b"")), "expected a box type of four printable letters, found the bytes 45580a46"),
        (with_boxes(1, b"EXIF\x03abc"), "the EXIF box needs 7 bytes but only 3 are left"),
        (with_boxes(1, b"EXIF\x01aaaaa"), "the EXIF box is damaged (its checksum is wrong)"),
        (with_boxes(2, box(b"EXIF", b"a"), box(b"EXIF", b"b")), "expected one EXIF box, found a second"),
        (with_boxes(1, box(b"Zzzz", b"hi")), f"the box type Zzzz {LATER}"),
        (with_boxes(1, box(b"1zzz", b"hi")), f"the box type 1zzz {LATER}"),
    ],
)
def test_message_for_wrong_boxes(data: bytes, text: str) -> None:
    assert message(data) == f"photo.feds: {text}"


def test_an_unknown_box_that_may_be_skipped_is_skipped() -> None:
    data = with_boxes(3, box(b"zzzz", b"hi"), box(b"EXIF", b"a"), box(b"zzzz", b"ho"))
    assert unpack(data).boxes == {b"EXIF": b"a"}
    assert message(data[:-1] + b"\x00").startswith("photo.feds: the zzzz box is damaged")


def test_pixel_limit() -> None:
    large = header_bytes(size=b"\xc0\xb8\x02\xb0\xea\x01")
    assert message(large, TooLargeError) == ("photo.feds: 40000x30000 pixels are more than the limit of 67108864")
    assert unpack(large, max_pixels=40000 * 30000).header.width == 40000
    assert unpack(large, max_pixels=None).header.height == 30000
    with pytest.raises(TooLargeError, match="the limit of 1199999999"):
        unpack(large, max_pixels=40000 * 30000 - 1)
    most = header_bytes(size=b"\x80\x80\x04\x80\x80\x02")
    assert unpack(most, max_pixels=2**31).header.width == 65536


@pytest.mark.parametrize(
    ("width", "height", "limit", "fault"),
    [
        (1, 1, 1, None),
        (64, 48, 3072, None),
        (64, 48, 3071, "64x48 pixels are more than the limit of 3071"),
        (1, 16384, 16384, None),
        (1, 16385, 2**20, "1x16385 pixels, as much work as 1048640, are more than the limit of 1048576"),
        (1, 16385, 2**20 + 64, None),
        (2**26, 1, 2**26, "67108864x1 pixels, as much work as 4294967296, are more than the limit of 67108864"),
        (2**20, 64, 2**26, None),
        (2**31 - 1, 1, None, None),
    ],
)
def test_thin_pictures_count_as_the_work_that_they_are(width: int, height: int, limit: int, fault: str | None) -> None:
    assert excess(width, height, limit) == fault
    assert (excess(height, width, limit) is None) == (fault is None)


@pytest.mark.parametrize(
    "data",
    [
        header_bytes(layout=63, lengths=b"\xff\xff\xff\xff\x0f" * 64),
        with_boxes(1, b"EXIF\xff\xff\xff\xff\x0f"),
        header_bytes(layout=0x81) + b"\xff\xff\xff\xff\x0f",
    ],
)
def test_huge_claims_allocate_nothing(data: bytes) -> None:
    message(data)
    tracemalloc.start()
    try:
        message(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**18


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": bytes(7)},
        *({"quality": quality} for quality in (0, 65536)),
        *({"width": width, "height": 1} for width in (0, -1, 2**31)),
        {"width": 65536, "height": 32769},
        *({"checksum": checksum} for checksum in (-1, 2**32)),
        *({"stream_lengths": (3, 200, 1, last)} for last in (1, -1, 2**32)),
        {"stream_lengths": (3, 200, 1)},
    ],
)
def test_pack_refuses_impossible_headers(change: dict[str, object]) -> None:
    file = sample()
    with pytest.raises(ValueError, match="found|are not those"):
        pack(replace(file, header=replace(file.header, **change)))  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, 65])
def test_assemble_refuses_impossible_numbers_of_streams(count: int) -> None:
    with pytest.raises(ValueError, match=f"expected 1 to 63 slice streams, found {count - 1}"):
        sample([b""] * count)


def test_pack_refuses_unknown_boxes() -> None:
    with pytest.raises(ValueError, match="found .b'zzzz'"):
        pack(sample(boxes={b"zzzz": b""}))


FILES = st.builds(
    assemble,
    fingerprint=st.binary(min_size=8, max_size=8),
    quality=st.integers(1, 65535),
    width=st.integers(1, 65536),
    height=st.integers(1, 32768),
    grey=st.booleans(),
    streams=st.lists(st.binary(max_size=300), min_size=2, max_size=64),
    symbols=st.lists(st.binary(max_size=8), max_size=3),
    boxes=st.dictionaries(st.sampled_from([b"ICCP", b"EXIF", b"XMP "]), st.binary(max_size=300)),
)


@settings(max_examples=100, deadline=None)
@given(file=FILES)
def test_round_trip(file: FedsFile) -> None:
    data = pack(file)
    assert unpack(data, max_pixels=None) == file
    assert read_header(data[:HEADER_BYTES_AT_MOST]) == file.header


@settings(max_examples=300, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=400),
        st.binary(max_size=400).map(lambda tail: b"FEDS\x01" + tail),
        st.builds(
            lambda head, tail: sealed(b"FEDS\x01" + head) + tail,
            st.binary(min_size=17, max_size=30),
            st.binary(max_size=60),
        ),
        st.binary(max_size=60).map(lambda tail: with_boxes(1) + tail),
    )
)
def test_any_bytes_are_a_file_or_a_known_error(data: bytes) -> None:
    for read in (unpack, read_header):
        try:
            read(data, name="any.feds")
        except FedsError as error:
            assert str(error).startswith("any.feds: ")
