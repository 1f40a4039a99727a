"""The flags of `feds train`, `distill` and `finetune`, made from the fields of a `Job` and of a `Recipe`."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Collection
from dataclasses import MISSING, Field, fields, replace
from typing import Annotated, Any, get_type_hints

import typer

from ..errors import FedsError
from ..files.outputs import require_folder, require_writable
from ..metrics.table import LOSSES
from ..registry import weights_path
from ..training.job import Job
from ..training.recipe import LESSON, RECIPES, Recipe, recipe_from
from .failures import one_sentence
from .options import Debug, Force, require_weights


def job_command(
    recipe: str, *, without: Collection[str] = (), required: Collection[str] = ()
) -> Callable[[Callable[[Job], None]], Callable[..., None]]:
    """Turn a function of a `Job` into a command, with a flag for every field of `Job` and of `Recipe`.

    recipe: name of the recipe with the defaults that the help shows. without: fields of the job that are not flags of
    this command. required: fields that must be given.
    """

    def decorate(command: Callable[[Job], None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            with one_sentence(given.pop("debug")):
                command(_job(given, force=given.pop("force")))

        own = [field for field in fields(Job) if field.metadata and field.name not in without]
        flags = [_job_flag(field, recipe, field.name in required) for field in own]
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
            for name, kind in (("force", Force), ("debug", Debug))
        ]
        numbers = [_recipe_flag(field, getattr(RECIPES[recipe], field.name)) for field in fields(Recipe)]
        run.__signature__ = inspect.Signature([*flags, *shared, *numbers])  # type: ignore[attr-defined]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _job_flag(field: Field[Any], recipe: str, required: bool) -> inspect.Parameter:
    kind, name = _hints(Job)[field.name], field.metadata.get("name")
    default = recipe if field.name == "recipe" else field.default
    if default is MISSING or required:
        default = inspect.Parameter.empty
    declared = [name] if name else ["--" + field.name.replace("_", "-")]
    told = {k: v for k in ("help", "metavar") if (v := field.metadata.get(k))}
    told |= {"show_default": False} if default == math.inf else {}
    annotation: Any = Annotated[kind, typer.Option(*declared, **told)]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _recipe_flag(field: Field[Any], default: object) -> inspect.Parameter:
    kind = _hints(Recipe)[field.name]
    several = isinstance(default, tuple)
    shown = " ".join(map(str, default)) or "none" if isinstance(default, tuple) else default
    help_text = f"{field.metadata['help']}  [default: {shown}]" + (" Repeatable." if several else "")
    wanted: Any = list[int] | None if several else kind | None
    annotation: Any = Annotated[wanted, typer.Option(help=help_text)]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _job(given: dict[str, Any], *, force: bool) -> Job:
    """Check the flags and turn them into a job, before anything heavy is loaded."""
    own = {field.name: given[field.name] for field in fields(Job) if field.name in given}
    for name in ("init", "teacher"):
        if (weights := own.get(name)) is not None:
            own[name] = weights_path(weights)
    overrides = {f.name: given[f.name] for f in fields(Recipe) if given.get(f.name) is not None}
    try:
        job = Job(**own, overrides=overrides)
        recipe = recipe_from(job.recipe, overrides)
    except FedsError as error:
        raise typer.BadParameter(_by_flags(str(error))) from error
    if job.teacher is None:
        _require_no_lesson(recipe, job)
    if job.metric not in (None, *LOSSES):
        raise typer.BadParameter(f"expected --metric {' or '.join(LOSSES)}, found {job.metric}")
    if job.workers < 1:
        raise typer.BadParameter(f"--workers must be at least 1, found {job.workers}")
    if job.resume and not job.goes_on and force:
        job = replace(job, resume=False)  # and begin anew
    anew = not (job.measure or job.resume and (job.goes_on or job.is_finished))  # of which the run tells
    require_weights(job.out, force=force or not anew)
    if not job.measure:
        for path in job.written[1:]:  # without a state, a run that is to be resumed ended before its first save
            require_writable(path, force=force or job.resume)
    if job.cache is not None:
        require_folder(job.cache)
    return job


def _by_flags(sentence: str) -> str:
    """A sentence about fields of a recipe, with the flags that set them: --warm-up for warm_up."""
    names = {field.name for field in fields(Recipe)}
    words = sentence.split(" ")
    told = [word for at, word in enumerate(words) if word.rstrip(",") in names and (at == 0 or "_" in word)]
    return " ".join(f"--{word.replace('_', '-')}" if word in told else word for word in words)


def _require_no_lesson(recipe: Recipe, job: Job) -> None:
    """Wrong usage for a recipe about learning from a teacher, in a run that has none."""
    usual = Recipe()
    for name in LESSON:
        if getattr(recipe, name) != getattr(usual, name):
            given = f"--{name.replace('_', '-')}" if name in job.overrides else f"--recipe {job.recipe}"
            raise typer.BadParameter(f"{given}: needs a teacher: use `feds distill`")
