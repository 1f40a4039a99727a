"""One run of a `Job`: read pictures, train by a recipe, save weights that encode.

Beside the weights file `mine.safetensors` it writes a log `mine.jsonl`, `mine.state.safetensors` (the run before its
learning rate falls, from which it can always continue) and, until the run is over, `mine.falling.safetensors`.
`--resume` continues from the newest. The caller shows the messages and draws the curve.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch

from ..errors import FedsError, OutputError, WeightsError, is_lack_of_memory, named
from ..metrics.table import LOSSES
from ..networks.metadata import read_metadata
from ..networks.model import FedsModel
from ..networks.spec import VARIANTS, ModelSpec
from ..networks.weights import read_weights, trainable, write_weights
from ..version import __version__
from .crops import Crops
from .data import Reading
from .health import DivergedError
from .job import Job
from .log import Report, json_log
from .loop import Trainer, place
from .measure import Pace, measure
from .measure import pace as pace_of
from .parallel import Team, join_team
from .pixels import Pixels, read_pixels
from .provenance import commit
from .recipe import LESSON, Recipe, recipe_from, replaced, with_options
from .stages import Alone, Distilled, Stage
from .start import resized, start
from .state import as_damage_of, read_state, write_state
from .workers import keep_freed_memory, lead

State = dict[str, Any]
Work = Callable[[Trainer], object]
"""What all processes of a run do in place of it."""
SCHEDULE = (
    "minutes", "steps", "warm_up", "decay_from", "decay_minutes", "milestones", "crops", "crops_share", "linear_share",
    "quantised_share", "decoder_share", "free_z", "graphics", "graphics_before", "jitter", "shapes_every",
    "compile", "precision",
)  # fmt: skip
"""Fields of a recipe about the schedule, and about the device, which may be another: with `--from` they come from the
recipe, and so do those about learning from a teacher, if there is one; all others come from the run."""


class Audience(Protocol):
    """Receives the messages of a run, from the leader only."""

    def say(self, sentence: str, *, warning: bool = False) -> None:
        """Show a sentence."""

    def reading(self, pictures: int) -> None:
        """Show how many pictures were read."""

    def progress(self, share: float, words: str) -> None:
        """Show which share of the run is over."""

    def saved(self, log: Path) -> None:
        """Note that a checkpoint was written; the log has all reports so far."""


class Nobody:
    """An audience that ignores everything."""

    def say(self, sentence: str, *, warning: bool = False) -> None:
        """Do nothing."""

    def reading(self, pictures: int) -> None:
        """Do nothing."""

    def progress(self, share: float, words: str) -> None:
        """Do nothing."""

    def saved(self, log: Path) -> None:
        """Do nothing."""


def run(job: Job, audience: Audience) -> bool:
    """Train, and write the weights file every few minutes and at the end or at Ctrl-C; return whether it was Ctrl-C.

    Raises DivergedError on divergence; the last good checkpoint is kept.
    """
    try:
        return _run(job, audience)
    except DivergedError as failure:
        kept = f"{job.out} keeps the last good checkpoint" if job.out.exists() else "nothing was written"
        raise DivergedError(f"{failure}; {kept}") from None
    except Exception as failure:
        if is_lack_of_memory(failure) and not isinstance(failure, FedsError):
            raise FedsError("not enough memory: try a smaller --batch or --crop") from None
        raise


def pace(job: Job, seconds: float) -> Pace:
    """Time each part of a job's run for about so many seconds; nothing is written."""
    work = partial(pace_of, seconds=seconds)
    trainer, _ = _ready(job, Nobody(), work)
    found = work(trainer)
    trainer.team.leave()
    return found


def _run(job: Job, audience: Audience) -> bool:
    begin = time.monotonic()
    if job.resume and not job.goes_on and job.is_finished:
        raise FedsError(f"{job.out}: is finished, and its run left no state to continue from")
    if not job.goes_on and (job.init or job.source):  # so that one command begins a run and goes on with it
        job = replace(job, resume=False)
    trainer, words = _ready(job, audience, measure if job.measure else None)
    audience = audience if trainer.team.leads else Nobody()
    if trainer.team.leads and not (job.resume or job.measure):
        _remove_states(job)
    if job.measure:
        audience.say(str(measure(trainer)))
    else:
        _train(trainer, job, words, audience, job.stop_after - (time.monotonic() - begin) / 60)
    trainer.team.leave()
    return trainer.interrupted


