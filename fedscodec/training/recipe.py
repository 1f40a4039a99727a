"""`Recipe`: how a network is trained, as one frozen value; every field is a flag of `feds train` of the same name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """A training run that fits into `minutes`.

    Shares are parts of the whole run. In the first `linear_share` only the wavelet shortcut and the entropy side are
    trained, which costs a quarter of a full step and gives the entropy model a settled transform to learn from. In the
    last `quantised_share` the entropy side runs with fake quantisation, so that the integers that ship were tuned. A
    `decoder_share` after that trains g_s alone, which changes no file and costs half a step.
    """

    minutes: float = 30.0
    batch: int = 8
    crop: int = 256  # pixels, a multiple of 64
    optimizer: Literal["adam", "soap"] = "soap"  # of the transforms; the entropy side always runs Adam
    lr: float = 5e-4  # of the transforms
    side_lr: float = 1e-3  # of the entropy side, h_a and the gains
    shortcut_lr: float = 1e-4  # of the wavelet shortcut
    warm_up: float = 0.02
    decay_from: float = 0.4  # from here the learning rate falls to zero along a cosine
    linear_share: float = 0.15
    quantised_share: float = 0.12
    decoder_share: float = 0.0  # at the very end: g_s alone, on latents as files hold them
    free_z: float = 0.1  # until here z costs nothing, then its price rises to the full one over as long again
    balance: float = 0.5  # exponent by which samples of high λ weigh less, see losses.rate_distortion
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # of the transforms; auto: the fastest of the device
    clip: float = 1.0  # norm of the gradient
    ema: float = 0.998  # decay of the moving average of the weights, which is what is kept
    save_every: float = 4.0  # minutes
    seed: int = 1

    def __post_init__(self) -> None:
        if self.crop < 64 or self.crop % 64:
            raise ValueError(f"crop must be a positive multiple of 64, found {self.crop}")
        if self.optimizer not in ("adam", "soap"):
            raise ValueError(f"optimizer must be adam or soap, found {self.optimizer}")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision must be auto, float32 or bfloat16, found {self.precision}")
        if not 0 <= self.decay_from < 1:
            raise ValueError(f"decay_from must lie in 0..1, found {self.decay_from}")
        if self.minutes <= 0 or self.batch < 1:
            raise ValueError(f"minutes and batch must be positive, found {self.minutes} and {self.batch}")

    def price_of_z(self, progress: float) -> float:
        """Share of the rate of z that the loss is charged at `progress`.

        Charged from the start, z falls silent before h_s has learned to listen, and does not recover.
        """
        if self.free_z <= 0:
            return 1.0
        return min(max(progress / self.free_z - 1.0, 0.0), 1.0)

    def rate(self, progress: float) -> float:
        """Learning rate at `progress` in 0..1, as a share of its peak: warm-up, plateau, cosine to zero."""
        if progress < self.warm_up:
            return max(progress / self.warm_up, 0.01)
        if progress < self.decay_from:
            return 1.0
        return 0.5 * (1 + math.cos(math.pi * min((progress - self.decay_from) / (1 - self.decay_from), 1.0)))
