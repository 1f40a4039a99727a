"""Blocks of the paper: residual blocks of 3×3 convolutions, sampled down and up with GDN (Fig. 2, Fig. 6)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ...entropy.precision import in_float32
from ..stages import Kind, require_factor
from .gdn import GDN
from .layers import ToPixels, add, leaky_relu, pointwise


class ResidualBlock(nn.Module):
    """conv3×3 LeakyReLU conv3×3 LeakyReLU plus identity [17]."""

    reach = 2

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def start(self) -> None:
        """Start as a small change, so that activations do not grow with depth."""
        self.conv2.weight.mul_(0.5)

    def silence(self) -> None:
        """Set the block to the identity; it still learns from the first step."""
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] → the same shape; x is overwritten if no gradient needs it."""
        return add(x, leaky_relu(self.conv2(leaky_relu(self.conv1(x)))))


class DownBlock(nn.Module):
    """Halve the size: conv3×3 stride 2, LeakyReLU, conv3×3, GDN, with a 1×1 shortcut on every second pixel.

    The shortcut slices before it convolves: a strided 1×1 convolution of three channels corrupts memory in the backward
    pass of some CPU builds when its weights are channels_last.
    """

    reach = 1.5  # the strided convolution works on the map before

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.conv = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.gdn = GDN(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inputs, H, W] → [B, outputs, H/2, W/2]; H and W even."""
        inner = self.gdn(self.conv(leaky_relu(self.down(x))))
        return add(inner, pointwise(x[:, :, ::2, ::2], self.skip.weight[:, :, 0, 0], self.skip.bias))


class UpBlock(nn.Module):
    """Double the size: sub-pixel conv3×3, LeakyReLU, conv3×3, inverse GDN, with a sub-pixel 1×1 shortcut."""

    reach = 3  # the sub-pixel convolution works on the map before

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.Conv2d(inputs, 4 * outputs, 3, padding=1)
        self.conv = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.igdn = GDN(outputs, inverse=True)
        self.skip = nn.Conv2d(inputs, 4 * outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inputs, H, W] → [B, outputs, 2H, 2W]."""
        inner = self.igdn(self.conv(leaky_relu(F.pixel_shuffle(self.up(x), 2))))
        return add(inner, F.pixel_shuffle(pointwise(x, self.skip.weight[:, :, 0, 0], self.skip.bias), 2))


class LastDown(nn.Conv2d):
    """The last conv3×3 of g_a, stride 2, always in float32."""

    reach = 0.5

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inputs, H, W] → [B, outputs, H/2, W/2]."""
        with in_float32(x):
            return super().forward(x.float())


class Residual(Kind[nn.Module, nn.Module]):
    """Three stages at 1/2, 1/4 and 1/8, as in the paper."""

    def block(self, width: int, number: int) -> nn.Module:
        """A residual block."""
        return ResidualBlock(width)

    def from_pixels(self, width: int, factor: int) -> nn.Module:
        """Halve a picture."""
        require_factor(factor, 2, "the first layer of residual stages")
        return DownBlock(3, width)

    def down(self, inputs: int, width: int) -> nn.Module:
        """Halve a map."""
        return DownBlock(inputs, width)

    def to_latents(self, width: int, latents: int, factor: int) -> nn.Module:
        """Halve the last map, without GDN."""
        require_factor(factor, 2, "the last layer of residual stages")
        return LastDown(width, latents)

    def from_latents(self, latents: int, width: int, factor: int) -> nn.Module:
        """Double the latents."""
        require_factor(factor, 2, "the first layer of residual stages")
        return UpBlock(latents, width)

    def up(self, inputs: int, width: int) -> nn.Module:
        """Double a map."""
        return UpBlock(inputs, width)

    def to_pixels(self, width: int, factor: int) -> nn.Module:
        """Sub-pixel convolution in float32."""
        return ToPixels(width, factor, exact=True)