def _remove_states(job: Job) -> None:
    """Remove what an earlier run of the same name left, with which --resume would go on in place of the new one."""
    for path in (job.state, job.falling):
        path.unlink(missing_ok=True)


def _ready(job: Job, audience: Audience, work: Work | None) -> tuple[Trainer, dict[str, str]]:
    """A trainer before its first step, and what its weights files say of it; work: what workers do in place of it."""
    keep_freed_memory()
    team, device = join_team("cpu" if job.workers > 1 and job.device == "auto" else job.device)
    audience = audience if team.leads else Nobody()
    path = job.newest if job.resume else job.source
    state = _state(job, path)
    recipe = _recipe(job, state)
    if job.resume and path == job.falling and job.state.exists() and not _is_falling(state, recipe):
        path = job.state
        state = _state(job, path)
    _require_network(job)
    torch.manual_seed(recipe.seed)
    pixels = _pixels(job, recipe, audience, team)
    if job.resume and state is not None and (before := state["words"].get("data", pixels.digest)) != pixels.digest:
        sentence = f"{path}: was trained on other pictures (data {before}, found {pixels.digest})"
        audience.say(f"{sentence}; --data, --sharpness and --halves decide which", warning=True)
    own = Crops(pixels, torch.device("cpu"), recipe.seed)
    for side in recipe.sides:
        own.fitting(side)  # which says now if there is none
    stage, words = _stage(job, recipe, state, own)
    average = place(stage, device)
    if job.workers > 1:
        team = _workers(job, device, stage, average, pixels, recipe, path, work)
    crops = Crops(pixels, device, recipe.seed)
    where = "" if crops.place == device else f", pictures on {crops.place}"
    audience.say(f"{len(crops)} pictures, {len(pixels.skipped)} skipped, on {device}{where}")
    trainer = Trainer(stage, crops, recipe, team, average)
    if state is None and job.init is None and len(trainer.model.g_a.shortcut):
        trainer.warm_start()
    _begin(trainer, state, path, resume=job.resume)
    if state is not None:
        audience.say(
            f"{path}: continues from step {trainer.earlier + trainer.step}, after {trainer.minutes:.1f} minutes"
        )
    if recipe.compile and (sentence := trainer.compile()):
        audience.say(sentence, warning=True)
    return trainer, {**words, "data": pixels.digest, **({"commit": found} if (found := commit()) else {})}


def _state(job: Job, path: Path | None) -> State | None:
    """The state in a file, which fits the job."""
    _require_one_start(job)
    if path is None:
        return None
    state = read_state(path)
    with as_damage_of(path), named(path):
        ModelSpec.from_dict(state["spec"]), replaced(Recipe(), state["recipe"])
    _require_the_same(job, state, path)
    return state


def _is_falling(state: State | None, recipe: Recipe) -> bool:
    """Whether a state is past the point from which no trajectory continues; a longer run may be before it again."""
    if state is None:
        return False
    step, minutes = state["run"]["step"], state["run"]["minutes"]
    return bool((step / recipe.steps if recipe.steps else minutes / recipe.minutes) >= recipe.ends_at)


def _begin(trainer: Trainer, state: State | None, path: Path | None, *, resume: bool) -> None:
    """The steps before the first training step, the same in leader and workers."""
    if state is not None and path is not None:
        with as_damage_of(path), named(path):
            (trainer.restore if resume else trainer.take)(state["run"])
    trainer.team.wait()  # the leader may have changed weights that all share
    if state is None or not resume:
        trainer.prepare()


def _workers(
    job: Job, device: torch.device, stage: Stage, average: FedsModel, pixels: Pixels, recipe: Recipe,
    path: Path | None, work: Work | None,
) -> Team:  # fmt: skip
    if device.type != "cpu":
        raise FedsError("--workers is for one CPU; use torchrun for several GPUs")
    if recipe.batch % job.workers:
        raise FedsError(f"a batch of {recipe.batch} cannot be shared by {job.workers} processes evenly")
    return lead(job.workers, stage, _follow, average, pixels, recipe, path, job.resume, work)


