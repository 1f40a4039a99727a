"""`feds encode`: a picture becomes a .feds file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from ..fileformat import DEFAULT_MAX_PIXELS
from ..outputs import output_path, require_writable, write_output
from ..registry import DEFAULT_MODEL
from . import report
from .failures import one_sentence
from .options import (
    Bpp,
    Debug,
    Device,
    Force,
    MaxPixels,
    ModelName,
    MsSsim,
    OnDevice,
    Output,
    Psnr,
    Quality,
    Quiet,
    Size,
    examples,
    target_of,
)
from .streams import name_of, say, stream_or_path

EXAMPLES = examples(
    "feds encode photo.png",
    "feds encode photo.png --quality 4.5 --measure",
    "feds encode photo.png --size 200k",
    "feds encode scan.tif -o small.feds --model teacher-q1",
    "cat photo.png | feds encode - -o photo.feds",
)


def encode(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A picture; - is standard input.")],
    output: Output = None,
    model: ModelName = DEFAULT_MODEL,
    quality: Quality = None,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    bpp: Bpp = None,
    size: Size = None,
    psnr: Psnr = None,
    ms_ssim: MsSsim = None,
    measure: Annotated[bool, typer.Option("--measure", help="Decode what was encoded and tell its PSNR.")] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Decode before writing; compare the symbols.")] = False,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Encode a picture into a .feds file."""
    with one_sentence(debug):
        goal = target_of(bpp, size, psnr, ms_ssim, quality)
        target = output_path(source, output, ".feds")
        require_writable(target, force=force, source=source)
        from ..images import read_picture  # before torch, which takes longer to load than a mistake to find

        picture = read_picture(stream_or_path(source), name=name_of(source), max_pixels=max_pixels)
        for warning in picture.warnings:
            say(f"feds: {name_of(source)}: {warning}", quiet)
        from .. import codec
        from ..batch.single import encode_one

        network = codec.load_model(model, device.value)
        made = encode_one(picture, network, quality, goal, measure=measure, name=name_of(source))
        if made.note:
            say(f"feds: {name_of(source)}: {made.note}", quiet)
        if verify:
            from ..verification import require_same_symbols

            require_same_symbols(made.encoded, network, name=name_of(source))
        write_output(target, made.encoded.data, force=force)
        before = source.stat().st_size if source.is_file() else math.inf
        if larger := report.larger_line(str(source), before, len(made.encoded.data)):
            say(larger, quiet)
        line = report.encoded_line(made.encoded.data, network.name, made.seconds, made.fidelity)
        say(f"{name_of(target, 'output')}: {line}", quiet)
