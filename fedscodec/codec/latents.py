"""Pictures to latents and back, tile by tile: g_a, h_a and g_s of a network in bounded memory.

A picture stays in bytes; only the tile being processed exists in floats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import numpy as np

from ..fileformat import Header
from ..images import Picture, Window, pixels_of
from ..networks.spec import STRIDE, ModelSpec
from ..networks.tiles import HYPER_MARGIN, HYPER_SIDE, Box, Sighted, run_in_tiles, tiles, transform_tiles
from .outcomes import Progress

T = TypeVar("T")
TRANSFORM_SHARE = 0.8
"""Share of the time of encoding and decoding that g_a and g_s take, roughly."""


class Network(Protocol):
    """What this module needs of a network that is ready to run (`codec.Model`).

    Latents are tensors of torch or arrays of numpy, depending on the backend; pictures are arrays of numpy.
    """

    spec: ModelSpec

    @property
    def sights(self) -> tuple[Sighted, Sighted]:
        """How far g_a and g_s see."""

    @property
    def tile_side(self) -> int:
        """Latents that a side of a tile of g_a and g_s keeps."""

    def autocast(self) -> AbstractContextManager[object]:
        """The precision of the transforms."""

    def empty(self, channels: int, rows: int, columns: int) -> Any:
        """Uninitialised latents [1, C, H, W]."""

    def g_a(self, pixels: np.ndarray, quality: float) -> Any:
        """Latents [1, M, H/16, W/16] of samples uint8 [H, W, 3]."""

    def h_a(self, y: Any) -> Any:
        """z [1, Z, H/64, W/64] of gained latents."""

    def g_s(self, y_hat: Any, quality: float, *, grey: bool) -> np.ndarray:
        """Samples uint8 [1, 3, H, W] of ŷ [1, H/16, W/16, M], integers in 1/unit."""


def analyse(network: Network, picture: Picture, quality: float, progress: Progress | None) -> Any:
    """g_a in tiles: latents [1, M, H/16, W/16], before any gain."""
    rows, columns = (STRIDE // 16 * -(-side // STRIDE) for side in (picture.height, picture.width))
    latents = network.empty(network.spec.latents, rows, columns)

    def write(box: Box, part: Any) -> None:
        box.of(latents)[...] = part

    grid = list(transform_tiles(rows, columns, network.sights[0], network.tile_side))
    with network.autocast():
        counted = _with_progress(grid, progress, 0.0, TRANSFORM_SHARE)
        run_in_tiles(
            lambda pixels: network.g_a(pixels, quality), lambda box: pixels_of(picture, *box.scaled(16)), write, counted
        )
    return latents


def hyper_analyse(network: Network, y: Any) -> Any:
    """h_a in tiles: z [1, H/64, W/64, Z] of the gained latents."""
    rows, columns = y.shape[2] * 16 // STRIDE, y.shape[3] * 16 // STRIDE
    z = network.empty(network.spec.hyper_latents, rows, columns)

    def write(box: Box, part: Any) -> None:
        box.of(z)[...] = part

    grid = tiles(rows, columns, HYPER_SIDE, HYPER_MARGIN)
    run_in_tiles(network.h_a, lambda box: box.scaled(STRIDE // 16).of(y), write, grid)
    return last(z)


def synthesise(
    network: Network, y_hat: Any, header: Header, progress: Progress | None, window: Window | None = None
) -> np.ndarray:
    """g_s in tiles: samples uint8 [H, W, 3], or those in a window, of ŷ [1, H/16, W/16, M], integers in 1/unit."""
    found = window or Window(header.width, header.height)
    wanted = Box(found.top, found.bottom, found.left, found.right)
    pixels, quality = np.empty((found.height, found.width, 3), dtype=np.uint8), header.quality / 1000

    def write(box: Box, part: np.ndarray) -> None:
        inner = box.common(wanted)  # without what padding added
        place = inner.inside(wanted)
        pixels[place.top : place.bottom, place.left : place.right] = inner.inside(box).of(part)[0].transpose(1, 2, 0)

    part = wanted.shrunk(16) if window else None
    grid = list(transform_tiles(y_hat.shape[1], y_hat.shape[2], network.sights[1], network.tile_side, part))
    with network.autocast():
        counted = _with_progress(grid, progress, 1 - TRANSFORM_SHARE, 1.0)
        run_in_tiles(lambda part: network.g_s(part, quality, grey=header.grey), lambda box: box.of_last(y_hat), write,
                     counted, 16)  # fmt: skip
    return pixels


def last(x: Any) -> Any:
    """[B, C, H, W] with its channels last, as a view."""
    return x.transpose(0, 2, 3, 1) if isinstance(x, np.ndarray) else x.permute(0, 2, 3, 1)


def _with_progress(items: list[T], progress: Progress | None, first: float, last: float) -> Iterable[T]:
    """Yield the items and report progress after each, from first to last."""
    for number, item in enumerate(items, start=1):
        yield item
        if progress is not None:
            progress(first + (last - first) * number / len(items))


def stream_progress(
    progress: Progress | None, model: Network, first: float, last: float
) -> Callable[[int], None] | None:
    """A function that reports finished streams of a coder as progress from first to last."""
    if progress is None:
        return None
    return lambda streams: progress(first + (last - first) * streams / (1 + model.spec.streams))
