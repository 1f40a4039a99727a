"""Parts of metadata that overlap: a few bytes of a file may not stand for gigabytes or minutes of work."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from made import box, jpeg, png, segment, tiff
from PIL import Image

from fedscodec.errors import ImageError
from fedscodec.images import Picture, picture_bytes, read_picture
from fedscodec.images.account import Account, listed
from fedscodec.images.colour.icc import space_of, tags_of
from fedscodec.images.containers import bmff
from fedscodec.images.containers.tiff import frames_of
from fedscodec.images.metadata.directories import first_of
from fedscodec.images.metadata.exif import ExifBlock
from fedscodec.images.metadata.texts import texts_in
from fedscodec.images.metadata.xmp import to_utf8

SIDE = 65_536


def exif_of(entries: int, length: int, at: int = 8) -> bytes:
    """A block of 64 kB whose entries each have the same `length` bytes as value."""
    block = bytearray(SIDE)
    block[:8] = b"II*\0" + struct.pack("<I", at)
    struct.pack_into("<H", block, at, entries)
    for number in range(entries):
        struct.pack_into("<HHII", block, at + 2 + 12 * number, 0x9000 + number, 7, length, 8)
    return bytes(block)


def test_values_of_exif_are_together_no_longer_than_it() -> None:
    assert [len(entry.value) for entry in first_of(exif_of(4, SIDE // 4)).entries] == [SIDE // 4] * 4
    with pytest.raises(ValueError, match="^values that overlap$"):
        first_of(exif_of(5, SIDE // 4))
    picture = Picture(np.zeros((8, 8, 3), np.uint8), exif=exif_of(5, SIDE // 4))
    for suffix in ("png", "tif", "jpg"):
        with Image.open(io.BytesIO(picture_bytes(picture, suffix))) as written:
            assert written.size == (8, 8)


def test_strips_of_a_thumbnail_that_lie_over_each_other_are_cut_once() -> None:
    count, block = 1000, bytearray(b"\7" * SIDE)
    block[:8] = b"II*\0" + struct.pack("<I", 8)
    struct.pack_into("<HHHIHHI", block, 8, 1, 0x0112, 3, 1, 6, 0, 26)
    struct.pack_into("<HHHIIHHIII", block, 26, 2, 0x0111, 4, count, 64, 0x0117, 4, count, 64 + 4 * count, 0)
    for number in range(count):
        struct.pack_into("<I", block, 64 + 4 * number, 10_000 + number)
        struct.pack_into("<I", block, 64 + 4 * (count + number), 40_000)
    edited = ExifBlock(bytes(block))
    assert edited.make_upright(6)
    end = 10_000 + count - 1 + 40_000  # of the last strip
    for first, last in ((26, 56), (64, 64 + 8 * count), (10_000, end)):
        assert not any(edited.data[first:last])
    for first, last in ((56, 64), (64 + 8 * count, 10_000), (end, SIDE)):
        assert edited.data[first:last] == block[first:last]
    assert edited.data[:8] == block[:8]
    picture = read_picture(jpeg(segment(0xE1, b"Exif\0\0" + bytes(block[:65_000]))))
    assert picture.warnings == ("The thumbnail in Exif was left out, as it was not upright.",)


def test_tags_of_a_profile_may_be_the_same_but_not_lie_over_each_other() -> None:
    def profile(*places: tuple[int, int]) -> bytes:
        head = bytes(12) + b"mntrRGB " + bytes(16) + b"acsp" + bytes(88) + struct.pack(">I", len(places))
        table = b"".join(struct.pack(">4sII", b"%04d" % n, *place) for n, place in enumerate(places))
        return (head + table).ljust(1000, b"\1")

    shared = tags_of(profile(*[(500, 500)] * 5)) or {}
    assert [len(body) for body in shared.values()] == [500] * 5
    assert space_of(profile((0, 500), (500, 500))) == "RGB"
    assert tags_of(profile((0, 500), (499, 501))) is None
    assert space_of(profile((0, 500), (499, 501))) == ""


@pytest.mark.parametrize("times", [1, 50])
def test_texts_in_nested_lists_are_found_once(times: int) -> None:
    item = b"<r:li><t:keyword>a</t:keyword><t:text>b</t:text></r:li>"
    names = b'xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:t="urn:feds:texts:1"'
    listed = b"<t:all><r:Seq>" * times + item + b"</r:Seq></t:all>" * times
    assert texts_in(b"<x " + names + b">" + listed + b"</x>") == [("a", "b")]


def test_an_encoding_is_looked_for_at_the_start_of_a_packet_only() -> None:
    long = b"<?xml " + b' encoding="a"' * 200_000  # a search to the end from each of them takes hours
    assert to_utf8(long) == long
    spaces = b" " * 300
    assert to_utf8(b"<?xml " + spaces + b'encoding="latin-1"?><x>\xe9</x>') == "<x>é</x>".encode()
    assert to_utf8(b'<?xml version="1.0" encoding="latin-1"?><x>\xe9</x>') == "<x>é</x>".encode()


def avif(*inner: bytes) -> bytes:
    return box(b"ftyp", b"avif" + bytes(4) + b"avifmif1") + box(b"meta", bytes(4) + b"".join(inner))


def test_lists_of_avif_end_with_their_box() -> None:
    size = box(b"iprp", box(b"ipco", box(b"ispe", bytes(4) + struct.pack(">II", 7, 5)))
               + box(b"ipma", bytes(4) + struct.pack(">IHBB", 1, 1, 1, 1)))  # fmt: skip
    primary = box(b"pitm", bytes(4) + struct.pack(">H", 1))
    assert bmff.size_of(avif(primary, size)) == (7, 5)
    for extents, found in ((1, (7, 5)), (2, None), (65_535, None)):
        places = box(b"iloc", bytes(4) + b"\0\0" + struct.pack(">HHHH", 1, 1, 0, extents))
        assert bmff.size_of(avif(primary, size, places)) == found
    for targets, found in ((1, (7, 5)), (2, None), (65_535, None)):
        links = box(b"iref", bytes(4) + box(b"thmb", struct.pack(">HHH", 2, targets, 1)))
        assert bmff.size_of(avif(primary, size, links)) == found


@pytest.mark.parametrize(("extents", "kept"), [(1, True), (3, False)])
def test_a_block_of_avif_is_no_longer_than_the_file(extents: int, kept: bool) -> None:
    block = b"II*\0" + bytes(196)
    infos = box(b"iinf", bytes(4) + struct.pack(">H", 1) + box(b"infe", b"\2" + bytes(3) + b"\0\2\0\0Exif\0"))

    def places(offset: int) -> bytes:
        each = struct.pack(">II", offset, 4 + len(block))
        return box(b"iloc", bytes(4) + b"\x44\0" + struct.pack(">HHHH", 1, 2, 0, extents) + each * extents)

    offset = len(avif(infos, places(0))) + 8
    data = avif(infos, places(offset)) + box(b"mdat", bytes(4) + block)
    assert len(data) < 3 * (4 + len(block))
    assert bmff.inspect(data).exif == (block if kept else None)


def test_planes_of_a_tiff_are_not_read_if_they_are_too_long() -> None:
    planes = bytes(2 * 3 * 4 * 4)
    tags = {258: (16,) * 3, 262: (2,), 284: (2,), 273: (8,) * 3, 279: (len(planes),) * 3}
    with pytest.raises(ImageError, match=f"^x: expected {len(planes)} bytes in planes of 16 bits, found {3 * 96}$"):
        read_picture(tiff(planes, 4, 4, tags), name="x")


def test_a_run_of_fill_bytes_in_a_jpeg_is_looked_at_once() -> None:
    plain = jpeg()
    picture = read_picture(plain)
    for run in (b"\xff" * 200_000 + b"\0", b"\xff" * 200_000):  # to be tried from each byte, these take minutes
        filled = read_picture(plain[:-2] + run + plain[-2:])
        assert np.array_equal(filled.pixels, picture.pixels)
        assert filled.warnings == ()
    words = segment(0xFE, b"words\xff")
    assert read_picture(plain[:2] + b"\xff" * 9 + words + words + plain[2:]).xmp == read_picture(jpeg(words, words)).xmp


def test_of_many_names_and_messages_the_first_are_told() -> None:
    assert [listed("abc"[:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
    assert listed(map(str, range(12))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 11"
    assert listed(map(str, range(5000))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 4,988 more"
    names = [bytes([97 + number // 26, 97 + number % 26, 65, 97]) for number in range(200)]
    picture = read_picture(png(np.zeros((2, 2), np.uint8), *((name, b"") for name in names + names)))
    first = ", ".join(name.decode() for name in names[:12])
    assert picture.warnings == (f"The PNG chunks {first} and 188 more were not kept.",)
    account = Account()
    for number in range(1200):
        account.had(f"Block {number}")
    assert account.sentences[99:] == ("Block 99 was not kept.", "1,100 more messages like these were left out.")


def directories(order: str, count: int, last: int) -> bytes:
    """A TIFF with `count` directories of one tag each. The last one points to `last`."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    places = [*(8 + 18 * number for number in range(1, count)), last]
    return head + b"".join(struct.pack(f"{order}HHHIII", 1, 256, 4, 1, 7, place) for place in places)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("count", "last", "found"),
    [(1, 0, 1), (3, 0, 3), (3, 26, 3), (3, 8, 3), (3, 9999, 3), (3, 2**32 - 1, 3), (1000, 0, 1000), (9000, 0, 1001)],
)
def test_directories_of_a_tiff_are_counted_up_to_a_limit(order: str, count: int, last: int, found: int) -> None:
    stream = io.BytesIO(directories(order, count, last))
    stream.seek(5)
    assert (frames_of(stream), stream.tell()) == (found, 5)


