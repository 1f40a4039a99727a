"""The table of metrics: every entry measures, is a target, and stands where it should; Butteraugli by a stand-in."""

import math

import numpy as np
import pytest
import torch
from distortions import coarse, photo, tinted

from fedscodec.errors import FedsError
from fedscodec.metrics import butteraugli
from fedscodec.metrics.psnr import psnr, psnr_ycbcr
from fedscodec.metrics.table import LOSSES, METRICS, lost


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """A program in the place of libjxl's that says what it is told to, and notes what it was given."""

    def make(says: str, code: int = 0) -> None:
        program = tmp_path / butteraugli.TOOL
        program.write_text(f"#!/bin/sh\ncp $1 {tmp_path}/a.ppm; cp $2 {tmp_path}/b.ppm\nprintf '{says}'\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        butteraugli._program.cache_clear()

    yield make
    butteraugli._program.cache_clear()


def test_butteraugli_is_the_3_norm_of_libjxls_tool(tool, tmp_path):
    tool("5.1922669411\\n3-norm: 1.665328\\n")
    a, b = photo(5, 20), coarse(photo(5, 20), 16)
    assert butteraugli.butteraugli(a, b) == 1.665328
    header, pixels = (tmp_path / "b.ppm").read_bytes().split(b"\n255\n", 1)
    assert header == b"P6\n20 8"  # continued by mirroring
    assert np.array_equal(np.frombuffer(pixels, np.uint8).reshape(8, 20, 3)[:5], b)
    assert butteraugli.butteraugli(a, a) == 0.0


@pytest.mark.parametrize(("says", "code"), [("no such file", 1), ("3-norm: nan", 0), ("", 0)])
def test_a_tool_that_fails_is_reported(tool, says, code):
    tool(says, code)
    with pytest.raises(FedsError, match=f"^butteraugli_main failed: {says or 'no output'}$"):
        butteraugli.butteraugli(photo(9, 9), coarse(photo(9, 9), 16))


def test_without_the_tool_it_is_said_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    butteraugli._program.cache_clear()
    how = "Butteraugli needs butteraugli_main of libjxl on the PATH: apt install libjxl-devtools"
    assert METRICS["butteraugli"].missing() == how
    with pytest.raises(FedsError, match=f"^{how}$"):
        butteraugli.butteraugli(photo(9, 9), coarse(photo(9, 9), 16))


def test_luma_counts_six_times():
    a = np.full((4, 4, 3), 100, np.uint8)
    grey = a + 2  # no chroma: an error of 2 in Y alone
    y = 20 * math.log10(255 / 2)
    assert psnr_ycbcr(a, grey) == pytest.approx((6 * y + 100 + 100) / 8)
    blue = a.copy()
    blue[..., 2] += 10
    errors = 0.722, 5, 10 * 0.0722 / 1.5748  # of Y, Cb, Cr
    y, cb, cr = (20 * math.log10(255 / error) for error in errors)
    assert psnr_ycbcr(a, blue) == pytest.approx((6 * y + cb + cr) / 8, abs=1e-3)
    assert psnr_ycbcr(a, a) == math.inf


@pytest.mark.parametrize("name", [name for name in METRICS if not METRICS[name].missing()])
def test_less_is_lost_of_a_better_picture(name):
    metric, original = METRICS[name], photo(176, 176)
    worse, better = (metric.measure(original, coarse(original, step)) for step in (64, 8))
    same = metric.measure(original, original)
    heights = [metric.height(value) for value in (worse, better, same)]
    assert heights == sorted(heights) and heights[0] < heights[1]
    costs = [metric.cost(value) for value in (worse, better, same)]
    assert costs[0] > costs[1] > costs[2] == pytest.approx(0)
    assert metric.value(costs[0]) == pytest.approx(worse)


def test_words():
    told = [
        METRICS[name].formatted(value) for name, value in (("psnr", 34.206), ("ms_ssim", 0.98), ("ssimulacra2", 71.1))
    ]
    assert told == ["34.21 dB", "MS-SSIM 0.9800", "SSIMULACRA2 71.10"]
    assert METRICS["psnr"].formatted(math.inf) == "no error"
    assert METRICS["butteraugli"].formatted_at(-1.5) == "Butteraugli 1.500"
    assert METRICS["ms_ssim"].formatted_at(15.0) == "15.00 dB"
    assert [METRICS[name].asked(36) for name in ("psnr", "butteraugli")] == ["36 dB", "Butteraugli 36"]


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_losses_are_one_for_each_picture_and_can_be_learned_from(loss):
    x = torch.from_numpy(np.stack([photo(192, 192)] * 2)).permute(0, 3, 1, 2).float() / 255
    worse = np.stack([coarse(photo(192, 192), 8), tinted(photo(192, 192), 40)])
    x_hat = (torch.from_numpy(worse).permute(0, 3, 1, 2).float() / 255).requires_grad_()
    lost = loss.of(x, x_hat)
    assert lost.shape == (2,) and bool((lost > 0).all())
    lost.sum().backward()
    assert bool(x_hat.grad.isfinite().all()) and bool((x_hat.grad != 0).any())
    assert len(loss.lambdas) == 7 and list(loss.lambdas) == sorted(loss.lambdas)
    assert float(loss.of(x, x).max()) == pytest.approx(0, abs=1e-4)


def test_the_loss_for_eyes_sees_a_cast_of_colour():
    photograph = photo(192, 192)
    cast = np.clip(photograph.astype(int) + (-4, 3, -4), 0, 255).astype(np.uint8)
    x, x_hat = (torch.from_numpy(p).permute(2, 0, 1)[None].float() / 255 for p in (photograph, cast))
    parts = {name: float(LOSSES[name].of(x, x_hat)) for name in ("ssimulacra2", "ms-ssim", "mse")}
    expected = 0.5 * parts["ssimulacra2"] + 500 * parts["ms-ssim"] + 0.05 * parts["mse"]
    assert float(LOSSES["visual"].of(x, x_hat)) == pytest.approx(expected)
    measured = 0.5 * (100 - METRICS["ssimulacra2"].measure(photograph, cast))
    measured += 500 * (1 - METRICS["ms_ssim"].measure(photograph, cast))
    measured += 0.05 * np.square(cast.astype(float) - photograph).mean()
    assert lost("visual", photograph, cast) == pytest.approx(measured)
    assert measured == pytest.approx(expected, rel=0.05)


def test_the_squared_error_is_of_8_bit_samples():
    x = torch.zeros(1, 3, 8, 8)
    assert float(LOSSES["mse"].of(x, x + 2 / 255)) == pytest.approx(4)
    a = np.zeros((8, 8, 3), np.uint8)
    assert METRICS["psnr"].cost(psnr(a, a + 2)) == pytest.approx(4)
