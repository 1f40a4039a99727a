"""`feds entropy`: show where the bits of a picture go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..files.inputs import expanded
from ..files.outputs import require_folder, require_writable
from .failures import one_sentence
from .options import Debug, Device, Force, ModelName, OnDevice, Quality, Quiet, examples
from .streams import say

EXAMPLES = examples("feds entropy photo.png -o entropy/", "feds entropy photos/*.jpg -o two/ --rank 1 --rank 10")


def entropy(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURES...", help="Pictures to analyse.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="Output folder; created if needed.")],
    model: ModelName = "student",
    quality: Quality = None,
    rank: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Rank of a channel to draw; repeatable.  [default: 1, 40, 80, 120 and 160]"),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Write a heatmap for every channel.")] = False,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw which channels of a picture cost bits, and where.

    Writes heatmaps of channels by rank, and how the bits spread over them."""
    with one_sentence(debug):
        require_folder(output)
        if output.exists():
            for name in ("entropy.html", "entropy.json", "entropy.svg", "cumulative.svg"):
                require_writable(output / name, force=force)
        from ..reports import entropy_report, heatmaps, probing

        found = list(probing.measure(expanded(pictures), model, quality, device.value))
        for path in entropy_report.write(found, output, tuple(rank or heatmaps.RANKS), every=every, force=force):
            if not quiet and path.parent == output:
                say(str(path))
