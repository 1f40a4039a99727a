"""`feds encode`: encode pictures into .feds files."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ..batch.plan import is_batch
from ..codec.settings import Encoding
from ..fileformat import DEFAULT_MAX_PIXELS
from ..files.outputs import Place, writable_path, write_output
from ..registry import DEFAULT_MODEL
from . import many, printing
from .failures import one_sentence
from .options import (
    AsJson,
    Backend,
    Bpp,
    Debug,
    Device,
    Effort,
    Force,
    Jobs,
    MaxPixels,
    ModelName,
    OnBackend,
    OnDevice,
    OnRay,
    Output,
    Preview,
    Quality,
    Quiet,
    Recursive,
    Size,
    StreamChecks,
    examples,
    target_of,
    with_metric_targets,
)
from .progress import shown_progress
from .streams import name_of, say, stream_or_path

EXAMPLES = examples(
    "feds encode photo.png",
    "feds encode photo.png --quality 4.5 --measure",
    "feds encode photo.png --size 200k",
    "feds encode photo.png --effort 5",
    "feds encode photos/ -o out/ --recursive",
    "feds encode scan.tif -o small.feds --model student-visual",
    "cat photo.png | feds encode - -o photo.feds",
)


@with_metric_targets
def encode(
    sources: Annotated[
        list[Path],
        typer.Argument(readable=False, metavar="IN...", help="Pictures, folders or patterns; - for standard input."),
    ],
    output: Output = None,
    model: ModelName = DEFAULT_MODEL,
    quality: Quality = None,
    bpp: Bpp = None,
    size: Size = None,
    effort: Effort = 0,
    measure: Annotated[bool, typer.Option("--measure", help="Decode the result and print its PSNR.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Decode and compare symbols, alpha and metadata before writing.")
    ] = False,
    strip: Annotated[bool, typer.Option("--strip", help="Leave out ICC profile, Exif and XMP.")] = False,
    stream_checks: StreamChecks = None,
    preview: Preview = None,
    recursive: Recursive = False,
    keep_suffix: Annotated[
        bool, typer.Option("--keep-suffix", help="Name results photo.jpg.feds, not photo.feds.")
    ] = False,
    jobs: Jobs = None,
    ray: OnRay = None,
    as_json: AsJson = False,
    device: OnDevice = Device.AUTO,
    backend: OnBackend = Backend.AUTO,
    force: Force = False,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    quiet: Quiet = False,
    debug: Debug = False,
    **targets: float | None,
) -> None:
    """Encode pictures into .feds files.

    Several pictures go to a folder, -o OUT/, or beside their sources. A file that is up to date (same network and
    quality, not older than the picture) is skipped unless --force is given. A failure does not stop the others.
    """
    with one_sentence(debug, limited=True):
        target = target_of({"bpp": bpp, "size": size, **targets}, quality)
        how = Encoding(
            model, quality, target, device.value, measure, verify, max_pixels, force, strip, stream_checks, preview,
            effort=effort,
            backend=backend.value,
        )  # fmt: skip
        if is_batch(sources) or as_json or ray:
            found = many.planned(
                sources, output, ".feds", _picture_suffixes, recursive=recursive, force=force, keep=keep_suffix
            )
            many.show(found, how, ray=ray, jobs=jobs, as_json=as_json, quiet=quiet)
        else:
            _encode_one(sources[0], output, how, keep=keep_suffix, quiet=quiet)


def _picture_suffixes() -> Collection[str]:
    from ..images import picture_suffixes  # which loads Pillow

    return picture_suffixes()


def _encode_one(source: Path, output: Place | None, how: Encoding, *, keep: bool, quiet: bool) -> None:
    target, name = writable_path(source, output, ".feds", force=how.force, keep=keep), name_of(source)
    from ..images import read_picture, stripped  # before torch, so that mistakes are found before its slow import

    picture = read_picture(stream_or_path(source), name=name, max_pixels=how.max_pixels)
    picture = stripped(picture) if how.strip else picture
    for warning in picture.warnings:
        say(f"feds: {name}: {warning}", quiet)
    from ..codec.effort.levels import STEPS
    from ..codec.model import load_model
    from ..codec.single import encode_one

    network = load_model(how.model, how.device, how.backend)
    work = picture.width * picture.height * (1 + STEPS[how.effort])
    with _interrupts(how) as stopped, shown_progress(work, quiet) as progress:
        made = encode_one(picture, network, how, name=name, progress=progress, stopped=stopped)
    if stopped():
        say(f"feds: {name}: stopped early, wrote the best result so far", quiet)
    if made.note:
        say(f"feds: {name}: {made.note}", quiet)
    write_output(target, made.encoded.data, force=how.force, place=output)
    before = source.stat().st_size if source.is_file() else math.inf
    if larger := printing.larger_line(name, before, len(made.encoded.data)):
        say(larger, quiet)
    line = printing.encoded_line(made.encoded.data, network.name, made.seconds, made.measured)
    say(f"{name_of(target, 'output')}: {line}", quiet)


@contextmanager
def _interrupts(how: Encoding) -> Iterator[Callable[[], bool]]:
    """Yield whether Ctrl-C has stopped the refinement. Without effort, Ctrl-C ends the command as usual."""
    from ..training.interrupts import Interrupts

    interrupts = Interrupts()
    if not how.effort:
        yield lambda: False
        return
    with interrupts:
        yield lambda: interrupts.seen
