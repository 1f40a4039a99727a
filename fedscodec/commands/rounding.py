"""`feds rounding`: measure the rate that integer arithmetic costs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..files.inputs import expanded
from . import printing
from .failures import one_sentence
from .options import Debug, examples

EXAMPLES = examples(
    "feds rounding mine.safetensors photo.png", "feds rounding mine.safetensors photos/*.jpg --quality 3"
)


def rounding(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Weights file of `feds train`, or the name of a model.")
    ],
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURES...", help="Pictures to measure.")],
    quality: Annotated[
        list[float] | None, typer.Option(metavar="Q", help="Quality; repeatable.  [default: 1, 4 and 7]")
    ] = None,
    debug: Debug = False,
) -> None:
    """Measure the rate that integer arithmetic costs.

    Codes each picture with the integer networks and compares the rate with that of their float twins.
    """
    with one_sentence(debug):
        from ..bench.rounding import measure
        from ..registry import weights_path

        printing.print_table(
            printing.rounding_table(measure(weights_path(checkpoint), expanded(pictures), quality or [1.0, 4.0, 7.0]))
        )
