"""Positions in a plot, in the units of a drawing of 900 by 510: planes, labels that do not overlap, circles.

The plots in the report and those in files of their own both use this, so they are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..bench.curves import Curve
from .axes import Frame, end_of, frame, shown_at_first
from .figures import in_seconds, signed

WIDTH, HEIGHT = 900, 510
LINE, LETTER = 13.0, 6.9
"""Height of a line of text and mean width of a letter."""

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

    def clear_of(self, others: Sequence[Label], step: float) -> Label:
        """The label moved up (a negative step) or down until it overlaps no other."""
        label = self
        while any(label.meets(other) for other in others):
            label = replace(label, y=label.y + step)
        return label


def rate_plane(curves: Sequence[Curve], metric: str) -> Plane:
    """The plane of bits per pixel and decibels."""
    seen = frame(curves, metric)
    return Plane((0.0, seen.bpp), (seen.low, seen.high))


def curve_labels(curves: Sequence[Curve], metric: str, plane: Plane) -> dict[str, Label]:
    """The label of each curve; those that are shown first do not overlap.

    A curve that leaves the plane is labelled to its right; one that ends inside is labelled above its end, at a free
    place.
    """
    seen = Frame(plane.x[1], *plane.y)
    ends = [(curve, end) for curve in curves if (end := end_of(curve, metric, seen))]
    labels: dict[str, Label] = {}
    taken: list[Label] = []
    for curve, end in sorted(ends, key=lambda pair: (not shown_at_first(pair[0]), -pair[1][1])):
        x, y, width = plane.across(end[0]), plane.down(end[1]), LETTER * len(curve.title)
        if x > plane.right - 90:
            label, step = Label(x + 8, y, width), 1.0
        else:
            label, step = Label(x - width - 14, y - 16, width, (x, y)), -1.0
        if shown_at_first(curve):
            label = label.clear_of(taken, step)
            taken.append(label)
        labels[curve.name] = label
    return labels


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
        width = LETTER * len(dot.title)
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
            labels[dot.name] = (free or options)[0]
    return labels
