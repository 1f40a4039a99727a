"""Measure how fast a recipe trains on this machine: its share of the device's rate, or the pace of a run."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..networks.counts import kmacs_per_pixel
from .loop import Trainer, quick_arithmetic
from .recipe import FULL, Phase
from .stages import Distilled

WARM_UP = 3
RATE_SECONDS = 0.5


@dataclass(frozen=True)
class Speed:
    """The time of one phase of a run."""

    phase: str
    steps: int
    pixels_per_second: float
    milliseconds: float  # of a step
    flops: float  # per second: two a multiply-accumulate; three passes, of which backward is two
    device_flops: float  # of a product of square matrices on the same device, in the precision of the transforms
    memory: int  # bytes at the most, of the GPU; 0 on a CPU
    processor: float = 0.0  # pixels a second of one core's time, which other work on the machine hardly changes

    @property
    def share(self) -> float:
        """The share of the device's rate."""
        return self.flops / self.device_flops

    def __str__(self) -> str:
        """A line of text."""
        memory = f", {self.memory / 2**30:.1f} GiB" if self.memory else ""
        busy = f", {self.processor / 1e3:.0f} kpx a second of one core" if self.processor else ""
        return (
            f"{self.phase}: {self.pixels_per_second / 1e3:.0f} kpx/s, {self.milliseconds:.1f} ms a step"
            f" ({self.steps} steps), {self.flops / 1e12:.2f} of {self.device_flops / 1e12:.1f} Tflop/s,"
            f" {100 * self.share:.1f} % of the device's rate{memory}{busy}"
        )


def measure(trainer: Trainer, seconds: float = 15.0, phase: Phase = FULL) -> Speed:
    """Time the steps of a phase for about this long; this trains the network, which is of no further use."""
    device = trainer.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    steps, elapsed, busy = _time(trainer, seconds, phase, WARM_UP)
    pixels = steps * trainer.recipe.batch * trainer.recipe.crop**2
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    rate = trainer.team.size * matrix_rate(device, trainer.precision) if trainer.team.leads else 1.0
    return Speed(
        phase.name, steps, pixels / elapsed, 1000 * elapsed / steps, pixels / elapsed * _flops_per_pixel(trainer), rate,
        memory, pixels / busy if busy else 0.0,
    )  # fmt: skip


class Pace(NamedTuple):
    """Seconds that a step takes in the mean over a run."""

    seconds: float  # by the clock
    core_seconds: float  # of all cores together, which other work on the machine hardly changes; 0 where a GPU works


def pace(trainer: Trainer, seconds: float) -> Pace:
    """Time each part of a run for about so many seconds, and weigh it by its share.

    The network is trained by that and of no further use. Calibration and checkpoints are not in it.
    """
    total, busy = 0.0, 0.0
    for phase, share in trainer.recipe.parts():
        steps, elapsed, cores = _time(trainer, seconds, phase, 1)
        total, busy = total + share * elapsed / steps, busy + share * cores / steps
    return Pace(total, busy)


def _time(trainer: Trainer, seconds: float, phase: Phase, warm_up: int) -> tuple[int, float, float]:
    """Steps of a phase, the seconds they took, and those of all cores together; a call of all processes.

    warm_up: steps before these, which find algorithms, compile, and fill the queues.
    """
    device = trainer.device
    with quick_arithmetic(device):
        trainer.enter(phase)
        for _ in range(warm_up):
            trainer.train_step(0.01)
        _wait(device)
        begin, processor, steps, elapsed = time.perf_counter(), time.process_time(), 0, 0.0
        while elapsed < seconds or steps < 2:
            trainer.train_step(0.01)
            steps += 1
            if steps % 5 == 0:
                _wait(device)  # so that the clock is that of the device
            (elapsed,) = trainer.team.agree(time.perf_counter() - begin)
        _wait(device)
        elapsed = time.perf_counter() - begin
    if device.type != "cpu":
        return steps, elapsed, 0.0
    busy = torch.tensor(time.process_time() - processor, dtype=torch.float64)
    return steps, elapsed, float(trainer.team.mean(busy)) * trainer.team.size


def _flops_per_pixel(trainer: Trainer) -> float:
    """Operations of a full step: forward, and backward, which is twice as much; a teacher only runs forward."""
    flops = 3 * 2 * 1000 * kmacs_per_pixel(trainer.model.spec)
    if isinstance(trainer.stage, Distilled):
        flops += 2 * 1000 * kmacs_per_pixel(trainer.stage.teacher.spec)
    return flops


@torch.no_grad()
def matrix_rate(device: torch.device, precision: torch.dtype) -> float:
    """Floating-point operations per second of a large product of matrices, the best of several."""
    side, count = (8192, 4) if device.type == "cuda" else (1024, 1)
    a, b = (torch.randn(side, side, device=device, dtype=precision) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + RATE_SECONDS
    while math.isinf(best) or time.perf_counter() < end:
        _wait(device)
        begin = time.perf_counter()
        for _ in range(count):
            a @ b
        _wait(device)
        best = min(best, (time.perf_counter() - begin) / count)
    return 2 * side**3 / best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
