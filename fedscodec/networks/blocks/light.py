"""Blocks that learn fast and run on a CPU: matrix products and depthwise 3×3 convolutions, no normalisation.

`light_layers` describes the layers and how maps go through a block; here they are modules of torch. Maps are channels
last, so that a 1×1 convolution is one matrix product.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..light_layers import LIGHT, SLOPE, LayerSpec, block_layers, through_block
from ..stages import Kind
from .layers import ToPixels, by_place, fused, gathered, pointwise, reach_of, spread

SHARE = 0.2
"""Size of a fresh block's changes relative to its input."""


class _Linear(nn.Linear):
    """Weights of a 1×1 layer."""

    def __init__(self, spec: LayerSpec) -> None:
        super().__init__(*spec.shape[::-1])
        self.spec, self.reach = spec, spec.reach


class Pointwise(_Linear):
    """1×1 convolution as a matrix product: [B, I, H, W] → [B, O, H, W], channels last."""

    def forward(self, x: Tensor, *, leaky: bool = False, plus: Tensor | None = None) -> Tensor:
        """In the precision of the caller; then LeakyReLU, or `plus` added."""
        if leaky or plus is not None:
            return fused(x, self.weight, self.bias, leaky=leaky, plus=plus)
        return pointwise(x, self.weight, self.bias)


class ToLatents(_Linear):
    """The last layer of g_a: a 1×1 convolution with float32 output."""

    def forward(self, x: Tensor) -> Tensor:
        """Computed in the precision of the caller."""
        return pointwise(x, self.weight, self.bias).float()


class Gathering(_Linear):
    """Turn squares of positions into channels, then a 1×1 convolution."""

    def forward(self, x: Tensor) -> Tensor:
        """In the precision of the caller."""
        by = self.spec.gather
        return pointwise(gathered(x, by), by_place(self.weight, by, dim=1), self.bias)


class Spreading(_Linear):
    """A 1×1 convolution, then turn channels into squares of positions."""

    def forward(self, x: Tensor) -> Tensor:
        """In the precision of the caller."""
        by = self.spec.spread
        return spread(pointwise(x, by_place(self.weight, by), by_place(self.bias, by)), by)


class Depthwise(nn.Conv2d):
    """A separate 3×3 convolution for each channel."""

    def __init__(self, spec: LayerSpec) -> None:
        super().__init__(spec.inputs, spec.outputs, spec.kernel, padding=spec.kernel // 2, groups=spec.inputs)
        self.reach = spec.reach


class FromPixels(nn.Conv2d):
    """Turn squares of positions into channels, then a 3×3 convolution."""

    def __init__(self, spec: LayerSpec) -> None:
        super().__init__(spec.shape[1], spec.outputs, spec.kernel, padding=spec.kernel // 2)
        self.spec, self.reach = spec, spec.reach

    def forward(self, x: Tensor) -> Tensor:
        """In the precision of the caller."""
        by = self.spec.gather
        return F.conv2d(gathered(x, by), by_place(self.weight, by, dim=1), self.bias, padding=self.padding)


def layer_of(spec: LayerSpec) -> nn.Module:
    """The module of a layer."""
    if spec.depthwise:
        return Depthwise(spec)
    if spec.kernel > 1:
        return ToPixels(spec.inputs, spec.spread, exact=False) if spec.gather == 1 else FromPixels(spec)
    return Gathering(spec) if spec.gather > 1 else Spreading(spec) if spec.spread > 1 else Pointwise(spec)


class LightBlock(nn.Module):
    """The block of `light_layers`: [B, C, H, W] → the same shape."""

    into: Pointwise
    around: Depthwise
    out: Pointwise
    widen: Pointwise
    narrow: Pointwise

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, spec in block_layers(channels)._asdict().items():
            self.add_module(name, layer_of(spec))
        self.reach = sum(map(reach_of, self.children()))

    def start(self) -> None:
        """Start as small changes that mostly depend on the position itself."""
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
        """Set the block to the identity; it still learns from the first step. For networks that grow."""
        for layer in (self.out, self.narrow):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the block; x is overwritten if no gradient needs it."""
        return through_block(self, x)


class Light(Kind[nn.Module, nn.Module]):
    """Up to four stages, the last at 1/16, with the layers of `light_layers.LIGHT`."""

    scaled = LIGHT.scaled

    def block(self, width: int, number: int) -> nn.Module:
        """A light block."""
        return LightBlock(width)

    def from_pixels(self, width: int, factor: int) -> nn.Module:
        """The way from a picture, with any factor."""
        return layer_of(LIGHT.from_pixels(width, factor))

    def down(self, inputs: int, width: int) -> nn.Module:
        """Halve a map."""
        return layer_of(LIGHT.down(inputs, width))

    def to_latents(self, width: int, latents: int, factor: int) -> nn.Module:
        """A matrix product at 1/16."""
        return ToLatents(LIGHT.to_latents(width, latents, factor))

    def from_latents(self, latents: int, width: int, factor: int) -> nn.Module:
        """A matrix product at 1/16."""
        return layer_of(LIGHT.from_latents(latents, width, factor))

    def up(self, inputs: int, width: int) -> nn.Module:
        """Double a map."""
        return layer_of(LIGHT.up(inputs, width))

    def to_pixels(self, width: int, factor: int) -> nn.Module:
        """Sub-pixel convolution, in the precision of the caller."""
        return layer_of(LIGHT.to_pixels(width, factor))
