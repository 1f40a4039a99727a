"""The tables of the report, as words ready to be shown: as HTML, and as Markdown for a README.

They include the paper's Tables 1 and 2 with our measured rows below the paper's own.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean

from ..bench import published
from ..bench.bd import LEAST_SHARE, BdRate, bd_rate
from ..bench.curves import Curve, known_metrics
from ..bench.results import Results, Row, Summary
from ..metrics.table import METRICS, Metric
from .axes import colours
from .figures import counted, signed
from .layout import Dot

NONE = "–"
_PIXELS_OF_TABLE_2 = 2560 * 1536
_ANCHORS = (published.ANCHOR, "vvc", "hevc", "jpeg")


@dataclass(frozen=True)
class Line:
    """A row of a table; kind is feds, peer, classic, learned or paper."""

    cells: tuple[str, ...]
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """A table with the notes below it. Columns named in `words` hold no figures."""

    name: str
    title: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    words: frozenset[str] = frozenset()


def choose_anchor(curves: Sequence[Curve], wanted: str | None = None) -> Curve | None:
    """The anchor of BD-rates: the curve `wanted`, or VTM-9.1, or the best measured codec that can replace it."""
    by_name = {curve.name: curve for curve in curves}
    order = (wanted,) if wanted else _ANCHORS
    return next((by_name[name] for name in order if name in by_name), None)


def bd_rates(curves: Iterable[Curve], anchor: Curve, metric: str = "psnr") -> dict[str, BdRate]:
    """BD-rate of every curve over the anchor, by name."""
    return {curve.name: bd_rate(anchor, curve, metric) for curve in curves}


def bd_table(curves: Sequence[Curve], anchor: Curve) -> Table:
    """Every curve by its BD-rate over the anchor, those with the fewest bytes first."""
    by_psnr, by_similarity = bd_rates(curves, anchor), bd_rates(curves, anchor, "ms_ssim")
    order = sorted(curves, key=lambda c: by_psnr[c.name].percent if by_psnr[c.name].is_known else math.inf)
    marks = _Marks()
    lines = tuple(
        Line(
            (
                curve.title + (" (anchor)" if curve is anchor else ""),
                marks.percent(by_psnr[curve.name]),
                _interval(by_psnr[curve.name]),
                marks.percent(by_similarity[curve.name]),
                "measured here" if curve.is_measured else curve.source,
            ),
            curve.kind,
        )
        for curve in order
    )
    columns = ("codec", "BD-rate, PSNR", "over, dB", "BD-rate, MS-SSIM", "points")
    title = f"Rate over {anchor.title} at equal quality"
    return Table("bd", title, columns, lines, marks.notes, frozenset({"points"}))


def measured_table(curves: Sequence[Curve]) -> Table | None:
    """Every measured curve over JPEG, or its first replacement, by every metric; None without two curves."""
    measured = [curve for curve in curves if curve.is_measured]
    anchor = next((c for name in ("jpeg", *_ANCHORS) for c in measured if c.name == name), None)
    if anchor is None or len(measured) < 2:
        return None
    metrics, marks = known_metrics(measured), _Marks()
    rates = {name: bd_rates(measured, anchor, name) for name in metrics}
    first = rates[metrics[0]]
    order = sorted(measured, key=lambda c: first[c.name].percent if first[c.name].is_known else math.inf)
    lines = tuple(
        Line((curve.title, *(marks.percent(rates[name][curve.name]) for name in metrics)), curve.kind)
        for curve in order
    )
    columns = ("codec", *(METRICS[name].title for name in metrics))
    title = f"Rate over {anchor.title} at equal quality, by every metric"
    return Table("bd-measured", title, columns, lines, marks.notes)


def worst_table(results: Results) -> Table | None:
    """For every codec at its middle setting, and for every metric, the worst picture."""
    metrics = _row_metrics(results.rows)
    if results.dataset.pictures < 2 or not metrics:
        return None
    lines, stems = [], Counter(Path(name).stem for name in {row.picture for row in results.rows})
    for key, codec in results.codecs.items():
        settings = [summary.setting for summary in results.summaries if summary.codec == key]
        middle = settings[len(settings) // 2]
        rows = [row for row in results.rows if (row.codec, row.setting) == (key, middle)]
        cells = (_worst(rows, METRICS[name], stems) for name in metrics)
        bpp = f"{mean(row.bpp for row in rows):.2f}"
        lines.append(Line((f"{codec.title}, {codec.setting} {middle:g}", bpp, *cells), codec.kind))
    titles = tuple(METRICS[name].title for name in metrics)
    columns = ("codec at its middle setting", "mean bpp", *titles)
    notes = ("Middle settings of codecs differ in bits per pixel: a worse picture may come from a smaller file.",)
    return Table("worst", "The picture that comes out worst", columns, tuple(lines), notes, frozenset(titles))


def _worst(rows: Sequence[Row], metric: Metric, stems: Mapping[str, int]) -> str:
    worst = rows[0]
    for row in rows:
        if metric.height(row.quality[metric.name]) < metric.height(worst.quality[metric.name]):
            worst = row
    stem = Path(worst.picture).stem
    return f"{metric.figure(worst.quality[metric.name])}, {stem if stems[stem] == 1 else worst.picture}"


def _row_metrics(rows: Sequence[Row]) -> list[str]:
    """The metrics that every row has."""
    return [name for name in METRICS if rows and all(name in row.quality for row in rows)]


def distillation_table(results: Results, curves: Sequence[Curve], anchor: Curve | None) -> Table | None:
    """Student beside teacher and beside a student trained directly, if two networks or more were measured.

    Rates are over the anchor, and over the student without a teacher, or else over the first network.
    """
    own = {curve.name: curve for curve in curves if curve.kind == "feds"}
    if len(own) < 2:
        return None
    roles = {name: results.codecs[name].role for name in own}
    direct = next((own[name] for name, role in roles.items() if role == "direct"), next(iter(own.values())))
    marks, lines = _Marks(), []
    for name, curve in own.items():
        codec = results.codecs[name]
        rate = marks.percent(bd_rate(anchor, curve)) if anchor and anchor is not curve else NONE
        lines.append(Line((
            curve.title, _ROLES[roles[name]], codec.training or NONE, _millions(codec.parameters),
            NONE if codec.kmacs_per_pixel is None else f"{codec.kmacs_per_pixel:.0f}",
            rate, marks.percent(bd_rate(direct, curve)), NONE if not curve.decode else _seconds(mean(curve.decode)),
        ), "feds"))  # fmt: skip
    over = f"over {anchor.title}" if anchor else "over an anchor"
    columns = ("network", "role", "training", "parameters", "kMAC/px", over, f"over {direct.title}", "decode")
    notes = (
        "Distillation is worth what its student needs less than one that was trained directly for as long.",
        *marks.notes,
    )
    words = frozenset({"role", "training"})
    return Table(
        "distillation", "Distillation: student, teacher, and a student without one", columns, tuple(lines), notes, words
    )


_ROLES = {"teacher": "teacher", "distilled": "student of a teacher", "direct": "student, trained directly", "": NONE}


class _Marks:
    """Figures with a letter after the uncertain ones, and the meaning of the letters."""

    def __init__(self) -> None:
        self._letters: dict[str, str] = {}

    def percent(self, found: BdRate) -> str:
        figure = f"{signed(found.percent, '.2f')} %" if found.is_known else NONE
        if found.warning is None or "is not known" in found.warning:
            return figure
        reason = found.warning
        if found.is_known and found.share < LEAST_SHARE:
            reason = f"less than {100 * LEAST_SHARE:.0f} % of the shorter curve overlaps"
        letter = self._letters.setdefault(reason, chr(ord("a") + len(self._letters) % 26))
        return f"{figure} ({letter})"

    @property
    def notes(self) -> tuple[str, ...]:
        return tuple(f"({letter}) {warning}." for warning, letter in self._letters.items())


def _interval(found: BdRate) -> str:
    return f"{found.low:.1f} … {found.high:.1f}" if found.is_known else NONE


def paper_table_1(results: Results, curves: Sequence[Curve], anchor: Curve | None) -> Table | None:
    """The paper's Table 1 for this data set, followed by our measurements; None for a set that is not in the paper."""
    rows = published.paper_table_1(results.dataset.name)
    if not rows:
        return None
    known = {curve.name: curve for curve in curves if not curve.is_measured}
    marks = _Marks()

    def over_anchor(curve: Curve | None) -> str:
        return NONE if curve is None or anchor is None else marks.percent(bd_rate(anchor, curve))

    lines = [
        Line((row.method, _seconds(row.encode_seconds), _seconds(row.decode_seconds), _percent(row.bd_rate),
              over_anchor(known.get(row.curve or "")), _millions(row.parameters)), "paper")
        for row in rows
    ]  # fmt: skip
    for curve in curves:
        if curve.is_measured:
            times = (_seconds(mean(half)) if half else NONE for half in (curve.encode, curve.decode))
            size = _millions(results.codecs[curve.name].parameters)
            lines.append(Line((curve.title, *times, NONE, over_anchor(curve), size), curve.kind))
    over = f"BD-rate over {anchor.title} from points" if anchor else "BD-rate from points"
    columns = ("method", "encode", "decode", "BD-rate, as printed", over, "parameters")
    notes = (
        f"Rows of the paper: {published.paper_hardware()}; BD-rates as it prints them, over its own VVC. "
        "Where others published the points of a method, its BD-rate was computed again from them.",
        f"Rows from here: {results.where.cpu}, {results.where.device}, {counted(results.where.threads, 'thread')}; "
        "means over the pictures and the settings. Seconds on different machines do not compare.",
        *_doubts(results),
        *marks.notes,
    )
    title = f"Table 1 of the paper, {results.dataset.name}, with what was measured here"
    return Table("paper-1", title, columns, tuple(lines), notes)


