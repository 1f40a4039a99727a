"""Run networks tile by tile, so that memory is limited and results equal those of the whole picture.

The transforms are convolutional, so a row or column of their output depends on a limited part of their input. Tiles see
that much beyond what they keep, and the wrong margin is cut off, so there are no seams. Integer results are equal;
float results are equal except for the order of sums. Window attention counts its windows from the corner of the map, so
tiles begin and end at window edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise, product
from typing import Any, NamedTuple, Protocol, TypeVar

from ..machine import return_freed_memory

Maps = TypeVar("Maps")
"""Tensors of torch, or arrays of numpy."""
Result = TypeVar("Result")
"""What a network makes of a tile: maps, or several of them."""


TRANSFORM_SIDE = {"cpu": 64, "cuda": 160}
"""Latents on a side of a tile of g_a and g_s: 1024 pixels, about half a kilobyte of memory each."""
HYPER_SIDE = 64
"""Elements of z on a side of a tile of h_a and h_s."""
HYPER_MARGIN = 4
"""Elements of z that h_a sees beyond a tile. It needs fewer: 1.5 in networks of the paper's size, 0.75 in light ones.

What h_s needs depends on the spec, see `slices.Reach`.
"""
SLICE_SIDE = 96
"""Latents on a side of a tile of the network of a part: 1536 pixels, about 30 kilobytes of memory each."""
POSITIONS = 2**16
"""Latents that are processed at once in operations on single latents."""


class Box(NamedTuple):
    """A rectangle of a map, `bottom` and `right` not included."""

    top: int
    bottom: int
    left: int
    right: int

    def scaled(self, factor: int) -> Box:
        """The same rectangle on a map of `factor` times the size."""
        return Box(*(factor * edge for edge in self))

    def shrunk(self, factor: int) -> Box:
        """The smallest rectangle that covers this one on a map of 1/`factor` of the size."""
        return Box(self.top // factor, -(-self.bottom // factor), self.left // factor, -(-self.right // factor))

    def common(self, other: Box) -> Box:
        """What both rectangles cover; without rows or columns where that is nothing."""
        top, left = max(self.top, other.top), max(self.left, other.left)
        return Box(top, max(top, min(self.bottom, other.bottom)), left, max(left, min(self.right, other.right)))

    def inside(self, outer: Box) -> Box:
        """The same rectangle counted from the corner of `outer`."""
        return Box(self.top - outer.top, self.bottom - outer.top, self.left - outer.left, self.right - outer.left)

    def of(self, x: Maps) -> Maps:
        """This part of [B, C, H, W], as a view."""
        view: Maps = x[:, :, self.top : self.bottom, self.left : self.right]
        return view

    def of_last(self, x: Maps) -> Maps:
        """This part of [B, H, W, C], as a view."""
        view: Maps = x[:, self.top : self.bottom, self.left : self.right]
        return view


class Sighted(Protocol):
    """What tiles need to know about g_a and g_s, see `transforms.Transform`."""

    @property
    def reach(self) -> float:
        """Pixels that a result depends on beyond its own."""

    @property
    def grain(self) -> int:
        """Pixels that edges of tiles must be multiples of."""


class Tile(NamedTuple):
    """The part of a map that a network sees at once, and the part of it that is kept."""

    seen: Box
    kept: Box


def tiles(height: int, width: int, side: int, margin: int, grain: int = 1, part: Box | None = None) -> Iterator[Tile]:
    """Cover a map with tiles that keep about `side` in each direction and see `margin` more on each inner side.

    What a tile sees begins and ends at multiples of `grain`, or where the map ends. With `part`, they cover that.
    """
    whole = part or Box(0, height, 0, width)
    down, across = _spans(whole.top, whole.bottom, side, margin), _spans(whole.left, whole.right, side, margin)
    for (top, bottom), (left, right) in product(down, across):
        rows, columns = (
            (max(first - margin, 0) // grain * grain, min(-(-(last + margin) // grain) * grain, most))
            for first, last, most in ((top, bottom, height), (left, right, width))
        )
        yield Tile(Box(*rows, *columns), Box(top, bottom, left, right))


def _spans(first: int, last: int, side: int, margin: int) -> Iterator[tuple[int, int]]:
    # Alike, and none where one tile would see little more than it may.
    length = last - first
    count = max(-(-(length - 2 * margin) // side), 1)
    return pairwise(first + length * i // count for i in range(count + 1))


def transform_tiles(height: int, width: int, transform: Sighted, side: int, part: Box | None = None) -> Iterator[Tile]:
    """Tiles of g_a or g_s that keep about `side` of latents of that size, or of a part of them, in latents."""
    return tiles(height, width, side, margin(transform), transform.grain // 16, part)


def margin(transform: Sighted) -> int:
    """Latents that g_a or g_s sees beyond a tile."""
    return math.ceil(transform.reach / 16)


def transform_side(device: str) -> int:
    """Latents on a side of a tile of g_a and g_s, for a kind of device."""
    return TRANSFORM_SIDE.get(device, TRANSFORM_SIDE["cpu"])


def run_in_tiles(
    transform: Callable[[Any], Result],
    read: Callable[[Box], Any],
    write: Callable[[Box, Any], None],
    grid: Iterable[Tile],
    scale: int = 1,
    cut: Callable[[Box, Result], Any] = Box.of,
) -> None:
    """Pass transform(read(seen)), cut to the kept part, to `write` for each tile.

    The result of a tile is `scale` times as large as the tile, [B, C, ...] unless `cut` knows another order; `write`
    gets its place in the whole result.
    """
    for seen, kept in grid:
        part = transform(read(seen))
        write(kept.scaled(scale), cut(kept.inside(seen).scaled(scale), part))
        if seen != kept and str(getattr(part, "device", "cpu")) == "cpu":  # one of several
            del part
            return_freed_memory()  # fragments left by tiles add up to 300 MB


def each_last(box: Box, maps: Iterable[Maps]) -> list[Maps]:
    """That part of several maps [B, H, W, C], for results of `run_in_tiles` that are several."""
    return [box.of_last(one) for one in maps]


def chunks(positions: int) -> Iterator[slice]:
    """Cover positions with ranges that are small enough to be converted to a wider type."""
    for start in range(0, positions, POSITIONS):
        yield slice(start, min(start + POSITIONS, positions))
