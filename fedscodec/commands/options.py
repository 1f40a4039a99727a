"""The options that several commands share, and how examples stand under a command's help."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import FedsError
from ..files.outputs import Place, require_writable
from ..metrics.table import METRICS

if TYPE_CHECKING:
    from ..codec.targets import Target


_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}


def bytes_of(text: str) -> int:
    """The number in `200000`, `200k`, `1.5M` or `200KiB`; wrong usage for others."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)\s*((?:[kmg]i?)?)b?", text.strip().lower())
    if match is None:
        raise typer.BadParameter(f"expected bytes such as 200000, 200k, 1.5M or 200KiB, found {text}")
    return int(float(match[1]) * _UNITS[match[2]])


class Device(StrEnum):
    """Where the networks run."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


# Paths that cannot be read are told of like everything else that fails, not as wrong usage: hence readable=False.
Output = Annotated[
    Place | None,
    typer.Option("-o", "--output", parser=Place.named, metavar="OUT", help="A file or a folder; by default beside IN."),
]


class Backend(StrEnum):
    """What runs the networks."""

    AUTO = "auto"
    ONNX = "onnx"
    TORCH = "torch"


OnBackend = Annotated[
    Backend,
    typer.Option("--backend", help="auto is ONNX Runtime on a CPU, where the network allows it, else torch."),
]
OnDevice = Annotated[Device, typer.Option("--device", help="auto is a GPU where there is one.")]
ModelName = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="As `feds models` lists it, or a weights file.",
        autocompletion=lambda incomplete: model_names(incomplete),
    ),
]
Quality = Annotated[float | None, typer.Option(metavar="Q", help="1 (small) to 7 (good), in place of NAME's.")]
Bpp = Annotated[float | None, typer.Option(metavar="BPP", help="At most so many bits per pixel.")]
Size = Annotated[
    int | None,
    typer.Option(parser=bytes_of, metavar="BYTES", help="At most so many bytes: 200000, 200k, 1.5M, 200KiB."),
]
StreamChecks = Annotated[
    bool | None,
    typer.Option(
        "--stream-checks/--no-stream-checks",
        help="Tell which stream broke; by default if that is at most 0.1 % of OUT.",
    ),
]
Preview = Annotated[
    bool | None,
    typer.Option(
        "--preview/--no-preview", help="Put in a small picture to show at once; by default if that is at most 0.5 %."
    ),
]
Effort = Annotated[
    int,
    typer.Option(
        min=0, max=9, metavar="E", help="0 (fast) to 9: refine each picture, for fewer bytes at equal quality."
    ),
]
Format = Annotated[str | None, typer.Option(metavar="F", help="png, jpg, webp, ...; by default OUT's suffix.")]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite the output if it exists.")]
MaxPixels = Annotated[int, typer.Option(min=1, metavar="N", help="Refuse pictures with more pixels.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing but errors.")]
Recursive = Annotated[bool, typer.Option("-r", "--recursive", help="Folders with all that is below them.")]
Jobs = Annotated[
    int | None, typer.Option("-j", "--jobs", min=1, metavar="N", help="Files at once; by default all cores.")
]
OnRay = Annotated[
    str | None,
    typer.Option("--ray", metavar="ADDRESS", help="Share them out on a cluster of Ray: auto, local, or its address."),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line on standard output, and a total.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
FedsFile = Annotated[Path, typer.Argument(readable=False, metavar="IN", help="A .feds file; - is standard input.")]


def model_names(incomplete: str = "") -> list[str]:
    """What a shell may complete a model's name to: the names, and after `student-` those with a quality."""
    from ..registry import describe, names, resolve

    known = names()
    for name in known:
        if incomplete.startswith(f"{name}-"):
            with suppress(FedsError):  # a damaged file is told of when it is used
                known += [f"{name}-q{n + 1}" for n in range(len(describe(resolve(name).path).qualities))]
            break
    return known


def with_metric_targets(command: Callable[..., None]) -> Callable[..., None]:
    """A command with its **targets spelt out after its size: an option for every metric that can be asked for."""
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
    """The one target that was given by name, if any; wrong usage where there are two, or a quality beside it."""
    from ..codec.targets import only_target

    if sum(value is not None for value in (*given.values(), quality)) > 1:
        *names, last = (f"--{name.replace('_', '-')}" for name in ("quality", *given))
        raise typer.BadParameter(f"only one of {', '.join(names)} and {last} can be asked for")
    return only_target(given, quality)


def require_weights(out: Path, *, force: bool, source: Path | None = None, folder_is_made: bool = False) -> None:
    """Wrong usage unless `out` is named as weights files are, and OutputError unless it could be written."""
    if out.suffix != ".safetensors":
        raise typer.BadParameter(f"weights are written as .safetensors, found {out}")
    require_writable(out, force=force, source=source, folder_is_made=folder_is_made)


def writable_format(wanted: str) -> str:
    """The picture format that was asked for, with or without its dot; wrong usage for one that is not written."""
    from ..images import WRITABLE_SUFFIXES

    if f".{wanted.lower().removeprefix('.')}" not in WRITABLE_SUFFIXES:
        raise typer.BadParameter(f"pictures are written as {' '.join(WRITABLE_SUFFIXES)}, found {wanted}")
    return wanted


def examples(*commands: str) -> str:
    """The examples of a command, for the end of its help, one a line."""
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)
