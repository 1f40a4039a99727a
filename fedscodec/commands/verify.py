"""`feds verify`: check that .feds files decode to the symbols that were written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import FedsError
from ..fileformat import DEFAULT_MAX_PIXELS
from ..files.inputs import feds_files
from ..files.standard import require_output
from . import printing
from .failures import one_sentence
from .options import Backend, Debug, DecodingModel, Device, FedsFiles, MaxPixels, OnBackend, OnDevice, Quiet, examples
from .streams import json_lines, json_name_of, name_of, read_feds, tell

if TYPE_CHECKING:
    from ..codec.model import Model
    from ..codec.verification import ModelOf, Verdict

EXAMPLES = examples(
    "feds verify photo.feds",
    "feds verify --quiet archive/ && echo all OK",
    "feds verify --json *.feds > here.jsonl",
)


def verify(
    sources: FedsFiles,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
    model: DecodingModel = None,
    device: OnDevice = Device.AUTO,
    backend: OnBackend = Backend.AUTO,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Check that .feds files decode to the right symbols.

    They must be those that were written. Prints one line per file, with the damaged stream if there is one. The exit
    code is 1 if any file fails. --json also prints the SHA-256 of the symbols, which is the same on every machine.
    """
    with one_sentence(debug, limited=True):
        verdicts = _verdicts(feds_files(sources), _models(model, device.value, backend.value), max_pixels)
        sound = _in_json(verdicts) if as_json else _in_words(verdicts, quiet)
        if not sound:
            raise typer.Exit(1)


def _in_json(verdicts: Iterator[tuple[Path, Verdict]]) -> bool:
    sound = True
    with json_lines() as write:
        for source, verdict in verdicts:
            sound &= verdict.sound
            write({"sound": verdict.sound, **asdict(verdict), "file": json_name_of(source)})
    return sound


def _in_words(verdicts: Iterator[tuple[Path, Verdict]], quiet: bool) -> bool:
    sound = True
    if not quiet:
        require_output()
    for _, verdict in verdicts:
        sound &= verdict.sound
        if not (quiet and verdict.sound):
            tell(printing.verdict_line(verdict))
    return sound


def _verdicts(sources: list[Path], model_of: ModelOf, max_pixels: int) -> Iterator[tuple[Path, Verdict]]:
    for source in sources:
        yield source, _verdict(source, model_of, max_pixels)


def _models(given: str | None, device: str, backend: str) -> ModelOf:
    """Load every network that the files need, once."""
    loaded: dict[bytes, Model] = {}

    def model_of(fingerprint: bytes, name: str) -> Model:
        from ..codec.model import model_of_file

        if fingerprint not in loaded:
            loaded[fingerprint] = model_of_file(fingerprint, given, device, backend=backend, name=name)
        return loaded[fingerprint]

    return model_of


def _verdict(source: Path, model_of: ModelOf, max_pixels: int) -> Verdict:
    name = name_of(source)
    try:
        data = read_feds(source)
    except FedsError as error:
        from ..codec.verification import unsound

        return unsound(name, error)
    from ..codec.verification import verify as check

    return check(data, name, model_of, max_pixels=max_pixels)
