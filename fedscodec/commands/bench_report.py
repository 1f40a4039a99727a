"""`feds report`: write the report of a benchmark from its results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .failures import one_sentence
from .options import Debug, Quiet, examples
from .streams import say

EXAMPLES = examples("feds report results/kodak", "feds report results/kodak --anchor jpeg -o over-jpeg/")


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder with the results.json of `feds bench`.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="TO", help="Write to folder TO instead, with results.json and without pictures."
        ),
    ] = None,
    anchor: Annotated[
        str | None, typer.Option(metavar="CODEC", help="Anchor of BD-rates.  [default: VTM-9.1 if it is known]")
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write the page, tables and plots of a benchmark.

    These are report.html, tables.md and SVG files; existing ones are replaced."""
    with one_sentence(debug):
        from ..reports import bench_report

        for path in bench_report.write(folder, output, anchor=anchor):
            say(str(path), quiet)
