"""`feds export`: a checkpoint as the small file that ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..files.names import shown
from ..files.outputs import Place
from .failures import one_sentence
from .options import Debug, Force, examples, require_weights
from .streams import say

EXAMPLES = examples("feds export mine.safetensors --out small.safetensors")


def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A weights file of `feds train`.")],
    out: Annotated[
        Place, typer.Option("--out", "-o", parser=Place.named, help="The .safetensors file to write, or its folder.")
    ],
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Make of a checkpoint the file that ships, a quarter of its size.

    It has the same integers and so the same fingerprint: each decodes the files of the other. Transforms are kept in
    float16, and the float twin of the entropy side is left out; training can start from either.
    """
    with one_sentence(debug):
        target = out.of(checkpoint.name)
        require_weights(target, force=force, source=checkpoint, folder_is_made=out.ends_in_slash)
        from ..training.session import export as write

        out.make()
        write(checkpoint, target)
        say(f"{shown(target)}: {target.stat().st_size:,} bytes, of {checkpoint.stat().st_size:,}")
