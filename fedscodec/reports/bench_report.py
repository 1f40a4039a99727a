"""Make the report of a run from its folder: report.html, plots and tables, all from results.json."""

from __future__ import annotations

from pathlib import Path

from ..bench.curves import measured_curves
from ..bench.results import read_results, to_json
from ..errors import FedsError
from ..files.outputs import write_file
from . import page, plots
from .axes import comparable
from .scenes import views
from .tables import choose_anchor, markdown


def write(folder: Path, destination: Path | None = None, *, anchor: str | None = None) -> list[Path]:
    """Make the report of a run from its results.json, and from its decoded pictures if they are there.

    destination: another folder, created if needed, for the results and a report without pictures; it can be published
    even if the pictures may not be. anchor: the curve for BD-rates, measured or published; by default VTM-9.1 if it was
    published for these pictures. Returns the files that were written, report.html first. Raises FedsError without
    results, for an unknown anchor, and without the libraries of the `bench` extra.
    """
    results = read_results(folder)
    curves = [*measured_curves(results), *comparable(results)]
    chosen = choose_anchor(curves, anchor)
    if anchor and chosen is None:
        known = ", ".join(curve.name for curve in curves) or "none"
        raise FedsError(f"{folder}: expected an anchor among {known}, found {anchor}")
    html = page.render(results, curves, chosen, views(results, folder) if destination is None else [])
    tables = "\n".join(markdown(table) for table in page.tables(results, curves, chosen))
    made = {
        "report.html": html.encode(errors="backslashreplace"),
        "tables.md": tables.encode(errors="backslashreplace"),
        **plots.all_plots(results, curves, chosen),
    }
    if destination is not None:
        made["results.json"] = to_json(results).encode()
        destination.mkdir(parents=True, exist_ok=True)
    for name, data in made.items():
        write_file((destination or folder) / name, data, force=True)
    return [(destination or folder) / name for name in made]
