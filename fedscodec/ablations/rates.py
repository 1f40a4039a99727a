"""What the runs of a table say: rate of each over the baseline and over VTM-9.1, and how far seeds lie apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from ..bench import published
from ..bench.bd import BdRate, bd_psnr, bd_rate
from ..bench.curves import Curve
from .plan import VIEWS
from .results import Ablation, Done

METRICS = ("psnr", "ms_ssim")
"""What rates are compared by."""


@dataclass(frozen=True)
class Rates:
    """One run beside the baseline of its seed and view, and beside VTM-9.1, by metric; gain: dB at equal rate."""

    view: str
    run: Done
    over_baseline: dict[str, BdRate]
    over_vtm: dict[str, BdRate]
    gain: float  # NaN where it is not known


@dataclass(frozen=True)
class Spread:
    """The mean over seeds, the least and the most; NaN where nothing is known."""

    mean: float
    low: float
    high: float
    count: int

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """Of those values that are numbers."""
        known = [value for value in values if math.isfinite(value)]
        if not known:
            return Spread(math.nan, math.nan, math.nan, 0)
        return Spread(mean(known), min(known), max(known), len(known))


def vtm(ablation: Ablation) -> Curve | None:
    """The published curve of VTM-9.1 over exactly the pictures that were measured."""
    curves = published.comparable(ablation.dataset.name, ablation.dataset.pictures)
    return next((curve for curve in curves if curve.name == published.ANCHOR), None)


def rates(ablation: Ablation) -> Iterator[Rates]:
    """Every run in every view that shows it, in the order of variants and seeds."""
    anchor = vtm(ablation)
    for view in VIEWS:
        baselines = {run.seed: run.curve for run in ablation.of(view, ablation.table["baseline"])}
        for name in ablation.variants:
            for run in ablation.of(view, name):
                base = baselines.get(run.seed)
                yield Rates(
                    view, run, _over(base, run.curve), _over(anchor, run.curve),
                    bd_psnr(base, run.curve) if base else math.nan,
                )  # fmt: skip


def _over(anchor: Curve | None, curve: Curve) -> dict[str, BdRate]:
    return {metric: bd_rate(anchor, curve, metric) for metric in METRICS} if anchor else {}


def plain(found: Sequence[Rates]) -> list[dict[str, Any]]:
    """Rates as plain values, for NAME.json."""
    return [
        {
            "view": rate.view, "variant": rate.run.variant, "seed": rate.run.seed,
            "over_baseline": {metric: _plain(value) for metric, value in rate.over_baseline.items()},
            "over_vtm": {metric: _plain(value) for metric, value in rate.over_vtm.items()},
            "psnr_gain": round(rate.gain, 4) if math.isfinite(rate.gain) else None,
        }
        for rate in found
    ]  # fmt: skip


def _plain(rate: BdRate) -> dict[str, Any]:
    known = {"percent": round(rate.percent, 3), "low": round(rate.low, 3), "high": round(rate.high, 3)}
    return {**(known if rate.is_known else {"percent": None}), "warning": rate.warning}
