"""Where a command's bytes come from and its words go: files, standard input, standard error."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

import typer

from ..files.inputs import name_of, read_feds
from ..files.outputs import STANDARD

__all__ = ["name_of", "read_feds", "say", "stream_or_path"]


def say(text: str, quiet: bool) -> None:
    """A line on standard error, unless `quiet`."""
    if not quiet:
        typer.echo(text, err=True)


def stream_or_path(source: Path) -> BinaryIO | Path:
    """What to read from: the path, or standard input for -."""
    return sys.stdin.buffer if source == STANDARD else source
