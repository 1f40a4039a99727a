"""`feds models`: the networks at hand, and those that can be trained."""

from __future__ import annotations

from typing import Annotated

import typer

from . import report
from .failures import one_sentence
from .options import Debug


def models(
    every: Annotated[bool, typer.Option("--all", help="Also every variant that can be trained.")] = False,
    debug: Debug = False,
) -> None:
    """List the networks that are installed."""
    with one_sentence(debug):
        from ..registry import folders, installed

        found = installed()
        if not found:
            places = ", ".join(str(folder) for folder in folders())
            typer.echo(f"feds: no weights files are in {places}", err=True)
        report.print_table(report.models_table(found))
        if every:
            from ..networks.spec import VARIANTS

            report.print_table(report.variants_table(VARIANTS))
