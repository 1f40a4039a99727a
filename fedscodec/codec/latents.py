"""Pictures ↔ latents, tile by tile: g_a, h_a and g_s of a network, in bounded memory.

A picture stays what it is, a byte a sample; floats of it exist only of the tile at work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..fileformat import Header
from ..images import Picture, crop, from_tensor, region
from ..networks.model import FedsModel
from ..networks.spec import STRIDE, ModelSpec
from ..networks.tiles import HYPER_MARGIN, HYPER_SIDE, Box, run_in_tiles, tiles, transform_tiles
from .outcomes import Progress

T = TypeVar("T")
TRANSFORM_SHARE = 0.8
"""Of the time of encoding and decoding, about what g_a and g_s take."""


class Network(Protocol):
    """What is needed here of a network that is ready to run (`codec.Model`)."""

    device: torch.device
    spec: ModelSpec
    transforms: FedsModel

    @property
    def tile_side(self) -> int:
        """Latents that a side of a tile of g_a and g_s keeps."""

    def autocast(self) -> AbstractContextManager[object]:
        """The precision of the transforms."""

    def gains(self, quality: float) -> tuple[Tensor, Tensor]:
        """Gain and inverse gain [1, M, 1, 1]."""


def analyse(network: Network, picture: Picture, quality: float, progress: Progress | None) -> Tensor:
    """g_a in tiles: latents [1, M, H/16, W/16], before any gain, channels last."""
    level = torch.tensor([quality], device=network.device)
    rows, columns = (STRIDE // 16 * -(-side // STRIDE) for side in (picture.height, picture.width))
    latents = torch.empty((1, rows, columns, network.spec.latents), device=network.device).permute(0, 3, 1, 2)

    def read(box: Box) -> Tensor:
        return region(picture, *box.scaled(16)).to(network.device).contiguous(memory_format=torch.channels_last)

    def write(box: Box, part: Tensor) -> None:
        box.of(latents).copy_(part)

    grid = list(transform_tiles(rows, columns, network.transforms.g_a, network.tile_side))
    with network.autocast():
        told = _told(grid, progress, 0.0, TRANSFORM_SHARE)
        run_in_tiles(lambda part: network.transforms.g_a(part, level).value.float(), read, write, told)
    return latents


def hyper_analyse(network: Network, y: Tensor) -> Tensor:
    """h_a in tiles: z [1, H/64, W/64, Z] of the gained latents."""
    rows, columns = y.shape[2] * 16 // STRIDE, y.shape[3] * 16 // STRIDE
    z = torch.empty((1, rows, columns, network.spec.hyper_latents), device=y.device)

    def write(box: Box, part: Tensor) -> None:
        box.of_last(z).copy_(part.permute(0, 2, 3, 1))

    grid = tiles(rows, columns, HYPER_SIDE, HYPER_MARGIN)
    run_in_tiles(network.transforms.h_a, lambda box: box.scaled(STRIDE // 16).of(y), write, grid)
    return z


def synthesise(network: Network, y_hat: Tensor, header: Header, progress: Progress | None) -> np.ndarray:
    """g_s in tiles: samples uint8 [H, W, 3] of latents in 1/16 [1, H/16, W/16, M]."""
    pixels = np.empty((header.height, header.width, 3), dtype=np.uint8)
    level = torch.tensor([header.quality / 1000], device=network.device)
    _, inverse = network.gains(header.quality / 1000)

    def read(box: Box) -> Tensor:
        latents = (box.of_last(y_hat).permute(0, 3, 1, 2).float() / network.spec.mean_unit) * inverse
        return latents.contiguous(memory_format=torch.channels_last)

    def write(box: Box, part: Tensor) -> None:
        place = pixels[box.top : box.bottom, box.left : box.right]  # without what padding added
        if place.size:
            place[:] = from_tensor(crop(part, *place.shape[:2]), grey=header.grey)

    grid = list(transform_tiles(y_hat.shape[1], y_hat.shape[2], network.transforms.g_s, network.tile_side))
    with network.autocast():
        told = _told(grid, progress, 1 - TRANSFORM_SHARE, 1.0)
        run_in_tiles(lambda part: network.transforms.g_s(part, level).value.float(), read, write, told, 16)
    return pixels


def _told(items: list[T], progress: Progress | None, first: float, last: float) -> Iterable[T]:
    """The items, telling after each how far the work has come from first to last."""
    for number, item in enumerate(items, start=1):
        yield item
        if progress is not None:
            progress(first + (last - first) * number / len(items))


def streams_told(progress: Progress | None, model: Network, first: float, last: float) -> Callable[[int], None] | None:
    """What a coder tells of the streams it is done with, as progress from first to last."""
    if progress is None:
        return None
    return lambda streams: progress(first + (last - first) * streams / (1 + model.spec.streams))
