"""`feds compare`: compare qualities of a picture with other codecs at no more bytes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..fileformat import DEFAULT_MAX_PIXELS
from ..files.inputs import expanded
from ..files.names import name_of, shown
from ..files.outputs import Place, require_writable, write_output
from . import printing
from .failures import one_sentence
from .options import Debug, Device, Force, MaxPixels, ModelName, OnDevice, Quiet, examples, window_of, writable_format
from .streams import say

if TYPE_CHECKING:
    from ..codec.model import Model
    from ..images import Picture, Window
    from ..reports.comparison import Comparison

EXAMPLES = examples(
    "feds compare photo.png",
    "feds compare photo.png --quality 2 --quality 2.5 --no-peers -o two.html",
    "feds compare scan.tif --quality 2 --crop 320x240+100+0 -o strip.png",
)

_PAGE = (".html", ".htm")


def compare(
    sources: Annotated[list[Path], typer.Argument(metavar="PICTURES...", help="Pictures to compare.")],
    output: Annotated[
        Place | None,
        typer.Option(
            "-o",
            "--output",
            parser=Place.named,
            metavar="OUT",
            help="HTML page, picture (.png, ...) or folder. [default: PICTURE-compare.html]",
        ),
    ] = None,
    model: ModelName = "student",
    quality: Annotated[
        list[float] | None, typer.Option(metavar="Q", help="Quality; repeatable.  [default: 1, 3, 5 and 7]")
    ] = None,
    peers: Annotated[bool, typer.Option(help="Add JPEG and AVIF, each with at most as many bytes.")] = True,
    crop: Annotated[
        str | None, typer.Option(metavar="WxH+X+Y", help="Show only this part in a picture; figures cover the whole.")
    ] = None,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Compare a picture with JPEG and AVIF at no more bytes.

    OUT is a self-contained HTML page: a slider between any two versions, zoom, a map of differences, bytes and PSNR.
    If OUT has the suffix of a picture, it shows original, JPEG, AVIF and feds side by side, one row per quality.
    """
    with one_sentence(debug, limited=True):
        sources = expanded(sources)
        page = f"{sources[0].stem}-compare.html"
        target = output.of(page) if output else sources[0].with_name(page)
        is_page, window = target.suffix.lower() in _PAGE, window_of(crop)
        if is_page and window:
            raise typer.BadParameter("--crop needs a picture as OUT, such as strip.png")
        if not is_page and len(sources) > 1:
            raise typer.BadParameter("for several pictures, OUT must end in .html")
        for source in sources:
            made = output is not None and output.ends_in_slash
            require_writable(target, force=force, source=source, folder_is_made=made)
        if not is_page:
            writable_format(target.suffix or str(target))
        from ..codec.model import load_model
        from ..reports.comparison import PEERS
        from ..reports.figures import counted

        network = load_model(model, device.value)
        chosen = quality or [1.0, 3.0, 5.0, 7.0]
        others = PEERS if peers else ()
        found = [_compare(s, _read(s, window, max_pixels, quiet), network, chosen, others, quiet) for s in sources]
        versions = sum(len(one.versions) for one in found)
        write_output(target, _rendered(found, target, window), force=force, place=output)
        say(f"{name_of(target, 'output')}: {counted(versions, 'version')}", quiet)


def _read(source: Path, window: Window | None, max_pixels: int, quiet: bool) -> Picture:
    from ..images import on_white, read_picture

    picture = read_picture(source, name=shown(source), max_pixels=max_pixels)
    if window:
        window.require_inside(picture.width, picture.height, shown(source))
    for warning in (*picture.warnings, *(["is compared on white."] if picture.alpha is not None else [])):
        say(f"feds: {shown(source)}: {warning}", quiet)
    return on_white(picture)


def _compare(
    source: Path, picture: Picture, network: Model, qualities: list[float], peers: Sequence[str], quiet: bool
) -> Comparison:
    from ..reports.comparison import Comparison, compare

    rows = []
    for row in compare(picture, network, qualities, peers):
        for version in row:
            say(f"{shown(source)}: {printing.version_line(version)}", quiet)
        sys.stderr.flush()
        rows.append(row)
    return Comparison(shown(source.name), picture, source.stat().st_size, tuple(rows))


def _rendered(found: list[Comparison], target: Path, window: Window | None) -> bytes:
    from ..images import picture_bytes
    from ..reports.comparison import comparison_page, draw_strip

    if target.suffix.lower() in _PAGE:
        return comparison_page(found).encode()
    return picture_bytes(draw_strip(found[0], window), target.suffix, name=str(target))
