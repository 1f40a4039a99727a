"""The loop: steps within a budget, moving average, checkpoints. It knows neither losses nor stages.

On a GPU nothing in it waits for the device but a report every few seconds and a checkpoint every few minutes.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..codec.devices import choose_precision
from ..entropy.coders import RateEstimator
from ..networks.model import FedsModel
from .crops import Crops
from .interrupts import Interrupts
from .optimizers import Optimizers
from .parallel import Team
from .recipe import Phase, Recipe
from .reports import Report
from .shapes import ResidualCounter
from .stages import FIGURES, Distilled, Stage, Survey
from .warm_start import start_linear

CALIBRATION_BATCHES = 16
FINAL_BATCHES = 64
REPORT_EVERY = 5.0  # seconds


class Trainer:
    """One run of a recipe. `average` is the moving average of the weights: the network to keep."""

    def __init__(self, stage: Stage, crops: Crops, recipe: Recipe, team: Team | None = None) -> None:
        self.recipe, self.crops, self.device = recipe, crops, crops.device
        self.team = team or Team()
        self.part = self.team.part(recipe.batch)
        asked = recipe.precision
        self.precision = choose_precision(self.device) if asked == "auto" else getattr(torch, asked)
        stage.to(self.device).to(memory_format=torch.channels_last).train()
        if isinstance(stage, Distilled):
            stage.teacher.eval()
        self.stage, self.model = stage, stage.model
        self.average = _twin(self.model)
        self.shared = self.team.share(stage, self.device)
        self.optimizers = Optimizers(stage, recipe)
        self.phase: Phase = "linear" if recipe.linear_share > 0 and len(self.model.g_a.shortcut) else "full"
        self.step, self.minutes, self.fitted = 0, 0.0, 0
        self.skipped = torch.zeros((), dtype=torch.int64, device=self.device)
        self._figures = torch.zeros(len(FIGURES), device=self.device)  # sums over the steps since the last report
        self._told = (0, 0)  # steps and skipped steps until then
        self._clock: Callable[[], float] = time.monotonic
        torch.manual_seed(recipe.seed + 1000 * self.team.rank)  # of the noise that stands for rounding
        if recipe.compile:
            _compile(self.model)

    def warm_start(self, pictures: int = 48) -> None:
        """Start a fresh network from the principal components of the training tiles."""
        start_linear(self.model, self.crops.batch(pictures, self.recipe.crop))
        self.average.load_state_dict(self.model.state_dict())

    @torch.no_grad()
    def survey_teacher(self) -> None:
        """Let a stage that distils look at its teacher before it starts (Eq. 6–7), at qualities evenly spread."""
        if isinstance(self.stage, Distilled):
            found = []
            for quality in _spread(CALIBRATION_BATCHES, len(self.model.spec.lambdas)):
                with self._autocast():
                    found.append(self.stage.survey(self._batch(), self._all_at(quality)))
            means = (self.team.mean(torch.stack(values).mean(0)) for values in zip(*found, strict=True))
            self.stage.choose(Survey(*means))

    def run(
        self, tell: Callable[[Report], None], save: Callable[[Trainer], None], stop_after: float = float("inf")
    ) -> bool:
        """Train until the budget is spent, or for `stop_after` minutes, or until Ctrl-C; True when it is spent.

        `save` is called every few minutes and at the end.
        """
        begin = saved = told = self._clock()
        before, finished = self.minutes, False
        with quick_arithmetic(self.device), Interrupts() as interrupts:
            while True:
                now = self._clock()
                self.minutes = self.team.agree(before + (now - begin) / 60)
                progress = self.progress
                finished = progress >= 1
                if self.team.agree(finished or interrupts.seen or self.minutes - before >= stop_after):
                    break
                self._enter(self.recipe.phase(progress))
                self._refit(progress)
                self.train_step(self.recipe.rate(progress), self.recipe.price_of_z(progress))
                now = self._clock()
                if now - told > REPORT_EVERY:
                    tell(self._report(now - told))
                    told = now
                if self.team.agree(now - saved > 60 * self.recipe.save_every):
                    self._save(save)
                    saved = self._clock()
        if finished and self.phase != "decoder":
            self.fit_shapes(FINAL_BATCHES)
        self._save(save)
        return finished

    @property
    def progress(self) -> float:
        """How much of the run is over, in 0..1."""
        if self.recipe.steps:
            return self.step / self.recipe.steps
        return self.minutes / self.recipe.minutes

    def train_step(self, rate: float, price_of_z: float = 1.0) -> Tensor:
        """One step at a share of the peak learning rates; the FIGURES of its batch."""
        x = self._batch()
        quality = self.crops.quality(self.recipe.batch, len(self.model.spec.lambdas), self.part)
        with self._autocast():
            cost = self.shared(x, quality, self.phase, price_of_z)
        cost.loss.backward()
        bad = self.optimizers.step(rate)
        self.optimizers.zero_grad()
        self._update_average()
        self.skipped += bad
        self._figures += torch.where(bad, torch.zeros_like(cost.figures), cost.figures)
        self.step += 1
        return cost.figures

    def _batch(self) -> Tensor:
        return self.crops.batch(self.recipe.batch, self.recipe.crop, part=self.part)

    def _all_at(self, quality: float) -> Tensor:
        return torch.full((self.recipe.batch // self.team.size,), quality, device=self.device)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16)

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        targets, sources = list(self.average.parameters()), list(self.model.parameters())
        torch._foreach_lerp_(targets, sources, 1 - decay)

    def _enter(self, phase: Phase) -> None:
        if phase == "linear" and not len(self.model.g_a.shortcut):
            phase = "full"
        if phase == "decoder" != self.phase and self.step:  # the last time that a file may change
            self.fit_shapes(FINAL_BATCHES)
        if phase in ("quantised", "decoder") and not self.model.float_side.quantised:
            self.calibrate()
            self._quantise()
        self.phase = phase

    def _refit(self, progress: float) -> None:
        """Fit the shapes anew after every so much of the run, and not by the clock, so that it can resume."""
        every = self.recipe.shapes_every
        if self.phase == "decoder" or every == 0 or int(progress / every) <= self.fitted:
            return
        self.fitted = int(progress / every)
        self.fit_shapes(CALIBRATION_BATCHES)

    @torch.no_grad()
    def fit_shapes(self, batches: int) -> None:
        """Fit the shapes of residuals to the averaged network, and share them with the one in training.

        Draws from a generator of its own, as `calibrate` does. Nothing where the recipe keeps to Gaussians.
        """
        if self.recipe.shapes_every == 0:
            return
        generator = self.crops.fresh_generator(self.recipe.seed + self.step)
        counter = ResidualCounter(self.model.spec, self.device)
        self._walk(batches, generator, counter)
        shapes = counter.fitted(self.team.mean(counter.counts) * self.team.size)
        for model in (self.model, self.average):
            model.float_side.shapes.copy_(shapes)

    def _quantise(self) -> None:
        for model in (self.model, self.average):
            model.float_side.set_mode(quantised=True)

    @torch.no_grad()
    def calibrate(self) -> None:
        """Fix the steps of all activations from the averaged network, and share them with the one in training.

        Draws from a generator of its own, so that a run does not depend on when it was saved.
        """
        side, spec, generator = self.average.float_side, self.model.spec, self.crops.fresh_generator(self.recipe.seed)
        side.set_mode(observing=True)
        for layer in side.entropy_convs():
            layer.peak.zero_()  # of an earlier calibration, for an earlier checkpoint
        coder = RateEstimator(spec.scales, spec.smallest_scale, spec.largest_scale, noise=False)  # nobody asks its rate
        self._walk(CALIBRATION_BATCHES, generator, coder)
        side.set_mode()
        twins = zip(side.entropy_convs(), self.model.float_side.entropy_convs(), strict=True)
        for layer, trained in twins:
            self.team.largest(layer.peak)
            layer.calibrate()
            trained.steps.copy_(layer.steps)

    def _walk(self, batches: int, generator: torch.Generator, coder: RateEstimator) -> None:
        """What the entropy side of the average sees of pictures; g_s, half of the work, has no part in it.

        From the lowest quality to the highest, as at either end is what costs most where it is clipped.
        """
        average = self.average
        for level in _spread(batches, len(self.model.spec.lambdas)):
            x = self.crops.batch(self.recipe.batch, self.recipe.crop, generator, self.part)
            quality = self._all_at(level)
            with self._autocast():
                average.encode(x, quality, coder)

    def _save(self, save: Callable[[Trainer], None]) -> None:
        if not self.average.float_side.quantised:  # so that what is saved can be turned into integers
            self.calibrate()
        save(self)

    def _report(self, seconds: float) -> Report:
        skipped, (step, skipped_before) = int(self.skipped), self._told
        steps = self.step - step
        sums, self._told = self._figures.tolist(), (self.step, skipped)
        self._figures.zero_()
        counted = max(steps - (skipped - skipped_before), 1)
        values = {name: value / counted for name, value in zip(FIGURES, sums, strict=True)}
        left = self.minutes * (1 / self.progress - 1) if self.progress else float("inf")
        if not self.recipe.steps:
            left = self.recipe.minutes - self.minutes
        return Report(
            self.step, self.minutes, left, self.progress, self.phase, values["loss"], values["bpp"],
            _psnr(values["mse"]), self.recipe.rate(self.progress),
            steps / seconds * self.recipe.batch * self.recipe.crop**2, skipped,
            {name: values[name] for name in FIGURES[3:] if values[name]},
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Everything that `restore` needs to go on exactly, in tensors and plain values."""
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        return {
            "stage": {k: v for k, v in self.stage.state_dict().items() if not k.startswith("teacher.")},
            "average": self.average.state_dict(),
            "optimizers": self.optimizers.state_dict(),
            "draws": self.crops.generator.get_state(),
            "noise": [torch.get_rng_state(), cuda],
            "step": self.step, "minutes": self.minutes, "skipped": int(self.skipped), "phase": self.phase,
            "fitted": self.fitted, "quantised": self.model.float_side.quantised,
            "figures": self._figures, "told": self._told,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` gave."""
        self.stage.load_state_dict(state["stage"], strict=False)  # a teacher brings its own
        self.average.load_state_dict(state["average"])
        self.optimizers.load_state_dict(state["optimizers"])
        self.crops.generator.set_state(state["draws"])
        self.step, self.minutes, self.phase = state["step"], state["minutes"], state["phase"]
        self.fitted = state["fitted"]
        self.skipped.fill_(state["skipped"])
        self._figures.copy_(state["figures"])
        self._told = tuple(state["told"])
        if state["quantised"]:
            self._quantise()
        if self.team.leads:
            noise, cuda = state["noise"]
            torch.set_rng_state(noise)
            if cuda is not None and self.device.type == "cuda":
                torch.cuda.set_rng_state(cuda, self.device)
        else:
            torch.manual_seed(self.recipe.seed + 1000 * self.team.rank + self.step)


def _compile(model: FedsModel) -> None:
    """Put g_a and g_s through torch.compile; where that fails, it says so and they run as they are."""
    import torch._dynamo

    torch._dynamo.config.suppress_errors = True
    model.g_a.compile()
    model.g_s.compile()


def _twin(model: FedsModel) -> FedsModel:
    return copy.deepcopy(model).eval().requires_grad_(False)


def _spread(count: int, qualities: int) -> Iterator[float]:
    """`count` qualities from 1 to the number of qualities, evenly."""
    return (1 + (qualities - 1) * number / (count - 1) for number in range(count))


def _psnr(mse: float) -> float:
    return -10 * math.log10(mse) if mse > 0 else float("inf")


@contextmanager
def quick_arithmetic(device: torch.device) -> Iterator[None]:
    """TF32 and the fastest convolutions on a GPU, for training only: what was in force is put back."""
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
