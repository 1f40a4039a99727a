"""PSNR and MS-SSIM against definitions written out, small pictures included; memory against what was taken."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from fedscodec.bench import memory
from fedscodec.bench.memory import PeakMemory, resident
from fedscodec.errors import FedsError
from fedscodec.metrics.ms_ssim import ms_ssim
from fedscodec.metrics.psnr import psnr


def reference_ms_ssim(a, b):
    """Wang, Simoncelli and Bovik 2003, on RGB: window of 11, σ 1.5, valid positions, means of 2×2 between scales."""
    window = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(x):
        for axis in (0, 1):
            x = np.apply_along_axis(lambda line: np.convolve(line, window, "valid"), axis, x)
        return x

    value = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        mean_a, mean_b = blur(a), blur(b)
        var_a, var_b, both = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
        structure = (2 * both + (0.03 * 255) ** 2) / (var_a + var_b + (0.03 * 255) ** 2)
        light = (2 * mean_a * mean_b + (0.01 * 255) ** 2) / (mean_a**2 + mean_b**2 + (0.01 * 255) ** 2)
        value *= np.mean(structure * light if scale == 4 else structure) ** weight
        rows, columns = (side - side % 2 for side in a.shape)
        a, b = (x[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean((1, 3)) for x in (a, b))
    return value


@pytest.fixture
def pair(picture):
    a = picture(width=192, height=176).pixels
    noise = np.random.default_rng(1).normal(0, 12, a.shape)
    return a, np.clip(a + noise, 0, 255).astype(np.uint8)


def test_ms_ssim_is_the_mean_of_the_channels(pair):
    a, b = pair
    expected = np.mean([reference_ms_ssim(a[..., c].astype(float), b[..., c].astype(float)) for c in range(3)])
    assert 0.5 < expected < 0.99
    assert ms_ssim(a, b) == pytest.approx(expected, abs=2e-5)


def test_small_pictures_are_mirrored_to_161(pair):
    a, b = (x[:30, :200] for x in (*pair,))
    tall = [np.concatenate([x, x[::-1], x, x[::-1], x, x[::-1]])[:161] for x in (a, b)]
    assert ms_ssim(a, b) == ms_ssim(*tall)
    one = np.zeros((1, 1, 3), np.uint8)
    assert 0 <= ms_ssim(one, one + 255) < 0.5  # it does not fall further: see FLOOR


def test_equal_pictures(pair):
    a, _ = pair
    assert (ms_ssim(a, a), psnr(a, a)) == (1.0, math.inf)


def test_psnr_is_of_the_mean_over_all_samples():
    a = np.zeros((2, 2, 3), np.uint8)
    b = a.copy()
    b[0, 0, 0] = 6  # mean squared error 3
    assert psnr(a, b) == pytest.approx(10 * math.log10(255**2 / 3))


@pytest.mark.parametrize("of", [psnr, ms_ssim])
def test_pictures_of_two_sizes_are_an_error(of, pair):
    with pytest.raises(
        FedsError, match=r"^expected pictures of the same size, found \(176, 192, 3\) and \(175, 192, 3\)$"
    ):
        of(pair[0], pair[1][1:])


# ── Memory ────────────────────────────────────────────────────────────────────────────────────────────────

LINUX = pytest.mark.skipif(resident("VmHWM") is None, reason="needs /proc of Linux")


def in_a_process_of_its_own(code):
    """What `code` prints, as integers. Elsewhere other tests decide what the process keeps or returns meanwhile."""
    start = "import numpy as np\nfrom fedscodec.bench.memory import PeakMemory, resident\n"
    done = subprocess.run([sys.executable, "-c", start + code], check=True, capture_output=True, text=True)
    return list(map(int, done.stdout.split()))


@LINUX
def test_growth_is_what_was_taken_in_between():
    grown, again = in_a_process_of_its_own("""
watch = PeakMemory(growth=True)
np.ones(8 << 20)  # 64 MiB, gone at once
print(watch.bytes(), PeakMemory(growth=True).bytes())
""")
    assert 56 * 2**20 < grown < 72 * 2**20
    assert again < 8 * 2**20  # the mark was lowered


@LINUX
def test_a_process_counts_whole():
    peak, resident_now = in_a_process_of_its_own("""
watch = PeakMemory()
np.ones(8 << 20)
print(watch.bytes(), resident("VmRSS"))
""")
    assert resident_now + 56 * 2**20 < peak < resident_now + 72 * 2**20


def test_nothing_is_reported_where_the_mark_stays(monkeypatch):
    monkeypatch.setattr(memory, "_lower_mark", lambda: False)
    assert PeakMemory().bytes() is None


def test_no_such_process_or_field():
    assert resident("VmHWM", "none") is None
    assert resident("VmNone") is None
