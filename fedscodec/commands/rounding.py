"""`feds rounding`: what the integers of a checkpoint cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import report
from .failures import one_sentence
from .options import Debug, examples

EXAMPLES = examples(
    "feds rounding mine.safetensors photo.png", "feds rounding mine.safetensors photos/*.jpg --quality 3"
)


def rounding(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A weights file of `feds train`.")],
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURES...", help="What to measure on.")],
    quality: Annotated[
        list[float] | None, typer.Option(metavar="Q", help="May be given again.  [default: 1, 4 and 7]")
    ] = None,
    debug: Debug = False,
) -> None:
    """Measure the rate that integers cost a checkpoint.

    Each picture is coded with the integer networks, and its rate compared with that of their float twins.
    """
    with one_sentence(debug):
        from ..bench.rounding import measure

        report.print_table(report.rounding_table(measure(checkpoint, pictures, quality or [1.0, 4.0, 7.0])))
