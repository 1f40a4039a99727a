"""Targets: limits and their words, the search over a curve, and files that are within what was asked for."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedscodec.codec import encoding
from fedscodec.codec import model as loading
from fedscodec.codec.encoding import encode_picture
from fedscodec.codec.settings import Encoding
from fedscodec.codec.targets import Target, close, encode_to_target, search
from fedscodec.errors import FedsError, TargetError
from fedscodec.images import Picture, read_picture
from fedscodec.metrics.ms_ssim import ms_ssim
from fedscodec.metrics.psnr import psnr

# ── What a target means ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "value", "limit", "asked", "told"),
    [
        ("size", 200_000.9, 200_000, "200,001 bytes", "150,000 bytes"),
        ("bpp", 0.5, 62_500, "0.5 bpp", "1.2000 bpp"),
        ("psnr", 20, 650.25, "20 dB", "-3.63 dB"),
        ("ms_ssim", 0.98, 0.02, "MS-SSIM 0.98", "MS-SSIM -149999.0000"),
        ("ssimulacra2", 80, 20, "SSIMULACRA2 80", "SSIMULACRA2 -149900.00"),
        ("butteraugli", 1.5, 1.5, "Butteraugli 1.5", "Butteraugli 150000.000"),
    ],
)
def test_limits_and_words(kind, value, limit, asked, told):
    target = Target(kind, value)
    assert target.limit(1_000_000) == pytest.approx(limit, abs=1e-9)
    assert target.asked == asked
    assert target.formatted(150_000, 1_000_000) == told


@pytest.mark.parametrize(
    ("kind", "value"), [("size", 0), ("bpp", -1), ("psnr", math.nan), ("psnr", math.inf), ("ms_ssim", 1)]
)
def test_targets_that_make_no_sense(kind, value):
    with pytest.raises(FedsError, match=rf"^{kind.replace('_', '-')}: expected a number above 0.*, found {value:g}"):
        Target(kind, value)


def test_close_is_the_last_hundredth_of_the_limit():
    assert [close(cost, 1000) for cost in (989, 990, 1000, 1001)] == [False, True, True, False]


# ── The search ────────────────────────────────────────────────────────────────────────────────────────────


def found(curve, limit, *, rising=True):
    """What the search ends with, and where it looked."""
    asked = []

    def cost(number):
        assert 1000 <= number <= 7000
        assert number not in asked
        asked.append(number)
        return curve(number)

    return search(cost, limit, 1000, 7000, rising=rising), asked


def test_a_straight_curve_takes_three_looks():
    at, asked = found(lambda n: math.exp(8 + 0.0004 * n), math.exp(8 + 0.0004 * 2500))
    assert (at, asked) == (2487, [4000, 1673, 2487])  # half a hundredth below the limit is aimed at
    at, asked = found(lambda n: math.exp(8 - 0.0004 * n), math.exp(8 - 0.0004 * 2500), rising=False)
    assert (at, asked) == (2513, [4000, 1712, 2513])


def test_ends_of_the_range():
    assert found(lambda n: n, 500)[0] is None
    assert found(lambda n: n, 1000)[0] == 1000
    assert found(lambda n: n, 10_000)[0] == 7000
    assert found(lambda n: 8000 - n, 500, rising=False)[0] is None
    assert found(lambda n: 8000 - n, 10_000, rising=False)[0] == 1000


@pytest.mark.parametrize("step", [1001, 1002, 3999, 4000, 4001, 7000])
def test_a_cliff_is_found_to_the_number(step):
    at, asked = found(lambda n: 100 if n < step else 1000, 500)
    assert at == step - 1
    assert len(asked) <= 24
    assert found(lambda n: 1000 if n < step else 0, 500, rising=False)[0] == step


@given(
    st.floats(0.0001, 0.001), st.floats(-2e-8, 2e-8), st.floats(0, 1), st.sampled_from([0, 1e-4, 1e-3]), st.booleans()
)
def test_bent_and_rough_curves(slope, bend, share, roughness, rising):
    def curve(n):
        n = n if rising else 8000 - n
        return math.exp(9 + slope * n + bend * (n - 4000) ** 2) * (1 + roughness * math.sin(n * n))

    ends = sorted((curve(1000), curve(7000)))
    limit = ends[0] ** (1 - share) * ends[1] ** share * 1.01
    at, asked = found(curve, limit, rising=rising)
    assert curve(at) <= limit
    beyond = at + (1 if rising else -1)
    assert close(curve(at), limit) or not 1000 <= beyond <= 7000 or curve(beyond) > limit
    assert len(asked) <= 15


# ── With a network ────────────────────────────────────────────────────────────────────────────────────────


def test_a_size_is_never_exceeded_and_nearly_used(codec, picture):
    original = picture("noise", 128, 96)
    sizes = {quality: len(encode_picture(original, codec, Encoding(quality=quality)).data) for quality in (1, 7)}
    middle = round(math.sqrt(sizes[1] * sizes[7]))
    hit = encode_to_target(original, codec, Target("size", middle))
    size = len(hit.encoded.data)
    assert 0.99 * middle <= size <= middle
    assert (hit.reached, hit.note) == (f"{size:,} bytes", "")
    assert 2 <= hit.encodes <= 6
    rate = Target("bpp", 8 * middle / (128 * 96))
    assert encode_to_target(original, codec, rate).encoded.data == hit.encoded.data


def test_the_picture_is_analysed_once(codec, picture, monkeypatch):
    calls = []
    analyse = encoding.analyse_picture
    monkeypatch.setattr(encoding, "analyse_picture", lambda *given: calls.append(given) or analyse(*given))
    hit = encode_to_target(picture("noise"), codec, Target("bpp", 9))
    assert (len(calls), hit.encodes > 1) == (1, True)
    assert hit.seconds > sum(hit.encoded.seconds.values())


@pytest.fixture(scope="module")
def trained():
    """The toy network that is shipped: one whose pictures get better with the quality."""
    return loading.load_model("tiny", "cpu")


@pytest.fixture(scope="module")
def photograph():
    return Picture(read_picture(Path(__file__).parent / "pictures" / "astronaut.png").pixels[:192, 128:384])


def test_a_psnr_is_reached_and_hardly_passed(trained, photograph):
    ends = (trained.decode(trained.encode(photograph, quality)) for quality in (1, 7))
    low, high = (psnr(photograph.pixels, decoded.pixels) for decoded in ends)
    assert high > low + 0.2
    wanted = 0.3 * low + 0.7 * high
    hit = encode_to_target(photograph, trained, Target("psnr", wanted))
    decibels = psnr(photograph.pixels, trained.decode(hit.encoded.data).pixels)
    assert wanted <= decibels <= wanted + 0.044  # 1 % of the mean squared error
    assert hit.reached == f"{decibels:.2f} dB"
    loose = encode_to_target(photograph, trained, Target("psnr", low - 1))
    assert loose.encoded.data == trained.encode(photograph, 1)
    assert loose.note == f"q1, the lowest quality of tiny, comes to {low:.2f} dB, where {low - 1:g} dB would do"


def test_what_cannot_be_reached_names_the_nearest(codec, picture):
    original = picture("noise")
    smallest, largest = (len(encode_picture(original, codec, Encoding(quality=quality)).data) for quality in (1, 7))
    with pytest.raises(TargetError) as caught:
        encode_to_target(original, codec, Target("size", smallest - 1))
    told = f"{smallest - 1:,} bytes cannot be reached: q1, the lowest quality of tiny, comes to {smallest:,} bytes"
    assert str(caught.value) == told
    assert len(encode_to_target(original, codec, Target("size", smallest)).encoded.data) == smallest
    hit = encode_to_target(original, codec, Target("size", 2 * largest))
    assert len(hit.encoded.data) == largest
    told = f"q7, the highest quality of tiny, comes to {largest:,} bytes, where {2 * largest:,} bytes would do"
    assert hit.note == told
    with pytest.raises(TargetError, match=r"^90 dB cannot be reached: q7, the highest quality of tiny, comes to \d"):
        encode_to_target(original, codec, Target("psnr", 90))


def test_ms_ssim_is_reached(trained, photograph):

    def similarity(data):
        return ms_ssim(photograph.pixels, trained.decode(data).pixels)

    wanted = sum(similarity(trained.encode(photograph, quality)) for quality in (1, 7)) / 2
    hit = encode_to_target(photograph, trained, Target("ms_ssim", wanted))
    reached = similarity(hit.encoded.data)
    assert 0.99 * (1 - wanted) <= 1 - reached <= 1 - wanted
    assert hit.reached == f"MS-SSIM {reached:.4f}"


def test_a_size_that_metadata_alone_exceeds_names_strip(codec, picture):
    original = replace(picture("noise"), xmp=np.random.default_rng(1).bytes(50_000))
    smallest = len(encode_picture(original, codec, Encoding(quality=1)).data)
    with pytest.raises(
        TargetError, match="; 50,000 bytes of it are ICC profile, Exif and XMP, which --strip leaves out$"
    ):
        encode_to_target(original, codec, Target("size", smallest - 1000))
    small = encode_picture(replace(original, xmp=b"<x/>"), codec, Encoding(quality=1)).data
    with pytest.raises(TargetError, match=f"comes to {len(small):,} bytes$"):  # which stripping would not mend
        encode_to_target(replace(original, xmp=b"<x/>"), codec, Target("size", len(small) // 2))
