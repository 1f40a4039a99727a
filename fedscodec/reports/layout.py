"""Positions in a plot, in the units of a drawing of 900 by 510: planes, labels that do not overlap, circles.

The plots in the report and those in files of their own both use this, so they are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from ..bench.curves import Curve
from .axes import Frame, end_of, frame, shown_at_first
from .figures import in_seconds, signed

WIDTH, HEIGHT = 900, 510
LINE, LETTER = 13.0, 6.9
"""Height of a line of text and mean width of a letter."""
BOLD_LINE, BOLD_LETTER = 15.0, 8.2
"""The same of the larger and bolder names of our curves."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Plane:
    """Maps values to positions in the drawing: x and y are the values at the left and right, bottom and top."""

    x: Point
    y: Point
    left: float = 58
    right: float = WIDTH - 128
    top: float = 14
    bottom: float = HEIGHT - 50

    def across(self, value: float) -> float:
        """Horizontal position of a value."""
        return self.left + (value - self.x[0]) / (self.x[1] - self.x[0]) * (self.right - self.left)

    def down(self, value: float) -> float:
        """Vertical position of a value."""
        return self.bottom - (value - self.y[0]) / (self.y[1] - self.y[0]) * (self.bottom - self.top)


@dataclass(frozen=True)
class Label:
    """The position of a label, at the middle of its height; tip is the end of a line from it."""

    x: float
    y: float
    width: float
    tip: Point | None = None

    def meets(self, other: Label) -> bool:
        """Whether two labels overlap."""
        apart = self.x + self.width < other.x or other.x + other.width < self.x
        return not apart and abs(self.y - other.y) < LINE

    def covers(self, x: float, y: float, radius: float) -> bool:
        """Whether the label lies over a circle."""
        nearest = min(max(x, self.x), self.x + self.width), min(max(y, self.y - LINE / 2), self.y + LINE / 2)
        return math.dist((x, y), nearest) < radius


def rate_plane(curves: Sequence[Curve], metric: str) -> Plane:
    """The plane of bits per pixel and decibels, with room for the names of curves on its right."""
    seen = frame(curves, metric)
    widest = max((_width(curve) for curve in curves if shown_at_first(curve)), default=0.0)
    return Plane((0.0, seen.bpp), (seen.low, seen.high), right=WIDTH - max(128.0, widest + 22))


def _width(curve: Curve) -> float:
    return (BOLD_LETTER if curve.kind == "feds" else LETTER) * len(curve.title)


def curve_labels(curves: Sequence[Curve], metric: str, plane: Plane) -> dict[str, Label]:
    """The label of each curve, right of the plane at the height of its end; those that are shown first keep apart.

    A line leads from a label to its curve where the two are not side by side.
    """
    seen = Frame(plane.x[1], *plane.y)
    ends = {curve.name: end for curve in curves if (end := end_of(curve, metric, seen))}
    named = [curve for curve in curves if curve.name in ends]
    wanted = {curve.name: plane.down(ends[curve.name][1]) for curve in named}
    shown = sorted((curve.name for curve in named if shown_at_first(curve)), key=wanted.__getitem__)
    heights = wanted | dict(zip(shown, _apart([wanted[name] for name in shown], plane), strict=True))
    labels = {}
    for curve in named:
        y, tip = heights[curve.name], (plane.across(ends[curve.name][0]), wanted[curve.name])
        is_beside = abs(y - tip[1]) < LINE / 3 and tip[0] > plane.right - 8
        labels[curve.name] = Label(plane.right + 14, y, _width(curve), None if is_beside else tip)
    return labels