def _doubts(results: Results) -> list[str]:
    name, whole = results.dataset.name, published.picture_count(results.dataset.name)
    doubts = []
    if whole and whole != results.dataset.pictures:
        doubts.append(f"Rows from here are of {results.dataset.pictures} of the {whole} pictures.")
    if name == "clic2021":
        doubts.append("The paper's seconds of the student on CLIC are those on Kodak, whose pictures are smaller.")
    return doubts


def paper_table_2(results: Results) -> Table:
    """The paper's Table 2: multiply-accumulates of a 2560×1440 picture, with the networks of this run below."""
    lines = [Line((method, f"{value:.2f} T", NONE), "paper") for method, value in published.paper_table_2().items()]
    for codec in results.codecs.values():
        if codec.kmacs_per_pixel is not None:
            total = codec.kmacs_per_pixel * 1000 * _PIXELS_OF_TABLE_2 / 1e12
            lines.append(Line((codec.title, f"{total:.2f} T", f"{codec.kmacs_per_pixel:.0f}"), codec.kind))
    notes = (
        "The paper calls them FLOPs; its figures fit multiply-accumulates of the whole forward pass on the picture "
        "padded to 2560×1536, and so are ours counted.",
    )
    title = "Table 2 of the paper: multiply-accumulates on 2560×1440"
    return Table("paper-2", title, ("method", "multiply-accumulates", "thousands a pixel"), tuple(lines), notes)


