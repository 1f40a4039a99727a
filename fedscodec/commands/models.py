"""`feds models`: the networks at hand, and those that can be trained."""

from __future__ import annotations

from typing import Annotated

import typer

from . import report
from .failures import one_sentence
from .options import Debug, examples
from .streams import say

EXAMPLES = examples("feds models", "feds models --all", "FEDS_WEIGHTS=~/weights feds models")


def models(
    every: Annotated[bool, typer.Option("--all", help="Also every variant that can be trained.")] = False,
    debug: Debug = False,
) -> None:
    """List the networks that are installed.

    Weights files lie in the folders that FEDS_WEIGHTS names (with : between them), in the package, or in weights/
    beside it. Of two with the same name the first counts. Wherever a model is asked for, the path of a weights file or
    of a training checkpoint will do too.
    """
    with one_sentence(debug):
        from ..registry import folders, installed

        found = installed()
        if not found:
            places = ", ".join(str(folder) for folder in folders())
            say(f"feds: no weights files are in {places}")
        report.print_table(report.models_table(found))
        if every:
            from ..networks.spec import VARIANTS

            report.print_table(report.variants_table(VARIANTS))