def _apart(heights: Sequence[float], plane: Plane) -> list[float]:
    """Rising heights moved as little as possible (by least squares) until each is a line below the one before."""
    gap = min(BOLD_LINE, (plane.bottom - plane.top) / max(len(heights), 1))
    groups: list[list[float]] = []  # of heights that touch, less what those before them take
    for number, height in enumerate(heights):
        groups.append([height - number * gap])
        while len(groups) > 1 and mean(groups[-2]) > mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    moved = [mean(group) for group in groups for _ in group]
    highest = plane.bottom - (len(heights) - 1) * gap
    return [min(max(base, plane.top), highest) + number * gap for number, base in enumerate(moved)]


RATIOS = (-50.0, -40.0, -30.0, -20.0, -10.0, 0.0, 10.0, 25.0, 50.0, 100.0, 200.0, 400.0)


@dataclass(frozen=True)
class Dot:
    """A codec in the plane of speed and rate: mean seconds to decode a picture, percent of rate over the anchor.

    group is measured, paper or others.
    """

    name: str
    title: str
    decode_seconds: float
    bd_rate: float
    parameters: int | None
    hardware: str
    group: str
    colour: str
    uncertain: bool = False

    @property
    def height(self) -> float:
        """log₂ of its rate over the anchor's: half the rate is as far away as twice the rate."""
        return math.log2(1 + self.bd_rate / 100)

    @property
    def radius(self) -> float:
        """Radius of the circle whose area shows its parameters; a small one if they are not known."""
        return 2.2 * math.sqrt(self.parameters / 1e6) if self.parameters else 4.0


def speed_plane(dots: Sequence[Dot]) -> Plane:
    """The plane of log₁₀ seconds and of halvings of the rate between a codec and the anchor."""
    seconds = [math.log10(dot.decode_seconds) for dot in dots]
    heights = [0.0, *(-dot.height for dot in dots)]
    x = min(seconds) - 0.45, max(seconds) + 0.3
    return Plane(x, (min(heights) - 0.2, max(heights) + 0.2), left=76, right=WIDTH - 24)


def rate_marks(plane: Plane) -> dict[float, str]:
    """Heights of a speed plane and their percentages."""
    marks = {-math.log2(1 + ratio / 100): f"{signed(ratio, 'g')} %" if ratio else "0 %" for ratio in RATIOS}
    return {height: word for height, word in marks.items() if plane.y[0] < height < plane.y[1]}


def second_marks(plane: Plane) -> dict[float, str]:
    """Powers of ten of a speed plane and their labels."""
    decades = range(math.ceil(plane.x[0]), math.floor(plane.x[1]) + 1)
    return {float(decade): in_seconds(10.0**decade) for decade in decades}


def dot_labels(dots: Sequence[Dot], plane: Plane) -> dict[str, Label]:
    """A label for every dot where one fits: beside its circle, or above or below; the measured ones first."""
    labels: dict[str, Label] = {}
    for dot in sorted(dots, key=lambda d: (d.group != "measured", d.group != "paper")):
        x, y, r = plane.across(math.log10(dot.decode_seconds)), plane.down(-dot.height), dot.radius + 4
        width = (BOLD_LETTER if dot.group == "measured" else LETTER) * len(dot.title)
        sides = (
            (x + r, y),
            (x - r - width, y),
            (x - width / 2, y - r - 5),
            (x - width / 2, y + r + 6),
            (x - width / 2, y),
        )
        options = [Label(left, middle, width) for left, middle in sides]
        free = [
            label for label in options
            if plane.left < label.x and label.x + width < WIDTH and not any(label.meets(o) for o in labels.values())
        ]  # fmt: skip
        if free or dot.group == "measured":
            clear = [label for label in free if not any(label.covers(*circle) for circle in _circles(dots, plane, dot))]
            labels[dot.name] = (clear or free or options)[0]
    return labels


def _circles(dots: Sequence[Dot], plane: Plane, own: Dot) -> list[tuple[float, float, float]]:
    """Places and radii of all circles but one."""
    others = (dot for dot in dots if dot is not own)
    return [(plane.across(math.log10(dot.decode_seconds)), plane.down(-dot.height), dot.radius) for dot in others]
