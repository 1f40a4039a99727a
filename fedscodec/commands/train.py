"""`feds train`: train a network; stage 1 of the paper, or a student without a teacher."""

from __future__ import annotations

from ..training.job import Job
from .options import examples
from .recipe_options import job_command

EXAMPLES = examples(
    "feds train --data photos --out mine.safetensors --minutes 60 --workers 2",
    "feds train --data photos --out mine.safetensors --resume",
    "feds train --data photos --out branch.safetensors --from mine.state.safetensors --recipe branch --minutes 20",
    "feds train --data photos --out teacher.safetensors --network teacher --recipe paper-teacher --lambda 0.015",
)


@job_command("train", without=("teacher",))
def train(job: Job) -> None:
    """Train a network on pictures."""
    from .training import run_job

    run_job(job)
