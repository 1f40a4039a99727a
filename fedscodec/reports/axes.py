"""What all plots share: which curves to show, their colours, the ends of the axes, and ticks.

Heights are those of a metric's axis, where more is better; if less of a metric is better, they are negative.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ..bench import published
from ..bench.curves import Curve
from ..bench.results import Results

OURS = ("#d9480f", "#ae3ec9", "#d6336c")
PEERS = (
    "#1c7ed6", "#2b8a3e", "#0c8599", "#5f3dc4", "#a07800", "#846358", "#3b5bdb", "#5a940d", "#7a7f85", "#862e9c",
)  # fmt: skip
INK, FAINT = "#212529", "#868e96"
"""Colours that stand out on white and on near-black; published curves are faint, their anchor is ink."""


@dataclass(frozen=True)
class Frame:
    """The visible part of the plane: bits per pixel, and heights of a metric."""

    bpp: float
    low: float
    high: float


def comparable(results: Results) -> list[Curve]:
    """Published curves over exactly the measured pictures; empty for another set or a part of one.

    A curve with the name of a measured codec is marked as published.
    """
    known = published.comparable(results.dataset.name, results.dataset.pictures)
    return [_apart(curve) if curve.name in results.codecs else curve for curve in known]


def _apart(curve: Curve) -> Curve:
    return replace(curve, name=f"{curve.name}-published", title=f"{curve.title} (published)")


def shown_at_first(curve: Curve) -> bool:
    """Whether a plot shows a curve at first."""
    return curve.is_measured or curve.name in published.SHOWN


def colours(curves: Sequence[Curve]) -> dict[str, str]:
    """A colour for every curve: warm for ours, distinct for peers, faint for published ones."""
    left = {"feds": list(OURS), "peer": list(PEERS)}
    chosen = {}
    for curve in curves:
        if curve.is_measured:
            given = left[curve.kind]
            chosen[curve.name] = given.pop(0) if given else FAINT
        else:
            chosen[curve.name] = INK if curve.name == published.ANCHOR else FAINT
    return chosen


def every_second_peer(curves: Sequence[Curve]) -> set[str]:
    """Names of the peers that are drawn with dashes, as not everybody can tell all colours apart."""
    return {curve.name for curve in [c for c in curves if c.kind == "peer" and c.is_measured][1::2]}


def frame(curves: Sequence[Curve], metric: str) -> Frame:
    """Ends of the axes: as far right as our curves, or 1.5 bits without any; as high and low as the visible curves.

    At most 3 bits, unless a curve of ours has less than half of its points there.
    """
    ours = [curve for curve in curves if curve.kind == "feds"] or [c for c in curves if c.kind == "peer"]
    most = max((curve.bpp[-1] for curve in ours), default=1.5)
    middle = max((curve.bpp[len(curve.bpp) // 2] for curve in ours), default=1.5)
    bpp = max(1.1 * most, 0.5)
    bpp = bpp if middle > 3.0 else min(bpp, 3.0)
    inside = [q for c in curves if shown_at_first(c) for q in _seen(c.points(metric), bpp)]
    low, high = (min(inside), max(inside)) if inside else (25.0, 40.0)
    if ours and (lowest := [c.points(metric)[0][1] for c in ours if c.points(metric)]):
        low = max(low, min(lowest) - 0.3 * (high - min(lowest)))  # how bad others get far below is not worth the space
        low = min(low, high)  # others may be all there is to see
    if high - low < 1e-6 * max(abs(low), 1.0):  # one point, or several at one height
        low, high = low - 0.05 * max(abs(low), 1.0), high + 0.05 * max(abs(high), 1.0)
    step = ticks(low, high, 8)
    unit = step[1] - step[0] if len(step) > 1 else high - low
    half = unit / 2  # ends lie on halves of the distance between two ticks
    return Frame(bpp, half * math.floor((low - 0.05 * unit) / half), half * math.ceil((high + 0.05 * unit) / half))


def _seen(points: list[tuple[float, float]], bpp: float) -> list[float]:
    inside = [q for rate, q in points if rate <= bpp and math.isfinite(q)]
    for (rate, quality), (next_rate, next_quality) in pairwise(points):
        if rate <= bpp < next_rate and math.isfinite(next_quality):
            inside.append(quality + (next_quality - quality) * (bpp - rate) / (next_rate - rate))
    return inside


def end_of(curve: Curve, metric: str, frame: Frame) -> tuple[float, float] | None:
    """Where a curve is last visible to the right: its last point inside the frame, or where it leaves the frame."""
    end = None
    for (rate, quality), (next_rate, next_quality) in pairwise(curve.points(metric)):
        if rate > frame.bpp or quality > frame.high:
            break
        if next_rate <= rate:  # two settings may give files of one size
            continue
        share = min(1.0, (frame.bpp - rate) / (next_rate - rate))
        if next_quality > quality:
            share = min(share, (frame.high - quality) / (next_quality - quality))
        end = rate + share * (next_rate - rate), quality + share * (next_quality - quality)
    return end if end and end[1] >= frame.low else None


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from low to high, around `about` of them."""
    raw = (high - low) / about
    unit = 10 ** math.floor(math.log10(raw))
    step = min((unit * factor for factor in (1, 2, 5, 10)), key=lambda step: abs(math.log(step / raw)))
    first = math.ceil(low / step - 1e-9)
    return [round(step * i, 10) for i in range(first, math.floor(high / step + 1e-9) + 1)]
