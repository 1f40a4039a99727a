"""`feds finetune`: stage 3 of the paper, a student on its own again, and on its integers."""

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
    Out,
    Resume,
    StopAfter,
    checked,
    with_recipe_flags,
)

EXAMPLES = examples("feds finetune --init student.safetensors --data photos --out tuned.safetensors --minutes 30")


@with_recipe_flags("finetune")
def finetune(
    *,
    init: Annotated[Path, typer.Option(help="Weights to tune, a checkpoint or as shipped.")],
    data: Data,
    out: Out,
    lam: Lambda = None,
    metric: Distortion = None,
    recipe: Named = "finetune",
    resume: Resume = False,
    stop_after: StopAfter = math.inf,
    measure: Measure = False,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Tune a trained network further, with its entropy side as the integers that ship."""
    with one_sentence(debug):
        overrides = checked(recipe, given, out, force=force or measure, resume=resume)
        from ..training.command import Job, run

        run(Job(
            data, out, recipe, overrides, init=init, lam=lam, metric=metric and metric.value, device=device.value,
            resume=resume, stop_after=stop_after, measure=measure,
        ))  # fmt: skip
