"""The options that several commands share, and the examples at the end of a command's help."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..codec.effort.levels import MOST_EFFORT
from ..errors import FedsError
from ..files.outputs import Place, require_writable
from ..metrics.table import METRICS

if TYPE_CHECKING:
    from ..codec.targets import Target
    from ..images import Window


_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def bytes_of(text: str) -> int:
    """The number in `200000`, `200k`, `1.5M` or `200KiB`; anything else is wrong usage."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*((?:[kmg]i?)?)b?", text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"expected bytes such as 200000, 200k, 1.5M or 200KiB, found {text}")
    return int(float(match[1]) * _UNITS[match[2]])


class Device(StrEnum):
    """Where the networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


# An unreadable path is reported like every other failure, not as wrong usage: hence readable=False.
Output = Annotated[
    Place | None,
    typer.Option(
        "-o", "--output", parser=Place.named, metavar="OUT", help="Output file or folder. [default: beside IN]"
    ),
]


class Backend(StrEnum):
    """What runs the networks."""

    AUTO = "auto"
    ONNX = "onnx"
    TORCH = "torch"


OnBackend = Annotated[
    Backend,
    typer.Option("--backend", help="Runtime. auto: ONNX Runtime on a CPU if the network allows it, else torch."),
]
OnDevice = Annotated[Device, typer.Option("--device", help="Device. auto: a GPU if there is one.")]
ModelName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Name of a network (see `feds models`) or path of a weights file.",
        autocompletion=lambda incomplete: model_names(incomplete),
    ),
]
DecodingModel = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Network or weights file that wrote the file. [default: the installed one that it names]",
        autocompletion=lambda incomplete: model_names(incomplete),
    ),
]
Quality = Annotated[
    float | None,
    typer.Option(
        metavar="Q", help="Quality from 1 (smallest file) to 7 (best picture). [default: that of NAME, else 3]"
    ),
]
Bpp = Annotated[float | None, typer.Option(metavar="BPP", help="Target: at most BPP bits per pixel.")]
Size = Annotated[
    int | None,
    typer.Option(parser=bytes_of, metavar="BYTES", help="Target: at most BYTES, such as 200000, 200k, 1.5M, 200KiB."),
]
StreamChecks = Annotated[
    bool | None,
    typer.Option(
        "--stream-checks/--no-stream-checks",
        help="Store a check of each stream, to find damage. [default: if it takes at most 0.1 % of OUT]",
    ),
]
Preview = Annotated[
    bool | None,
    typer.Option("--preview/--no-preview", help="Store a small preview. [default: if it takes at most 0.5 % of OUT]"),
]
Effort = Annotated[
    int,
    typer.Option(
        min=0,
        max=MOST_EFFORT,
        metavar="E",
        help=f"Effort from 0 (fastest) to {MOST_EFFORT} (fewest bytes at equal quality).",
    ),
]
Format = Annotated[
    str | None, typer.Option(metavar="F", help="Picture format: png, jpg, webp, ... [default: suffix of OUT, else png]")
]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite existing files.")]
MaxPixels = Annotated[int, typer.Option(min=1, metavar="N", help="Refuse pictures with more than N pixels.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Search folders recursively.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        "-j", "--jobs", min=1, metavar="N", help="Process N files at once. [default: number of cores; on a GPU 3]"
    ),
]
OnRay = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS", help="Run on a Ray cluster: auto, local, or its address."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, and a total.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of errors.")]
FedsFiles = Annotated[
    list[Path],
    typer.Argument(readable=False, metavar="FILE...", help=".feds files or folders of them; - for standard input."),
]


def window_of(crop: str | None) -> Window | None:
    """The part of a picture that --crop names. Raises BadParameter if it names none."""
    if crop is None:
        return None
    from ..images import Window

    try:
        return Window.parse(crop)
    except ValueError as error:
        raise typer.BadParameter(f"--crop: {error}") from error


def model_names(incomplete: str = "") -> list[str]:
    """Completions of a model name: the names, and after `student-` those with a quality."""
    from ..registry import describe, names, resolve

    known = names()
    for name in known:
        if incomplete.startswith(f"{name}-"):
            with suppress(FedsError):  # a damaged file is reported when it is used
                known += [f"{name}-q{n + 1}" for n in range(len(describe(resolve(name).path).qualities))]
            break
    return known


def with_metric_targets(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the `**targets` of a command by an option for every metric that can be a target, after its size."""
    own = inspect.signature(command, eval_str=True)
    named = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    place = next(number for number, p in enumerate(named) if p.name == "size") + 1
    flags = [
        inspect.Parameter(
            metric.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                float | None,
                typer.Option(f"--{metric.option}", metavar="DB" if metric.unit == "dB" else "S", help=metric.target),
            ],
        )
        for metric in METRICS.values()
        if metric.target
    ]
    after = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in named[place:]]
    command.__signature__ = own.replace(parameters=[*named[:place], *flags, *after])  # type: ignore[attr-defined]
    return command


def target_of(given: Mapping[str, float | None], quality: float | None) -> Target | None:
    """The target among these options, if any; wrong usage if there are two, or a target and a quality."""
    from ..codec.targets import only_target

    if sum(value is not None for value in (*given.values(), quality)) > 1:
        *names, last = (f"--{name.replace('_', '-')}" for name in ("quality", *given))
        raise typer.BadParameter(f"use only one of {', '.join(names)} and {last}")
    return only_target(given, quality)


def require_weights(out: Path, *, force: bool, source: Path | None = None, folder_is_made: bool = False) -> None:
    """Check that `out` ends in .safetensors (else wrong usage) and can be written (else OutputError)."""
    if out.suffix != ".safetensors":
        raise typer.BadParameter(f"expected a file that ends in .safetensors, found {out}")
    require_writable(out, force=force, source=source, folder_is_made=folder_is_made)


def writable_format(wanted: str) -> str:
    """Return the picture format, given with or without its dot; wrong usage for one that feds cannot write."""
    from ..images import WRITABLE_SUFFIXES

    if f".{wanted.lower().removeprefix('.')}" not in WRITABLE_SUFFIXES:
        raise typer.BadParameter(f"expected a picture format ({' '.join(WRITABLE_SUFFIXES)}), found {wanted}")
    return wanted


def examples(*commands: str) -> str:
    """Format the examples of a command for the end of its help, one per line."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)
