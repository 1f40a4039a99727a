"""What `feds train`, `distill` and `finetune` do: read pictures, train by a recipe, leave weights that encode.

Beside the weights file `mine.safetensors` stand its log `mine.jsonl`, its curve `mine.svg` and, until the run is over,
`mine.state.safetensors`, from which `--resume` goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from ..codec.devices import choose_device
from ..errors import FedsError
from ..networks.model import FedsModel
from ..networks.spec import ModelSpec
from ..networks.weights import read_weights, trainable, write_weights
from ..version import __version__
from .crops import Crops
from .curve import curve, read_log
from .data import Tiles
from .loop import Trainer
from .measure import measure
from .parallel import join_team
from .recipe import Recipe, recipe_from, replaced
from .reports import Report, json_log
from .stages import Alone, Distilled, Stage
from .start import start
from .state import read_state, write_state


@dataclass(frozen=True)
class Job:
    """What one call of a command is to do."""

    data: list[Path]
    out: Path
    recipe: str = "train"  # one of RECIPES
    overrides: dict[str, Any] = field(default_factory=dict)  # fields of the recipe
    network: str = "student"  # one of VARIANTS; not looked at with `init`
    init: Path | None = None
    teacher: Path | None = None
    lam: float | None = None
    metric: str | None = None
    device: str = "auto"
    resume: bool = False
    stop_after: float = float("inf")  # minutes from the call on
    measure: bool = False  # only time some steps

    @property
    def state(self) -> Path:
        """What `resume` goes on from."""
        return self.out.with_suffix(".state.safetensors")


def run(job: Job) -> None:
    """Train, and write the weights file every few minutes and at the end or at Ctrl-C."""
    begin = time.monotonic()
    team, device = join_team(choose_device(job.device))
    console = Console(stderr=True, quiet=not team.leads)
    state = read_state(job.state) if job.resume else None
    recipe = _recipe(job, state)
    torch.manual_seed(recipe.seed)
    stage, words = _stage(job, recipe, state)
    crops = _crops(job, recipe, device, console)
    trainer = Trainer(stage, crops, recipe, team)
    if state is not None:
        trainer.restore(state["run"])
        console.print(f"{job.state}: goes on from step {trainer.step}, after {trainer.minutes:.1f} minutes")
    else:
        _prepare(trainer, job)
    if job.measure:
        speed = measure(trainer)
        console.print(str(speed), soft_wrap=True)
    else:
        left = job.stop_after - (time.monotonic() - begin) / 60
        _train(trainer, job, words, console, left)
    team.leave()


def _recipe(job: Job, state: dict[str, Any] | None) -> Recipe:
    """Of a run that goes on, the recipe is its own; only what is given anew differs."""
    if state is not None:
        return replaced(replaced(Recipe(), state["recipe"]), job.overrides)
    recipe = recipe_from(job.recipe, job.overrides)
    if job.init is not None:
        recipe = replace(recipe, linear_share=0.0)  # its transforms are past being linear
    return recipe


def _stage(job: Job, recipe: Recipe, state: dict[str, Any] | None) -> tuple[Stage, dict[str, str]]:
    """The networks of a run, and what its weights files say of it; a run that goes on starts from its checkpoint."""
    if state is not None:
        model, words = FedsModel(ModelSpec.from_dict(state["spec"])), state["words"]
    else:
        model, words = start(job.network, job.init, job.lam, job.metric)
    if model.spec.metric == "ms-ssim" and recipe.crop < 192:
        raise FedsError(f"MS-SSIM needs crops of at least 192 pixels, found {recipe.crop}")
    if job.teacher is None:
        return Alone(model, recipe), words
    taught_by = read_weights(job.teacher)
    return Distilled(model, trainable(taught_by), recipe), {**words, "teacher": taught_by.fingerprint.hex()}


def _crops(job: Job, recipe: Recipe, device: torch.device, console: Console) -> Crops:
    with console.status("reading pictures") as status:
        tiles = Tiles.read(
            job.data, smallest=recipe.crop, progress=lambda n: status.update(f"reading pictures: {n}")
        )  # fmt: skip
    for sentence in tiles.skipped[:20]:
        console.print(f"skipped: {sentence}", style="yellow", soft_wrap=True)
    crops = Crops(tiles.pictures, device, recipe.seed)
    place = "" if crops.place == device else f", pictures on {crops.place}"
    console.print(f"{len(crops)} pictures, {len(tiles.skipped)} skipped, on {device}{place}", soft_wrap=True)
    return crops


def _prepare(trainer: Trainer, job: Job) -> None:
    if job.init is None and len(trainer.model.g_a.shortcut):
        trainer.warm_start()
    trainer.survey_teacher()


def _train(trainer: Trainer, job: Job, words: dict[str, str], console: Console, left: float) -> None:
    save = _saver(trainer, job, words)
    log = _log(trainer, job)
    with Progress(
        TextColumn("{task.percentage:>3.0f}%"), BarColumn(10), TextColumn("{task.description}"), console=console
    ) as progress:
        task = progress.add_task("starting", total=1.0, completed=trainer.progress)

        def tell(report: Report) -> None:
            log(report)
            progress.update(task, completed=report.progress, description=str(report))

        finished = trainer.run(tell, save, left)
        progress.update(task, completed=trainer.progress)
    if finished and trainer.team.leads:
        job.state.unlink(missing_ok=True)
    rest = "" if finished else f"; {job.state} goes on with --resume"
    console.print(
        f"{job.out}: {trainer.step} steps, {int(trainer.skipped)} skipped as not finite{rest}", soft_wrap=True
    )


def _log(trainer: Trainer, job: Job) -> Callable[[Report], None]:
    if not trainer.team.leads:
        return lambda report: None
    return json_log(job.out.with_suffix(".jsonl"), trainer.recipe, resumed=trainer.step if job.resume else None)


def _saver(trainer: Trainer, job: Job, words: dict[str, str]) -> Callable[[Trainer], None]:
    """What writes a checkpoint: weights that encode, the state of the run, and the curve so far."""
    words = {**words, "recipe": json.dumps(asdict(trainer.recipe)), "version": __version__}

    def save(run: Trainer) -> None:
        if not run.team.leads:
            return
        told = {**words, "steps": str(run.step), "minutes": f"{run.minutes:.2f}"}
        write_weights(job.out, run.average, told, checkpoint=True)
        write_state(job.state, {
            "run": run.state(), "recipe": asdict(run.recipe), "spec": run.model.spec.to_dict(), "words": words,
        })  # fmt: skip
        rows = read_log(job.out.with_suffix(".jsonl"))
        job.out.with_suffix(".svg").write_text(curve(rows, job.out.stem), encoding="utf-8")

    return save


def export(checkpoint: Path, out: Path) -> None:
    """Turn a checkpoint into what ships: integer entropy side, float16 transforms, no float twin."""
    weights = read_weights(checkpoint)
    words = {k: v for k, v in weights.metadata.items() if k not in ("format", "spec", "fingerprint")}
    write_weights(out, trainable(weights), words)
