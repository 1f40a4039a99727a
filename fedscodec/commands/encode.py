"""`feds encode`: a picture becomes a .feds file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..fileformat import DEFAULT_MAX_PIXELS
from ..outputs import output_path, require_writable, write_output
from ..registry import DEFAULT_MODEL
from . import report
from .failures import one_sentence
from .options import Debug, Device, Force, MaxPixels, ModelName, OnDevice, Output, Quality, Quiet, examples
from .streams import name_of, say, stream_or_path

EXAMPLES = examples(
    "feds encode photo.png",
    "feds encode photo.png --quality 4.5 --psnr",
    "feds encode scan.tif -o small.feds --model teacher-q1",
    "convert photo.heic png:- | feds encode - -o photo.feds",
)


def encode(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A picture; - is standard input.")],
    output: Output = None,
    model: ModelName = DEFAULT_MODEL,
    quality: Quality = None,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    psnr: Annotated[bool, typer.Option("--psnr", help="Decode what was written and tell its PSNR.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Decode before writing; compare the symbols.")] = False,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Encode a picture into a .feds file."""
    with one_sentence(debug):
        target = output_path(source, output, ".feds")
        require_writable(target, force=force, source=source)
        from ..images import read_picture  # before torch, which takes longer to load than a mistake to find

        picture = read_picture(stream_or_path(source), name=name_of(source), max_pixels=max_pixels)
        for warning in picture.warnings:
            say(f"feds: {name_of(source)}: {warning}", quiet)
        from .. import codec

        network = codec.load_model(model, device.value)
        wanted = network.quality if quality is None else quality
        encoded = codec.encode_picture(picture, network, wanted)
        if verify:
            from ..verification import require_same_symbols

            require_same_symbols(encoded, network, name=name_of(source))
        write_output(target, encoded.data, force=force)
        decibels = codec.psnr(picture, network.decode(encoded.data, max_pixels=None)) if psnr else None
        seconds = sum(encoded.seconds.values())
        line = report.encoded_line(encoded.data, network.name, seconds, decibels)
        say(f"{name_of(target, 'output')}: {line}", quiet)
