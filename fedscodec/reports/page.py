"""The report as one self-contained HTML page: text, tables, plots and pictures in one file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import mean
from typing import Any

from ..bench import published
from ..bench.bd import bd_rate
from ..bench.curves import Curve, known_metrics, picture_curves
from ..bench.results import Codec, Results
from ..metrics.table import METRICS
from . import charts, viewer
from .axes import INK, colours, comparable, shown_at_first
from .figures import counted, signed
from .scenes import CROP, View
from .tables import (
    Table,
    bd_table,
    distillation_table,
    dots,
    measured_table,
    paper_table_1,
    paper_table_2,
    pictures_table,
    settings_table,
    worst_table,
)
from .templates import Html, fill


@dataclass(frozen=True)
class Tile:
    """A figure at the top of the report; tone is good, bad or nothing."""

    figure: str
    what: str
    detail: str
    tone: str = ""


def render(results: Results, curves: Sequence[Curve], anchor: Curve | None, views: Sequence[View]) -> str:
    """The whole page; curves are measured and published ones, anchor is that of the BD-rates (None: no BD-rates)."""
    speed = charts.speed(dots(results, curves, anchor), anchor.title) if anchor else ""
    return fill(
        "report.html",
        ("report.js",),
        title=f"feds on {results.dataset.name}",
        subtitle=_subtitle(results),
        sections=_sections(bool(views), bool(speed)),
        in_short=in_short(results, curves),
        tiles=tiles(results, curves, anchor),
        notice=_notice(results, anchor),
        measures=[(metric, METRICS[metric].title) for metric in known_metrics(curves)],
        charts=_charts(results, curves, each=bool(views)),
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
    given = (
        over, measured_table(curves), distillation_table(results, curves, anchor), worst_table(results),
        paper_table_1(results, curves, anchor), paper_table_2(results), settings_table(results),
    )  # fmt: skip
    return [table for table in given if table is not None]


def _folded(results: Results, curves: Sequence[Curve], anchor: Curve | None) -> list[Table]:
    every = [replace(bd_table(curves, anchor), name="bd-every", title="Every published curve")] if anchor else []
    return [*every, *(pictures_table(results, key) for key in results.codecs)]


def tiles(results: Results, curves: Sequence[Curve], anchor: Curve | None) -> list[Tile]:
    """The main figures of the report: our first codec over the anchor and over JPEG, its seconds, its bytes over −log₂
    p.
    """
    own = next((curve for curve in curves if curve.kind == "feds"), None)
    if own is None:
        return []
    found = []
    jpeg = next((curve for curve in curves if curve.name == "jpeg" and curve.is_measured), None)
    for other in (anchor, None if jpeg is anchor else jpeg):
        if other is not None and other is not own and (rate := bd_rate(other, own)).is_known:
            figure = f"{signed(rate.percent)} %"
            detail = f"BD-rate by PSNR, {rate.low:.1f} to {rate.high:.1f} dB"
            found.append(Tile(figure, f"bytes against {other.title}", detail, "good" if rate.percent < 0 else "bad"))
    if own.encode and own.decode:
        device = f"{results.where.device}, {counted(results.where.threads, 'thread')}, {results.where.precision}"
        found.append(Tile(f"{mean(own.encode):.2f} s", "to encode a picture", device))
        found.append(Tile(f"{mean(own.decode):.2f} s", "to decode a picture", device))
    ratios = [s.bytes_over_estimate for s in results.summaries if s.codec == own.name and s.bytes_over_estimate]
    if ratios:
        most = f"{100 * (max(ratios) - 1):.2f} %"
        found.append(Tile(most, "above the ideal code", "bytes on disk against −log₂ p, at most"))
    return found


_NEIGHBOURS = ("jpeg", "avif-default", "avif", "webp", "jxl", "vvc")
"""Measured peers in the first sentence of a report, in this order: the formats that people choose between."""


def in_short(results: Results, curves: Sequence[Curve]) -> str:
    """One sentence that helps to decide: how much smaller or larger our files are than those of common formats."""
    own = next((curve for curve in curves if curve.kind == "feds"), None)
    if own is None:
        return ""
    sentences = []
    for metric, words in (("psnr", "At the same PSNR"), ("ssimulacra2", "At the same SSIMULACRA2")):
        told = [part for name in _NEIGHBOURS if (part := _against(own, curves, name, metric))]
        if told:
            sentences.append(f"{words} a file of {own.title} is {_listed(told[:3])}.")
    return " ".join(sentences)


def _against(own: Curve, curves: Sequence[Curve], name: str, metric: str) -> str:
    """`62 % smaller than JPEG`, or nothing if it is not known."""
    other = next((curve for curve in curves if curve.name == name and curve.is_measured), None)
    rate = bd_rate(other, own, metric) if other else None
    if other is None or rate is None or not rate.is_known:
        return ""
    if abs(rate.percent) < 0.5:
        return f"as large as {other.title}"
    return f"{abs(rate.percent):.0f}\u00a0% {'smaller' if rate.percent < 0 else 'larger'} than {other.title}"


def _listed(words: list[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _charts(results: Results, curves: Sequence[Curve], *, each: bool) -> list[dict[str, Any]]:
    """The plots of the means, and of each picture alone if a codec has more than one point."""
    names = dict.fromkeys(row.picture for row in results.rows)
    of_pictures = {name: picture_curves(results, name) for name in names} if each and len(names) > 1 else {}
    several = {name: alone for name, alone in of_pictures.items() if any(len(curve.bpp) > 1 for curve in alone)}
    return [
        {"name": metric, "picture": name, "svg": Html(charts.rate_distortion(of, metric, f"-{number}"))}
        for number, (name, of) in enumerate({"": curves, **several}.items())
        for metric in known_metrics(curves)
    ]


def _sections(pictures: bool, speed: bool) -> list[tuple[str, str]]:
    there = (True, pictures, speed, True, True)
    names = (("curves", "Curves"), ("pictures", "Pictures"), ("speed", "Speed"), ("tables", "Tables"), ("how", "How"))
    return [section for section, is_there in zip(names, there, strict=True) if is_there]


def _asked(codec: Codec) -> str:
    """Version, colours and options of a codec: `JPEG: libjpeg-turbo 3.1, YCbCr 4:2:0, progressive`."""
    return f"{codec.title}: {', '.join(word for word in (codec.version, codec.colour, codec.options) if word)}"


def _measured(results: Results) -> list[str]:
    return [name for name in METRICS if any(name in row.quality for row in results.rows)]


def _with_version(metric: str, results: Results) -> str:
    by = results.where.tools.get(METRICS[metric].title, "")
    return METRICS[metric].about + (f" By {by}." if by and not by.startswith("feds") else "")


def _subtitle(results: Results) -> str:
    pictures, where = counted(results.dataset.pictures, "picture"), results.where
    return f"{pictures} · {counted(len(results.codecs), 'codec')} · feds {where.feds} · {where.date[:10]}"


def _notice(results: Results, anchor: Curve | None) -> str:
    if comparable(results):
        return ""
    name, count = results.dataset.name, published.picture_count(results.dataset.name)
    why = f"published curves are means over all {count} pictures of {name}, these figures are not" if count else (
        f"nobody published curves for the pictures of {name} that are known here"
    )  # fmt: skip
    over = f"BD-rates are over {anchor.title}, which was measured in this run." if anchor else "There are no BD-rates."
    return f"{why[0].upper()}{why[1:]}. {over}"


def _weight(curve: Curve) -> str:
    if curve.is_measured:
        return "ours" if curve.kind == "feds" else "peer"
    return f"published {curve.kind}{' anchor' if curve.name == published.ANCHOR else ''}"


def _legend(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    colour = {name: "var(--ink)" if value == INK else value for name, value in colours(curves).items()}
    groups = (("Measured here", True), ("Published", False))
    legend = []
    for title, measured in groups:
        of = [curve for curve in curves if curve.is_measured == measured]
        entries = [
            {"name": c.name, "title": c.title, "source": c.source, "colour": colour[c.name],
             "shown": shown_at_first(c),
             "weight": _weight(c)}
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
    peers = "; ".join(_asked(codec) for codec in results.codecs.values() if codec.kind != "feds")
    own = "; ".join(f"{c.title}: fingerprint {c.fingerprint}" for c in results.codecs.values() if c.fingerprint)
    left_out = "; ".join(f"{name} ({why})" for name, why in dataset.left_out.items())
    how = [
        (
            "Pictures",
            f"{dataset.name}, {dataset.pictures}, {dataset.pixels:,} pixels; {dataset.checked or 'unchecked'}",
        ),
        ("Left out", left_out),
        ("Machine", f"{machine}; {where.device}, {counted(where.threads, 'thread')}, {where.precision}"),
        ("Versions", f"feds {where.feds}, torch {where.torch}, Python {where.python}"),
        ("Networks", own),
        ("Peers", peers),
        ("Date", where.date),
        ("Sizes", "Bytes of whole files as they lie on a disk, headers included; never estimates."),
        *((METRICS[name].title, _with_version(name, results)) for name in _measured(results)),
        ("BD-rate", "PCHIP of log rate over quality, where both curves are defined (the bjontegaard library)."),
        ("Seconds", "Of library calls with the network loaded, coder included, reading and writing of files not."),
    ]
    return [(name, value) for name, value in how if value]
