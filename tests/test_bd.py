import math
import warnings

import pytest

from fedscodec.bench import published
from fedscodec.bench.bd import bd_psnr, bd_rate
from fedscodec.bench.curves import Curve

pytest.importorskip("bjontegaard", reason="BD-rates need the bjontegaard library, of the bench extra")

RATES, QUALITIES = (0.1, 0.2, 0.4, 0.8), (26.0, 29.0, 32.0, 35.0)


def curve(bpp, psnr, title="a codec", **more):
    return Curve(title.replace(" ", "-"), title, "peer", tuple(bpp), {"psnr": tuple(psnr), **more}, "a test")


def kodak(name):
    return next(c for c in published.curves("kodak") if c.name == name)


def test_twice_the_rate_everywhere_is_plus_a_hundred_percent():
    found = bd_rate(curve(RATES, QUALITIES), curve([2 * rate for rate in RATES], QUALITIES))
    assert found.percent == pytest.approx(100)
    assert (found.low, found.high, found.share, found.warning) == (26.0, 35.0, 1.0, None)


def test_straight_lines_are_integrated_as_by_hand():
    # log2(rate) rises by one in 3 dB and by one in 4.5 dB, from the same point: over 9 dB the mean difference of
    # the exponents is half of the last one, (2 - 3) / 2, so the rate is 2 ** -0.5 of the anchor's.
    test = curve([0.1 * 2 ** (x / 4.5) for x in (0, 3, 6, 9)], QUALITIES)
    assert bd_rate(curve(RATES, QUALITIES), test).percent == pytest.approx(100 * (2**-0.5 - 1))


def test_decibels_at_equal_rate():
    anchor = curve(RATES, QUALITIES)
    assert bd_psnr(anchor, curve(RATES, [psnr + 0.25 for psnr in QUALITIES])) == pytest.approx(0.25)
    # Three decibels a doubling: half the rate at the same PSNR is three decibels at the same rate.
    assert bd_psnr(anchor, curve([rate / 2 for rate in RATES], QUALITIES)) == pytest.approx(3.0)
    assert math.isnan(bd_psnr(anchor, curve([10 * rate for rate in RATES], QUALITIES)))
    assert math.isnan(bd_psnr(anchor, curve(RATES[:1], QUALITIES[:1])))


def test_curves_that_touch_in_one_rate_have_no_difference_in_decibels():
    anchor, above, below = (curve([8.0**power * rate for rate in RATES], QUALITIES) for power in (0, 1, -1))
    assert (anchor.bpp[-1], anchor.bpp[0]) == (above.bpp[0], below.bpp[-1])
    with warnings.catch_warnings(action="error"):
        assert math.isnan(bd_psnr(anchor, above))
        assert math.isnan(bd_psnr(anchor, below))
    little = curve([8.0 * rate for rate in (0.099, *RATES[1:])], QUALITIES)  # a little overlap is enough
    assert bd_psnr(anchor, little) == pytest.approx(26.0 - 35.0, abs=0.1)


def test_only_the_overlap_counts_and_a_short_one_is_reported():
    # The same curve three decibels to the right, at 1.5 times the rate where both are defined.
    test = curve([1.5 * rate for rate in (0.2, 0.4, 0.8, 1.6)], [29.0, 32.0, 35.0, 38.0])
    found = bd_rate(curve(RATES, QUALITIES), test)
    assert found.percent == pytest.approx(50)
    assert (found.low, found.high, found.share) == (29.0, 35.0, pytest.approx(6 / 9))
    assert found.warning == "only 67% of the shorter curve overlaps"


def test_few_points_are_reported():
    found = bd_rate(curve(RATES, QUALITIES), curve(RATES[:3], QUALITIES[:3]))
    assert found.percent == pytest.approx(0, abs=1e-9)
    assert found.warning == "one curve has 3 points only"


@pytest.mark.parametrize(
    ("test", "metric", "warning"),
    [
        (curve(RATES, [40.0, 41.0, 42.0, 43.0]), "psnr", "the curves do not overlap"),
        (curve(RATES, QUALITIES), "ms_ssim", "the MS-SSIM of a codec is not known"),
        (curve(RATES[:1], QUALITIES[:1]), "psnr", "a codec has one point only"),
        (curve(RATES, [26.0, 29.0, 28.0, 35.0]), "psnr", "the PSNR of a codec does not rise with its rate"),
        (curve(RATES, [26.0, 29.0, 32.0, math.inf]), "psnr", "a codec is without loss at one point"),
    ],
)
def test_there_is_no_figure_where_it_would_mean_nothing(test, metric, warning):
    known = Curve("b", "b", "peer", RATES, {"psnr": QUALITIES, "ms_ssim": QUALITIES}, "a test")
    found = bd_rate(known, test, metric)
    assert not found.is_known
    assert found.warning == warning


@pytest.mark.parametrize(
    ("name", "percent"),
    [("bpg-444", 21.99), ("jpeg", 208.49), ("cheng2020-attn", 5.51), ("hpcm-large", -19.96), ("weconvene", -8.35)],
)
def test_published_figures_over_vtm_9_1_come_out(name, percent):
    # All but the two last were also computed elsewhere from the same points.
    with warnings.catch_warnings(action="error"):
        assert bd_rate(kodak(published.ANCHOR), kodak(name)).percent == pytest.approx(percent, abs=0.01)


def test_ms_ssim_is_compared_in_decibels():
    # As hand-made: the same MS-SSIM at 1.25 times the rate.
    anchor = kodak(published.ANCHOR)
    dearer = Curve("x", "x", "peer", tuple(1.25 * rate for rate in anchor.bpp), anchor.quality, "a test")
    assert bd_rate(anchor, dearer, "ms_ssim").percent == pytest.approx(25)
    assert anchor.quality["ms_ssim"][0] == pytest.approx(8.5577, abs=1e-3)  # of 0.86061
