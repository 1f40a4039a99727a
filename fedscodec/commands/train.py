"""`feds train`: stage 1 of the paper, and how a student is trained without a teacher."""

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
    "feds train --data photos --out mine.safetensors --minutes 60",
    "feds train --data photos --out mine.safetensors --resume",
    "feds train --data photos --out teacher.safetensors --network teacher --recipe paper-teacher --lambda 0.015",
)


@with_recipe_flags("train")
def train(
    *,
    data: Data,
    out: Out,
    network: Network = "student",
    init: Annotated[Path | None, typer.Option(help="Weights to start from.")] = None,
    lam: Lambda = None,
    metric: Distortion = None,
    recipe: Named = "train",
    resume: Resume = False,
    stop_after: StopAfter = math.inf,
    measure: Measure = False,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    debug: Debug = False,
    **given: Any,
) -> None:
    """Train a network on a folder of pictures."""
    with one_sentence(debug):
        overrides = checked(recipe, given, out, force=force or measure, resume=resume)
        from ..training.command import Job, run

        run(Job(
            data, out, recipe, overrides, network=network, init=init, lam=lam, metric=metric and metric.value,
            device=device.value, resume=resume, stop_after=stop_after, measure=measure,
        ))  # fmt: skip
