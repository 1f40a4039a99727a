"""`feds export`: convert a checkpoint into a small weights file or ONNX graphs."""

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
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Weights file of `feds train`, or the name of a model.")
    ],
    out: Annotated[
        Place | None,
        typer.Option("--out", "-o", parser=Place.named, metavar="OUT", help="Output .safetensors file or folder."),
    ] = None,
    onnx: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write ONNX graphs and a README to folder DIR.")
    ] = None,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Make a small weights file, or ONNX graphs.

    The weights file is a quarter of the size. It has the same integers and the same fingerprint, so each decodes the
    files of the other. It keeps the transforms in float16 and leaves out the float twin of the entropy side; training
    can start from either. The ONNX graphs (g_a, h_a, g_s and the integer networks of a light network) are for other
    runtimes; they are checked against the network.
    """
    if (out is None) == (onnx is None):
        raise typer.BadParameter("expected either --out or --onnx")
    with one_sentence(debug):
        from ..registry import resolve, weights_path

        if onnx is not None:
            from ..codec.onnx_export import export_onnx

            sizes = export_onnx(resolve(str(checkpoint)), onnx, force=force)
            say(f"{shown(onnx)}: {len(sizes)} files, {sum(sizes.values()):,} bytes, checked against the network")
            return
        checkpoint = weights_path(checkpoint)
        target = out.of(checkpoint.name) if out else checkpoint
        require_weights(target, force=force, source=checkpoint, folder_is_made=bool(out and out.ends_in_slash))
        from ..training.session import export as write

        if out:
            out.make()
        write(checkpoint, target)
        say(f"{shown(target)}: {target.stat().st_size:,} bytes, of {checkpoint.stat().st_size:,}")
