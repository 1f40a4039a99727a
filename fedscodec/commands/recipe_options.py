"""The options that `feds train`, `distill` and `finetune` share: every field of a `Recipe`, and where a run stands."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..errors import FedsError
from ..training.recipe import RECIPES, Recipe, recipe_from
from .options import require_weights


class Metric(StrEnum):
    """What distortion is."""

    MSE = "mse"
    MS_SSIM = "ms-ssim"


Data = Annotated[list[Path], typer.Option(help="A folder or .tar of pictures; may be given again.")]
Out = Annotated[Path, typer.Option(help="The .safetensors file to write; log, curve and state stand beside it.")]
Network = Annotated[str, typer.Option(help="A variant that `feds models --all` lists.")]
Lambda = Annotated[float | None, typer.Option("--lambda", help="Train for this λ alone, in place of q1 … q7.")]
Distortion = Annotated[Metric | None, typer.Option("--metric", help="What distortion is.  [default: mse]")]
Named = Annotated[str, typer.Option(metavar="NAME", help=f"Where the fields below start from: {', '.join(RECIPES)}.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run that left OUT's .state.safetensors.")]
StopAfter = Annotated[
    float, typer.Option(metavar="MINUTES", help="Leave after so long, in a state that --resume goes on from.")
]
Measure = Annotated[bool, typer.Option("--measure", help="Only time some steps: pixels a second, share of the device.")]


def with_recipe_flags(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A command with its **recipe spelt out: an option for every field of `Recipe`, None unless given.

    name: the recipe whose values stand in the help as defaults.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        named = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        flags = [_flag(field.name, getattr(RECIPES[name], field.name)) for field in fields(Recipe)]
        command.__signature__ = own.replace(parameters=[*named, *flags])  # type: ignore[attr-defined]
        return command

    return decorate


def _flag(name: str, default: object) -> inspect.Parameter:
    kind = get_type_hints(Recipe)[name]
    several = isinstance(default, tuple)
    shown = " ".join(map(str, default)) or "none" if isinstance(default, tuple) else default
    help_text = f"[default: {shown}]" + (" May be given again." if several else "")
    wanted: Any = list[int] | None if several else kind | None
    annotation: Any = Annotated[wanted, typer.Option(help=help_text)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def checked(recipe: str, given: dict[str, Any], out: Path, *, force: bool, resume: bool) -> dict[str, Any]:
    """The fields of the recipe that were given, once it is known that they and `out` can be; before anything heavy."""
    overrides = {name: value for name, value in given.items() if value is not None}
    try:
        recipe_from(recipe, overrides)
    except FedsError as error:
        raise typer.BadParameter(str(error)) from error
    require_weights(out, force=force or resume)
    return overrides
