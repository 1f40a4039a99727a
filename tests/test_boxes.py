"""Boxes: literal bytes, both ways to write one, hostile payloads, and what is left of damaged files."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedscodec.boxes import ALPHA, EXIF, ICC, SRGB, STREAM_CHECKS, XMP, Cursor, pack_boxes, unpack_boxes, varint
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
    given = {"boxes": {XMP: b"<x/>"}, "stream_checks": True, **changes}
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


# ── Stream checks, and what is left of a damaged file ──────────────────────────────────────────────────────────────


def test_sums_are_two_bytes_a_stream_and_name_what_is_damaged() -> None:
    file = sample()
    assert file.boxes[STREAM_CHECKS] == b"".join(zlib.crc32(stream).to_bytes(4, "little")[:2] for stream in STREAMS)
    assert len(pack(file)) == len(pack(sample(stream_checks=False))) + 4 + 1 + 6 + 4
    data = pack(file)
    assert unpack(data) == file
    for stream, name in zip(STREAMS, ("z", "slice 1", "slice 2"), strict=True):
        damaged = data.replace(stream, b"X" + stream[1:])
        with pytest.raises(FormatError, match=f"^f: the {name} stream is damaged [(]its sum does not fit its bytes"):
            unpack(damaged, name="f")
    with pytest.raises(ValueError, match="the stream checks are not those of the streams"):
        pack(FedsFile(file.header, file.streams, {STREAM_CHECKS: b"123456"}))
    with pytest.raises(FormatError, match="f: the sums box should have 6 bytes, found 4"):
        unpack(data.replace(box(b"sums", file.boxes[STREAM_CHECKS]), box(b"sums", b"1234")), name="f")


def test_an_intact_file_is_salvaged_completely() -> None:
    found = salvage(pack(sample()))
    assert (found.file, found.whole, found.faults) == (sample(), 3, ())


def test_of_a_cut_file_the_first_streams_are_left() -> None:
    data = pack(sample())
    start = data.index(b"abc")
    found = salvage(data[: start + 3 + 9 + 4])
    assert (found.whole, found.file.streams, found.file.boxes) == (2, (b"abc", b"slice one", b""), {})
    lost = "what stood in boxes behind that is lost (alpha, ICC profile, Exif, XMP)"
    assert found.faults == (f"ends after {start + 16} bytes inside the slice 2 stream", lost)
    bare = pack(sample(boxes={}, stream_checks=False))
    assert salvage(bare[:-1]).faults == (f"ends after {len(bare) - 1} bytes inside the slice 2 stream",)
    assert salvage(data[:start]).whole == 0
    with pytest.raises(FormatError, match="inside the header"):
        salvage(data[: start - 1])


def test_of_a_damaged_stream_the_ones_before_it_are_left() -> None:
    found = salvage(pack(sample()).replace(b"slice one", b"slice 0ne"))
    assert (found.whole, found.file.streams) == (1, (b"abc", b"", b""))
    assert found.faults == ("the slice 1 stream is damaged",)
    assert found.file.boxes[XMP] == b"<x/>"


ALL = {ICC: b"a profile", EXIF: b"II* exif", XMP: b"<x/>", ALPHA: b"not looked at here"}


@pytest.mark.parametrize(
    ("kind", "without"),
    [
        (ICC, "its colours are shown without their profile"),
        (EXIF, "its Exif is lost"),
        (XMP, "its XMP is lost"),
        (ALPHA, "the picture is shown opaque"),
        (STREAM_CHECKS, "no stream checks tell which stream is damaged"),
    ],
)
def test_a_damaged_box_costs_no_stream_and_no_other_box(kind: bytes, without: str) -> None:
    whole = sample(boxes=ALL)
    payload = whole.boxes[kind]
    damaged = pack(whole).replace(payload, bytes([payload[0] ^ 1]) + payload[1:])
    with pytest.raises(FormatError, match=f"the {kind.decode()} box is damaged"):
        unpack(damaged)
    found = salvage(damaged, name="f")
    assert (found.whole, found.file.streams) == (3, STREAMS)
    assert found.file.boxes == {k: v for k, v in whole.boxes.items() if k != kind}
    assert found.faults == (f"the {kind.decode()} box is damaged (its checksum is wrong); {without}",)


def test_salvage_reports_other_damaged_boxes() -> None:
    bare = sample(boxes={}, stream_checks=False)
    head = pack(FedsFile(bare.header, STREAMS, {SRGB: b""}))[: -len(pack_boxes({SRGB: b""}))]
    lost = "what stood in boxes behind that is lost (alpha, ICC profile, Exif, XMP)"

    def told(*boxes: bytes, count: bytes | None = None) -> tuple[tuple[str, ...], dict[bytes, bytes]]:
        found = salvage(head + (varint(len(boxes)) if count is None else count) + b"".join(boxes), name="f")
        assert found.whole == 3
        return found.faults, found.file.boxes

    sound = box(b"EXIF", b"a")
    assert told(box(b"Zoom", b"a"), sound) == (
        ("the box type Zoom is unknown, the file was written by a later version; what it holds is not shown",),
        {EXIF: b"a"},
    )
    assert told(box(b"xmpz", b"\5\xff\xff"), sound)[1] == {EXIF: b"a"}
    assert told(sound, b"ALPH\x20abc") == (("the ALPH box needs 36 bytes but only 3 are left", lost), {EXIF: b"a"})
    assert told(sound, count=b"\2")[0][1] == lost
    assert told(sound, b"more", count=b"\1") == (("4 bytes follow its end",), {EXIF: b"a"})
    assert told(box(b"ICCP", b"a"), box(b"srgb", b"")) == (
        ("expected one box about colours, found both an ICC profile and sRGB; "
         "its colours are shown without a profile",), {ICC: b"a"},
    )  # fmt: skip
    short = told(box(b"sums", b"1234"), sound)
    assert short == (("the sums box should have 6 bytes, found 4",), {EXIF: b"a", STREAM_CHECKS: b"1234"})
