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

EXAMPLES = examples(
    "feds export mine.safetensors --out small.safetensors",
    "feds export mine.safetensors --onnx graphs/",
)


def export(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A weights file of `feds train`.")],
    out: Annotated[
        Place | None,
        typer.Option("--out", "-o", parser=Place.named, help="The .safetensors file to write, or its folder."),
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a folder of ONNX graphs, and a page on them.")
    ] = None,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Make of a checkpoint the file that ships, a quarter of its size, or a folder of ONNX graphs.

    The file has the same integers and so the same fingerprint: each decodes the files of the other. Transforms are
    kept in float16, and the float twin of the entropy side is left out; training can start from either. The graphs
    (g_a, h_a, g_s and the integer networks of a light network) are for other runtimes; they are checked.
    """
    if (out is None) == (onnx is None):
        raise typer.BadParameter("expected one of --out and --onnx")
    with one_sentence(debug):
        if onnx is not None:
            from ..codec.onnx_export import export_onnx
            from ..registry import resolve

            sizes = export_onnx(resolve(str(checkpoint)), onnx, force=force)
            say(f"{shown(onnx)}: {len(sizes)} files, {sum(sizes.values()):,} bytes, checked against the network")
            return
        target = out.of(checkpoint.name) if out else checkpoint
        require_weights(target, force=force, source=checkpoint, folder_is_made=bool(out and out.ends_in_slash))
        from ..training.session import export as write

        if out:
            out.make()
        write(checkpoint, target)
        say(f"{shown(target)}: {target.stat().st_size:,} bytes, of {checkpoint.stat().st_size:,}")
