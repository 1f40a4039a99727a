"""`feds train`: every field of a `Recipe` is an option."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..outputs import require_writable
from ..training.recipe import Recipe
from .failures import one_sentence
from .options import Debug, Device, Force, OnDevice, examples

EXAMPLES = examples("feds train --data photos --out mine.safetensors --minutes 60")


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
        from ..training.command import train as run

        run(data, out, network, given, init, device.value)
