"""The training loop: steps within a budget, moving average, checkpoints; independent of losses and stages.

On a GPU it waits for the device only at a report every few seconds and at a checkpoint every few minutes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..codec.devices import choose_precision
from ..entropy.precision import in_precision
from ..networks.model import FedsModel
from .calibration import BATCHES, FINAL_BATCHES, REFIT_BATCHES, Calibration, spread
from .clock import RunningClock
from .compiling import compile_transforms
from .crops import Crops
from .health import Health, diverged
from .interrupts import Interrupts
from .log import Report
from .mixture import Mixture
from .optimizers import Optimizers
from .parallel import Team
from .recipe import FULL, LINEAR, PHASES, Phase, Recipe
from .stages import FIGURES, Stage
from .warm_start import start_linear

REPORT_EVERY = 5.0  # seconds


def place(stage: Stage, device: torch.device) -> FedsModel:
    """Move a stage to the training device, and return a copy of its network: the moving average."""
    stage.to(device).to(memory_format=torch.channels_last).train()
    return copy.deepcopy(stage.model).eval().requires_grad_(False)


class Trainer:
    """One run of a recipe. `average` is the moving average of the weights: the network to save."""

    def __init__(
        self, stage: Stage, crops: Crops, recipe: Recipe, team: Team | None = None, average: FedsModel | None = None
    ) -> None:  # fmt: skip
        self.recipe, self.crops, self.device = recipe, crops, crops.device
        self.team = team or Team()
        self.team.part(recipe.batch)
        asked = recipe.precision
        self.precision = choose_precision(self.device) if asked == "auto" else getattr(torch, asked)
        self.average = average or place(stage, self.device)
        self.stage, self.model = stage, stage.model
        self.shared = self.team.share(stage, self.device)
        self.optimizers = Optimizers(stage, recipe, self.team, self.precision)
        self.mixture = Mixture(recipe)
        self.calibration = Calibration(self.model, self.average, crops, recipe, self.team, self._autocast)
        self.phase: Phase = self._possible(LINEAR if recipe.linear_share > 0 else FULL)
        self.step, self.minutes, self.fitted = 0, 0.0, 0
        self.pixels, self.earlier = 0, 0  # seen so far, and steps of the runs that this one goes on from
        self.ending = False  # whether the part has begun that no trajectory goes on from
        self.interrupted = False  # whether Ctrl-C or SIGTERM ended the run
        self.skipped = torch.zeros((), dtype=torch.int64, device=self.device)
        self.health = Health()
        self._first: Tensor | None = None  # the loss of the first step, which tells what is no progress
        self._figures = torch.zeros(len(FIGURES), device=self.device)  # sums over the steps since the last report
        self._reported = (0, 0, 0)  # steps, skipped steps and pixels at the last report
        self._clock: Callable[[], float] = RunningClock()
        torch.manual_seed(recipe.seed + 1000 * self.team.rank)  # of the noise that stands for rounding

    def warm_start(self, pictures: int = 48) -> None:
        """Start a fresh network from the principal components of the training pictures."""
        start_linear(self.model, self.crops.batch(pictures, self.recipe.crop))
        self.average.load_state_dict(self.model.state_dict())

    def prepare(self) -> None:
        """Let the stage see what it needs before the first step."""
        with torch.no_grad(), self._autocast():
            self.stage.prepare(self._show(), self.team.mean)

    def _show(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Drawn by themselves, so that a student sees the same crops with and without a teacher."""
        generator, part = self.crops.fresh_generator(self.recipe.seed), self.team.part(self.recipe.batch)
        for level in spread(BATCHES, len(self.model.spec.lambdas)):
            x = self.crops.batch(self.recipe.batch, self.recipe.crop, generator, part)
            yield x, torch.full((len(x),), level, device=self.device)

    def compile(self) -> str | None:
        """Run g_a and g_s through torch.compile; on failure they stay uncompiled, and a sentence says why."""
        crop, lambdas = self.recipe.crop, self.model.spec.lambdas
        share = len(range(*self.team.part(self.recipe.batch).indices(self.recipe.batch)))
        x = torch.zeros(share, 3, crop, crop, device=self.device).to(memory_format=torch.channels_last)

        def trial() -> None:
            with quick_arithmetic(self.device), self._autocast():
                self.stage(x, torch.full((share,), float(len(lambdas)), device=self.device), FULL, 1.0).loss.backward()
            self.optimizers.zero_grad()

        return compile_transforms(self.model, trial, self.device)

    def run(
        self, tell: Callable[[Report], None], save: Callable[[Trainer, dict[str, Any]], None],
        stop_after: float = float("inf"),
    ) -> bool:  # fmt: skip
        """Train until the budget is spent, or for `stop_after` minutes, or until Ctrl-C; return True if it is spent.

        `save` gets the state every few minutes, before the end of the run begins, and at the end. Raises DivergedError
        on divergence; what was saved before is good.
        """
        begin = saved = reported = self._clock()
        before = self.minutes
        with quick_arithmetic(self.device), Interrupts() as interrupts:
            while True:
                now = self._clock()
                minutes = before + (now - begin) / 60
                stop = interrupts.seen or minutes - before >= stop_after
                due = now - saved > 60 * self.recipe.save_every
                self.minutes, stopped, save_now = self.team.agree(minutes, stop, due)
                if stopped or self.progress >= 1:
                    break
                if save_now or (self.progress >= self.recipe.ends_at and not self.ending and self.step):
                    self._save(save)
                    saved = self._clock()
                self.ending = self.progress >= self.recipe.ends_at
                self.enter(self.recipe.phase(self.progress))
                self._refit(self.progress)
                self.train_step(self.recipe.rate(self.progress), self.recipe.price_of_z(self.progress))
                now = self._clock()
                if now - reported > REPORT_EVERY:
                    tell(self._report(now - reported))
                    reported = now
            finished = self.progress >= 1
            if finished and self.phase.fits:
                self.calibration.fit_shapes(FINAL_BATCHES, self.step)
            self._save(save)
            self.interrupted = interrupts.seen
        return finished

    @property
    def progress(self) -> float:
        """The share of the run that is over, in 0..1."""
        if self.recipe.steps:
            return self.step / self.recipe.steps
        return self.minutes / self.recipe.minutes

    def train_step(self, rate: float, price_of_z: float = 1.0) -> Tensor:
        """One step at a share of the peak learning rates; returns the FIGURES of its batch."""
        crop = self.recipe.crop_at(self.progress)
        batch = self.recipe.batch_at(crop, self.team.size)
        x = self._batch(batch, crop)
        quality = self.crops.quality(batch, len(self.model.spec.lambdas), self.team.part(batch))
        with self._autocast():
            cost = self.shared(x, quality, self.phase, price_of_z)
        cost.loss.backward()
        bad = self.optimizers.step(rate)
        self.optimizers.zero_grad()
        self._update_average()
        self.team.wait()
        if self._first is None:
            self._first = cost.figures[0]
        self.skipped += bad
        self._figures += torch.where(bad, torch.zeros_like(cost.figures), cost.figures)
        self.step += 1
        self.pixels += batch * crop**2
        return cost.figures

    def _batch(self, size: int, crop: int) -> Tensor:
        part = self.team.part(size)
        x = self.crops.batch(size, crop, part=part)
        return self.mixture.mixed(x, self.step, part, self.progress)

    def _autocast(self) -> AbstractContextManager[object]:
        return in_precision(self.device, self.precision)

    @torch.no_grad()
    def _update_average(self) -> None:
        age = self.earlier + self.step
        decay = min(self.recipe.ema, (1 + age) / (10 + age))
        pairs = zip(self.average.parameters(), self.model.parameters(), strict=True)
        own = [(target, source) for target, source in pairs if id(source) in self.optimizers.moved]
        if own:
            targets, sources = zip(*own, strict=True)
            torch._foreach_lerp_(targets, sources, 1 - decay)

    def _possible(self, phase: Phase) -> Phase:
        """The phase, or `full` instead of `linear` if a network has nothing linear."""
        if phase.trains == "shortcut" and not len(self.model.g_a.shortcut):
            return FULL if phase.taught else replace(FULL, taught=False)
        return phase

    def enter(self, phase: Phase) -> None:
        """Begin a part of the run, or go on with it."""
        phase = self._possible(phase)
        if self.step and self.phase.fits and not phase.fits:  # the last time that a file may change
            self.calibration.fit_shapes(FINAL_BATCHES, self.step)
        if phase.quantised and not self.calibration.quantised:
            self.calibration.fix_steps()
            self.calibration.quantise()
        self.phase = phase

    def _refit(self, progress: float) -> None:
        """Fit the shapes again at fixed shares of the run, not by the clock, so that it can resume exactly."""
        every = self.recipe.shapes_every
        if not self.phase.fits or every == 0 or int(progress / every) <= self.fitted:
            return
        self.fitted = int(progress / every)
        self.calibration.fit_shapes(REFIT_BATCHES, self.step)

    def _save(self, save: Callable[[Trainer, dict[str, Any]], None]) -> None:
        if not self.calibration.quantised:  # so that what is saved can be turned into integers
            self.calibration.fix_steps()
        self._check()
        if not self.calibration.finite():
            raise diverged(self.step, self._mean_figures()["loss"])
        state = self.state()
        if self.team.leads:
            save(self, state)

    def _mean_figures(self) -> dict[str, float]:
        """Means since the last report."""
        steps, skipped, _ = self._reported
        counted = max(self.step - steps - (int(self.skipped) - skipped), 1)
        return {name: value / counted for name, value in zip(FIGURES, self._figures.tolist(), strict=True)}

    def _check(self) -> None:
        if self._first is not None and math.isinf(self.health.best) and math.isfinite(self._first):
            self.health.best = float(self._first)
        steps, skipped, _ = self._reported
        self.health.check(self.step, self._mean_figures()["loss"], self.step - steps, int(self.skipped) - skipped)

    def _report(self, seconds: float) -> Report:
        self._check()
        values, pixels = self._mean_figures(), self.pixels - self._reported[2]
        self._reported = (self.step, int(self.skipped), self.pixels)
        self._figures.zero_()
        left = self.minutes * (1 / self.progress - 1) if self.progress else float("inf")
        if not self.recipe.steps:
            left = self.recipe.minutes - self.minutes
        return Report(
            self.step, self.minutes, left, self.progress, self.phase.name, values["loss"], values["bpp"],
            _psnr(values["mse"]), self.recipe.rate(self.progress), pixels / seconds, int(self.skipped),
            {name: values[name] for name in FIGURES[3:] if values[name]}, self.pixels,
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to continue exactly, as tensors and plain values; a call of all processes."""
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return {
            "stage": {k: v for k, v in self.stage.state_dict().items() if not k.startswith("teacher.")},
            "average": self.average.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "draws": self.crops.generator.get_state(),
            "noise": [torch.get_rng_state(), cuda],
            "step": self.step, "earlier": self.earlier, "minutes": self.minutes, "pixels": self.pixels,
            "skipped": int(self.skipped),
            "phase": self.phase.name, "fitted": self.fitted, "quantised": self.calibration.quantised,
            "figures": self._figures, "told": self._reported, "ending": self.ending, "best": self.health.best,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.take(state)
        self.earlier = state["earlier"]
        self.step, self.minutes, self.phase = state["step"], state["minutes"], PHASES[state["phase"]]
        every = self.recipe.shapes_every
        self.fitted = min(state["fitted"], int(self.progress / every)) if every else 0  # less where the run is longer
        self.ending, self.health.best = state["ending"], state["best"]
        self.skipped.fill_(state["skipped"])
        self._figures.copy_(state["figures"])
        self._reported = tuple(state["told"])
        if state["quantised"]:
            self.calibration.quantise()
        if self.team.leads:
            noise, cuda = state["noise"]
            torch.set_rng_state(noise)
            if cuda is not None and self.device.type == "cuda":
                torch.cuda.set_rng_state(cuda, self.device)
        else:
            torch.manual_seed(self.recipe.seed + 1000 * self.team.rank + self.step)

    def take(self, state: dict[str, Any]) -> None:
        """Start from what another run has learned: weights, average, moments, and the number of pixels seen."""
        own = self.stage.state_dict()
        # Not what another teacher has in another size: its units, and the layers that compare maps with its own.
        others = {k for k, v in state["stage"].items() if not k.startswith("model.") and not _is_like(v, own.get(k))}
        self.stage.load_state_dict({k: v for k, v in state["stage"].items() if k not in others}, strict=False)
        self.average.load_state_dict(state["average"])
        self.optimizers.load_state_dict(state["optimizers"], without=others)
        self.pixels, self.earlier = state["pixels"], state["earlier"] + state["step"]
        self._reported = (0, 0, self.pixels)
        if len(state["draws"]) == len(self.crops.generator.get_state()):
            self.crops.generator.set_state(state["draws"])
        else:  # drawn on another kind of device: other crops than the first ones of this run, which were seen already
            self.crops.generator.manual_seed(self.recipe.seed + state["earlier"] + state["step"])


def _is_like(tensor: Tensor, other: Tensor | None) -> bool:
    return other is not None and tensor.shape == other.shape


def _psnr(mse: float) -> float:
    return -10 * math.log10(mse) if mse > 0 else float("inf")


@contextmanager
def quick_arithmetic(device: torch.device) -> Iterator[None]:
    """Use TF32 and the fastest convolutions on a GPU for training, and restore the settings afterwards."""
    if device.type != "cuda":
        yield
        return
    precision, cudnn = torch.get_float32_matmul_precision(), torch.backends.cudnn
    flags = cudnn.allow_tf32, cudnn.benchmark
    try:
        torch.set_float32_matmul_precision("high")
        cudnn.allow_tf32, cudnn.benchmark = True, True
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        cudnn.allow_tf32, cudnn.benchmark = flags
