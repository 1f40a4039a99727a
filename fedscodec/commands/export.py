"""`feds export`: a checkpoint as the small file that ships."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .failures import one_sentence
from .options import Debug, Force, examples, require_weights

EXAMPLES = examples("feds export mine.safetensors --out small.safetensors")


def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A weights file of `feds train`.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Make of a checkpoint the file that ships, a quarter of its size.

    It has the same integers and so the same fingerprint: each decodes the files of the other. Transforms are kept in
    float16, and the float twin of the entropy side is left out; training can start from either.
    """
    with one_sentence(debug):
        require_weights(out, force=force, source=checkpoint)
        from ..training.session import export as write

        write(checkpoint, out)
        typer.echo(f"{out}: {out.stat().st_size:,} bytes, of {checkpoint.stat().st_size:,}", err=True)
