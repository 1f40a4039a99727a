"""Blocks that learn fast and run on a CPU: products of matrices and depthwise 3×3 convolutions, nothing normalised.

    block    x + 1×1(depthwise 3×3(leaky(1×1 x))), and then x + 1×1(leaky(1×1 x)) through twice the width
    down     squares of 2×2 become channels, 1×1
    up       1×1, channels become squares of 2×2

A block costs 6·C² + 9·C multiply-accumulates a position. Maps are channels last, so that a 1×1 convolution is one
matrix product. What a stage sees is scaled by quality, see `transforms`.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .kind import Kind, require_factor
from .layers import SLOPE, ToPixels, by_place, fused, gathered, pointwise, spread

SHARE = 0.2
"""How large a fresh block's changes are beside what they are added to."""


class Pointwise(nn.Linear):
    """1×1 convolution as a matrix product: [B, I, H, W] → [B, O, H, W], channels last."""

    reach = 0

    def forward(self, x: Tensor) -> Tensor:
        """In the precision of the caller."""
        return pointwise(x, self.weight, self.bias)


class ToLatents(Pointwise):
    """The last layer of g_a: as `Pointwise`, but what it gives is float32."""

    def forward(self, x: Tensor) -> Tensor:
        """In the precision of the caller."""
        return super().forward(x).float()


class Depthwise(nn.Conv2d):
    """3×3 convolution of each channel by itself."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1, groups=channels)


class LightBlock(nn.Module):
    """Two changes to a map [B, C, H, W]: one from the neighbourhood, one from the channels."""

    reach = 1

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.into, self.around = Pointwise(channels, channels), Depthwise(channels)
        self.out = Pointwise(channels, channels)
        self.widen, self.narrow = Pointwise(channels, 2 * channels), Pointwise(2 * channels, channels)

    def start(self) -> None:
        """Begin as small changes that look at the position itself."""
        for layer in (self.into, self.widen):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
        for layer in (self.out, self.narrow):
            nn.init.kaiming_normal_(layer.weight, a=1)
            layer.weight.mul_(SHARE)
        for layer in (self.into, self.around, self.out, self.widen, self.narrow):
            nn.init.zeros_(layer.bias)
        self.around.weight.mul_(0.3)
        self.around.weight[:, 0, 1, 1] += 1

    def silence(self) -> None:
        """Change nothing, but learn from the first step: what a network has that grows."""
        for layer in (self.out, self.narrow):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """The same shape; x itself is overwritten where no gradient needs it."""
        inner = self.around(fused(x, self.into.weight, self.into.bias, leaky=True))
        x = fused(inner, self.out.weight, self.out.bias, plus=x)
        inner = fused(x, self.widen.weight, self.widen.bias, leaky=True)
        return fused(inner, self.narrow.weight, self.narrow.bias, plus=x)


class Down(Pointwise):
    """Halve a map: [B, I, H, W] → [B, O, H/2, W/2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(4 * inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """In the precision of the caller."""
        return pointwise(gathered(x, 2), by_place(self.weight, 2, dim=1), self.bias)


class Up(Pointwise):
    """Double a map: [B, I, H, W] → [B, O, 2H, 2W]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, 4 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        """In the precision of the caller."""
        return spread(pointwise(x, by_place(self.weight, 2), by_place(self.bias, 2)), 2)


class FromPixels(nn.Conv2d):
    """Squares of `factor`² pixels become channels, conv3×3: [B, 3, H, W] → [B, C, H/factor, W/factor]."""

    reach = 1

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__(3 * factor**2, channels, 3, padding=1)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        """In the precision of the caller."""
        weight = by_place(self.weight, self.factor, dim=1)
        return F.conv2d(gathered(x, self.factor), weight, self.bias, padding=1)


class Light(Kind):
    """Up to four stages, of which the last lies at 1/16."""

    scaled = True

    def block(self, width: int, number: int) -> nn.Module:
        """A light block."""
        return LightBlock(width)

    def from_pixels(self, width: int, factor: int) -> nn.Module:
        """Any factor."""
        return FromPixels(width, factor)

    def down(self, inputs: int, width: int) -> nn.Module:
        """Halve a map."""
        return Down(inputs, width)

    def to_latents(self, width: int, latents: int, factor: int) -> nn.Module:
        """A matrix product at 1/16."""
        require_factor(factor, 1, "the last layer of light stages")
        return ToLatents(width, latents)

    def from_latents(self, latents: int, width: int, factor: int) -> nn.Module:
        """A matrix product at 1/16."""
        require_factor(factor, 1, "the first layer of light stages")
        return Pointwise(latents, width)

    def up(self, inputs: int, width: int) -> nn.Module:
        """Double a map."""
        return Up(inputs, width)

    def to_pixels(self, width: int, factor: int) -> nn.Module:
        """Sub-pixel convolution, in the precision of the caller."""
        return ToPixels(width, factor, exact=False)
