"""The cost of symbols under the tables of a network, as a function with a gradient."""

from __future__ import annotations

import functools

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

    def between(self, lower: Tensor, share: Tensor, index: Tensor) -> Tensor:
        """Bits of symbols lower + share, with lower int64 and share in 0..1, by the tables of (real) indices.

        Between two symbols the bits are interpolated. Along the tables the gradient is the slope between the neighbours
        of the nearest one, so whatever moves a scale a little gets the average effect, however it is rounded.
        """
        table = torch.floor(index.detach() + 0.5).long()
        nearest = torch.where(share.detach() > 0.5, lower + 1, lower)
        slope = (self.at(nearest, table + 1) - self.at(nearest, table - 1)) / 2
        bits = torch.lerp(self.at(lower, table), self.at(lower + 1, table), share)
        return bits + slope * (index - index.detach())

    def at(self, symbols: Tensor, index: Tensor) -> Tensor:
        """Bits of whole symbols by the tables of whole indices, both int64; beyond either end, those at the end."""
        column = (symbols + self.radius).clamp(0, 2 * self.radius)
        return self._bits.view(-1)[index.clamp(0, len(self._bits) - 1) * self._bits.shape[1] + column]


@functools.lru_cache(64)
def costs_of(tables: Tables, device: torch.device) -> Costs:
    """The costs of a table, computed once."""
    return Costs(tables, device)
