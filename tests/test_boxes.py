"""Boxes: literal bytes, both ways to write one, hostile payloads, and what is left of damaged files."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedscodec.boxes import ALPHA, EXIF, ICC, SRGB, SUMS, XMP, Cursor, pack_boxes, unpack_boxes, varint
from fedscodec.errors import FormatError
from fedscodec.fileformat import FedsFile, assemble, pack, salvage, unpack

STREAMS = (b"abc", b"slice one", b"slice two")


def raw_deflate(data: bytes) -> bytes:
    coder = zlib.compressobj(9, zlib.DEFLATED, -15)
    return coder.compress(data) + coder.flush()


def box(kind: bytes, payload: bytes) -> bytes:
    return kind + varint(len(payload)) + payload + zlib.crc32(kind + payload).to_bytes(4, "little")


def read(*boxes: bytes) -> dict[bytes, bytes]:
    return unpack_boxes(Cursor(varint(len(boxes)) + b"".join(boxes), "x"))[0]


def sample(**changes: object) -> FedsFile:
    given = {"boxes": {XMP: b"<x/>"}, "sums": True, **changes}
    return assemble(
        fingerprint=b"12345678", quality=3000, width=70, height=50, grey=False, streams=STREAMS, symbols=[], **given
    )  # type: ignore[arg-type]


def test_short_payloads_are_written_as_they_are() -> None:
    assert pack_boxes({}) == b""
    assert pack_boxes({EXIF: b"II*", SRGB: b""}) == b"\2" + box(b"EXIF", b"II*") + box(b"srgb", b"")
    assert len(pack_boxes({SRGB: b""})) == 10


@pytest.mark.parametrize(("plain", "deflated"), [(ICC, b"ICCZ"), (EXIF, b"exiz"), (XMP, b"xmpz")])
def test_long_payloads_are_deflated(plain: bytes, deflated: bytes) -> None:
    payload = b"the same again, " * 100
    written = pack_boxes({plain: payload})
    assert written[1:5] == deflated
    assert len(written) < 60
    boxes, sizes = unpack_boxes(Cursor(written, "x"))
    assert boxes == {plain: payload}
    assert sizes == {plain: len(written) - 10}
    assert read(box(deflated, b"\5" + raw_deflate(b"hello"))) == {plain: b"hello"}


def test_noise_and_alpha_are_not_deflated() -> None:
    noise = bytes((i * i * 7 + i // 3) % 251 for i in range(90))
    for kind, payload in ((ICC, noise), (ALPHA, bytes(500))):
        assert pack_boxes({kind: payload}) == b"\1" + box(kind, payload)


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        (b"", "ends after 0 bytes inside its length"),
        (b"\0" + raw_deflate(b""), "a deflated payload has 1 to 16777216 bytes, found 0"),
        (varint(2**24 + 1) + b"\3\0", "a deflated payload has 1 to 16777216 bytes, found 16777217"),
        (b"\4" + raw_deflate(b"hello"), "expected a deflate stream of exactly 4 bytes"),
        (b"\6" + raw_deflate(b"hello"), "expected a deflate stream of exactly 6 bytes"),
        (b"\5" + raw_deflate(b"hello")[:-1], "expected a deflate stream of exactly 5 bytes"),
        (b"\5" + raw_deflate(b"hello") + b"!", "expected a deflate stream of exactly 5 bytes"),
        (b"\5\xff\xff", "expected a deflate stream, found: .*invalid block type"),
    ],
)
def test_deflated_payloads_that_are_not_what_they_say(payload: bytes, found: str) -> None:
    with pytest.raises(FormatError, match=f"^x: inside the exiz box: {found}"):
        read(box(b"exiz", payload))


def test_a_bomb_is_defused() -> None:
    bomb = varint(1000) + raw_deflate(bytes(2**26))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="exactly 1000 bytes"):
            read(box(b"xmpz", bomb))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_one_box_of_a_kind_however_it_is_written() -> None:
    with pytest.raises(FormatError, match="expected one EXIF box, found a second"):
        read(box(b"EXIF", b"a"), box(b"exiz", b"\1" + raw_deflate(b"b")))
    with pytest.raises(FormatError, match="found both an ICC profile and sRGB"):
        read(box(b"ICCP", b"a"), box(b"srgb", b""))


@settings(max_examples=100, deadline=None)
@given(boxes=st.dictionaries(st.sampled_from([ICC, EXIF, XMP, ALPHA]), st.binary() | st.binary().map(lambda b: b * 50)))
def test_boxes_come_back(boxes: dict[bytes, bytes]) -> None:
    if boxes:
        assert unpack_boxes(Cursor(pack_boxes(boxes), "x"))[0] == boxes


# ── Sums, and what is left of a damaged file ──────────────────────────────────────────────────────────────


def test_sums_are_two_bytes_a_stream_and_name_what_is_damaged() -> None:
    file = sample()
    assert file.boxes[SUMS] == b"".join(zlib.crc32(stream).to_bytes(4, "little")[:2] for stream in STREAMS)
    assert len(pack(file)) == len(pack(sample(sums=False))) + 4 + 1 + 6 + 4
    data = pack(file)
    assert unpack(data) == file
    for stream, name in zip(STREAMS, ("z", "slice 1", "slice 2"), strict=True):
        damaged = data.replace(stream, b"X" + stream[1:])
        with pytest.raises(FormatError, match=f"^f: the {name} stream is damaged [(]its sum does not fit its bytes"):
            unpack(damaged, name="f")
    with pytest.raises(ValueError, match="the sums are not those of the streams"):
        pack(FedsFile(file.header, file.streams, {SUMS: b"123456"}))
    with pytest.raises(FormatError, match="f: the sums box should have 6 bytes, found 4"):
        unpack(data.replace(box(b"sums", file.boxes[SUMS]), box(b"sums", b"1234")), name="f")


def test_a_sound_file_is_salvaged_whole() -> None:
    found = salvage(pack(sample()))
    assert (found.file, found.whole, found.faults) == (sample(), 3, ())


def test_of_a_cut_file_the_first_streams_are_left() -> None:
    data = pack(sample())
    start = data.index(b"abc")
    found = salvage(data[: start + 3 + 9 + 4])
    assert (found.whole, found.file.streams, found.file.boxes) == (2, (b"abc", b"slice one", b""), {})
    assert found.faults == (f"ends after {start + 16} bytes inside the slice 2 stream",)
    assert salvage(data[:start]).whole == 0
    with pytest.raises(FormatError, match="inside the header"):
        salvage(data[: start - 1])


def test_of_a_damaged_stream_the_ones_before_it_are_left() -> None:
    found = salvage(pack(sample()).replace(b"slice one", b"slice 0ne"))
    assert (found.whole, found.file.streams) == (1, (b"abc", b"", b""))
    assert found.faults == ("the slice 1 stream is damaged",)
    assert found.file.boxes[XMP] == b"<x/>"


def test_damaged_boxes_cost_no_stream() -> None:
    data = pack(sample())
    for damaged, fault in (
        (data.replace(b"<x/>", b"<y/>"), "the XMP  box is damaged (its check does not fit its bytes)"),
        (data + b"more", "4 bytes follow its end"),
    ):
        found = salvage(damaged, name="f")
        assert (found.whole, found.file.streams, found.faults) == (3, STREAMS, (fault,))
