"""The coder of a refinement: it makes no decision itself, but computes what every other decision would cost.

Latents are whole from the first step to the last: a residual is rounded as in the file, and R follows from the tables
in the weights file. The gradient of everything that depends on a latent, of later parts and of the picture, reaches y
as if nothing were rounded. The cost of a latent's own symbol needs no gradient: the costs of its neighbours are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ...entropy.parts import Part, assemble
from ...networks.prior import HyperPrior
from .costs import Costs


class Change(NamedTuple):
    """Extra bits if each symbol were one less, and one more; in the shape of y or z."""

    down: Tensor
    up: Tensor


class Deciding:
    """A `SymbolCoder` over the float twin. After a walk, `bits` is R, with a gradient; `of_y` is [B, H, W, M]."""

    def __init__(self, z_costs: Costs, y_costs: Sequence[Costs]) -> None:
        self.bits: Tensor = torch.zeros(())
        self.of_z: Change | None = None
        self._z_costs, self._y_costs = z_costs, y_costs
        self._parts: list[Part] = []
        self._changes: list[Change] = []

    def hyper(self, z: Tensor | None, prior: HyperPrior | None) -> Tensor:
        """z [B, Z, H, W] → ẑ."""
        z = _given(z)
        z_hat = z + (torch.floor(z + 0.5) - z).detach()
        channel = torch.arange(z.shape[1], device=z.device)[:, None, None].expand(z.shape)
        self.of_z = _change(self._z_costs, z_hat, channel)
        self.bits = self.bits + self._z_costs.at(z_hat.detach().long(), channel).sum()
        return z_hat

    def code(self, part: Part, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """y, mean and real table index, blocks of a part → ŷ."""
        y = _given(y)
        costs = self._y_costs[min(part.tables, len(self._y_costs) - 1)]
        residual = y.detach() - mean
        symbols = residual + (torch.floor(residual + 0.5) - residual).detach()
        self.bits = self.bits + costs.of(symbols, index).sum()
        self._parts.append(part)
        self._changes.append(_change(costs, symbols, index))
        return y + (symbols + mean - y).detach()

    def of_y(self, channels: int) -> Change:
        """What changes of the latents would cost, [B, H/16, W/16, M]."""
        down, up = zip(*self._changes, strict=True)
        return Change(assemble(self._parts, down, channels), assemble(self._parts, up, channels))


@torch.no_grad()
def _change(costs: Costs, symbols: Tensor, index: Tensor) -> Change:
    whole, table = symbols.round().long(), torch.floor(index + 0.5).long()
    now = costs.at(whole, table)
    return Change(costs.at(whole - 1, table) - now, costs.at(whole + 1, table) - now)


def _given(x: Tensor | None) -> Tensor:
    if x is None:
        raise ValueError("a refinement needs the latents")
    return x
