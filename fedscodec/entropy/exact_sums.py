"""Integer layers that are exact on every float32 engine, as values: no sum can reach 2²⁴ (`exact32`).

`ExactSpec` has everything that is fixed about such a layer. Float twins, the integer layers of torch and the nodes of a
graph are made from the same value, so they cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ..errors import WeightsError
from .fixedpoint import MEAN_LIMIT, RELU_LIMIT, WIDE_LIMIT
from .parts import Cells

LIMIT = 2**24
"""No sum reaches this, so that float32 holds all sums exactly."""
MOST_SHIFT = 23
Kind = Literal["relu", "wide", "parameters"]


@dataclass(frozen=True)
class ExactSpec:
    """A 1×1 layer (kernel 0), maybe followed by a pixel shuffle, or a depthwise one (kernel k).

    limits: the largest integer of each input. outputs: channels of what comes out. cells: with these, the layer works
    where a part codes; its rows belong to the groups of channels in turn. What comes out lies in

        relu         0 … 255           hidden layers
        wide         ±2047             depthwise layers
        parameters   ±(2¹⁵ − 1)        means, the first half of the rows
                     0 … tables−1      table indices, the second half
    """

    kind: Kind
    limits: tuple[int, ...]
    outputs: int
    kernel: int = 0
    upsample: int = 1
    cells: Cells | None = None
    tables: int = 64

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its weights: [O, I], or [C, k, k]."""
        rows = self.outputs * self.upsample**2
        return (rows, self.kernel, self.kernel) if self.kernel else (rows, len(self.limits))

    @property
    def groups(self) -> int:
        """How many groups of channels its rows have; row r belongs to group r mod G."""
        return len(self.cells.groups) if self.cells else 1

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """Smallest and largest output, of all rows or of each half."""
        if self.kind == "parameters":
            return (-MEAN_LIMIT, MEAN_LIMIT), (0, self.tables - 1)
        return ((0, RELU_LIMIT) if self.kind == "relu" else (-WIDE_LIMIT, WIDE_LIMIT),)

    def beyond(self, reach: int) -> int:
        """How many cells beyond its output a map sees, if its inputs see `reach` beyond."""
        return (reach + self.kernel // 2) * self.upsample


class ExactIntegers(NamedTuple):
    """The numbers of one layer, as in a weights file."""

    weight: np.ndarray  # int8 [O, I] or [C, k, k]
    bias: np.ndarray  # int32 [O]
    shift: np.ndarray  # int32 [O]


def largest_sums(weight: np.ndarray, bias: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Per row, the largest |Σ weight · input + bias|, or part of it, for inputs within limits; int64 [O].

    weight [O, I] or, for a depthwise layer, [C, k, k]; limits [I] are the largest magnitudes of inputs.
    """
    wide, most = np.abs(weight.astype(np.int64)), limits.astype(np.int64)
    products = wide.reshape(len(wide), -1).sum(1) * most if wide.ndim == 3 else wide @ most
    found: np.ndarray = products + np.abs(bias.astype(np.int64))
    return found


def require_exact(name: str, layer: ExactIntegers, limits: tuple[int, ...]) -> None:
    """Raise WeightsError unless shifts are in range and nothing can overflow; the caller checks types and shapes."""
    least, most = int(layer.shift.min()), int(layer.shift.max())
    if not 0 <= least <= most <= MOST_SHIFT:
        raise WeightsError(f"expected {name}.shift in 0..{MOST_SHIFT}, found {least}..{most}")
    if (largest := int(largest_sums(layer.weight, layer.bias, np.array(limits)).max())) >= LIMIT:
        raise WeightsError(f"expected sums of {name} below 2**24, found weights that can reach {largest}")
