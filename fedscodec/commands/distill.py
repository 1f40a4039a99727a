"""`feds distill`: train a student with a teacher; stage 2 of the paper."""

from __future__ import annotations

from ..training.job import Job
from .options import examples
from .recipe_options import job_command

EXAMPLES = examples(
    "feds distill --teacher teacher.safetensors --data photos --out student.safetensors --minutes 60",
    "feds distill --teacher teacher.safetensors --data photos --out student.safetensors --recipe fu2024kd",
)


@job_command("distill", required=("teacher",))
def distill(job: Job) -> None:
    """Train a student on pictures with a teacher."""
    from .training import run_job

    run_job(job)
