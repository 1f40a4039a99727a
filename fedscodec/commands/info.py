"""`feds info`: show what a .feds file contains."""

from __future__ import annotations

from typing import Annotated

import typer

from ..fileformat import unpack
from . import printing
from .failures import one_sentence
from .options import Debug, FedsFile, examples
from .streams import json_lines, name_of, read_feds, tell

EXAMPLES = examples(
    "feds info photo.feds",
    "feds info photo.feds --json",
    "feds info - < photo.feds",
)


def info(
    source: FedsFile,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Debug = False,
) -> None:
    """Show what a .feds file contains, without decoding it."""
    with one_sentence(debug):
        data = read_feds(source)
        file = unpack(data, name=name_of(source), max_pixels=None)
        from ..registry import installed

        fingerprint = file.header.fingerprint.hex()
        names = [weights.name for weights in installed() if weights.fingerprint == fingerprint]
        if as_json:
            with json_lines() as write:
                write(printing.info_record(file, len(data), names))
            return
        for line in printing.info_lines(file, len(data), names):
            tell(line)