def _follow(
    team: Team, stage: Stage, average: FedsModel, pixels: Pixels, recipe: Recipe, path: Path | None, resume: bool,
    work: Work | None,
) -> None:  # fmt: skip
    """The run in a worker."""
    trainer = Trainer(stage, Crops(pixels, torch.device("cpu"), recipe.seed), recipe, team, average)
    _begin(trainer, None if path is None else read_state(path), path, resume=resume)
    if recipe.compile:
        trainer.compile()
    if work is None:
        trainer.run(lambda report: None, lambda run, state: None)
    else:
        work(trainer)


def _require_network(job: Job) -> None:
    if job.network is not None and job.network not in VARIANTS:
        raise FedsError(f"{job.network}: no such network; known are {', '.join(VARIANTS)}")


def _require_one_start(job: Job) -> None:
    given = [name for name, value in (("--init", job.init), ("--from", job.source)) if value is not None]
    if len(given) > 1:
        raise FedsError(f"expected one start for the run, found {' and '.join(given)}")
    if job.source is not None and job.source.resolve() in (job.state.resolve(), job.falling.resolve()):
        raise FedsError(f"{job.source}: is the state of {job.out} itself, expected another --out, or --resume")


def _require_the_same(job: Job, state: State, path: Path) -> None:
    """Raise FedsError if the arguments do not match the run, because its network cannot change, nor, within one run,
    its start and its teacher.
    """
    words, spec = state["words"], ModelSpec.from_dict(state["spec"])
    lam = f"{spec.lambdas[0]:g}" if len(spec.lambdas) == 1 else f"{spec.lambdas[0]:g} … {spec.lambdas[-1]:g}"
    asked = {
        "--network": (job.network, words["network"]),
        "--lambda": (None if job.lam is None else f"{job.lam:g}", lam),
        "--metric": (job.metric, spec.metric),
    }
    if job.resume:
        asked["--init"] = job.init and job.init.name, words["start"]
        asked["--from"] = job.source and job.source.name, words["start"]
        _require_the_teacher(job, words.get("teacher"), path)
    for name, (given, own) in asked.items():
        if given is not None and given != own:
            raise FedsError(f"{path}: is a run with {name} {own}, which cannot continue with {name} {given}")


def _require_the_teacher(job: Job, own: str | None, path: Path) -> None:
    """Raise FedsError unless the run's teacher, by its fingerprint, is given, or none if it has none."""
    if own is None and job.teacher is not None:
        raise FedsError(f"{path}: is a run without a teacher, which cannot get {job.teacher}")
    if own is not None and job.teacher is None:
        raise FedsError(f"{path}: is a run with a teacher (fingerprint {own}), expected its file with --teacher")
    if own is not None and job.teacher is not None:
        found = read_metadata(job.teacher).get("fingerprint", "unknown")
        if found != own:
            raise FedsError(f"{job.teacher}: has the fingerprint {found}, expected {own}, which taught {path} so far")


def _recipe(job: Job, state: State | None) -> Recipe:
    """The recipe of the run; a run that continues keeps its recipe, except for the given fields."""
    if state is None:
        # the transforms of weights are past being linear
        settled = {} if job.init is None else {"linear_share": 0.0}
        return recipe_from(job.recipe, settled | job.overrides)
    own = replaced(Recipe(), state["recipe"])
    if not job.resume:
        named = recipe_from(job.recipe, {})
        new = SCHEDULE if job.teacher is None else (*SCHEDULE, *LESSON)
        schedule = {name: getattr(named, name) for name in new}
        settled = {"linear_share": 0.0, "free_z": 0.0, "warm_up": 0.0}  # the run is past all that
        return with_options(replace(own, **{**schedule, **settled}), job.overrides)
    length = "steps" if own.steps else "minutes"
    if not job.falling.exists() and job.is_finished and not {"minutes", "steps"} & set(job.overrides):
        raise FedsError(f"{job.out}: is finished; give more --{length} to continue from {job.state}")
    return with_options(own, job.overrides)


