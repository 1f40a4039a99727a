"""The unit of the walk over the latents: which are coded together, with which tables, in which stream.

A `Part` is a value. Code that walks over, counts, shows or names what is coded asks the part. Latents are channels last
here, [B, H, W, M] with H and W even. The latents of a part form its *block*:

    all cells coded                 block [B, H, W, C], the part's channels
    some cells of every square      block [B, G·K, H/2, W/2, C/G]: G groups of channels (channel c of the part is in
                                    group c mod G), K corners of every 2×2 square for each, in the order of `Cells`

The symbols of a part stand in a stream in the order of its block.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

Maps = TypeVar("Maps")
"""Arrays of numpy or tensors of torch; neither needs to be loaded, because a part is a value without either."""

Corner = tuple[int, int]
"""Row and column in a 2×2 square of cells."""


@dataclass(frozen=True)
class Cells:
    """For each group of channels in turn, the corners of every 2×2 square that are coded."""

    groups: tuple[tuple[Corner, ...], ...]

    def __post_init__(self) -> None:
        """Check that every group has as many corners as the others, so that a block is one tensor."""
        if not self.groups or len({len(corners) for corners in self.groups}) != 1:
            raise ValueError(f"groups should have the same number of corners, found {self.groups}")

    def __iter__(self) -> Iterator[tuple[int, Corner]]:
        """Group and corner, in the order of a block."""
        return ((group, corner) for group, corners in enumerate(self.groups) for corner in corners)

    @property
    def corners(self) -> int:
        """K, the number of corners of a square that each group codes."""
        return len(self.groups[0])


EVEN, ODD = (Cells((((0, 0), (1, 1)),)), Cells((((0, 1), (1, 0)),)))
"""The two colours of a checkerboard, the same for all channels."""

_TURN = ((0, 0), (1, 1), (0, 1), (1, 0))
CORNERS = tuple(Cells(((corner,),)) for corner in _TURN)
"""The corners of 2×2 squares one after the other, for all channels: first both even cells, then the odd ones."""
TURNS = tuple(Cells(tuple((_TURN[(turn + group) % 4],) for group in range(4))) for turn in range(4))
"""Four passes in which each of four groups of channels codes another corner."""


@dataclass(frozen=True)
class Part:
    """One step of the walk.

    number: its position in the walk, from 0, and that of its network. channels: start and stop among those of y. seen:
    how many channels of ŷ its network sees; those that are not coded yet are zero. stream: counted from 1, as z is
    stream 0. tables: its set of frequency tables, from 0, the same for all parts of a stream. cells: None for all.
    ends: whether this part is the last of its stream.
    """

    name: str
    number: int
    channels: tuple[int, int]
    seen: int
    stream: int
    tables: int
    cells: Cells | None = None
    ends: bool = True

    @property
    def width(self) -> int:
        """C, its number of channels."""
        return self.channels[1] - self.channels[0]

    def of(self, y: Maps) -> Maps:
        """Its channels of y [..., M], a view."""
        view: Maps = y[..., self.channels[0] : self.channels[1]]  # type: ignore[index]
        return view

    def shape(self, batch: int, rows: int, columns: int) -> tuple[int, ...]:
        """The shape of its block if y is [batch, rows, columns, M]."""
        if self.cells is None:
            return batch, rows, columns, self.width
        groups = len(self.cells.groups)
        return batch, groups * self.cells.corners, rows // 2, columns // 2, self.width // groups

    def count(self, rows: int, columns: int) -> int:
        """Its number of symbols for y of that many rows and columns."""
        return math.prod(self.shape(1, rows, columns))

    def take(self, y: Maps) -> Maps:
        """Its block of y [B, H, W, M]."""
        if self.cells is None:
            return self.of(y)
        squares = self._squares(y)
        block: Maps = _stack([_corner(squares, group, corner) for group, corner in self.cells])
        return block

    def put(self, block: Any, y: Any) -> None:
        """Write its block to its place in y [B, H, W, M]."""
        if self.cells is None:
            self.of(y)[...] = block
            return
        squares = self._squares(y)
        for number, (group, corner) in enumerate(self.cells):
            _corner(squares, group, corner)[...] = block[:, number]

    def _squares(self, y: Any) -> Any:
        """[B, H/2, 2, W/2, 2, C/G, G], a view, because sides are only split."""
        groups = len(self.cells.groups) if self.cells else 1
        batch, rows, columns, _ = y.shape
        return self.of(y).reshape(batch, rows // 2, 2, columns // 2, 2, self.width // groups, groups)


def _corner(squares: Any, group: int, corner: Corner) -> Any:
    return squares[:, :, corner[0], :, corner[1], :, group]


def _stack(cells: list[Any]) -> Any:
    if isinstance(cells[0], np.ndarray):
        return np.stack(cells, 1)
    import torch

    return torch.stack(cells, 1)


def assemble(parts: Sequence[Part], blocks: Sequence[Any], channels: int) -> Any:
    """Put the blocks of parts back into [B, H, W, channels]; latents without a block are zero."""
    first, block = parts[0], blocks[0]
    down = 1 if first.cells is None else 2
    rows, columns = (down * side for side in block.shape[-3:-1])
    dtype = max((block.dtype for block in blocks), key=lambda kind: kind.itemsize)
    shape = (block.shape[0], rows, columns, channels)
    y = np.zeros(shape, dtype) if isinstance(block, np.ndarray) else block.new_zeros(shape, dtype=dtype)
    for part, found in zip(parts, blocks, strict=False):
        part.put(found, y)
    return y


def given(latents: Maps | None) -> Maps:
    """The latents that a coder needs. Raises ValueError for None, which a walk passes where a reader fills them in."""
    if latents is None:
        raise ValueError("expected latents; only a reader may go without")
    return latents
