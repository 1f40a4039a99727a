"""A benchmark as one short table for a README, with the fewest bytes first."""

from __future__ import annotations

import math
from statistics import mean

from ..bench.bd import BdRate, bd_rate
from ..bench.curves import Curve, known_metrics, measured_curves
from ..bench.results import Results, Summary
from ..metrics.table import METRICS
from .axes import comparable
from .figures import counted, signed
from .tables import NONE, Line, Table, choose_anchor


def brief(results: Results, wanted: str | None = None) -> Table:
    """A line for each measured codec: BD-rates over `wanted` (by default VTM-9.1 if known), seconds, memory.

    Metrics without published points of the anchor are over JPEG, or another measured codec. Seconds are means over
    pictures and settings, memory is the largest peak.
    """
    curves = measured_curves(results)
    anchor = choose_anchor([*curves, *comparable(results)], wanted)
    over = {name: _anchor_for(name, anchor, curves) for name in known_metrics(curves)}
    rates = {curve.name: [bd_rate(by, curve, name) for name, by in over.items() if by] for curve in curves}
    order = sorted(curves, key=lambda curve: rates[curve.name][0].percent if rates[curve.name] else math.inf)
    lines = tuple(_line(results, curve, rates[curve.name]) for curve in order)
    doubts: dict[str, list[str]] = {}
    for curve in order:
        for rate in rates[curve.name][:1]:
            doubts.setdefault(rate.warning or "", []).append(curve.title)
    notes = [f"{', '.join(titles)}: {doubt}." for doubt, titles in doubts.items() if doubt]
    title = f"{results.dataset.name}, {results.dataset.pictures} pictures"
    figures = (_column(name, by, anchor) for name, by in over.items() if by)
    columns = ("codec", "colours", *figures, "encode, s", "decode, s", "peak, MiB")
    return Table("brief", title, columns, lines, (_about(results, anchor), *notes), frozenset({"colours"}))


def _anchor_for(metric: str, anchor: Curve | None, curves: list[Curve]) -> Curve | None:
    """The anchor, if it has the metric; else JPEG, or the best measured codec that can replace it."""
    return (
        anchor if anchor and anchor.points(metric) else choose_anchor([c for c in curves if c.name == "jpeg"] or curves)
    )


def _column(metric: str, over: Curve, anchor: Curve | None) -> str:
    beside = "" if over is anchor else f" over {over.title}"
    return f"BD-rate, {METRICS[metric].title}{beside}"


def _line(results: Results, curve: Curve, rates: list[BdRate]) -> Line:
    codec = results.codecs[curve.name]
    of = [summary for summary in results.summaries if summary.codec == curve.name]
    figures = [_percent(rate) for rate in rates]
    seconds = (f"{mean(s.encode_seconds for s in of):.3f}", f"{mean(s.decode_seconds for s in of):.3f}")
    title = f"**{codec.title}**" if codec.kind == "feds" else codec.title
    return Line((title, codec.colour, *figures, *seconds, _peak(of)), codec.kind)


def _percent(rate: BdRate) -> str:
    return f"{signed(rate.percent)} %" if rate.is_known else NONE


def _peak(of: list[Summary]) -> str:
    peaks = [summary.peak_bytes for summary in of if summary.peak_bytes is not None]
    return f"{max(peaks) / 2**20:.0f}" if peaks else NONE


def _about(results: Results, anchor: Curve | None) -> str:
    here = results.where
    device = here.cpu if here.device == "cpu" else f"{here.device}, {here.cpu}"
    threads = counted(here.threads, "thread")
    machine = f"{device} ({here.cpu_capability}, {threads}, torch {here.torch}, {here.precision})"
    over = f"BD-rates are over {anchor.title}, {anchor.source}. " if anchor else ""
    return f"{over}Seconds are means over pictures and settings on {machine}, feds {here.feds}, {here.date[:10]}."
