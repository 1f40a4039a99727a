"""`feds decode`: decode .feds files into pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..batch.plan import is_batch
from ..codec.settings import Decoding
from ..fileformat import DEFAULT_MAX_PIXELS, Salvage, unpack
from ..files.outputs import Place, writable_path, write_output
from . import many, printing
from .failures import DAMAGED, one_sentence
from .options import (
    AsJson,
    Backend,
    Debug,
    DecodingModel,
    Device,
    Force,
    Format,
    Jobs,
    MaxPixels,
    OnBackend,
    OnDevice,
    OnRay,
    Output,
    Quiet,
    Recursive,
    examples,
    window_of,
    writable_format,
)
from .progress import shown_progress
from .streams import name_of, read_feds, say

EXAMPLES = examples(
    "feds decode photo.feds",
    "feds decode photo.feds -o photo.webp",
    "feds decode archive/ -o pictures/ --recursive --format webp",
    "feds decode photo.feds --size 256 -o small.jpg --output-quality 80",
    "feds decode photo.feds --preview -o tiny.png",
    "feds decode scan.feds --crop 200x150+60+40 -o part.png",
    "feds decode - < photo.feds > photo.png",
)


_EXCLUDES = {
    "--best-effort": ("--size", "--slices"),
    "--preview": ("--size", "--slices", "--best-effort"),
    "--crop": ("--size", "--preview", "--best-effort"),
}
"""Options, and those that cannot be used with them."""


def decode(
    sources: Annotated[
        list[Path],
        typer.Argument(readable=False, metavar="IN...", help=".feds files, folders or patterns; - for standard input."),
    ],
    output: Output = None,
    format: Format = None,
    output_quality: Annotated[
        int | None,
        typer.Option(min=1, max=100, metavar="Q", help="Quality of JPEG, WebP, AVIF. [default: 95; WebP without loss]"),
    ] = None,
    recursive: Recursive = False,
    jobs: Jobs = None,
    ray: OnRay = None,
    as_json: AsJson = False,
    size: Annotated[
        int | None,
        typer.Option(min=1, metavar="PIXELS", help="Decode a smaller preview, PIXELS on its longer side; faster."),
    ] = None,
    slices: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="Decode a rough preview from the first K slices.")
    ] = None,
    crop: Annotated[
        str | None, typer.Option(metavar="WxH+X+Y", help="Decode only this part; faster, and takes less memory.")
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Extract the preview stored in the file; needs no network.")
    ] = False,
    model: DecodingModel = None,
    device: OnDevice = Device.AUTO,
    backend: OnBackend = Backend.AUTO,
    force: Force = False,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    best_effort: Annotated[
        bool, typer.Option("--best-effort", help="Decode the intact part of a damaged file; exit code 3.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Decode .feds files into pictures.

    Several pictures go to a folder, -o OUT/, or beside their files. A picture that is not older than its file is
    skipped, and an older one is reported and kept, unless --force is given. A failure does not stop the others.
    """
    with one_sentence(debug, limited=True):
        several = bool(is_batch(sources) or as_json or ray)
        ways = (("size", size), ("slices", slices), ("preview", preview), ("best-effort", best_effort), ("crop", crop))
        _require_one_way({f"--{name}" for name, given in ways if given}, several=several)
        if several and format:
            writable_format(format)  # before anything is searched for
        how = Decoding(
            format, device.value, max_pixels, force, size, slices, best_effort, backend.value, window_of(crop), model,
            output_quality,
        )  # fmt: skip
        if several:
            _decode_many(sources, output, how, recursive=recursive, jobs=jobs, ray=ray, as_json=as_json, quiet=quiet)
        elif preview:
            _show_preview(sources[0], output, how, quiet=quiet)
        else:
            _decode_one(sources[0], output, how, quiet=quiet)


def _require_one_way(given: set[str], *, several: bool) -> None:
    """Wrong usage for options that exclude each other, and for those that several files cannot have."""
    for option, others in _EXCLUDES.items():
        if option in given and given & set(others):
            named = f"{', '.join(others[:-1])} or {others[-1]}"
            raise typer.BadParameter(f"{option} cannot be used with {named}")
    for option in ("--preview", "--best-effort", "--crop"):
        if option in given and several:
            raise typer.BadParameter(f"{option} takes one file at a time, without --json and --ray")


def _decode_many(
    sources: list[Path],
    output: Place | None,
    how: Decoding,
    *,
    recursive: bool,
    jobs: int | None,
    ray: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    found = many.planned(sources, output, _suffix(how), lambda: {".feds"}, recursive=recursive, force=how.force)
    kind = how.format or ("" if is_batch(sources) else found.tasks[0].target.suffix) or "png"
    how = replace(how, format=_format_of(kind, how))
    many.show(found, how, ray=ray, jobs=jobs, as_json=as_json, quiet=quiet)


def _decode_one(source: Path, output: Place | None, how: Decoding, *, quiet: bool) -> None:
    name, data = name_of(source), read_feds(source)
    found = how.unpack(data, name=name)
    target = writable_path(source, output, _suffix(how), force=how.force)
    kind = _format_of(target.suffix or "png", how)
    from .. import images
    from ..codec.model import model_of_file
    from ..codec.single import decode_one

    file = found.file if isinstance(found, Salvage) else found
    header = file.header
    network = model_of_file(header.fingerprint, how.model, how.device, backend=how.backend, name=name)
    with shown_progress(header.width * header.height, quiet) as progress:
        decoded = decode_one(found, network, how, name=name, progress=progress)
    for sentence in images.not_kept(decoded.picture, kind):
        say(f"feds: {name_of(target, 'output')}: {sentence}", quiet)
    write_output(
        target,
        images.picture_bytes(decoded.picture, kind, quality=how.quality, name=name_of(target, "output")),
        force=how.force,
        place=output,
    )
    line = printing.decoded_line(file, decoded.picture, network.name, sum(decoded.seconds.values()))
    say(f"{name_of(target, 'output')}: {line}", quiet)
    if decoded.picture.warnings:  # only a damaged file has any
        say(f"feds: {name}: {'; '.join(decoded.picture.warnings)}", False)
        raise typer.Exit(DAMAGED)


def _show_preview(source: Path, output: Place | None, how: Decoding, *, quiet: bool) -> None:
    name = name_of(source)
    file = unpack(read_feds(source), name=name, max_pixels=how.max_pixels)
    target = writable_path(source, output, _suffix(how), force=how.force)
    from .. import images
    from ..codec.beside import preview_of

    picture, kind, shown = (
        preview_of(file, name=name),
        _format_of(target.suffix or "png", how),
        name_of(target, "output"),
    )
    made = images.picture_bytes(picture, kind, quality=how.quality, name=shown)
    write_output(target, made, force=how.force, place=output)
    say(f"{shown}: {printing.preview_line(file.header, picture)}", quiet)


def _format_of(suffix: str, how: Decoding) -> str:
    """The format of a picture: --format, else that of its suffix. Wrong usage if it has no quality but one is given."""
    from ..images import LOSSY_SUFFIXES

    kind = writable_format(how.format or suffix)
    if how.quality is not None and (dotted := f".{kind.lower().removeprefix('.')}") not in LOSSY_SUFFIXES:
        raise typer.BadParameter(f"--output-quality is for {' '.join(LOSSY_SUFFIXES)}, found {dotted}")
    return kind


def _suffix(how: Decoding) -> str:
    return f".{(how.format or 'png').removeprefix('.')}"
