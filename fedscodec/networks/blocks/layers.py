"""Building blocks of all kinds of blocks: matrix products, LeakyReLU, in-place sums, bands, reach.

All work on float tensors [B, C, H, W], channels last where that is fast.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...entropy.precision import in_float32
from ..light_layers import SLOPE
from ..quick import has_one_pass, one_pass

BAND = 2**20
"""Values that pointwise layers process at once without gradients: fresh memory costs more than the work."""


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 1×1 convolution as a matrix product: x [B, I, H, W], weight [O, I] → [B, O, H, W], channels last.

    With one thread, torch otherwise takes a slow path for 1×1 convolutions that copies to contiguous and back.
    """
    return F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)


def fused(
    x: Tensor, weight: Tensor, bias: Tensor, *, leaky: bool = False, plus: Tensor | None = None
) -> Tensor:  # fmt: skip
    """`pointwise`, followed by LeakyReLU or by adding `plus`; on a CPU in one pass through memory."""
    if (leaky or plus is not None) and has_one_pass(x):
        rows, others = x.permute(0, 2, 3, 1), None if plus is None else plus.permute(0, 2, 3, 1)
        return one_pass(rows, weight, bias, others).permute(0, 3, 1, 2)
    y = pointwise(x, weight, bias)
    return leaky_relu(y) if leaky else y if plus is None else add(plus, y)


def gathered(x: Tensor, by: int) -> Tensor:
    """Turn squares of by×by positions into channels, positions first: [B, C, H, W] → [B, by²·C, H/by, W/by].

    Channels last in and out, in long runs of memory; `pixel_unshuffle` (channels first) has short ones.
    """
    b, c, h, w = x.shape
    squares = x.permute(0, 2, 3, 1).reshape(b, h // by, by, w // by, by * c).transpose(2, 3)
    return squares.reshape(b, h // by, w // by, by * by * c).permute(0, 3, 1, 2)


def spread(x: Tensor, by: int) -> Tensor:
    """The inverse of `gathered`: [B, by²·C, H, W] → [B, C, by·H, by·W], channels last."""
    b, c, h, w = x.shape
    squares = x.permute(0, 2, 3, 1).reshape(b, h, w, by, c // by).transpose(2, 3)
    return squares.reshape(b, h * by, w * by, c // by**2).permute(0, 3, 1, 2)


def by_place(weight: Tensor, by: int, dim: int = 0) -> Tensor:
    """Reorder a dimension of weights from `pixel_shuffle` (channels first) to `gathered` (positions first)."""
    return weight.unflatten(dim, (-1, by * by)).transpose(dim, dim + 1).flatten(dim, dim + 1)


def leaky_relu(x: Tensor) -> Tensor:
    """LeakyReLU, in place if no gradient needs x."""
    return F.leaky_relu(x, SLOPE, inplace=not torch.is_grad_enabled())


def interpolated(logarithms: Tensor, quality: Tensor) -> Tensor:
    """Factors [B, C, 1, 1] at qualities [B] from logarithms [Q, C] at 1 … Q, interpolated geometrically."""
    position = (quality - 1).clamp(0, len(logarithms) - 1)
    low = position.floor().long().clamp_max(max(len(logarithms) - 2, 0))
    high = (low + 1).clamp_max(len(logarithms) - 1)
    return torch.lerp(logarithms[low], logarithms[high], (position - low)[:, None]).exp()[:, :, None, None]


def scaled(x: Tensor, factor: Tensor) -> Tensor:
    """x [B, C, H, W] times factors [B, C, 1, 1], in place if no gradient needs x."""
    return x.mul_(factor.to(x.dtype)) if not torch.is_grad_enabled() else x * factor.to(x.dtype)


def add(x: Tensor, y: Tensor) -> Tensor:
    """x + y, written into x if no gradient needs it: fresh memory for large maps costs more than the sum."""
    in_place = not torch.is_grad_enabled() and torch.result_type(x, y) == x.dtype
    return x.add_(y) if in_place else x + y


def bands(*maps: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same rows of maps [B, C, H, W], sample by sample on a CPU; whole maps on other devices."""
    if maps[0].device.type != "cpu":
        yield maps
        return
    _, c, _, w = maps[0].shape
    rows = max(BAND // 8 // (c * w), 1)
    for sample in zip(*maps, strict=True):
        yield from zip(*(m[None].split(rows, 2) for m in sample), strict=True)


class ToPixels(nn.Conv2d):
    """conv3×3 to squares of `factor`² pixels: [B, C, H, W] → [B, 3, H·factor, W·factor]."""

    def __init__(self, channels: int, factor: int, *, exact: bool) -> None:
        super().__init__(channels, 3 * factor**2, 3, padding=1)
        self.factor, self.reach, self.exact = factor, factor, exact

    def forward(self, x: Tensor) -> Tensor:
        """Float32; computed in the precision of the caller unless `exact`."""
        if not self.exact:
            weight, bias = (by_place(values, self.factor) for values in (self.weight, self.bias))
            return spread(F.conv2d(x, weight, bias, padding=1), self.factor).float()
        with in_float32(x):
            return F.pixel_shuffle(super().forward(x.float()), self.factor)


def reach_of(module: nn.Module) -> float:
    """How far a module sees, in positions of its output: a 3×3 convolution sees 1.

    Raises TypeError for a module that does not say, because tiles would be silently wrong at their edges.
    """
    if isinstance(module, nn.Identity):
        return 0
    if isinstance(module, nn.Sequential):
        return sum(map(reach_of, module))
    reach = getattr(module, "reach", None)
    if not isinstance(reach, int | float):
        raise TypeError(f"{type(module).__name__} does not say how far it sees")
    return reach


def grain_of(module: nn.Module) -> int:
    """Positions that a tile's edges must be multiples of, so that its windows lie as in the whole map."""
    return math.lcm(*(getattr(part, "grain", 1) for part in module.modules()))
