"""The plots of the report as SVG, written by hand so that they follow its colours, switches and themes.

Every curve is a group with `data-curve`; a switch of the report shows and hides groups of that name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from statistics import mean

from ..bench import published
from ..bench.curves import Curve
from ..metrics.table import METRICS
from .axes import PEERS, colours, every_second_peer, shown_at_first, ticks
from .figures import in_seconds, signed
from .layout import (
    HEIGHT,
    WIDTH,
    Dot,
    Label,
    Plane,
    curve_labels,
    dot_labels,
    rate_marks,
    rate_plane,
    second_marks,
    speed_plane,
)


def grid(plane: Plane, x: dict[float, str], y: dict[float, str], names: tuple[str, str]) -> list[str]:
    """Lines and labels of both axes; x and y map values to labels."""
    drawn = []
    for value, word in x.items():
        at = f"{plane.across(value):.1f}"
        drawn.append(f'<line class="grid" x1="{at}" x2="{at}" y1="{plane.top}" y2="{plane.bottom}"/>')
        if word:
            drawn.append(f'<text class="tick" x="{at}" y="{plane.bottom + 18}" text-anchor="middle">{word}</text>')
    for value, word in y.items():
        at = f"{plane.down(value):.1f}"
        drawn.append(f'<line class="grid" x1="{plane.left}" x2="{plane.right}" y1="{at}" y2="{at}"/>')
        drawn.append(f'<text class="tick" x="{plane.left - 8}" y="{at}" dy="4" text-anchor="end">{word}</text>')
    middle, height = (plane.left + plane.right) / 2, (plane.top + plane.bottom) / 2
    drawn.append(
        f'<text class="name" x="{middle}" y="{plane.bottom + 42}" text-anchor="middle">{escape(names[0])}</text>'
    )
    drawn.append(f'<text class="name" transform="translate(14 {height}) rotate(-90)" text-anchor="middle">'
                 f"{escape(names[1])}</text>")  # fmt: skip
    return drawn


def rate_distortion(curves: Sequence[Curve], metric: str, of: str = "") -> str:
    """Rate against quality: measured curves bold, published ones thin, each named at its end.

    of: distinguishes its ids from those of other plots on the same page.
    """
    plane, colour, dashed = rate_plane(curves, metric), colours(curves), every_second_peer(curves)
    labels = curve_labels(curves, metric, plane)
    drawn = [opened(f"rd-{metric}{of}", f"Rate-distortion curves: {METRICS[metric].axis} over bits per pixel")]
    # A little larger than the plane, so that points on its edge stay whole.
    width, height = plane.right - plane.left + 6, plane.bottom - plane.top + 6
    inside = f'<rect x="{plane.left}" y="{plane.top - 6}" width="{width}" height="{height}"/>'
    drawn.append(f'<clipPath id="inside-{metric}{of}">{inside}</clipPath>')
    x = {value: f"{value:g}" for value in ticks(*plane.x, 8)}
    sign = -1 if METRICS[metric].lower_is_better else 1
    y = {value: f"{sign * value + 0.0:g}" for value in ticks(*plane.y, 8)}
    drawn += grid(plane, x, y, ("bits per pixel", METRICS[metric].axis))
    for curve in sorted(curves, key=lambda c: (c.kind == "feds", c.is_measured)):
        if points := [(bpp, q) for bpp, q in curve.points(metric) if math.isfinite(q)]:
            dash = "9 3" if curve.name in dashed else ""
            drawn.append(_curve(curve, points, f"inside-{metric}{of}", plane, colour[curve.name],
                                labels.get(curve.name), metric, dash))  # fmt: skip
    return "\n".join([*drawn, "</svg>"])


def _curve(
    curve: Curve, points: list[tuple[float, float]], inside: str, plane: Plane, colour: str,
    label: Label | None, metric: str, dash: str,
) -> str:  # fmt: skip
    weight = "ours" if curve.kind == "feds" else curve.kind
    hidden = "" if shown_at_first(curve) else " hidden"
    anchor = " anchor" if curve.name == published.ANCHOR else ""
    path = " ".join(f"{plane.across(x):.1f},{plane.down(y):.1f}" for x, y in points)
    drawn = [f'<g class="curve {weight}{anchor}{hidden}" data-curve="{escape(curve.name)}" style="--c:{colour}">']
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    drawn.append(f'<g clip-path="url(#{inside})"><polyline points="{path}"{dashes}/>')
    formatted = METRICS[metric].formatted_at
    for number, (x, y) in enumerate(points):
        setting = f" at {curve.settings[number]:g}" if curve.settings else ""
        tip = escape(f"{curve.title}{setting}: {x:.3f} bpp, {formatted(y)}")
        drawn.append(f'<circle cx="{plane.across(x):.1f}" cy="{plane.down(y):.1f}"><title>{tip}</title></circle>')
    drawn.append("</g>")
    if label and label.tip:
        ends = f'x1="{label.x - 3:.1f}" y1="{label.y:.1f}" x2="{label.tip[0]:.1f}" y2="{label.tip[1]:.1f}"'
        drawn.append(f'<line class="leader" {ends}/>')
    if label:
        drawn.append(f'<text x="{label.x:.1f}" y="{label.y:.1f}" dy="4">{escape(curve.title)}</text>')
    return "".join([*drawn, "</g>"])


def speed(dots: Sequence[Dot], anchor: str) -> str:
    """Seconds to decode against rate over the anchor (less is higher); circles have the area of the model's size."""
    if not dots:
        return ""
    plane = speed_plane(dots)
    labels = dot_labels(dots, plane)
    drawn = [opened("speed-plot", f"Seconds to decode a picture against rate over {anchor}")]
    names = ("seconds to decode a picture", f"rate over {anchor}, less is up")
    drawn += grid(plane, second_marks(plane), rate_marks(plane), names)
    order = sorted(dots, key=lambda d: (d.group == "measured", -(d.parameters or 0)))
    drawn += [_circle(dot, plane) for dot in order]
    drawn += [
        f'<text class="of-dot {dot.group}" style="--c:{dot.colour}" x="{label.x:.1f}" y="{label.y:.1f}" dy="4">'
        f"{escape(dot.title)}</text>"
        for dot in order
        if (label := labels.get(dot.name))
    ]
    return "\n".join([*drawn, "</svg>"])