@pytest.mark.parametrize(("pages", "told"), [(1, None), (3, "3"), (1500, "more than 1000")])
def test_pages_of_a_tiff_are_told(pages: int, told: str | None, tmp_path: Path) -> None:
    page = Image.new("L", (4, 4), 9)
    buffer = io.BytesIO()
    page.save(buffer, "TIFF")
    data, at = bytearray(buffer.getvalue()), struct.unpack("<I", buffer.getvalue()[4:8])[0]
    end = at + 2 + 12 * struct.unpack_from("<H", data, at)[0]  # where the offset of the next directory stands
    table = bytes(data[at:end])
    for _ in range(pages - 1):
        struct.pack_into("<I", data, end, len(data))
        data += table + bytes(4)
        end = len(data) - 4
    expected = (f"Only frame 1 of {told} was read.",) if told else ()
    assert read_picture(bytes(data)).warnings == expected
    (tmp_path / "x.tif").write_bytes(data)
    with Image.open(tmp_path / "x.tif") as opened:
        opened.load()
        assert read_picture(opened).warnings == expected
    if pages == 1:  # whose file is closed by now
        assert read_picture(opened).warnings == expected


def test_pages_of_a_big_tiff_are_told() -> None:
    entries = b"".join(
        struct.pack("<HHQQ", tag, kind, 1, value)
        for tag, kind, value in ((256, 3, 2), (257, 3, 1), (258, 3, 8), (262, 3, 1), (273, 4, 16), (279, 4, 2))
    )
    page = struct.pack("<Q", 6) + entries
    head = b"II+\0\x08\0\0\0" + struct.pack("<Q", 24) + b"\x09\xf0" + bytes(6)
    picture = read_picture(head + page + struct.pack("<Q", 24 + len(page) + 8) + page + bytes(8))
    assert (picture.pixels[0, :, 0].tolist(), picture.warnings) == ([9, 240], ("Only frame 1 of 2 was read.",))
