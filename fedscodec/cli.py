"""The `feds` command: every subcommand parses, calls one function and prints one line or one table.

Results go to a file or to standard output, words to standard error. What is heavy (torch, numpy, Pillow,
rich) is imported inside the commands, so that `feds --help` and completion answer at once. The exit codes are
listed in `cli_failures`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO, get_type_hints

import typer

from . import __version__, cli_report
from .cli_failures import one_sentence
from .errors import FedsError, FormatError
from .fileformat import DEFAULT_MAX_PIXELS, HEADER_BYTES_AT_MOST, read_header, unpack
from .outputs import STANDARD, output_path, require_writable, write_output
from .registry import DEFAULT_MODEL
from .training.recipe import Recipe

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,  # rich would double the time that --help takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Device(StrEnum):
    """Where the networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


Output = Annotated[Path | None, typer.Option("-o", "--output", metavar="OUT", help="By default beside IN.")]
OnDevice = Annotated[Device, typer.Option("--device", help="auto is a GPU where there is one.")]
ModelName = Annotated[str, typer.Option(metavar="NAME", help="As `feds models` lists it, or a weights file.")]
Quality = Annotated[float | None, typer.Option(metavar="Q", help="1 (small) to 7 (good), in place of NAME's.")]
Format = Annotated[str | None, typer.Option(metavar="F", help="png, jpg, webp, ...; by default OUT's suffix.")]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite the output if it exists.")]
MaxPixels = Annotated[int, typer.Option(min=1, metavar="N", help="Refuse pictures with more pixels.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
FedsFile = Annotated[Path, typer.Argument(metavar="IN", help="A .feds file; - is standard input.")]


def _examples(*commands: str) -> str:
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"feds {__version__}")
        raise typer.Exit


@app.callback()
def feds(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A learned image codec: pictures to .feds files and back, the same on every machine."""


@app.command(
    epilog=_examples(
        "feds encode photo.png",
        "feds encode photo.png --quality 4.5 --psnr",
        "feds encode scan.tif -o small.feds --model teacher-q1",
        "convert photo.heic png:- | feds encode - -o photo.feds",
    )
)
def encode(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A picture; - is standard input.")],
    output: Output = None,
    model: ModelName = DEFAULT_MODEL,
    quality: Quality = None,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    psnr: Annotated[bool, typer.Option("--psnr", help="Decode what was written and tell its PSNR.")] = False,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Encode a picture into a .feds file."""
    with one_sentence(debug):
        target = output_path(source, output, ".feds")
        require_writable(target, force=force, source=source)
        from .images import read_picture  # before torch, which takes longer to load than a mistake to find

        picture = read_picture(_stream_or_path(source), name=_name(source), max_pixels=max_pixels)
        for warning in picture.warnings:
            _say(f"feds: {_name(source)}: {warning}", quiet)
        from . import codec

        network = codec.load_model(model, device.value)
        wanted = network.quality if quality is None else quality
        encoded = codec.encode_picture(picture, network, wanted)
        write_output(target, encoded.data, force=force)
        decibels = codec.psnr(picture, network.decode(encoded.data, max_pixels=None)) if psnr else None
        seconds = sum(encoded.seconds.values())
        line = cli_report.encoded_line(encoded.data, network.name, seconds, decibels)
        _say(f"{_name(target, 'output')}: {line}", quiet)


@app.command(
    epilog=_examples(
        "feds decode photo.feds",
        "feds decode photo.feds -o photo.webp",
        "feds decode - < photo.feds > photo.png",
    )
)
def decode(
    source: FedsFile,
    output: Output = None,
    format: Format = None,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    max_pixels: MaxPixels = DEFAULT_MAX_PIXELS,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Decode a .feds file into a picture."""
    with one_sentence(debug):
        name = _name(source)
        file = unpack(_read_feds(source), name=name, max_pixels=max_pixels)
        target = output_path(source, output, f".{(format or 'png').removeprefix('.')}")
        require_writable(target, force=force, source=source)
        kind = _writable_format(format or target.suffix or "png")
        from . import codec, images

        network = codec.model_by_fingerprint(file.header.fingerprint, device.value, name=name)
        try:
            decoded = codec.decode_file(file, network)
        except FormatError as error:
            raise FormatError(f"{name}: {error}") from error
        write_output(target, images.encode_picture(decoded.picture, kind, name=str(target)), force=force)
        line = cli_report.decoded_line(file.header, network.name, sum(decoded.seconds.values()))
        _say(f"{_name(target, 'output')}: {line}", quiet)


@app.command()
def info(source: FedsFile, debug: Debug = False) -> None:
    """Tell what a .feds file holds, without decoding it."""
    with one_sentence(debug):
        data = _read_feds(source)
        file = unpack(data, name=_name(source), max_pixels=None)
        from .registry import installed

        fingerprint = file.header.fingerprint.hex()
        names = [weights.name for weights in installed() if weights.fingerprint == fingerprint]
        for line in cli_report.info_lines(file, len(data), names):
            typer.echo(line)


@app.command()
def models(
    every: Annotated[bool, typer.Option("--all", help="Also every variant that can be trained.")] = False,
    debug: Debug = False,
) -> None:
    """List the networks that are installed."""
    with one_sentence(debug):
        from .registry import folders, installed

        found = installed()
        if not found:
            places = ", ".join(str(folder) for folder in folders())
            typer.echo(f"feds: no weights files are in {places}", err=True)
        cli_report.print_table(cli_report.models_table(found))
        if every:
            from .networks.spec import VARIANTS

            cli_report.print_table(cli_report.variants_table(VARIANTS))


def _with_recipe_flags(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with its **recipe spelt out: an option for every field of `Recipe`, None unless given."""
    own = inspect.signature(command, eval_str=True)
    kinds = get_type_hints(Recipe)
    flags = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[kinds[field.name] | None, typer.Option(help=f"[default: {field.default}]")],
        )
        for field in fields(Recipe)
    ]
    named = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    command.__signature__ = own.replace(parameters=[*named, *flags])  # type: ignore[attr-defined]
    return command


@app.command(epilog=_examples("feds train --data photos --out mine.safetensors --minutes 60"))
@_with_recipe_flags
def train(
    *,
    data: Annotated[list[Path], typer.Option(help="A folder or .tar of pictures; may be given again.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
    network: Annotated[str, typer.Option(help="A variant that `feds models --all` lists.")] = "student",
    init: Annotated[Path | None, typer.Option(help="Weights to start from.")] = None,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    debug: Debug = False,
    **recipe: Any,
) -> None:
    """Train a network on a folder of pictures."""
    with one_sentence(debug):
        given = {name: value for name, value in recipe.items() if value is not None}
        try:
            Recipe(**given)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        if out.suffix != ".safetensors":
            raise typer.BadParameter(f"weights are written as .safetensors, found {out}")
        require_writable(out, force=force)
        from .training.command import train as run

        run(data, out, network, given, init, device.value)


@app.command()
def rounding(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A weights file of `feds train`.")],
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURES...", help="What to measure on.")],
    quality: Annotated[
        list[float] | None, typer.Option(metavar="Q", help="May be given again.  [default: 1, 4 and 7]")
    ] = None,
    debug: Debug = False,
) -> None:
    """Measure the rate that integers cost a checkpoint.

    Each picture is coded with the integer networks, and its rate compared with that of their float twins.
    """
    with one_sentence(debug):
        from .training.rounding import measure

        cli_report.print_table(cli_report.rounding_table(measure(checkpoint, pictures, quality or [1.0, 4.0, 7.0])))


@app.command(epilog=_examples("feds bench kodak/ --quality 1 --quality 4 --quality 7 --output results.json"))
def bench(
    pictures: Annotated[list[Path], typer.Argument(metavar="PICTURES...", help="Pictures, or folders of them.")],
    model: ModelName = "student",
    quality: Annotated[
        list[float] | None, typer.Option(metavar="Q", help="May be given again.  [default: 1, 4 and 7]")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="A .json file for every figure.")] = None,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Encode and decode pictures for real: bytes, PSNR and the seconds of every stage."""
    with one_sentence(debug):
        if output is not None:
            require_writable(output, force=force)
        from . import codec
        from .bench import run

        places, network = run.pictures_in(pictures), codec.load_model(model, device.value)
        rows = cli_report.tracked(run.measure(places, network, quality or [1.0, 4.0, 7.0]))
        cli_report.print_table(cli_report.bench_table(run.summarise(rows)))
        if output is not None:
            write_output(output, run.results(rows, network).encode(), force=force)


def _name(path: Path, stream: str = "input") -> str:
    return f"standard {stream}" if path == STANDARD else str(path)


def _say(text: str, quiet: bool) -> None:
    if not quiet:
        typer.echo(text, err=True)


def _stream_or_path(source: Path) -> BinaryIO | Path:
    return sys.stdin.buffer if source == STANDARD else source


def _read_feds(source: Path) -> bytes:
    """The bytes of a .feds file; its header is checked before the rest is read, so that no film ever is."""
    try:
        with nullcontext(sys.stdin.buffer) if source == STANDARD else source.open("rb") as stream:
            head = stream.read(HEADER_BYTES_AT_MOST)
            read_header(head, name=_name(source))
            return head + stream.read()
    except OSError as error:
        raise FedsError(f"{_name(source)}: cannot be read ({error.strerror})") from error


def _writable_format(wanted: str) -> str:
    from .images import WRITABLE_SUFFIXES

    if f".{wanted.lower().removeprefix('.')}" not in WRITABLE_SUFFIXES:
        raise typer.BadParameter(f"pictures are written as {' '.join(WRITABLE_SUFFIXES)}, found {wanted}")
    return wanted


def main() -> None:
    """Run `feds` with the arguments of this process, and leave with its exit code."""
    app(prog_name="feds")
