"""Blocks of the transformer framework (Table 3, Sec. 4.3.3): half convolution, half window attention."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..attention import Version, WindowAttentionModule
from .layers import add, reach_of
from .light import Light, LightBlock
from .residual import Residual, ResidualBlock


class MixedBlock(nn.Module):
    """Half the channels through a residual block, half through Swin attention, as in the framework of Table 3."""

    def __init__(
        self, channels: int, version: Version, shift: bool, local: Callable[[int], nn.Module] = ResidualBlock
    ) -> None:
        super().__init__()
        half = channels // 2
        self.into = nn.Conv2d(channels, 2 * half, 1)
        self.conv = local(half)
        heads = max(h for h in (8, 4, 2, 1) if half % h == 0)
        self.window = WindowAttentionModule(
            half, version=version, window=8, heads=heads, blocks=1, first_shift=4 if shift else 0
        )
        self.out = nn.Conv2d(2 * half, channels, 1)
        self.reach = max(reach_of(self.conv), reach_of(self.window))

    def silence(self) -> None:
        """Set the block to the identity; it still learns from the first step."""
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] → the same shape."""
        local, distant = self.into(x).chunk(2, 1)
        return add(self.out(torch.cat([self.conv(local), self.window(distant)], 1)), x)


class Mixed(Residual):
    """The stages of `Residual` with mixed blocks, for one version of Swin."""

    def __init__(self, version: Version) -> None:
        self.version = version

    def block(self, width: int, number: int) -> nn.Module:
        """A mixed block; every other one shifts its windows."""
        return MixedBlock(width, self.version, shift=bool(number % 2))


class LightMixed(Light):
    """The stages of `Light` with mixed blocks whose local half is a light block."""

    def __init__(self, version: Version) -> None:
        self.version = version

    def block(self, width: int, number: int) -> nn.Module:
        """A mixed block; every other one shifts its windows."""
        return MixedBlock(width, self.version, shift=bool(number % 2), local=LightBlock)
