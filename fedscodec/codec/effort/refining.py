"""Make the latents of one picture cheaper: stochastic Gumbel annealing of y and z, for lower R + λ·D.

    y, z ─► symbols drawn between integers ─┬─► float twin of the entropy side, costs of the tables ─► R ─┐
     ▲                                      └─► 1/gain ─► g_s ─► λ · D ───────────────────────────────────┴─► gradient
     └────────────────────────── Adam, while temperature and rate fall ◄─────────────────────────────────────────┘

A step is one pass, forward and backward. Rounding one latent at a time sees only what this latent changes; with all
symbols drawn at random, the gradient is that of the mean over what the others may become, and latents that only gain
together find each other. See `annealing` for the draw, and docs/effort.md for what was measured.

What comes out are floats like those of g_a, and are coded as those are: a decoder cannot tell the difference.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...images import Picture, crop, region
from ...machine import return_freed_memory
from ...metrics.table import LOSSES
from ...networks.blocks.layers import interpolated
from ...networks.spec import STRIDE
from ...networks.tiles import Tile, tiles
from ...networks.walk import walk
from ..model import Model
from ..outcomes import Progress, Stopped, never, within
from .annealing import Annealing
from .costs import Costs, costs_of

TILE_SIDE, TILE_MARGIN = 8, 2
"""Elements of z that a side of a tile keeps, and sees beyond: a Kodak picture is one tile of 12×8."""
CELLS = STRIDE // 16
"""Latents a side under one element of z."""
RATE, LAST_RATE = 0.03, 0.006
"""Learning rate of the first step and of the last, in quantisation steps."""
MOMENTUM, MEMORY = 0.8, 0.95
"""Adam's averages of the gradient and of its square."""
HOT, COLD = 0.2, 0.05
"""Temperature of the first step and of the last."""


class Latents(NamedTuple):
    """The latents from which a picture is coded."""

    y: Tensor  # [1, M, H/16, W/16], gained
    z: Tensor  # [1, H/64, W/64, Z]


def refine(
    latents: Latents,
    picture: Picture,
    model: Model,
    quality: float,
    steps: int,
    *,
    progress: Progress | None = None,
    stopped: Stopped = never,
) -> Latents:
    """Latents with lower R + λ·D by the float twin; the same for the same steps, picture, device and threads.

    Calls `stopped` before every step; if it is true, returns what has been refined so far. The caller must check
    whether the file is really cheaper.
    """
    with torch.inference_mode(False), torch.enable_grad():
        y, z = latents.y.clone(), latents.z.clone()
        costs = costs_of(model.z_tables, model.device), [costs_of(tables, model.device) for tables in model.y_tables]
        grid = _grid(z, model)
        for number, tile in enumerate(grid):
            if stopped():
                break
            work = _Tile(tile, Latents(y, z), picture, model, quality, costs)
            of_tile = within(progress, number / len(grid), (number + 1) / len(grid))
            work.refine(steps, of_tile, stopped)
            work.write(Latents(y, z))
            if len(grid) > 1:
                del work
                return_freed_memory()
    return Latents(y, z)


def _grid(z: Tensor, model: Model) -> list[Tile]:
    """Tiles in elements of z."""
    side = max(TILE_SIDE // model.tile_shrink, 2)
    grain = math.lcm(STRIDE, model.transforms.g_s.grain) // STRIDE
    return list(tiles(z.shape[1], z.shape[2], side, TILE_MARGIN, grain))


class _Tile:
    """Latents of a tile and of its surroundings; only those of the tile are written back."""

    def __init__(
        self,
        tile: Tile,
        latents: Latents,
        picture: Picture,
        model: Model,
        quality: float,
        costs: tuple[Costs, list[Costs]],
    ) -> None:
        self._tile, self._picture, self._model, self._costs = tile, picture, model, costs
        y, z = tile.seen.scaled(CELLS).of(latents.y), tile.seen.of_last(latents.z).permute(0, 3, 1, 2)
        self._y, self._z = (part.clone().requires_grad_() for part in (y, z))
        self._kept = tile.kept.inside(tile.seen)
        self._quality = torch.tensor([quality], device=model.device)
        self._lambda = lambda_of(model, quality)
        self._inverse = model.gains(quality)[1]
        self._original = self._pixels()

    def _pixels(self) -> Tensor:
        """The picture under the tile [1, 3, H, W], without padding."""
        box = self._tile.seen.scaled(STRIDE)
        bottom, right = min(box.bottom, self._picture.height), min(box.right, self._picture.width)
        return region(self._picture, box.top, bottom, box.left, right).to(self._model.device)

    def refine(self, steps: int, progress: Progress | None, stopped: Stopped) -> None:
        """Change the latents in this many steps."""
        generator = torch.Generator(self._model.device).manual_seed(0)
        adam = torch.optim.Adam([self._y, self._z], betas=(MOMENTUM, MEMORY))
        for step in range(steps):
            if stopped():
                break
            done = step / max(steps - 1, 1)
            adam.param_groups[0]["lr"] = RATE + (LAST_RATE - RATE) * done
            adam.zero_grad()
            self._cost(HOT * (COLD / HOT) ** done, generator).backward()
            adam.step()
            if progress is not None:
                progress((step + 1) / steps)

    def _cost(self, temperature: float, generator: torch.Generator) -> Tensor:
        """R + λ·D in bits, for symbols drawn at a temperature."""
        coder = Annealing(*self._costs, temperature, generator)
        y_hat = walk(self._model.twin, self._z, self._y, self._quality, coder)
        return coder.bits + self._lost(y_hat)

    @torch.no_grad()
    def write(self, latents: Latents) -> None:
        """Copy the part that the tile keeps to its place in the latents of the picture."""
        seen = Latents(self._y, self._z.permute(0, 2, 3, 1))
        kept = self._tile.kept
        kept.scaled(CELLS).of(latents.y).copy_(self._kept.scaled(CELLS).of(seen.y))
        kept.of_last(latents.z).copy_(self._kept.of_last(seen.z))

    def _lost(self, y_hat: Tensor) -> Tensor:
        """λ·D, in bits."""
        with self._model.autocast():
            x_hat = self._model.transforms.g_s(y_hat * self._inverse, self._quality).value.float()
        x_hat = crop(x_hat, *self._original.shape[2:]).clamp(0, 1)
        if self._picture.grey:
            x_hat = x_hat.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        pixels = x_hat.shape[2] * x_hat.shape[3]
        return (self._lambda * pixels * distortion(self._model.spec.metric, self._original, x_hat)).sum()


def lambda_of(model: Model, quality: float) -> float:
    """λ of a quality, interpolated geometrically between neighbours, like the gains."""
    logarithms = torch.tensor(model.spec.lambdas).log()[:, None]
    return float(interpolated(logarithms, torch.tensor([quality])))


def distortion(metric: str, x: Tensor, x_hat: Tensor) -> Tensor:
    """D in the metric of a network, of pictures [1, 3, H, W] in 0..1; [1]."""
    loss = LOSSES[metric]
    least = 1 if metric == "mse" else loss.crop
    return loss.of(_large_enough(x, least), _large_enough(x_hat, least))


def _large_enough(x: Tensor, least: int) -> Tensor:
    """A picture [1, 3, H, W] extended by mirroring if a side is too small to measure."""
    for axis, side in enumerate(x.shape[2:], start=2):
        if side < least:
            places = np.pad(np.arange(side), (0, least - side), mode="symmetric")
            x = x.index_select(axis, torch.from_numpy(places).to(x.device))
    return x
