"""`feds info`: show what .feds files contain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ..errors import FedsError
from ..fileformat import FedsFile, unpack
from ..files.inputs import feds_files
from ..files.standard import require_output
from . import printing
from .failures import one_sentence
from .options import Debug, FedsFiles, examples
from .streams import json_lines, json_name_of, name_of, read_feds, say, tell

EXAMPLES = examples(
    "feds info photo.feds",
    "feds info --json *.feds",
    "feds info - < photo.feds",
)


def info(
    sources: FedsFiles,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    debug: Debug = False,
) -> None:
    """Show what .feds files contain, without decoding them.

    A file that is damaged or missing does not stop the others. The exit code is then 1.
    """
    with one_sentence(debug):
        files = feds_files(sources)
        read = _in_json(files) if as_json else _in_words(files)
        if read < len(files):
            raise typer.Exit(1)


def _in_json(files: list[Path]) -> int:
    read = 0
    with json_lines() as write:
        for source, file, size, models in _read(files):
            write({"file": json_name_of(source), **printing.info_record(file, size, models)})
            read += 1
    return read


def _in_words(files: list[Path]) -> int:
    require_output()
    read = 0
    for source, file, size, models in _read(files):
        if len(files) > 1:
            if read:
                tell("")
            tell(name_of(source))
        for line in printing.info_lines(file, size, models):
            tell(line)
        read += 1
    return read


def _read(files: list[Path]) -> Iterator[tuple[Path, FedsFile, int, list[str]]]:
    """Each file with its path, its bytes and the installed models that decode it.

    Of several files, one that fails is said and left out.
    """
    from ..registry import installed

    models = [(weights.fingerprint, weights.name) for weights in installed()]
    for source in files:
        try:
            data = read_feds(source)
            file = unpack(data, name=name_of(source), max_pixels=None)
        except FedsError as error:
            if len(files) == 1:  # which --debug explains
                raise
            say(f"feds: {error}")
            continue
        fingerprint = file.header.fingerprint.hex()
        yield source, file, len(data), [name for found, name in models if found == fingerprint]
