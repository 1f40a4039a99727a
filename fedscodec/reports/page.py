"""The report as one HTML page: text, tables, plots and pictures in one file that asks no network for anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from ..bench import published
from ..bench.bd import bd_rate
from ..bench.curves import METRICS, SHORT, Curve, picture_curves
from ..bench.results import Results
from . import charts, viewer
from .axes import INK, colours, comparable, shown_at_first
from .scenes import CROP, View
from .tables import Table, bd_table, dots, paper_table_1, paper_table_2, pictures_table, settings_table
from .templates import Html, fill


@dataclass(frozen=True)
class Tile:
    """A figure that says most of it; tone is good, bad or nothing."""

    figure: str
    what: str
    detail: str
    tone: str = ""


def render(results: Results, curves: Sequence[Curve], anchor: Curve | None, views: Sequence[View]) -> str:
    """The whole page; curves are measured and published ones, anchor what BD-rates are over (None: nothing is)."""
    speed = charts.speed(dots(results, curves, anchor), anchor.title) if anchor else ""
    return fill(
        "report.html",
        ("report.js",),
        dataset=results.dataset,
        subtitle=_subtitle(results),
        sections=_sections(bool(views), bool(speed)),
        tiles=tiles(results, curves, anchor),
        notice=_notice(results, anchor),
        measures=[(metric, SHORT[metric]) for metric in METRICS],
        charts=_charts(results, curves),
        legend=_legend(curves),
        viewer=Html(viewer.fragment([view.scene for view in views])) if views else "",
        starts=json.dumps([[view.left, view.top] for view in views]),
        crop=CROP,
        speed=Html(speed),
        speed_lead=_speed_lead(results, anchor),
        tables=tables(results, curves, anchor),
        folded=_folded(results, curves, anchor),
        how=_how(results),
    )


def tables(results: Results, curves: Sequence[Curve], anchor: Curve | None) -> list[Table]:
    """The tables of the report, in order."""
    over = bd_table([c for c in curves if shown_at_first(c) or c is anchor], anchor) if anchor else None
    given = (over, paper_table_1(results, curves, anchor), paper_table_2(results), settings_table(results))
    return [table for table in given if table is not None]


def _folded(results: Results, curves: Sequence[Curve], anchor: Curve | None) -> list[Table]:
    every = [replace(bd_table(curves, anchor), name="bd-every", title="Every published curve")] if anchor else []
    return [*every, *(pictures_table(results, key) for key in results.codecs)]


def tiles(results: Results, curves: Sequence[Curve], anchor: Curve | None) -> list[Tile]:
    """The report in figures: our first codec over the anchor and over JPEG, its seconds, its bytes over −log₂ p."""
    own = next((curve for curve in curves if curve.kind == "feds"), None)
    if own is None:
        return []
    found = []
    jpeg = next((curve for curve in curves if curve.name == "jpeg" and curve.is_measured), None)
    for other in (anchor, jpeg):
        if other is not None and other is not own and (rate := bd_rate(other, own)).is_known:
            figure = f"{rate.percent:+.1f} %".replace("-", "−")
            detail = f"BD-rate by PSNR, {rate.low:.1f} to {rate.high:.1f} dB"
            found.append(Tile(figure, f"bytes against {other.title}", detail, "good" if rate.percent < 0 else "bad"))
    if own.encode and own.decode:
        device = f"{results.where.device}, {results.where.threads} threads, {results.where.precision}"
        found.append(Tile(f"{mean(own.encode):.2g} s", "to encode a picture", device))
        found.append(Tile(f"{mean(own.decode):.2g} s", "to decode a picture", device))
    ratios = [s.bytes_over_estimate for s in results.summaries if s.codec == own.name and s.bytes_over_estimate]
    if ratios:
        most = f"{100 * (max(ratios) - 1):.2f} %"
        found.append(Tile(most, "above the ideal code", "bytes on disk against −log₂ p, at most"))
    return found


def _charts(results: Results, curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """The plots of the means, and of every picture alone where a codec has more than one point."""
    names = dict.fromkeys(row.picture for row in results.rows)
    of_pictures = {name: picture_curves(results, name) for name in names} if len(names) > 1 else {}
    several = {name: alone for name, alone in of_pictures.items() if any(len(curve.bpp) > 1 for curve in alone)}
    return [
        {"name": metric, "picture": name, "svg": Html(charts.rate_distortion(of, metric, f"-{number}"))}
        for number, (name, of) in enumerate({"": curves, **several}.items())
        for metric in METRICS
    ]


def _sections(pictures: bool, speed: bool) -> list[tuple[str, str]]:
    there = (True, pictures, speed, True, True)
    names = (("curves", "Curves"), ("pictures", "Pictures"), ("speed", "Speed"), ("tables", "Tables"), ("how", "How"))
    return [section for section, is_there in zip(names, there, strict=True) if is_there]


def _subtitle(results: Results) -> str:
    count, where = results.dataset.pictures, results.where
    pictures = f"{count} picture{'s' if count != 1 else ''}"
    return f"{pictures} · {len(results.codecs)} codecs · feds {where.feds} · {where.date[:10]}"


def _notice(results: Results, anchor: Curve | None) -> str:
    if comparable(results):
        return ""
    name, count = results.dataset.name, published.picture_count(results.dataset.name)
    why = f"published curves are means over all {count} pictures of {name}, these figures are not" if count else (
        f"nobody published curves for the pictures of {name} that are known here"
    )  # fmt: skip
    over = f"BD-rates are over {anchor.title}, which was measured in this run." if anchor else "There are no BD-rates."
    return f"{why[0].upper()}{why[1:]}. {over}"


def _legend(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    colour = {name: "var(--ink)" if value == INK else value for name, value in colours(curves).items()}
    groups = (("Measured here", True), ("Published", False))
    legend = []
    for title, measured in groups:
        of = [curve for curve in curves if curve.is_measured == measured]
        entries = [
            {"name": c.name, "title": c.title, "source": c.source, "colour": colour[c.name],
             "shown": shown_at_first(c),
             "weight": "ours" if c.kind == "feds" else "peer" if measured else f"published {c.kind}"}
            for c in sorted(of, key=lambda c: not shown_at_first(c))
        ]  # fmt: skip
        if entries:
            legend.append({"title": title, "entries": entries})
    return legend


def _speed_lead(results: Results, anchor: Curve | None) -> str:
    if anchor is None:
        return ""
    words = (
        f"Seconds to decode a picture against rate over {anchor.title}, up and left is better. The area of a circle is "
        "the number of parameters; small dots have none. "
    )
    if anchor.is_measured:
        return words
    return words + (
        f"Filled: measured here ({results.where.cpu or results.where.device}). Hollow: published, on other machines: "
        "of their seconds only the order of magnitude says something. The paper shows this as its Fig. 1."
    )


def _how(results: Results) -> list[tuple[str, str]]:
    where, dataset = results.where, results.dataset
    machine = f"{where.cpu}, {where.machine}, {where.cpu_capability}"
    peers = "; ".join(f"{c.title}: {c.version}, {c.colour}" for c in results.codecs.values() if c.kind != "feds")
    own = "; ".join(f"{c.title}: fingerprint {c.fingerprint}" for c in results.codecs.values() if c.fingerprint)
    how = [
        (
            "Pictures",
            f"{dataset.name}, {dataset.pictures}, {dataset.pixels:,} pixels; {dataset.checked or 'unchecked'}",
        ),
        ("Machine", f"{machine}; {where.device}, {where.threads} threads, {where.precision}"),
        ("Versions", f"feds {where.feds}, torch {where.torch}, Python {where.python}"),
        ("Networks", own),
        ("Peers", peers),
        ("Date", where.date),
        ("Sizes", "Bytes of whole files as they lie on a disk, headers included; never estimates."),
        ("PSNR", "Of the mean square error over the RGB samples of a picture, then the mean over pictures."),
        ("MS-SSIM", "Over RGB; the mean over pictures, then as −10 log₁₀(1 − x)."),
        ("BD-rate", "PCHIP of log rate over quality, where both curves are defined (the bjontegaard library)."),
        ("Seconds", "Of library calls with the network loaded, coder included, reading and writing of files not."),
    ]
    return [(name, value) for name, value in how if value]
