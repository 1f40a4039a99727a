"""From NAME.json of an ablation to its page, its Markdown and its plots, all of them functions of that file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean

from ..ablations.plan import VIEWS
from ..ablations.rates import METRICS as COMPARED
from ..ablations.rates import Rates, Spread, rates, vtm
from ..ablations.results import Ablation, Done, path_of, read
from ..bench.bd import BdRate
from ..bench.curves import Curve
from ..errors import FedsError
from ..files.outputs import write_file
from ..metrics.table import METRICS
from . import charts, plots
from .figures import signed
from .tables import NONE, Line, Table, figure, markdown
from .templates import Html, fill


def write(folder: Path, name: str) -> list[Path]:
    """Write NAME.html, NAME.md and the plots of a table beside its NAME.json; gives the files, the page first.

    FedsError without results, and without the libraries of the `bench` extra.
    """
    ablation = read(path_of(folder, name))
    if ablation is None:
        raise FedsError(f"{path_of(folder, name)}: no such results")
    found = list(rates(ablation))
    drawn = all_plots(ablation, found)
    made = {
        f"{name}.html": render(ablation, found, drawn).encode(),
        f"{name}.md": text(ablation, found).encode(),
        **{f"{name}-{plot}.svg": plots.alone(svg) for plot, svg in drawn.items()},
    }
    for file, data in made.items():
        write_file(folder / file, data, force=True)
    return [folder / file for file in made]


def text(ablation: Ablation, found: Sequence[Rates]) -> str:
    """The tables as Markdown, with what the paper found above them."""
    about = ablation.table
    head = f"## {about['title']}\n\nThe paper: {about['paper']}\n\n{_how(ablation)}\n"
    return "\n".join([head, *(markdown(table) for table in tables(ablation, found))])


def render(ablation: Ablation, found: Sequence[Rates], drawn: dict[str, str]) -> str:
    """The page."""
    return fill(
        "ablation.html",
        (),
        title=ablation.table["title"],
        subtitle=f"The paper: {ablation.table['paper']}",
        sections=(("plots", "Plots"), ("tables", "Tables"), ("commands", "Commands")),
        how=_how(ablation),
        plots=[(_NAMES.get(name, name), Html(svg)) for name, svg in drawn.items()],
        tables=tables(ablation, found),
        commands=commands(ablation),
    )


def tables(ablation: Ablation, found: Sequence[Rates]) -> list[Table]:
    """A table for each view that has runs, and one of every quality."""
    views = [view for view in VIEWS if any(rate.view == view for rate in found)]
    return [*(worth_table(ablation, found, view) for view in views), points_table(ablation)]


def worth_table(ablation: Ablation, found: Sequence[Rates], view: str) -> Table:
    """Every variant in a view: what it is, what it took, and its rate over the baseline and over VTM-9.1."""
    anchor = vtm(ablation)
    lines, doubts = [], dict[str, None]()
    for name, about in ablation.variants.items():
        of = [rate for rate in found if rate.view == view and rate.run.variant == name]
        if not of:
            continue
        runs = [rate.run for rate in of]
        over = [_spread(of, "over_baseline", metric, doubts) for metric in COMPARED]
        above = [_spread(of, "over_vtm", metric, doubts) for metric in COMPARED] if anchor else []
        lines.append(Line((
            about.title, f"{about.parameters / 1e6:.2f} M", f"{about.kmacs_per_pixel:.0f}", f"{runs[0].steps:,}",
            f"{runs[0].pixels / 1e6:,.0f}", f"{mean(run.minutes for run in runs):.1f}",
            f"{mean(run.seconds_a_step for run in runs):.3f}", f"{about.pace:.3f}", *over,
            _shown(Spread.of([rate.gain for rate in of]), "dB"), *above, str(len(of)),
        ), "feds"))  # fmt: skip
    titles = [METRICS[metric].title for metric in COMPARED]
    columns = (
        "variant", "parameters", "kMAC/px", "steps", "megapixels", "minutes", "s a step", "timed",
        *(f"over the baseline, {title}" for title in titles), "PSNR at equal rate",
        *(f"over {anchor.title}, {title}" for title in titles if anchor), "seeds",
    )  # fmt: skip
    notes = (
        "Rates are BD-rates over the baseline of the same seed: the mean over the seeds, and in brackets the least and "
        "the most. Minutes and s a step are by the clock, with checkpoints and other work on the machine. The timed "
        "seconds a step are those of the cores in use, measured before the runs; they set the steps.",
        *(f"{doubt[0].upper()}{doubt[1:]}." for doubt in doubts),
    )
    return Table(f"{ablation.table['name']}-{view}", f"At {VIEWS[view]}", columns, tuple(lines), notes)


def _spread(of: Sequence[Rates], over: str, metric: str, doubts: dict[str, None]) -> str:
    """Mean and spread of a rate, with a star where one of them is uncertain."""
    known: list[BdRate] = [getattr(rate, over)[metric] for rate in of if getattr(rate, over)]
    for rate in known:
        if rate.warning:
            doubts[f"(*) {rate.warning}"] = None
    shown = _shown(Spread.of([rate.percent for rate in known]), "%")
    return f"{shown} (*)" if any(rate.warning for rate in known) else shown


def _shown(spread: Spread, unit: str) -> str:
    """`−1.32 % (−1.50 … −1.14)`, or the mean alone of one value."""
    if not spread.count:
        return NONE
    mid, low, high = (_signed(value) for value in (spread.mean, spread.low, spread.high))
    return f"{mid} {unit}" if spread.count == 1 else f"{mid} {unit} ({low} … {high})"


def _signed(value: float) -> str:
    rounded = round(value, 2)
    return signed(rounded, ".2f") if rounded else "0.00"


def points_table(ablation: Ablation) -> Table:
    """Every run at every quality."""
    lines = tuple(
        Line((
            f"{ablation.variants[run.variant].title}, seed {run.seed}", f"{run.steps:,}", f"q{point.quality:g}",
            f"{point.bpp:.4f}", *(figure(point.figures[name], name) for name in COMPARED), run.fingerprint,
        ))
        for run in _ordered(ablation)
        for point in run.points
    )  # fmt: skip
    columns = ("run", "steps", "quality", "bpp", *(METRICS[name].title for name in COMPARED), "fingerprint")
    count, data = ablation.dataset.pictures, ablation.dataset.name
    notes = (f"Means over the {count} pictures of {data}, whole files, encoded and decoded.",)
    return Table(f"{ablation.table['name']}-points", "Every quality", columns, lines, notes, frozenset({"fingerprint"}))


def _ordered(ablation: Ablation) -> list[Done]:
    order = list(ablation.variants)
    return sorted(ablation.runs, key=lambda run: (order.index(run.variant), run.steps, run.seed))


def commands(ablation: Ablation) -> list[tuple[str, str]]:
    """The name of each run and the command that trains it."""
    return [(f"{run.variant}, seed {run.seed}, {run.steps:,} steps", run.command) for run in _ordered(ablation)]


_NAMES = {
    **{f"{view}-psnr": f"Rate over the baseline at {words}, PSNR: a dot a seed" for view, words in VIEWS.items()},
    **{f"{view}-rd": f"Rate and distortion at {words}, means over the seeds" for view, words in VIEWS.items()},
}


def all_plots(ablation: Ablation, found: Sequence[Rates]) -> dict[str, str]:
    """SVG by name: of each view the rates over the baseline, and the curves."""
    drawn = {}
    for view, words in VIEWS.items():
        rows = [
            (about.title, [value for rate in found if (rate.view, rate.run.variant) == (view, name)
                           if math.isfinite(value := rate.over_baseline["psnr"].percent)])
            for name, about in ablation.variants.items()
            if any((rate.view, rate.run.variant) == (view, name) and rate.over_baseline for rate in found)
        ]  # fmt: skip
        if rows:
            drawn[f"{view}-psnr"] = charts.spread(rows, f"worth-{view}", f"rate over the baseline at {words}")
        if curves := _curves(ablation, view):
            drawn[f"{view}-rd"] = charts.rate_distortion(curves, "psnr", f"-{view}")
    return drawn


def _curves(ablation: Ablation, view: str) -> list[Curve]:
    """The mean over the seeds of each variant, and VTM-9.1."""
    curves = []
    for name, about in ablation.variants.items():
        of = [run.curve for run in ablation.of(view, name)]
        if not of:
            continue
        bpp, psnr = (tuple(map(mean, zip(*each, strict=True))) for each in (
            [curve.bpp for curve in of], [curve.quality["psnr"] for curve in of],
        ))  # fmt: skip
        curves.append(replace(of[0], name=name, title=about.title, kind="peer", bpp=bpp, quality={"psnr": psnr}))
    anchor = vtm(ablation)
    return [*curves, anchor] if anchor and curves else curves


def _how(ablation: Ablation) -> str:
    """One paragraph: what was equal, where it was measured."""
    asked, runs = ablation.asked, ablation.runs
    machines = dict.fromkeys(f"{run.measured['cpu']}, {run.trained['workers']} workers" for run in runs)
    start = f"Weights to start from: {asked.student}. " if asked.student else ""
    teacher = f"Teacher: {asked.teacher}. " if asked.teacher else ""
    return (
        f"Equal minutes: as many steps as fit into {asked.minutes:g} minutes at each variant's pace; equal steps: as "
        f"many as the slowest has then. {start}{teacher}Training pixels: {asked.data}. "
        f"Trained and measured on: {'; '.join(machines) or 'nothing yet'}."
    )