def _circle(dot: Dot, plane: Plane) -> str:
    size = f", {dot.parameters / 1e6:.1f} M parameters" if dot.parameters else ""
    doubt = ", uncertain" if dot.uncertain else ""
    rate = f"{signed(dot.bd_rate)} %"
    tip = f"{dot.title}: {in_seconds(dot.decode_seconds)} on {dot.hardware}, {rate}{doubt}{size}"
    bare = "" if dot.parameters else " bare"
    return (
        f'<circle class="dot {dot.group}{bare}" style="--c:{dot.colour}" data-dot="{escape(dot.name)}" '
        f'cx="{plane.across(math.log10(dot.decode_seconds)):.1f}" cy="{plane.down(-dot.height):.1f}" '
        f'r="{dot.radius:.1f}"><title>{escape(tip)}</title></circle>'
    )


def cumulative(shares: Sequence[tuple[str, Sequence[float]]]) -> str:
    """By name: the share of all bits in the first 1, 2, … channels of a ranking."""
    plane = Plane((0.0, float(max(len(values) for _, values in shares))), (0.0, 1.0), left=72)
    drawn = [opened("cumulative", "Cumulative share of the bits over the channels, by rank")]
    x = {value: f"{value:g}" for value in ticks(*plane.x, 8)}
    drawn += grid(plane, x, {share / 5: f"{20 * share} %" for share in range(6)}, ("rank", "share of the bits"))
    for number, (name, values) in enumerate(shares):
        colour = PEERS[number % len(PEERS)]
        drawn += [polyline(plane, list(enumerate((0.0, *values))), colour), legend(plane, number, name, colour)]
    return "\n".join([*drawn, "</svg>"])


def polyline(plane: Plane, points: Sequence[tuple[float, float]], colour: str) -> str:
    """A line through values of x and y."""
    path = " ".join(f"{plane.across(x):.1f},{plane.down(y):.1f}" for x, y in points)
    return f'<polyline class="share" style="--c:{colour}" points="{path}"/>'


def spot(plane: Plane, x: float, y: float, colour: str) -> str:
    """A point."""
    place = f'cx="{plane.across(x):.1f}" cy="{plane.down(y):.1f}"'
    return f'<circle class="spot" style="--c:{colour}" {place} r="4"/>'


def legend(plane: Plane, number: int, name: str, colour: str) -> str:
    """The name of a line, in its colour, right of the plane; number counts from the top."""
    place = f'x="{plane.right + 10}" y="{plane.top + 8 + 17 * number}"'
    return f'<text class="share-name" style="--c:{colour}" {place} dy="4">{escape(name)}</text>'


def spread(rows: Sequence[tuple[str, Sequence[float]]], name: str, what: str) -> str:
    """Some figures of each thing in percent, less being better: a line a thing, a dot a figure, a bar at their mean.

    what: what the axis says.
    """
    values = [0.0, *(value for _, of in rows for value in of)]
    margin = max(0.06 * (max(values) - min(values)), 0.05)
    plane = Plane((min(values) - margin, max(values) + margin), (len(rows) - 0.5, -0.5), left=190, right=WIDTH - 20)
    drawn = [opened(name, what)]
    x = {value: f"{signed(value, 'g')} %" if value else "0" for value in ticks(*plane.x, 8)}
    drawn += grid(plane, x, {float(number): escape(title) for number, (title, _) in enumerate(rows)}, (what, ""))
    for number, (title, of) in enumerate(rows):
        colour, y = PEERS[number % len(PEERS)], plane.down(number)
        if of:
            at = plane.across(mean(of))
            bar = f'x1="{at:.1f}" x2="{at:.1f}" y1="{y - 12:.1f}" y2="{y + 12:.1f}"'
            drawn.append(f'<line class="mean" style="--c:{colour}" {bar}/>')
        for value in of:
            tip = f"{escape(title)}: {signed(value, '.2f')} %"
            drawn.append(f'<circle class="dot measured" style="--c:{colour}" cx="{plane.across(value):.1f}" '
                         f'cy="{y:.1f}" r="5"><title>{tip}</title></circle>')  # fmt: skip
    return "\n".join([*drawn, "</svg>"])


def opened(name: str, title: str, height: int = HEIGHT) -> str:
    """The first tag of a plot that is named so."""
    return (f'<svg id="{name}" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}" '
            'xmlns="http://www.w3.org/2000/svg">')  # fmt: skip
