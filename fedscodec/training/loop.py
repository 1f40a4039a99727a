"""The loop: steps within a budget of minutes, moving average, checkpoints, a log of JSON lines."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..codec import choose_precision
from ..entropy.coders import RateEstimator
from ..networks.model import FedsModel, Output
from . import losses
from .data import Tiles
from .recipe import Recipe
from .warm_start import start_linear

CALIBRATION_BATCHES = 16
PRIOR_LR = 2e-2
"""Of the prior of z: logarithms of scales, which must travel by whole units, not by the size of a weight."""


@dataclass(frozen=True)
class Report:
    """Where a run stands; what the progress display and the log get."""

    step: int
    minutes: float
    progress: float  # 0..1 of the budget
    stage: str
    loss: float
    bpp: float
    psnr: float
    rate: float  # share of the peak learning rate
    pixels_per_second: float
    skipped: int  # steps dropped because loss or gradient was not finite


class Trainer:
    """One run of a recipe. `average` is the moving average of the weights: the network to keep."""

    def __init__(self, model: FedsModel, tiles: Tiles, recipe: Recipe, device: torch.device) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.tiles, self.device = recipe, tiles, device
        asked = recipe.precision
        self.precision = choose_precision(device) if asked == "auto" else getattr(torch, asked)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.model = model.to(device).to(memory_format=torch.channels_last).train()
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.optimizers = list(_optimizers(self.model, recipe))
        self.step = self.skipped = 0
        self.stage = "linear" if recipe.linear_share > 0 and len(model.g_a.shortcut) else "full"

    def warm_start(self, pictures: int = 48) -> None:
        """Start a fresh network from the principal components of the training tiles."""
        start_linear(self.model, self._batch(pictures))
        self.average.load_state_dict(self.model.state_dict())

    def run(self, tell: Callable[[Report], None], save: Callable[[Trainer], None]) -> None:
        """Train until the minutes are over; Ctrl-C stops early. `save` is called every few minutes and at the end."""
        begin = saved = told = time.monotonic()
        told_step = 0
        with contextlib.suppress(KeyboardInterrupt):
            while (progress := (time.monotonic() - begin) / 60 / self.recipe.minutes) < 1:
                self._enter_stage(progress)
                result = self._train_step(self.recipe.rate(progress), self.recipe.price_of_z(progress))
                now = time.monotonic()
                if now - told > 5:
                    pixels = (self.step - told_step) * self.recipe.batch * self.recipe.crop**2
                    tell(self._report(result, progress, (now - begin) / 60, pixels / (now - told)))
                    told, told_step = now, self.step
                if now - saved > 60 * self.recipe.save_every:
                    self._save(save)
                    saved = time.monotonic()
        self._save(save)

    def _save(self, save: Callable[[Trainer], None]) -> None:
        if not self.average.float_side.quantised:  # so that what is saved can be turned into integers
            self.calibrate()
        save(self)

    def _enter_stage(self, progress: float) -> None:
        if self.stage == "linear" and progress >= self.recipe.linear_share:
            self.stage = "full"
        decoder = self.recipe.decoder_share
        if self.stage == "full" and progress >= 1 - self.recipe.quantised_share - decoder:
            self.calibrate()
            self.model.float_side.set_mode(quantised=True)
            self.average.float_side.set_mode(quantised=True)
            self.stage = "quantised"
        if self.stage == "quantised" and progress >= 1 - decoder:
            self.stage = "decoder"

    @torch.no_grad()
    def calibrate(self) -> None:
        """Fix the steps of all activations from the averaged network, and share them with the one in training."""
        side = self.average.float_side
        side.set_mode(observing=True)
        for layer in side.entropy_convs():
            layer.peak.zero_()  # of an earlier calibration, for an earlier checkpoint
        for number in range(CALIBRATION_BATCHES):
            share = number / (CALIBRATION_BATCHES - 1)  # both ends of the range: what is clipped costs most
            quality = torch.full((self.recipe.batch,), 1 + share * (len(self.model.spec.lambdas) - 1))
            self.average(self._batch(self.recipe.batch), quality.to(self.device), self._estimator())
        side.set_mode()
        twins = zip(side.entropy_convs(), self.model.float_side.entropy_convs(), strict=True)
        for layer, trained in twins:
            layer.calibrate()
            trained.steps.copy_(layer.steps)

    def _batch(self, size: int) -> Tensor:
        batch = self.tiles.batch(size, self.recipe.crop, self.generator).to(self.device)
        return batch.contiguous(memory_format=torch.channels_last)

    def _qualities(self) -> Tensor:
        span = len(self.model.spec.lambdas) - 1
        return 1 + span * torch.rand(self.recipe.batch, generator=self.generator).to(self.device)

    def _estimator(self) -> RateEstimator:
        spec = self.model.spec
        noise = self.stage != "decoder"
        return RateEstimator(spec.scales, spec.smallest_scale, spec.largest_scale, noise=noise)

    def _train_step(self, rate: float, price_of_z: float = 1.0) -> losses.RateDistortion:
        x, quality, coder = self._batch(self.recipe.batch), self._qualities(), self._estimator()
        forward = {"linear": self.model.linear, "decoder": self.model.decoder_only}.get(self.stage, self.model)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16):
            output: Output = forward(x, quality, coder)
        lam = losses.interpolated_lambda(quality, self.model.spec.lambdas)
        result = losses.rate_distortion(x, output.x_hat, coder.bits, lam, self.recipe.balance)
        weighted = losses.sample_weights(lam, self.recipe.balance) * coder.bits_z
        free = (1 - price_of_z) * weighted.mean() / self.recipe.crop**2
        (result.loss - free).backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        if torch.isfinite(norm) and torch.isfinite(result.loss):
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak"] * rate
                optimizer.step()
            self._update_average()
        else:
            self.skipped += 1
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        self.step += 1
        return losses.RateDistortion(*(t.detach() for t in result))

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))
        targets, sources = list(self.average.parameters()), list(self.model.parameters())
        torch._foreach_lerp_(targets, sources, 1 - decay)

    def _report(self, result: losses.RateDistortion, progress: float, minutes: float, speed: float) -> Report:
        values = float(result.loss), float(result.bpp.mean()), float(result.psnr)
        return Report(
            self.step, minutes, progress, self.stage, *values, self.recipe.rate(progress), speed, self.skipped
        )


def _optimizers(model: FedsModel, recipe: Recipe) -> Iterator[torch.optim.Optimizer]:
    """SOAP or Adam for the transforms; Adam for the rest.

    The matrices of the entropy side are too wide to precondition. The shortcuts start as principal components, whose
    entries are small and already right, so they move at a slower pace of their own.
    """
    groups: dict[str, list[nn.Parameter]] = {"transforms": [], "shortcut": [], "side": [], "prior": []}
    for name, parameter in model.named_parameters():
        kind = "side" if name.startswith(("float_side.", "h_a.", "gains.")) else "transforms"
        kind = "shortcut" if ".shortcut." in name else kind
        groups["prior" if ".prior." in name else kind].append(parameter)
    peaks = {"transforms": recipe.lr, "shortcut": recipe.shortcut_lr, "side": recipe.side_lr, "prior": PRIOR_LR}
    by_kind = {kind: {"params": groups[kind], "peak": peaks[kind], "lr": peaks[kind]} for kind in groups}
    slow = [group for kind, group in by_kind.items() if group["params"] and kind != "transforms"]
    if recipe.optimizer == "adam":
        yield torch.optim.Adam([*slow, by_kind["transforms"]], fused=True)
    else:
        from pytorch_optimizer import SOAP

        yield torch.optim.Adam(slow, fused=True)
        yield SOAP([by_kind["transforms"]], betas=(0.95, 0.95), precondition_frequency=10, max_precondition_dim=1024)


def json_log(path: Path, recipe: Recipe) -> Callable[[Report], None]:
    """A sink that appends each report to a JSON-lines file, after a first line with the recipe."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as log:
        log.write(json.dumps({"recipe": asdict(recipe)}) + "\n")

    def tell(report: Report) -> None:
        row = {k: _plain(v) for k, v in asdict(report).items()}
        with path.open("a") as log:
            log.write(json.dumps(row) + "\n")

    return tell


def _plain(value: object) -> object:
    """A number as strict JSON takes it: rounded, and None where it is not finite."""
    if not isinstance(value, float):
        return value
    return round(value, 5) if math.isfinite(value) else None
