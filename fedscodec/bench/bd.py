"""Bjøntegaard's deltas: how many more bytes one codec needs than another at equal quality, in percent, and PSNR.

log(rate) is interpolated over quality by PCHIP and compared where both curves are defined. The `bjontegaard` library
computes the integral; this module chooses the interval and warns if the figure means little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from ..errors import FedsError
from ..metrics.table import METRICS
from .curves import Curve

LEAST_SHARE = 0.75
"""Share of the shorter curve that both must cover; below it, the figure is called uncertain."""
LEAST_POINTS = 4
"""Points that each curve needs, as in Bjøntegaard's proposal; below it, the figure is called uncertain."""


@dataclass(frozen=True)
class BdRate:
    """Percent more rate than the anchor (negative: less), over `low` … `high` of the metric's height; or NaN.

    `share` is the part of the shorter curve in that interval. `warning` says why the figure is uncertain.
    """

    percent: float
    low: float = math.nan
    high: float = math.nan
    share: float = 0.0
    warning: str | None = None

    @property
    def is_known(self) -> bool:
        """Whether there is a figure."""
        return not math.isnan(self.percent)


def bd_rate(anchor: Curve, test: Curve, metric: str = "psnr") -> BdRate:
    """The delta rate of `test` over `anchor`. Raises FedsError if the `bjontegaard` library is not installed."""
    curves = [anchor.points(metric), test.points(metric)]
    if fault := _fault(curves, (anchor, test), metric):
        return BdRate(math.nan, warning=fault)
    spans = [(min(q for _, q in points), max(q for _, q in points)) for points in curves]
    low, high = max(s[0] for s in spans), min(s[1] for s in spans)
    if low >= high:
        return BdRate(math.nan, warning="the curves do not overlap")
    share = (high - low) / min(top - bottom for bottom, top in spans)
    return BdRate(_delta(curves, "bd_rate"), low, high, share, _doubt(curves, share))


def bd_psnr(anchor: Curve, test: Curve) -> float:
    """Decibels of PSNR that `test` is above `anchor` at equal rate, where both are defined; NaN where nowhere.

    FedsError where the `bjontegaard` library is not installed.
    """
    curves = [anchor.points("psnr"), test.points("psnr")]
    if _fault(curves, (anchor, test), "psnr") or max(c[0][0] for c in curves) >= min(c[-1][0] for c in curves):
        return math.nan
    return _delta(curves, "bd_psnr")


def _fault(curves: list[list[tuple[float, float]]], whose: tuple[Curve, Curve], metric: str) -> str | None:
    for points, curve in zip(curves, whose, strict=True):
        if not points:
            return f"the {METRICS[metric].title} of {curve.title} is not known"
        if len(points) < 2:
            return f"{curve.title} has one point only"
        if not all(math.isfinite(q) for _, q in points):
            return f"{curve.title} is without loss at one point"
        if any(b[1] <= a[1] or b[0] <= a[0] for a, b in pairwise(points)):
            return f"the {METRICS[metric].title} of {curve.title} does not rise with its rate"
    return None


def _doubt(curves: list[list[tuple[float, float]]], share: float) -> str | None:
    if share < LEAST_SHARE:
        return f"only {share:.0%} of the shorter curve overlaps"
    fewest = min(len(points) for points in curves)
    return f"one curve has {fewest} points only" if fewest < LEAST_POINTS else None


def _delta(curves: list[list[tuple[float, float]]], function: str) -> float:
    try:
        import bjontegaard
    except ImportError as error:
        raise FedsError("BD-rates need the bjontegaard library: pip install 'fedscodec[bench]'") from error
    anchor, test = (list(zip(*points, strict=True)) for points in curves)
    delta = getattr(bjontegaard, function)
    return float(delta(*anchor, *test, method="pchip", require_matching_points=False, min_overlap=0))
