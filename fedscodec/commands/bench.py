"""`feds bench`: real files, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..outputs import require_writable, write_output
from . import report
from .failures import one_sentence
from .options import Debug, Device, Force, ModelName, OnDevice, examples

EXAMPLES = examples("feds bench kodak/ --quality 1 --quality 4 --quality 7 --output results.json")


def bench(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURES...", help="Pictures, or folders of them.")],
    model: ModelName = "student",
    quality: Annotated[
        list[float] | None, typer.Option(metavar="Q", help="May be given again.  [default: 1, 4 and 7]")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A .json file for every figure.")] = None,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Encode and decode pictures for real: bytes, PSNR and the seconds of every stage."""
    with one_sentence(debug):
        if output is not None:
            require_writable(output, force=force)
        from .. import codec
        from ..bench import run

        places, network = run.pictures_in(pictures), codec.load_model(model, device.value)
        rows = report.tracked(run.measure(places, network, quality or [1.0, 4.0, 7.0]))
        report.print_table(report.bench_table(run.summarise(rows)))
        if output is not None:
            write_output(output, run.results(rows, network).encode(), force=force)
