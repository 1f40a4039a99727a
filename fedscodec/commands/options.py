"""The options that several commands share, and how examples stand under a command's help."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Device(StrEnum):
    """Where the networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


Output = Annotated[Path | None, typer.Option("-o", "--output", metavar="OUT", help="By default beside IN.")]
OnDevice = Annotated[Device, typer.Option("--device", help="auto is a GPU where there is one.")]
ModelName = Annotated[str, typer.Option(metavar="NAME", help="As `feds models` lists it, or a weights file.")]
Quality = Annotated[float | None, typer.Option(metavar="Q", help="1 (small) to 7 (good), in place of NAME's.")]
Format = Annotated[str | None, typer.Option(metavar="F", help="png, jpg, webp, ...; by default OUT's suffix.")]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite the output if it exists.")]
MaxPixels = Annotated[int, typer.Option(min=1, metavar="N", help="Refuse pictures with more pixels.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
FedsFile = Annotated[Path, typer.Argument(metavar="IN", help="A .feds file; - is standard input.")]


def examples(*commands: str) -> str:
    """The examples of a command, for the end of its help, one a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)
