"""Pictures that are no photographs: flat colours never ring, patterns come back as they were, noise is told."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from made import SMOOTH

from fedscodec import fileformat
from fedscodec.boxes import PIXELS
from fedscodec.codec.decoding import decode_file, decode_salvaged, read_symbols
from fedscodec.codec.encoding import encode_picture
from fedscodec.codec.exact import encode_exactly, exact_picture, is_rough, looks_drawn, worse_than_flat
from fedscodec.codec.model import load_model
from fedscodec.codec.previews import decode_preview
from fedscodec.codec.settings import Encoding
from fedscodec.codec.single import encode_one
from fedscodec.codec.targets import Target
from fedscodec.errors import FedsError, FormatError, TargetError
from fedscodec.images import Picture, from_array, pack_pixels, read_picture, unpack_pixels

CORNERS = list(itertools.product((0, 255), repeat=3))
CHECKS = (np.indices((40, 60)).sum(axis=0) % 2 * 255).astype(np.uint8)
NOISE = np.random.default_rng(2).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def flat(colour, width, height):
    return from_array(np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy())


@pytest.fixture(scope="module")
def student():
    return load_model("student-q3", "cpu")


def there_and_back(picture, model, **how):
    made = encode_one(picture, model, Encoding(verify=True, **how))
    return made, model.decode(made.encoded.data)


@pytest.mark.parametrize("colour", CORNERS, ids=str)
@pytest.mark.parametrize("width", [1, 2, 15, 16, 17, 63, 64, 65, 100, 257, 1000, 4096])
def test_flat_colours_do_not_ring(colour, width, codec):
    picture = flat(colour, width, max(1, min(width, 33)))
    quality = 1 + (width + sum(colour)) % 7
    made, back = there_and_back(picture, codec, quality=quality)
    assert np.array_equal(back.pixels, picture.pixels)
    assert back.grey == (len(set(colour)) == 1)
    assert len(made.encoded.data) < 200


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (255, 140, 0)], ids=str)
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (32, 32), (60, 40), (100, 100)], ids=str)
def test_a_good_network_does_not_change_the_colour_of_an_icon(colour, size, student):
    for quality in (1, 7):
        made, back = there_and_back(flat(colour, *size), student, quality=quality)
        assert (back.pixels == colour).all()
        assert (len(made.encoded.data) < 160, made.note) == (True, "")


def test_a_size_is_not_exceeded_for_a_lossless_file(student):
    picture = flat((255, 255, 255), 60, 40)
    network = len(encode_picture(picture, student, Encoding(quality=1)).data)
    exact = there_and_back(picture, student)[0].encoded.data
    assert network < len(exact)
    for size in (network, len(exact) - 1, len(exact)):
        made, _ = there_and_back(picture, student, target=Target("size", size))
        assert len(made.encoded.data) <= size


@pytest.mark.parametrize("quality", [1, 2.5, 3, 4, 5, 6, 7])
def test_patterns_of_single_pixels_come_back(quality, codec):
    stripes = np.zeros((40, 60, 3), np.uint8)
    stripes[:, ::2] = (255, 0, 90)
    for pixels in (CHECKS, stripes, np.kron(CHECKS[:5, :7], np.ones((9, 9), np.uint8))):
        picture = from_array(pixels)
        made, back = there_and_back(picture, codec, quality=quality)
        assert np.array_equal(back.pixels, picture.pixels)
        assert (back.grey, made.note) == (pixels.ndim == 2, "")


@pytest.mark.parametrize("size", [(257, 1), (1, 257), (1, 1), (15, 200)])
def test_what_is_thinner_than_a_latent_costs_no_more_than_its_pixels(size, codec):
    height, width = size
    picture = Picture(np.random.default_rng(1).integers(60, 200, (height, width, 3), dtype=np.uint8))
    made, _ = there_and_back(picture, codec, quality=7)
    assert len(made.encoded.data) < 3 * width * height + 120


def test_photographs_are_not_tried():
    waves = read_picture("tests/pictures/astronaut.png")
    assert not looks_drawn(waves)
    assert not is_rough(waves)
    assert looks_drawn(from_array(CHECKS))
    assert looks_drawn(flat((1, 2, 3), 50, 50))
    assert is_rough(Picture(NOISE))


def test_a_picture_worse_than_one_colour_is_reported(codec):
    made = encode_one(Picture(NOISE), codec, Encoding(quality=1))
    shown = codec.decode(made.encoded.data)
    assert made.note == worse_than_flat(Picture(NOISE), shown)
    assert worse_than_flat(Picture(NOISE), Picture(NOISE)) == ""
    told = worse_than_flat(Picture(NOISE), Picture(255 - NOISE))
    assert told.startswith("is shown worse (") and " dB) than one flat colour would be (" in told


def test_alpha_profile_and_the_rest_go_along(codec):
    alpha = np.arange(40 * 60).reshape(40, 60).astype(np.uint8)
    picture = replace(from_array(CHECKS), alpha=alpha, xmp=b"<x/>", exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0")
    made, back = there_and_back(picture, codec, quality=3)
    assert PIXELS in fileformat.unpack(made.encoded.data).boxes
    assert np.array_equal(back.alpha, alpha)
    assert (back.xmp, back.exif) == (picture.xmp, picture.exif)


def test_targets_are_met_by_the_pixels_themselves(codec):
    picture = from_array(CHECKS)
    size = len(encode_one(picture, codec, Encoding(quality=7)).encoded.data)
    assert len(encode_one(picture, codec, Encoding(target=Target("size", size))).encoded.data) == size
    made = encode_one(picture, codec, Encoding(target=Target("psnr", 90)))
    assert made.measured["psnr"] == float("inf")
    with pytest.raises(TargetError, match=f"20 bytes cannot be reached: q1, .* bytes; without loss {size} bytes$"):
        encode_one(picture, codec, Encoding(target=Target("size", 20)))


def test_previews_salvage_and_symbols_of_such_a_file(codec):
    picture = from_array(np.kron(CHECKS, np.ones((4, 4), np.uint8)))
    file = fileformat.unpack(encode_one(picture, codec, Encoding(quality=3)).encoded.data)
    assert file.streams == (b"",) * (1 + codec.spec.streams)
    assert read_symbols(file, codec) == []
    assert decode_preview(file, codec, size=24).picture.pixels.shape == (16, 24, 3)
    assert np.array_equal(decode_preview(file, codec, slices=1).picture.pixels, picture.pixels)
    for size in (None, 24):
        with pytest.raises(FedsError, match=r"^slices must lie between 1 and 2 for .*, found 3$"):
            decode_preview(file, codec, size=size, slices=3)
    found = fileformat.salvage(fileformat.pack(file) + b"more")
    saved = decode_salvaged(found, codec).picture
    assert np.array_equal(saved.pixels, picture.pixels)
    assert saved.warnings == ("4 bytes follow its end",)


def test_invalid_files_of_pixels(codec):
    picture = from_array(CHECKS)
    data = encode_one(picture, codec, Encoding(quality=3)).encoded.data
    file = fileformat.unpack(data)
    for payload, told in (
        (b"", "the PIXL box should hold a PNG or WebP, found nothing"),
        (pack_pixels(NOISE, grey=False), "the PIXL box should hold"),
        (pack_pixels(picture.pixels[:, :50], grey=True), "the PIXL box should hold 60x40 pixels, found 50x40"),
    ):
        damaged = fileformat.FedsFile(file.header, file.streams, {PIXELS: payload})
        with pytest.raises(FormatError, match=told):
            decode_file(fileformat.unpack(fileformat.pack(damaged)), codec)
    learned = fileformat.unpack(codec.encode(Picture(SMOOTH), 3))
    both = fileformat.FedsFile(learned.header, learned.streams, {PIXELS: pack_pixels(SMOOTH, grey=False)})
    with pytest.raises(FormatError, match="expected empty streams"):
        exact_picture(both)
    with pytest.raises(FormatError, match="checksum"):
        exact_picture(replace(file, header=replace(file.header, quality=4000)))


def test_a_file_without_loss_of_another_network_is_refused_in_every_way(student, codec):
    file = fileformat.unpack(encode_exactly(Picture(SMOOTH), student, Encoding(), 3.0).data)
    salvaged = fileformat.salvage(fileformat.pack(file))
    for way in (decode_file, lambda f, m: decode_preview(f, m, size=8), lambda f, m: decode_salvaged(salvaged, m)):
        with pytest.raises(FormatError, match="was written by the network"):
            way(file, codec)


@pytest.mark.parametrize("grey", [True, False])
def test_pixels_are_packed_without_loss(grey):
    pixels = NOISE[:, :, :1].repeat(3, axis=2) if grey else NOISE
    assert np.array_equal(unpack_pixels(pack_pixels(pixels, grey=grey), 60, 40, grey=grey), pixels)
    long = np.zeros((1, 20000, 3), np.uint8)
    assert np.array_equal(unpack_pixels(pack_pixels(long, grey=grey), 20000, 1, grey=grey), long)