def _stage(
    job: Job, recipe: Recipe, state: State | None, crops: Crops
) -> tuple[Stage, dict[str, str]]:  # fmt: skip
    """The networks of a run, and the metadata of its weights files; a run that continues starts from its checkpoint."""
    if state is not None:
        model, words = FedsModel(ModelSpec.from_dict(state["spec"])), dict(state["words"])
        if not job.resume and job.source is not None:
            words["start"] = job.source.name
            words.pop("teacher", None)
    else:
        model, words = start(job.network, job.init, job.lam, job.metric)
        if job.init is not None and job.network is not None:
            with named(job.init):
                model = resized(model, job.network, lambda: crops.batch(48, recipe.crop))
            words["network"] = job.network
    if (found := min(recipe.sides)) < (least := LOSSES[model.spec.metric].crop):
        raise FedsError(f"{model.spec.metric} needs crops of at least {least} pixels, found {found}")
    if job.teacher is None:
        return Alone(model, recipe), words
    with named(job.teacher):
        taught_by = read_weights(job.teacher)
        stage = Distilled(model, trainable(taught_by), recipe)
    return stage, {**words, "teacher": taught_by.fingerprint.hex()}


def _pixels(job: Job, recipe: Recipe, audience: Audience, team: Team) -> Pixels:
    """The training pixels. With a cache the leader of a team decodes them, and the others then find them there."""
    reading = Reading(recipe.crop, job.sharpness, job.halves)
    if job.cache is not None and not team.leads:
        team.agree(0.0)  # which waits for the leader
    pixels = read_pixels(job.data, reading, job.cache, audience.reading)
    if job.cache is not None and team.leads:
        team.agree(0.0)
    for sentence in pixels.skipped[:20]:
        audience.say(f"skipped: {sentence}", warning=True)
    if len(pixels.skipped) > 20:
        audience.say(f"skipped: {len(pixels.skipped) - 20} more", warning=True)
    return pixels


def _train(trainer: Trainer, job: Job, words: dict[str, str], audience: Audience, left: float) -> None:
    log = _log(trainer, job)
    audience.progress(trainer.progress, "starting")

    def tell(report: Report) -> None:
        try:
            log(report)
        except OutputError as error:  # the run is worth more than its log
            audience.say(str(error), warning=True)
        audience.progress(report.progress, str(report))

    finished = trainer.run(tell, _saver(trainer, job, words, audience), left)
    if finished and trainer.team.leads:
        job.falling.unlink(missing_ok=True)
    rest = "" if finished else f"; {job.newest} goes on with --resume"
    audience.say(f"{job.out}: {trainer.step} steps, {int(trainer.skipped)} skipped as not finite{rest}")


def _log(trainer: Trainer, job: Job) -> Callable[[Report], None]:
    if not trainer.team.leads:
        return lambda report: None
    return json_log(job.log, trainer.recipe, resumed=trainer.step if job.resume else None)


def _saver(
    trainer: Trainer, job: Job, words: dict[str, str], audience: Audience
) -> Callable[[Trainer, State], None]:  # fmt: skip
    """A function that writes a checkpoint: weights that encode, and the state of the run."""
    words = {**words, "recipe": json.dumps(asdict(trainer.recipe)), "version": __version__}

    def save(run: Trainer, state: State) -> None:
        metadata = {**words, "steps": str(run.earlier + run.step), "minutes": f"{run.minutes:.2f}"}
        metadata |= {"pixels": str(run.pixels), **({"finished": "true"} if run.progress >= 1 else {})}
        try:
            write_weights(job.out, run.average, metadata, checkpoint=True)
        except WeightsError as error:  # of tables that no integers can be made of
            raise DivergedError(f"training diverged at step {run.step} ({error})") from None
        whole = {"run": state, "recipe": asdict(run.recipe), "spec": run.model.spec.to_dict(), "words": words}
        write_state(job.falling if run.ending else job.state, whole)
        if not run.ending:  # a longer run is before its fall again
            job.falling.unlink(missing_ok=True)
        audience.saved(job.log)

    return save


def export(checkpoint: Path, out: Path) -> None:
    """Convert a checkpoint into the file that ships: integer entropy side, float16 transforms, no float twin."""
    weights = read_weights(checkpoint)
    write_weights(out, trainable(weights), weights.metadata)
