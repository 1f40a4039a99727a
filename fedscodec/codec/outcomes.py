"""What encoding and decoding return, and the clock of their stages."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ..images import Picture, pack_thumbnail

T = TypeVar("T")


@dataclass(frozen=True)
class Analysed:
    """A picture and its latents g_a(x) [1, M, H/16, W/16] before any gain: what every quality has in common."""

    picture: Picture
    latents: Tensor = field(repr=False)
    seconds: dict[str, float]

    @cached_property
    def thumbnail(self) -> bytes | None:
        """The payload of a preview box, made once for all qualities."""
        return pack_thumbnail(self.picture)


@dataclass
class Encoded:
    """A picture as a file: its bytes, seconds of each stage, −log₂ p of its symbols (if counted), and the symbols.

    y_hat are the latents that a decoder finds in the file, integers in 1/16 [1, H/16, W/16, M].
    """

    data: bytes
    seconds: dict[str, float]
    bits: float
    symbols: list[np.ndarray] = field(repr=False)
    y_hat: Tensor = field(repr=False)


@dataclass
class Decoded:
    """A picture from a file, seconds of each stage, and the symbols that were read."""

    picture: Picture
    seconds: dict[str, float]
    symbols: list[np.ndarray] = field(repr=False)


class Clock:
    """Seconds of each stage; waits for the GPU so that they mean something."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, dict[str, float]()

    def time(self, stage: str, work: Callable[[], T]) -> T:
        """Do the work, and add its seconds to those of the stage."""
        begin = time.perf_counter()
        result = work()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begin
        return result


def separate_coder(clock: Clock, coder: float) -> None:
    """Move the coder's seconds out of those of the walk that called it."""
    clock.seconds["entropy nets"] -= coder
    clock.seconds["coder"] = coder
