"""Standard streams and files of a command: where its bytes come from and its messages go.

A message is one line: characters that would break the line or control a terminal are escaped.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

import typer

from ..files.inputs import read_feds
from ..files.names import STANDARD, name_of, printable
from ..files.standard import require_input, require_output

__all__ = ["json_lines", "json_name_of", "name_of", "read_feds", "say", "stream_or_path", "tell"]


def say(text: str, quiet: bool = False) -> None:
    """Print a line to standard error, unless `quiet`."""
    if not quiet:
        typer.echo(printable(text), err=True)


def tell(text: str) -> None:
    """Print a line to standard output."""
    typer.echo(printable(text))


def json_name_of(source: Path) -> str:
    """What JSON calls a source: the path as it is, because JSON has escapes of its own, or the standard stream."""
    return name_of(source) if source == STANDARD else str(source)


def stream_or_path(source: Path) -> BinaryIO | Path:
    """The source to read: the path, or standard input for -."""
    if source != STANDARD:
        return source
    require_input()
    return sys.stdin.buffer


@contextmanager
def json_lines() -> Iterator[Callable[[object], None]]:
    """Yield a function that writes values to standard output, one JSON object per line.

    Everything else goes to standard error, even what libraries and their processes print: meanwhile, standard output
    has another descriptor.
    """
    require_output()
    with _kept_for_itself(sys.stdout) as stream, redirect_stdout(sys.stderr):

        def write(value: object) -> None:
            stream.write(f"{json.dumps(value)}\n")
            stream.flush()

        yield write


@contextmanager
def _kept_for_itself(stream: TextIO) -> Iterator[TextIO]:
    """A copy of a stream, while the descriptor of standard output leads to standard error."""
    number = -1
    with suppress(OSError, ValueError, AttributeError):  # one in memory has no number
        stream.flush()
        number = stream.fileno()
    if number != 1:
        yield stream
        return
    own = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(own, "w", encoding="utf-8", closefd=False) as kept:
            yield kept
    finally:
        os.dup2(own, 1)
        os.close(own)
