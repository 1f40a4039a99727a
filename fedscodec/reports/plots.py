"""The plots of a report as files for a README and for slides: the report's own SVG, dark on white."""

from __future__ import annotations

from collections.abc import Sequence

from ..bench.curves import Curve, known_metrics
from ..bench.results import Results
from . import charts
from .axes import shown_at_first
from .tables import dots
from .templates import text


def all_plots(results: Results, curves: Sequence[Curve], anchor: Curve | None) -> dict[str, bytes]:
    """SVG files by name: rd-METRIC.svg for every metric, and speed.svg if there is an anchor."""
    shown = [curve for curve in curves if shown_at_first(curve)]
    plots = {f"rd-{metric}.svg": charts.rate_distortion(shown, metric) for metric in known_metrics(curves)}
    if anchor is not None and (found := dots(results, curves, anchor)):
        plots["speed.svg"] = charts.speed(found, anchor.title)
    return {name: alone(svg) for name, svg in plots.items()}


def alone(svg: str) -> bytes:
    """A plot of `charts` as a separate file."""
    opened, rest = svg.split(">", 1)
    paper = '<rect width="100%" height="100%" fill="#fff"/>'
    return f'{opened} class="chart"><style>{_LIGHT}{text("plot.css")}</style>{paper}{rest}\n'.encode()


_LIGHT = (
    "svg { --ground: #fff; --ink: #1b1e21; --soft: #5c646c; --rule: #e1e4e8; --figures: 'tnum'; font: 12.5px "
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif } "
    ".curve, .dot, .of-dot, .share, .spot, .share-name, .mean { --k: var(--c) }\n"
)
