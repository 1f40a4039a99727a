"""`feds models`: list installed networks, and the variants that can be trained."""

from __future__ import annotations

from typing import Annotated

import typer

from . import printing
from .failures import one_sentence
from .options import Debug, examples
from .streams import json_lines, say

EXAMPLES = examples("feds models", "feds models --all", "feds models --json", "FEDS_WEIGHTS=~/weights feds models")


def models(
    every: Annotated[bool, typer.Option("--all", help="Also list every variant that can be trained.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per installed network.")] = False,
    debug: Debug = False,
) -> None:
    """List installed networks.

    feds searches for weights files in the folders of FEDS_WEIGHTS (separated by :, on Windows by ;), in the package,
    and in weights/ beside it. If two have the same name, the first one is used. Every option that takes a model name
    also takes the path of a weights file or a training checkpoint.
    """
    if every and as_json:
        raise typer.BadParameter("--json lists what is installed; it cannot be used with --all")
    with one_sentence(debug):
        from ..registry import folders, installed

        found = installed()
        if not found:
            places = ", ".join(str(folder) for folder in folders())
            say(f"feds: found no weights files in {places}")
        if as_json:
            with json_lines() as write:
                for info in found:
                    write(printing.model_record(info))
            return
        printing.print_table(printing.models_table(found))
        if every:
            from ..networks.spec import VARIANTS

            printing.print_table(printing.variants_table(VARIANTS))
