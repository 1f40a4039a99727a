"""The cost of symbols under the tables of a network, as a function with a gradient."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...entropy.tables import Tables

FORBIDDEN = 1e4
"""Bits of a symbol that cannot be coded; a skipped table has only one symbol."""


BEYOND = 256
"""Distance up to which symbols outside all tables are distinguished; there, twice the distance costs two more bits."""


class Costs:
    """Bits of every symbol within `radius` of zero by every table; symbols further out count as the outermost."""

    def __init__(self, tables: Tables, device: torch.device) -> None:
        self.radius = int(np.maximum(tables.high, -tables.low).max()) + BEYOND
        symbols = np.arange(-self.radius, self.radius + 1)
        bits = np.full((len(tables), symbols.size), FORBIDDEN)
        bits[: tables.skip, self.radius] = 0.0
        for index in range(tables.skip, len(tables)):
            bits[index] = tables.bits_of_each(symbols, np.full(symbols.size, index))
        self._bits = torch.from_numpy(bits).float().to(device)

    def of(self, symbols: Tensor, index: Tensor) -> Tensor:
        """Bits of symbols by the tables of (real) indices; the gradient is the slope between neighbouring tables.

        So whatever moves a mean or a scale a little gets the average effect, however it is rounded.
        """
        bits: Tensor = _Bits.apply(symbols, index, self)
        return bits

    def at(self, symbols: Tensor, index: Tensor) -> Tensor:
        """Bits of whole symbols by the tables of whole indices, both int64; beyond either end, those at the end."""
        column = (symbols + self.radius).clamp(0, 2 * self.radius)
        return self._bits.view(-1)[index.clamp(0, len(self._bits) - 1) * self._bits.shape[1] + column]


@functools.lru_cache(64)
def costs_of(tables: Tables, device: torch.device) -> Costs:
    """The costs of a table, computed once."""
    return Costs(tables, device)


class _Bits(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, symbols: Tensor, index: Tensor, costs: Costs) -> Tensor:
        whole, table = symbols.round().long(), torch.floor(index + 0.5).long()
        ctx.save_for_backward(whole, table)
        ctx.costs = costs
        return costs.at(whole, table)

    @staticmethod
    def backward(ctx: Any, above: Tensor) -> tuple[Tensor, Tensor, None]:
        whole, table = ctx.saved_tensors
        at = ctx.costs.at
        along_symbols = (at(whole + 1, table) - at(whole - 1, table)) / 2
        along_tables = (at(whole, table + 1) - at(whole, table - 1)) / 2
        return above * along_symbols, above * along_tables, None
