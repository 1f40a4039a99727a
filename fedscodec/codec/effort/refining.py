"""Make the latents of one picture cheaper: move symbols of y up or down by one where that lowers R + λ·D.

    y ─► round ─► ŷ ─┬─► float twin of the entropy side, costs of the tables ─► R ─┐
         ▲           └─► 1/gain ─► g_s ─► λ · D ──────────────────────────────────┴─► gradient g of y
         └────── move what gains by it ◄── ± g + h/2 + cost of the symbol's neighbour ◄──┘              and again

One pass, forward and backward, tells for every latent at once what moving it would change: g, the slope of all that
follows from it, h, the curvature, and the difference in bits of its own symbol. h is that of D, measured with two
pictures, times what the steps so far have shown: the slopes of moved latents turn by more, as R curves too, and as the
latents that promise most are those whose slopes flatter most. What promises to gain is moved, but not all of it at
once, as neighbours do not know of each other; and what has just been moved stays for a while, lest it swing. R and D of
every step are those of whole symbols, so the best step is known, and a step that makes it worse is taken back.

What comes out are floats like those of g_a, and are coded as those are: a decoder cannot tell the difference. This took
a tenth of the steps of stochastic Gumbel annealing (Yang, Bamler, Mandt 2020) for the same gain, see docs/effort.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...entropy.parts import Part
from ...images import Picture, crop, region
from ...metrics.table import LOSSES
from ...networks.blocks.layers import interpolated
from ...networks.spec import STRIDE
from ...networks.tiles import Tile, tiles, trim
from ...networks.walk import walk
from ..model import Model
from ..outcomes import Progress, Stopped, never, within
from .costs import Costs, costs_of
from .deciding import Change, Deciding

TILE_SIDE, TILE_MARGIN = 8, 2
"""Elements of z that a side of a tile keeps, and sees beyond: a Kodak picture is one tile of 12×8."""
CELLS = STRIDE // 16
"""Latents a side under one element of z."""
FIRST_SHARE, LAST_SHARE = 0.5, 0.3
"""Share of the promising latents that moves in the first step and in the last."""
REST, COOLING = 4.0, 0.85
"""Extra bits that a latent must promise after it was moved, and the share of these left after each step."""
BOLD = 0.95
"""The share of the curvature that is expected of a move: what turns out worse is taken back."""
RECOVERY, FEWEST = 1.3, 0.04
"""After a step that made it worse, half as many latents move, to this share of the usual; a good one lets more move."""
EXPECTED, MEMORY = 1.7, 0.5
"""The usual curvature of R + λ·D, in times that of D, and the weight of earlier steps against the last one."""
PROBED, SAMPLES = 1 / 16, 16
"""Share of the latents that move by a quantisation step to measure curvature; in small pictures as many a channel."""
LEAST_RATIO, MOST_RATIO = 1.0, 4.0
"""Bounds of the curvature of R + λ·D, in times that of D."""
LEAST = 0.05
"""Least curvature of a place, as a share of the mean."""


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
            tile.kept.scaled(CELLS).of(y).copy_(work.refined(steps, of_tile, stopped))
            if len(grid) > 1:
                del work
                trim()
    return Latents(y, latents.z)


def _grid(z: Tensor, model: Model) -> list[Tile]:
    """Tiles in elements of z."""
    side = max(TILE_SIDE // model.tile_shrink, 2)
    grain = math.lcm(STRIDE, model.transforms.g_s.grain) // STRIDE
    return list(tiles(z.shape[1], z.shape[2], side, TILE_MARGIN, grain))


class _State(NamedTuple):
    """Latents [1, M, H/16, W/16] before and after rounding: R + λ·D in bits, its slope, and what changes would cost."""

    cost: float
    y: Tensor
    y_hat: Tensor
    slope: Tensor
    change: Change

    def promised(self, way: int, curvature: Tensor) -> Tensor:
        """How much R + λ·D would change if a symbol were one more (way 1) or one less (way -1)."""
        bits = self.change.up if way > 0 else self.change.down
        return bits + way * self.slope + curvature / 2


class _Curvature:
    """Curvature of R + λ·D along every latent, from that of D [1, M, h, w], and corrected after every step.

    A slope should turn by the curvature where a latent moved. The ratio is kept for each range of channels that is
    coded together: what is coded first decides what later latents cost, and curves most.
    """

    def __init__(self, of_distortion: Tensor, parts: Sequence[Part]) -> None:
        self._of_distortion = of_distortion
        self._found = dict.fromkeys((part.channels for part in parts), (0.0, 0.0))
        self.now = EXPECTED * of_distortion

    def learn(self, turned: Tensor, moves: Tensor) -> None:
        """Learn from a step: by how much slopes have turned, and the moves (-1, 0 or 1), both [1, M, h, w]."""
        for (start, stop), (found, expected) in self._found.items():
            way, of_distortion = moves[:, start:stop], self._of_distortion[:, start:stop]
            found = MEMORY * found + float((turned[:, start:stop] * way).sum())
            expected = MEMORY * expected + float((of_distortion * way.abs()).sum())
            self._found[start, stop] = found, expected
            if expected > 0:
                ratio = min(max(found / expected, LEAST_RATIO), MOST_RATIO)
                self.now[:, start:stop] = ratio * of_distortion


class _Tile:
    """Latents of a tile and of its surroundings; the latter do not change."""

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
        self._y = tile.seen.scaled(CELLS).of(latents.y).clone()
        self._z = tile.seen.of_last(latents.z).permute(0, 3, 1, 2).clone()
        self._kept = tile.kept.inside(tile.seen).scaled(CELLS)
        self._quality = torch.tensor([quality], device=model.device)
        self._lambda = lambda_of(model, quality)
        self._inverse = model.gains(quality)[1]
        self._original = self._pixels()

    def _pixels(self) -> Tensor:
        """The picture under the tile [1, 3, H, W], without padding."""
        box = self._tile.seen.scaled(STRIDE)
        bottom, right = min(box.bottom, self._picture.height), min(box.right, self._picture.width)
        return region(self._picture, box.top, bottom, box.left, right).to(self._model.device)

    def refined(self, steps: int, progress: Progress | None, stopped: Stopped) -> Tensor:
        """y [1, M, H/16, W/16] of the kept part of the tile, after this many steps."""
        generator = torch.Generator(self._model.device).manual_seed(0)
        best = now = self._assessed(self._y)
        curvature = _Curvature(self._curvature(now.y_hat, generator), self._model.spec.parts())
        rest, damping = torch.zeros_like(now.y_hat), 1.0
        for step in range(steps):
            if stopped():
                break
            share = damping * FIRST_SHARE * (LAST_SHARE / FIRST_SHARE) ** (step / max(steps - 1, 1))
            up, down = (now.promised(way, BOLD * curvature.now) + rest for way in (1, -1))
            moved = (torch.minimum(up, down) < 0) & self._drawn(share, rest, generator)
            rest = COOLING * rest + REST * moved
            moves = torch.where(up < down, 1.0, -1.0) * moved
            before, now = now, self._assessed(now.y_hat + moves)
            curvature.learn(now.slope - before.slope, moves)
            if now.cost < best.cost:
                best, damping = now, min(damping * RECOVERY, 1.0)
            else:  # too much at once
                now, damping = best, max(damping / 2, FEWEST)
            if progress is not None:
                progress((step + 1) / steps)
        return self._kept.of(best.y)

    def _drawn(self, share: float, y_hat: Tensor, generator: torch.Generator) -> Tensor:
        """A random share of the latents that the tile keeps."""
        inside = torch.zeros(y_hat.shape, dtype=torch.bool, device=y_hat.device)
        self._kept.of(inside).fill_(True)
        return inside & (torch.rand(y_hat.shape, generator=generator, device=y_hat.device) < share)

    def _assessed(self, y: Tensor) -> _State:
        y = y.detach().requires_grad_()
        coder = Deciding(*self._costs)
        y_hat = walk(self._model.twin, self._z, y, self._quality, coder)
        cost = coder.bits + self._lost(y_hat)
        (slope,) = torch.autograd.grad(cost, y)
        change = Change(*(side.permute(0, 3, 1, 2) for side in coder.of_y(y.shape[1])))
        return _State(float(cost.detach()), y.detach(), y_hat.detach(), slope, change)

    def _lost(self, y_hat: Tensor) -> Tensor:
        """λ·D, in bits."""
        with self._model.autocast():
            x_hat = self._model.transforms.g_s(y_hat * self._inverse, self._quality).value.float()
        x_hat = crop(x_hat, *self._original.shape[2:]).clamp(0, 1)
        if self._picture.grey:
            x_hat = x_hat.mean(1, keepdim=True).expand(-1, 3, -1, -1)
        pixels = x_hat.shape[2] * x_hat.shape[3]
        return (self._lambda * pixels * distortion(self._model.spec.metric, self._original, x_hat)).sum()

    def _curvature(self, y_hat: Tensor, generator: torch.Generator) -> Tensor:
        """Second derivative of λ·D along every latent [1, M, H/16, W/16]: a number a channel times a number a place.

        A few latents move at once, each up or down at random, so their effects on each other cancel on average: over
        the places of a channel, and over the channels of a place and its neighbours. The squared error curves alike
        everywhere; MS-SSIM curves far more where a picture is smooth, and flattens if all latents move at once.
        """
        share = min(max(PROBED, SAMPLES / y_hat[0, 0].numel()), 0.5)
        drawn = torch.rand(y_hat.shape, generator=generator, device=y_hat.device)
        probe = (drawn < share / 2).float() - (drawn > 1 - share / 2).float()
        slopes = [self._slope_of_loss(y_hat + way * probe) for way in (1, -1)]
        found, moved = (slopes[0] - slopes[1]) * probe / 2, probe.abs()
        channel = found.sum((2, 3), keepdim=True) / moved.sum((2, 3), keepdim=True).clamp_min(1)
        channel = channel.clamp_min(float(channel.mean().clamp_min(0)) / 8)
        around, expected = (F.avg_pool2d(x.sum(1, keepdim=True), 3, 1, 1) for x in (found, channel * moved))
        place = torch.where(expected > 0, around / expected, 1.0)
        return channel * place.clamp_min(LEAST)

    def _slope_of_loss(self, y_hat: Tensor) -> Tensor:
        y_hat = y_hat.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self._lost(y_hat), y_hat)
        return slope


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
