"""`feds report`: the report of a bench, made anew from its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .failures import one_sentence
from .options import Debug, Quiet, examples
from .streams import say

EXAMPLES = examples("feds report results/kodak", "feds report results/kodak --anchor jpeg -o over-jpeg/")


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where `feds bench` left results.json.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="TO", help="Put it there, with results.json and without pictures."),
    ] = None,
    anchor: Annotated[
        str | None, typer.Option(metavar="CODEC", help="What BD-rates are over.  [default: VTM-9.1 where it is known]")
    ] = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write report.html, tables.md and the plots of a bench, over those that are there."""
    with one_sentence(debug):
        from ..reports import report as reports

        for path in reports.write(folder, output, anchor=anchor):
            say(str(path), quiet)