def settings_table(results: Results) -> Table:
    """Every codec at every setting: means over the pictures, and the seconds of each of our stages."""
    lines, metrics = [], _row_metrics(results.rows)
    for summary in results.summaries:
        codec = results.codecs[summary.codec]
        partial = "" if summary.pictures == results.dataset.pictures else f" ({summary.pictures} pictures)"
        setting = f"{codec.title}, {codec.setting} {summary.setting:g}{partial}"
        over = NONE if summary.bytes_over_estimate is None else f"{summary.bytes_over_estimate:.4f}"
        lines.append(Line((
            setting, f"{summary.bpp:.4f}", *_figures(summary.quality, metrics),
            _seconds(summary.encode_seconds), _seconds(summary.decode_seconds), over, _stages(summary),
        ), codec.kind))  # fmt: skip
    titles = (METRICS[name].title for name in metrics)
    columns = ("codec and setting", "bpp", *titles, "encode", "decode", "bytes ÷ −log₂ p", "stages")
    notes = tuple(
        f"{codec.title}: {codec.version}, {codec.colour}{', ' + codec.options if codec.options else ''}."
        for codec in results.codecs.values()
    )
    return Table("settings", "Every setting", columns, tuple(lines), notes, frozenset({"stages"}))


def pictures_table(results: Results, codec: str) -> Table:
    """Every picture at every setting of one codec."""
    of, metrics = results.codecs[codec], _row_metrics(results.rows)
    lines = tuple(
        Line((
            row.picture, f"{row.setting:g}", f"{row.bytes:,}", f"{row.bpp:.4f}", *_figures(row.quality, metrics),
            NONE if row.worst_error is None else str(row.worst_error),
            _seconds(row.encode_seconds), _seconds(row.decode_seconds),
        ))
        for row in sorted(results.rows, key=lambda row: (row.picture, row.bytes))
        if row.codec == codec
    )  # fmt: skip
    titles = (METRICS[name].title for name in metrics)
    columns = ("picture", of.setting, "bytes", "bpp", *titles, "worst error", "encode", "decode")
    return Table(f"pictures-{codec}", f"Every picture: {of.title}", columns, lines)


