"""A bench in one short table, for a README: what was measured, those that need the fewest bytes first."""

from __future__ import annotations

import math
from statistics import mean

from ..bench.bd import BdRate, bd_rate
from ..bench.curves import Curve, measured_curves
from ..bench.results import Results, Summary
from .axes import comparable
from .tables import NONE, Line, Table, choose_anchor

_COLUMNS = ("codec", "colours", "BD-rate, PSNR", "BD-rate, MS-SSIM", "encode, s", "decode, s", "peak, MiB")


def brief(results: Results, wanted: str | None = None) -> Table:
    """A line for each measured codec: BD-rates over `wanted` (by default VTM-9.1 where it is known), seconds, memory.

    Seconds are means over pictures and settings, memory is the largest peak.
    """
    curves = measured_curves(results)
    anchor = choose_anchor([*curves, *comparable(results)], wanted)
    rates = {curve.name: _rates(curve, anchor) for curve in curves}
    order = sorted(curves, key=lambda curve: rates[curve.name][0].percent if rates[curve.name] else math.inf)
    lines = tuple(_line(results, curve, rates[curve.name]) for curve in order)
    doubts: dict[str, list[str]] = {}
    for curve in order:
        for rate in rates[curve.name][:1]:
            doubts.setdefault(rate.warning or "", []).append(curve.title)
    notes = [f"{', '.join(titles)}: {doubt}." for doubt, titles in doubts.items() if doubt]
    title = f"{results.dataset.name}, {results.dataset.pictures} pictures"
    return Table("brief", title, _COLUMNS, lines, (_about(results, anchor), *notes), frozenset({"colours"}))


def _rates(curve: Curve, anchor: Curve | None) -> tuple[BdRate, ...]:
    return (bd_rate(anchor, curve, "psnr"), bd_rate(anchor, curve, "ms_ssim")) if anchor else ()


def _line(results: Results, curve: Curve, rates: tuple[BdRate, ...]) -> Line:
    codec = results.codecs[curve.name]
    of = [summary for summary in results.summaries if summary.codec == curve.name]
    figures = [_percent(rate) for rate in rates] or [NONE, NONE]
    seconds = (f"{mean(s.encode_seconds for s in of):.3f}", f"{mean(s.decode_seconds for s in of):.3f}")
    title = f"**{codec.title}**" if codec.kind == "feds" else codec.title
    return Line((title, codec.colour, *figures, *seconds, _peak(of)), codec.kind)


def _percent(rate: BdRate) -> str:
    return f"{rate.percent:+.1f} %".replace("-", "−") if rate.is_known else NONE


def _peak(of: list[Summary]) -> str:
    peaks = [summary.peak_bytes for summary in of if summary.peak_bytes is not None]
    return f"{max(peaks) / 2**20:.0f}" if peaks else NONE


def _about(results: Results, anchor: Curve | None) -> str:
    here = results.where
    device = here.cpu if here.device == "cpu" else f"{here.device}, {here.cpu}"
    machine = f"{device} ({here.cpu_capability}, {here.threads} threads, torch {here.torch}, {here.precision})"
    over = f"BD-rates are over {anchor.title}, {anchor.source}. " if anchor else ""
    return f"{over}Seconds are means over pictures and settings on {machine}, feds {here.feds}, {here.date[:10]}."
