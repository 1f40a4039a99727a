"""The plots of a report, and of an entropy analysis, as PNG files: for a README and for slides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from ..bench import published
from ..bench.curves import AXIS, METRICS, Curve, Metric
from ..bench.results import Results
from ..errors import FedsError
from .axes import PEERS, colours, shown_at_first, ticks
from .heatmaps import Entropy, heatmap
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
from .tables import dots

INCHES, DOTS_PER_INCH = 9.6, 144
_POINT = 72 * INCHES / WIDTH  # a unit of the drawing in points
_RULE, _SOFT = "#dfe3e6", "#5c646c"


def all_plots(results: Results, curves: Sequence[Curve], anchor: Curve | None) -> dict[str, bytes]:
    """PNG files by name: rd-psnr.png, rd-ms_ssim.png, and speed.png where there is an anchor."""
    made = {f"rd-{metric}.png": rate_distortion(curves, metric, results.dataset.name) for metric in METRICS}
    if anchor is not None and (found := dots(results, curves, anchor)):
        made["speed.png"] = speed(found, anchor.title)
    return made


def rate_distortion(curves: Sequence[Curve], metric: Metric, dataset: str) -> bytes:
    """Rate against quality, with the curves that the report shows first."""
    plane, colour = rate_plane(curves, metric), colours(curves)
    figure, axes = _axes(plane, "bits per pixel", AXIS[metric])
    axes.set_xticks(ticks(*plane.x, 8))
    axes.set_yticks(ticks(*plane.y, 8))
    shown = [curve for curve in curves if shown_at_first(curve) and curve.points(metric)]
    labels = curve_labels(shown, metric, plane)
    for curve in shown:
        _line(axes, curve, metric, colour[curve.name])
        if label := labels.get(curve.name):
            _words(axes, plane, curve.title, label, colour[curve.name], bold=curve.is_measured)
    axes.set_title(f"{dataset}: bold measured, thin published", loc="left", fontsize=10, color=_SOFT)
    return _png(figure)


def _line(axes: Any, curve: Curve, metric: Metric, colour: str) -> None:
    points = [(bpp, quality) for bpp, quality in curve.points(metric) if math.isfinite(quality)]
    width, size = {"feds": (3.4, 7.0), "peer": (1.9, 4.0)}.get(curve.kind, (0.9, 2.0))
    is_anchor = curve.name == published.ANCHOR
    axes.plot(
        *zip(*points, strict=True), color=colour, linewidth=1.5 if is_anchor else width, marker="o", markersize=size,
        linestyle="--" if curve.kind == "classic" and not is_anchor else "-",
        zorder={"feds": 5, "peer": 4}.get(curve.kind, 3),
    )  # fmt: skip


def _words(axes: Any, plane: Plane, words: str, label: Label, colour: str, *, bold: bool) -> None:
    if label.tip:
        line = zip(plane.fraction((label.x + label.width, label.y)), plane.fraction(label.tip), strict=True)
        axes.plot(*line, transform=axes.transAxes, color=colour, linewidth=0.5, alpha=0.7)
    axes.text(
        *plane.fraction((label.x, label.y)), words, transform=axes.transAxes, fontsize=8.6, color=colour,
        fontweight="bold" if bold else "normal", va="center", zorder=7,
    )  # fmt: skip


def speed(found: Sequence[Dot], anchor: str) -> bytes:
    """Seconds to decode against rate over the anchor; the area of a circle is the number of parameters."""
    plane = speed_plane(found)
    figure, axes = _axes(plane, "seconds to decode a picture", f"rate over {anchor}, less is up")
    for place, marks in ((axes.xaxis, second_marks(plane)), (axes.yaxis, rate_marks(plane))):
        place.set_ticks(list(marks), list(marks.values()))
    for dot in sorted(found, key=lambda d: (d.group == "measured", -(d.parameters or 0))):
        strength = 0.6 if dot.group == "measured" or not dot.parameters else 0.14
        axes.scatter(math.log10(dot.decode_seconds), -dot.height, (2 * dot.radius * _POINT) ** 2, color=dot.colour,
                     alpha=strength, linewidths=0)  # fmt: skip
    labels = dot_labels(found, plane)
    for dot in found:
        if label := labels.get(dot.name):
            measured = dot.group == "measured"
            _words(axes, plane, dot.title, label, dot.colour if measured else _SOFT, bold=measured)
    title = "filled: measured here; pale: published, on other machines; area: parameters"
    axes.set_title(title, loc="left", fontsize=10, color=_SOFT)
    return _png(figure)


def entropy_maps(found: Sequence[Entropy], ranks: Sequence[int]) -> bytes:
    """As Fig. 11: a row for each picture, the picture and beside it the heatmaps of some channels of its ranking."""
    shapes = [entropy.picture.height / entropy.picture.width for entropy in found]
    columns = 1 + len(ranks)
    figure = _figure(2.2 * columns, sum(2.2 * shape + 0.35 for shape in shapes))
    grid = figure.subplots(len(found), columns, squeeze=False, gridspec_kw={"height_ratios": shapes})
    for entropy, row in zip(found, grid, strict=True):
        extent = (0, entropy.picture.width, entropy.picture.height, 0)
        row[0].imshow(entropy.picture.pixels, extent=extent)
        row[0].set_title(entropy.name, fontsize=8, color=_SOFT)
        for rank, place in zip(ranks, row[1:], strict=True):
            channel = int(entropy.ranking[rank - 1])
            place.imshow(heatmap(entropy.seen(entropy.maps[channel]), float(entropy.maps[channel].max())).pixels,
                         extent=extent, interpolation="nearest")  # fmt: skip
            place.set_title(f"rank {rank}: {entropy.means[channel]:.2f} bits", fontsize=8, color=_SOFT)
        for place in row:
            place.set_axis_off()
    figure.subplots_adjust(0.01, 0.01, 0.99, 1 - 0.3 / figure.get_size_inches()[1], 0.04, 0.12)
    return _png(figure)


def cumulative(found: Sequence[Entropy]) -> bytes:
    """Share of the bits of y in the first channels of the ranking, a curve for each picture."""
    plane = Plane((0.0, float(len(found[0].maps))), (0.0, 1.0), left=76, right=WIDTH - 24)
    figure, axes = _axes(plane, "rank of the channel", "share of the bits of y")
    axes.set_yticks([share / 5 for share in range(6)], [f"{20 * share} %" for share in range(6)])
    for number, entropy in enumerate(found):
        axes.plot([0.0, *entropy.cumulative], color=PEERS[number % len(PEERS)], linewidth=1.8, label=entropy.name)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    return _png(figure)


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise FedsError("plots need matplotlib: pip install 'fedscodec[bench]'") from error
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH)


def _axes(plane: Plane, x: str, y: str) -> tuple[Any, Any]:
    extra = 12  # for the title
    height = HEIGHT + extra
    figure = _figure(INCHES, INCHES * height / WIDTH)
    axes = figure.add_axes((
        plane.left / WIDTH,
        (HEIGHT - plane.bottom) / height,
        (plane.right - plane.left) / WIDTH,
        (plane.bottom - plane.top) / height,
    ))  # fmt: skip
    axes.set_xlim(*plane.x)
    axes.set_ylim(*plane.y)
    axes.grid(color=_RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_RULE)
    axes.tick_params(colors=_SOFT, length=0, labelsize=9)
    axes.set_xlabel(x, color="#3a4046", fontsize=9.5)
    axes.set_ylabel(y, color="#3a4046", fontsize=9.5)
    return figure, axes


def _png(figure: Any) -> bytes:
    buffer = BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
