"""Which runs a table needs: every variant and seed at equal minutes and at equal steps, each a job of its own.

    pace            seconds that a step of a variant takes here, see `training.measure.pace`
    equal minutes   each variant as many steps as fit into the minutes at its pace
    equal steps     each as many as the slowest variant has then

So every run counts steps: it can be stopped and goes on exactly, and what else the machine did meanwhile decides
nothing. Each schedule is whole, and each run is one command (`command`). Two views that ask the same of a variant share
a run, and so do tables.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import FedsError
from ..networks.counts import kmacs_per_pixel
from ..networks.spec import VARIANTS, ModelSpec
from ..training.job import Job
from ..training.recipe import Recipe
from .sources import Sources
from .tables import GIVEN, Table, Variant

VIEWS = {"minutes": "equal minutes", "steps": "equal steps"}
"""What is held equal, by name."""
CHECKPOINT, SHIPPED = "checkpoint.safetensors", "weights.safetensors"
"""What a run leaves in its folder: weights that training goes on from, and those that are measured."""

Definition = dict[str, Any]
"""All that decides what a run learns: network, start, teacher, recipe and data, as plain values."""


@dataclass(frozen=True)
class Run:
    """One training run of a variant: its seed and number of steps. views: those of VIEWS that show it."""

    variant: Variant
    seed: int
    steps: int
    views: tuple[str, ...]
    definition: Definition
    teacher: Run | None = None  # where another variant of the table teaches it

    @property
    def digest(self) -> str:
        """A digest of the definition, 16 hexadecimal digits."""
        return digest(self.definition)

    def folder(self, work: Path) -> Path:
        """Where its weights, its log and its measurements are."""
        return work / f"{self.variant.network}-{self.digest}"

    def __str__(self) -> str:
        """A few words for people."""
        return f"{self.variant.name}, seed {self.seed}, {self.steps:,} steps"


def digest(values: object) -> str:
    """16 hexadecimal digits that stand for plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def define(
    table: Table, variant: Variant, sources: Sources, *, steps: int = 0, seed: int = 1, teacher: str | None = None
) -> Definition:
    """What decides what a run of a variant learns; teacher: the digest of the run that teaches it, if one does."""
    if variant.teacher == GIVEN and sources.teacher:
        teacher = sources.teacher.digest
    start = sources.student.digest if variant.start == "weights" and sources.student else "fresh"
    values = {
        "network": variant.network, "start": start, "teacher": teacher, "data": sources.pixels,
        "spec": _differing(VARIANTS[variant.network], ModelSpec()),
        "recipe": _differing(table.recipe(variant, steps=steps, seed=seed), Recipe()),
    }  # fmt: skip
    plain: Definition = json.loads(json.dumps(values))
    return plain


def _differing(value: Any, default: Any) -> dict[str, Any]:
    """Fields that are not as by default, so that a field that comes to be later changes no definition."""
    own, usual = asdict(value), asdict(default)
    return {name: item for name, item in own.items() if item != usual[name]}


def plan(table: Table, sources: Sources, counts: Mapping[str, Mapping[str, int]], seeds: Sequence[int]) -> list[Run]:
    """All runs in the order they are done: seed by seed; counts: steps of each variant in each view."""
    runs: dict[tuple[str, str], Run] = {}
    for seed in seeds:
        for view, steps in counts.items():
            made: dict[str, Run] = {}
            for variant in table.variants:
                count, teacher = steps[variant.name], made.get(variant.teacher or "")
                taught_by = teacher.digest if teacher else None
                definition = define(table, variant, sources, steps=count, seed=seed, teacher=taught_by)
                run = Run(variant, seed, count, (view,), definition, teacher)
                key = variant.name, run.digest
                if key in runs:
                    run = replace(runs[key], views=(*runs[key].views, view))
                made[variant.name] = runs[key] = run
    return list(runs.values())


def counts_of(paces: Mapping[str, float], minutes: float, views: Sequence[str]) -> dict[str, dict[str, int]]:
    """Steps of each variant in each view, from the seconds that a step takes; FedsError where none fits."""
    steps = {name: int(60 * minutes / seconds) for name, seconds in paces.items()}
    if least := [name for name, count in steps.items() if count < 1]:
        raise FedsError(f"{minutes:g} minutes are too short for a step of {', '.join(least)}; give more --minutes")
    slowest = min(steps.values())
    every = {"minutes": steps, "steps": dict.fromkeys(steps, slowest)}
    return {view: every[view] for view in VIEWS if view in views}


def job_of(table: Table, run: Run, sources: Sources, work: Path) -> Job:
    """What trains a run; its checkpoint comes into the run's folder."""
    out = run.folder(work) / CHECKPOINT
    overrides = table.overrides(run.variant, steps=run.steps, seed=run.seed)
    teacher = sources.teacher.path if run.variant.teacher == GIVEN and sources.teacher else None
    if run.teacher is not None:
        teacher = run.teacher.folder(work) / SHIPPED
    return job(run.variant, sources, out, overrides, teacher)


def job(variant: Variant, sources: Sources, out: Path, overrides: dict[str, Any], teacher: Path | None) -> Job:
    """What trains a variant."""
    init = sources.student.path if variant.start == "weights" and sources.student else None
    return Job(
        sources.data, out, variant.recipe, overrides, variant.network, init, teacher=teacher, cache=sources.cache,
        sharpness=sources.sharpness, halves=sources.halves, workers=sources.workers,
        device=sources.device,  # type: ignore[arg-type]
    )  # fmt: skip


def command(job: Job) -> str:
    """The command line that trains what a job trains, files by their names without folders."""
    words = ["feds", "distill" if job.teacher else "train"]
    given = {
        "data": [path.name for path in job.data], "network": job.network, "init": job.init and job.init.name,
        "teacher": job.teacher and job.teacher.name, "recipe": job.recipe, **job.overrides,
        "sharpness": job.sharpness or None, "halves": job.halves or None,
        "workers": job.workers if job.workers > 1 else None, "out": job.out.name,
    }  # fmt: skip
    for name, value in given.items():
        words += _flags(f"--{name.replace('_', '-')}", value)
    return shlex.join(words)


def _flags(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return [name if value else name.replace("--", "--no-", 1)]
    several = value if isinstance(value, list | tuple) else [value]
    return [word for item in several for word in (name, f"{item:g}" if isinstance(item, float) else str(item))]


def cost(table: Table, variant: Variant) -> float:
    """Thousands of multiply-accumulates a pixel of a step: forward, twice as much backward, and a teacher's forward.

    A given teacher is taken to be the light teacher.
    """
    own = 3 * kmacs_per_pixel(VARIANTS[variant.network])
    if variant.teacher is None:
        return own
    teacher = "teacher" if variant.teacher == GIVEN else table.variant(variant.teacher).network
    return own + table.recipe(variant).taught_share * kmacs_per_pixel(VARIANTS[teacher])