def _stages(summary: Summary) -> str:
    halves = (("encode", summary.encode), ("decode", summary.decode))
    return "; ".join(
        f"{half}: " + ", ".join(f"{name} {seconds:.3f}" for name, seconds in stages.items())
        for half, stages in halves
        if len(stages) > 1
    )


def dots(results: Results, curves: Sequence[Curve], anchor: Curve) -> list[Dot]:
    """Everything with a known rate over the anchor and known seconds to decode: measured, the paper's, others'."""
    rates, colour = bd_rates(curves, anchor), colours(curves)
    found = []
    for curve in curves:
        if curve.is_measured and curve.decode and rates[curve.name].is_known:
            rate, size = rates[curve.name], results.codecs[curve.name].parameters
            found.append(Dot(curve.name, curve.title, mean(curve.decode), rate.percent, size, "this machine",
                             "measured", colour[curve.name], rate.warning is not None))  # fmt: skip
    if anchor.is_measured:
        return found  # what others print is over VTM
    faint = Dot("", "", 1.0, 0.0, None, "the paper's V100", "paper", "#4263eb")
    for row in published.paper_table_1(results.dataset.name):
        title = f"{row.method} (paper)" if row.method in ("Teacher", "Student") else row.method
        found.append(replace(faint, name=f"paper-{row.method}", title=title, decode_seconds=row.decode_seconds,
                             bd_rate=row.bd_rate, parameters=row.parameters))  # fmt: skip
    titles = {curve.name: curve.title for curve in curves}
    for entry in published.complexities():
        if entry.curve in rates and rates[entry.curve].is_known:
            found.append(replace(faint, name=entry.curve, title=titles[entry.curve], hardware=entry.hardware,
                                 group="others", colour="#868e96",
                                 decode_seconds=entry.decode_seconds, bd_rate=rates[entry.curve].percent,
                                 parameters=entry.parameters))  # fmt: skip
    return found


def markdown(table: Table) -> str:
    """A table as Markdown, with its title above it and its notes below."""
    rule = ("---", *("---" if name in table.words else "--:" for name in table.columns[1:]))
    lines = [table.columns, rule, *(line.cells for line in table.lines)]
    body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in lines)
    whole = "\n\n".join([f"### {table.title}", body, *table.notes]) + "\n"
    return whole.replace("<", "\\<")  # a name may hold what looks like HTML


def figure(value: float, metric: str) -> str:
    """A value of a metric with its digits, ∞ for a picture without any error."""
    return f"{value:.{METRICS[metric].digits}f}".replace("-", "−") if math.isfinite(value) else "∞"


def _figures(quality: Mapping[str, float], metrics: Sequence[str]) -> list[str]:
    return [figure(quality[name], name) for name in metrics]


def _percent(value: float) -> str:
    return f"{signed(value, 'g')} %" if value else "0 %"


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value < 1000 else f"{value:.0f} s"


def _millions(value: int | None) -> str:
    return NONE if value is None else f"{value / 1e6:.2f} M"
