"""`feds distill`: stage 2 of the paper, a student that learns from a teacher."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from .failures import one_sentence
from .options import Debug, Device, Force, OnDevice, examples
from .recipe_options import (
    Data,
    Distortion,
    Lambda,
    Measure,
    Named,
    Network,
    Out,
    Resume,
    StopAfter,
    checked,
    with_recipe_flags,
)

EXAMPLES = examples(
    "feds distill --teacher teacher.safetensors --data photos --out student.safetensors --minutes 60",
    "feds distill --teacher teacher.safetensors --data photos --out student.safetensors --recipe fu2024kd",
)


@with_recipe_flags("distill")
def distill(
    *,
    teacher: Annotated[Path, typer.Option(help="Weights of the teacher, a checkpoint or as shipped.")],
    data: Data,
    out: Out,
    network: Network = "student",
    init: Annotated[Path | None, typer.Option(help="Weights of the student to start from.")] = None,
    lam: Lambda = None,
    metric: Distortion = None,
    recipe: Named = "distill",
    resume: Resume = False,
    stop_after: StopAfter = math.inf,
    measure: Measure = False,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Train a student on a folder of pictures and on what a teacher makes of them."""
    with one_sentence(debug):
        overrides = checked(recipe, given, out, force=force or measure, resume=resume)
        from ..training.command import Job, run

        run(Job(
            data, out, recipe, overrides, network=network, init=init, teacher=teacher, lam=lam,
            metric=metric and metric.value, device=device.value, resume=resume, stop_after=stop_after, measure=measure,
        ))  # fmt: skip
