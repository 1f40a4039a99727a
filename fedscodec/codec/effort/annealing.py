"""The coder of a refinement: every symbol is drawn between the two integers around it, and costs what the tables say.

    residual r ─► p = sigmoid((atanh f − atanh(1 − f)) / temperature + noise),  f = r − ⌊r⌋ ─► symbol ⌊r⌋ + p

The noise is logistic, which makes p a Gumbel-softmax sample of the two integers (Yang, Bamler and Mandt 2020,
arXiv 2006.04240). While it is hot, a latent near the middle may still go either way, and the gradient is that of the
mean over what it and its neighbours may become; when it is cold, p is 0 or 1. Unlike in the paper, the noise is not
divided by the temperature: symbols become whole as latents leave the middle.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...entropy.parts import Part, given
from ...networks.prior import HyperPrior
from .costs import Costs

EDGE = 1e-3
"""Closest distance to an integer: there the logarithms end."""


class Annealing:
    """A `SymbolCoder` over the float twin. After a walk, `bits` is R, with a gradient."""

    def __init__(
        self, z_costs: Costs, y_costs: Sequence[Costs], temperature: float, generator: torch.Generator
    ) -> None:
        self.bits: Tensor = torch.zeros(())
        self._z_costs, self._y_costs = z_costs, y_costs
        self._temperature, self._generator = temperature, generator

    def hyper(self, z: Tensor | None, prior: HyperPrior | None) -> Tensor:
        """z [B, Z, H, W] → ẑ."""
        z = given(z)
        channel = torch.arange(z.shape[1], device=z.device)[:, None, None].expand(z.shape)
        return self._drawn(z, self._z_costs, channel.to(z.dtype))

    def code(self, part: Part, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """y, mean and real table index, blocks of a part → ŷ."""
        costs = self._y_costs[min(part.tables, len(self._y_costs) - 1)]
        return self._drawn(given(y) - mean, costs, index) + mean

    def _drawn(self, residual: Tensor, costs: Costs, index: Tensor) -> Tensor:
        """The symbols of residuals; adds their bits."""
        lower = torch.floor(residual.detach())
        above = (residual - lower).clamp(EDGE, 1 - EDGE)
        uniform = torch.rand(above.shape, generator=self._generator, device=above.device)
        logit = (torch.atanh(above) - torch.atanh(1 - above)) / self._temperature
        share = torch.sigmoid(logit + torch.logit(uniform, 1e-6))
        self.bits = self.bits + costs.between(lower.long(), share, index).sum()
        return lower + share
