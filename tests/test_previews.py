"""Previews: how large they are, what they are made from, and how near they come to what they stand for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fedscodec
from fedscodec.codec import previews
from fedscodec.codec.decoding import decode_file
from fedscodec.codec.previews import decode_preview, preview_size
from fedscodec.errors import FedsError, FormatError
from fedscodec.fileformat import unpack
from fedscodec.images import Picture, read_picture, resize
from fedscodec.metrics.psnr import psnr

ASTRONAUT = Path(__file__).parent / "pictures" / "astronaut.png"


@pytest.fixture(scope="module")
def whole(astronaut, shipped_tiny):
    return decode_file(astronaut, shipped_tiny).picture


@pytest.fixture
def synthesised(shipped_tiny, monkeypatch):
    """Counts the latents that g_s is given."""
    counts = []
    real = shipped_tiny.transforms.g_s.forward
    monkeypatch.setattr(
        shipped_tiny.transforms.g_s, "forward", lambda y, q: counts.append(y.shape[2] * y.shape[3]) or real(y, q)
    )
    return counts


@pytest.mark.parametrize(
    ("picture", "size", "expected"),
    [
        ((768, 512), 256, (256, 171)),
        ((512, 768), 256, (171, 256)),
        ((9, 3000), 100, (1, 100)),
        ((30, 20), 40, (30, 20)),
    ],
)
def test_sizes(picture, size, expected):
    assert preview_size(*picture, size) == expected


@pytest.mark.parametrize(
    ("ratio", "by"), [(100, 16), (32, 16), (31.9, 8), (16, 8), (15, 4), (8, 4), (4, 4), (3.9, 1), (1.5, 1)]
)
def test_what_is_read_out_leaves_something_to_filter(ratio, by):
    assert previews._reduction(ratio)[0] == by


@pytest.mark.parametrize(("size", "least"), [(16, 36), (32, 38), (64, 34), (128, 26)])
def test_a_small_picture_is_near_the_large_one_made_small(size, least, astronaut, shipped_tiny, whole, synthesised):
    made = decode_preview(astronaut, shipped_tiny, size=size)
    assert (made.picture.width, made.picture.height) == (size, size)
    assert synthesised == [256, 256]  # of 1024 latents
    near = psnr(made.picture.pixels, resize(whole, size, size).pixels)
    assert near > least


@pytest.mark.parametrize("network", ["student", "student-msssim"])
def test_small_pictures_of_shipped_networks_show_the_picture(network):
    model = fedscodec.load_model(network, device="cpu")
    file = unpack(model.encode(read_picture(ASTRONAUT)))
    whole = decode_file(file, model).picture
    for size, least in ((16, 37), (32, 38), (64, 34), (102, 31), (128, 30)):
        small = decode_preview(file, model, size=size).picture
        assert psnr(small.pixels, resize(whole, size, size).pixels) > least


def test_where_nothing_is_gained_all_is_decoded(astronaut, shipped_tiny, whole, synthesised):
    made = decode_preview(astronaut, shipped_tiny, size=200)
    assert sum(synthesised) >= 1024
    np.testing.assert_array_equal(made.picture.pixels, resize(whole, 200, 200).pixels)
    for size in (512, 4000):
        np.testing.assert_array_equal(decode_preview(astronaut, shipped_tiny, size=size).picture.pixels, whole.pixels)


def test_a_readout_that_does_not_fit_is_not_used(astronaut, shipped_tiny, monkeypatch, synthesised):
    monkeypatch.setattr(previews, "FAITHFUL", 99.0)
    made = decode_preview(astronaut, shipped_tiny, size=32)
    assert sum(synthesised) >= 512 + 1024
    first = decode_file(astronaut, shipped_tiny, slices=1).picture
    np.testing.assert_array_equal(made.picture.pixels, resize(first, 32, 32).pixels)


def test_slices_alone_and_beside_a_size(astronaut, shipped_tiny):
    first = decode_file(astronaut, shipped_tiny, slices=1).picture
    np.testing.assert_array_equal(decode_preview(astronaut, shipped_tiny, slices=1).picture.pixels, first.pixels)
    assert decode_preview(astronaut, shipped_tiny, size=200, slices=1).picture.pixels.shape == (200, 200, 3)
    with pytest.raises(FedsError, match="slices must lie between 1 and 2 for tiny, found 3"):
        decode_preview(astronaut, shipped_tiny, size=32, slices=3)
    with pytest.raises(FedsError, match="slices must lie between 1 and 2 for tiny, found 0"):
        decode_preview(astronaut, shipped_tiny, size=32, slices=0)
    with pytest.raises(FedsError, match="at least 1 pixel on its longer side, found 0"):
        decode_preview(astronaut, shipped_tiny, size=0)


def test_what_is_not_read_may_be_damaged(astronaut, shipped_tiny):
    last = bytearray(astronaut.streams[-1])
    last[100] ^= 0x55
    damaged = replace(astronaut, streams=(*astronaut.streams[:-1], bytes(last)))
    assert decode_preview(damaged, shipped_tiny, size=16).picture.width == 16
    with pytest.raises(FormatError):
        decode_preview(damaged, shipped_tiny, size=600)


def test_grey_stays_grey_and_what_is_beside_stays(shipped_tiny):
    grey = read_picture(ASTRONAUT)
    levels = np.repeat(grey.pixels[:, :200, :1], 3, axis=2)  # neither square nor a multiple of 64
    picture = Picture(np.concatenate([levels] * 3), grey=True, icc=b"profile", xmp=b"words")
    made = decode_preview(unpack(shipped_tiny.encode(picture)), shipped_tiny, size=96).picture
    assert (made.width, made.height) == (12, 96)
    assert (made.grey, made.icc, made.exif, made.xmp) == (True, b"profile", None, b"words")
    assert (made.pixels == made.pixels[:, :, :1]).all()
    assert psnr(made.pixels, resize(picture, 12, 96).pixels) > 26


def test_what_padding_added_is_not_in_a_preview(shipped_tiny):
    # 513 columns are padded to 576 by the last one, which is white where all others are black.
    pixels = np.zeros((513, 513, 3), dtype=np.uint8)
    pixels[:, -1] = pixels[-1, :] = 255
    made = decode_preview(unpack(shipped_tiny.encode(Picture(pixels))), shipped_tiny, size=32).picture.pixels
    assert made[:31, :31].max() < 60


def test_a_readout_is_the_regression_it_says():
    rng = np.random.default_rng(0)
    features = np.c_[rng.normal(0, [1, 5, 0.1], (500, 3)), np.ones(500)]
    truth = rng.normal(0, 1, (4, 2))
    found = previews._fit(features, features @ truth)
    np.testing.assert_allclose(found, truth, atol=0.02 * np.abs(truth).max() * 10)
    assert previews._fit(features, rng.normal(0, 1, (500, 2))) is None
