"""Parts of metadata that lie over each other: a few bytes of a file may not stand for gigabytes or minutes of work."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from made import box, jpeg, segment, tiff
from PIL import Image

from fedscodec.errors import ImageError
from fedscodec.images import Picture, picture_bytes, read_picture
from fedscodec.images.colour.icc import space_of, tags_of
from fedscodec.images.containers import bmff
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
    with pytest.raises(ValueError, match="^values that lie over each other$"):
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
