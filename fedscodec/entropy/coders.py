"""The coders for the walk in training and analysis: they estimate the rate, or record it.

They work on floats; `streams` has those that work on integers and bytes. Of y, mean and index they get the block of a
part (`parts.Part`). They do not depend on how means and table indices are computed.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from .likelihoods import gaussian_likelihood, mixture_likelihood
from .parts import Part, assemble, given


class Prior(Protocol):
    """What a float coder needs of the prior of z."""

    def likelihood(self, z: Tensor) -> Tensor:
        """Probability mass of the unit interval around z."""


def _bits(likelihood: Tensor) -> Tensor:
    return -torch.log2(likelihood)


class RateEstimator:
    """Differentiable rate (Eq. 1): additive uniform noise for the likelihood, straight-through rounding for ŷ.

    count, smallest, largest: the log-spaced scales of the table indices. With noise=False the rate is that of the
    rounded symbols, which is the cost of a file except for its tables. After a walk, `bits_z` and `bits_y` hold the
    bits of each sample [B]. shapes [sets, count, 5]: distributions of residuals (`mixtures`), Gaussian by default.
    """

    def __init__(
        self, count: int, smallest: float, largest: float, *, noise: bool = True, shapes: Tensor | None = None
    ) -> None:  # fmt: skip
        self.shapes = shapes
        self.log_smallest = math.log(smallest)
        self.log_step = math.log(largest / smallest) / (count - 1)
        self.noise = noise
        self.bits_z: Tensor | float = 0.0
        self.bits_y: Tensor | float = 0.0

    def hyper(self, z: Tensor | None, prior: Prior | None) -> Tensor:
        """z [B, C, H, W] → ẑ, rounded with a straight-through gradient."""
        if prior is None:
            raise ValueError("an estimator needs the prior of z")
        z = given(z)
        rounded = z + (torch.round(z) - z).detach()
        noisy = z + torch.rand_like(z) - 0.5 if self.noise else rounded
        self.keep_hyper(_bits(prior.likelihood(noisy)))
        return rounded

    def code(self, part: Part, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """y, mean and (real or integer) table index of a part → ŷ."""
        residual = given(y) - mean
        rounded = residual + (torch.round(residual) - residual).detach()
        noisy = residual + torch.rand_like(residual) - 0.5 if self.noise else rounded
        scale = torch.exp(self.log_smallest + index * self.log_step)
        if self.shapes is None:
            likelihood = gaussian_likelihood(noisy, scale)
        else:
            nearest = index.detach().round().long().clamp(0, self.shapes.shape[1] - 1)
            shapes = self.shapes[part.tables].t().index_select(1, nearest.flatten())
            likelihood = mixture_likelihood(noisy, scale, shapes.view(-1, *nearest.shape))
        self.keep(part, _bits(likelihood))
        return rounded + mean

    def keep_hyper(self, bits: Tensor) -> None:
        """Add the bits of each element of z."""
        self.bits_z = bits.flatten(1).sum(1)

    def keep(self, part: Part, bits: Tensor) -> None:
        """Add the bits of each element of a part."""
        self.bits_y = self.bits_y + bits.flatten(1).sum(1)

    @property
    def bits(self) -> Tensor:
        """Bits of each sample, z and y together [B]."""
        return torch.as_tensor(self.bits_z + self.bits_y)


class EntropyProbe(RateEstimator):
    """Keeps −log₂ p of every element (Eq. 10–11), for the heatmaps and the channel ranking of Eq. 6–7."""

    def __init__(self, count: int, smallest: float, largest: float, *, shapes: Tensor | None = None) -> None:
        super().__init__(count, smallest, largest, noise=False, shapes=shapes)
        self._parts: list[Part] = []
        self._maps: list[Tensor] = []

    def keep(self, part: Part, bits: Tensor) -> None:
        """Keep the bits of each element, and add their sum."""
        super().keep(part, bits)
        self._parts.append(part)
        self._maps.append(bits)

    @property
    def maps(self) -> Tensor:
        """Entropy maps E of all channels, in bits [B, M, H/16, W/16] (Eq. 11)."""
        channels = max(part.channels[1] for part in self._parts)
        maps: Tensor = assemble(self._parts, self._maps, channels).permute(0, 3, 1, 2)
        return maps

    @property
    def channel_entropies(self) -> Tensor:
        """Mean entropy of each channel in bits (Eq. 6, 12), [M]."""
        return self.maps.mean((0, 2, 3))
