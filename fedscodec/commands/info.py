"""`feds info`: what a .feds file says of itself."""

from __future__ import annotations

import typer

from ..fileformat import unpack
from . import report
from .failures import one_sentence
from .options import Debug, FedsFile
from .streams import name_of, read_feds


def info(source: FedsFile, debug: Debug = False) -> None:
    """Tell what a .feds file holds, without decoding it."""
    with one_sentence(debug):
        data = read_feds(source)
        file = unpack(data, name=name_of(source), max_pixels=None)
        from ..registry import installed

        fingerprint = file.header.fingerprint.hex()
        names = [weights.name for weights in installed() if weights.fingerprint == fingerprint]
        for line in report.info_lines(file, len(data), names):
            typer.echo(line)
