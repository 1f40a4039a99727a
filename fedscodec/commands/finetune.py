"""`feds finetune`: train a network further, without a teacher; stage 3 of the paper."""

from __future__ import annotations

from ..training.job import Job
from .options import examples
from .recipe_options import job_command

EXAMPLES = examples("feds finetune --init student.safetensors --data photos --out tuned.safetensors --minutes 30")


@job_command("finetune", without=("teacher", "network", "source"), required=("init",))
def finetune(job: Job) -> None:
    """Train a network further, and the integers that ship."""
    from .training import run_job

    run_job(job)
