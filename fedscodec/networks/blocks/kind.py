"""What a kind of block must give, so that g_a and g_s can be built of stages of it."""

from __future__ import annotations

from typing import Protocol

from torch import nn


class Kind(Protocol):
    """A kind of block: its stages' way in, its blocks, and the ends of transforms whose outer stages are of it.

    Modules say how far they see (`reach`, in positions of the map that they put out). Those that do not keep torch's
    initialisation have a method `start`. A way that a kind does not have raises ValueError.

    scaled: whether what its stages see is scaled by quality.
    """

    scaled: bool = False

    def block(self, width: int, number: int) -> nn.Module:
        """The block of that number in its stage, [B, width, H, W] → the same shape."""

    def from_pixels(self, width: int, factor: int) -> nn.Module:
        """[B, 3, H, W] → [B, width, H/factor, W/factor]."""

    def down(self, inputs: int, width: int) -> nn.Module:
        """[B, inputs, H, W] → [B, width, H/2, W/2]."""

    def to_latents(self, width: int, latents: int, factor: int) -> nn.Module:
        """[B, width, H, W] → [B, latents, H/factor, W/factor], float32."""

    def from_latents(self, latents: int, width: int, factor: int) -> nn.Module:
        """[B, latents, H, W] → [B, width, H·factor, W·factor]."""

    def up(self, inputs: int, width: int) -> nn.Module:
        """[B, inputs, H, W] → [B, width, 2H, 2W]."""

    def to_pixels(self, width: int, factor: int) -> nn.Module:
        """[B, width, H, W] → [B, 3, H·factor, W·factor], float32."""


def require_factor(found: int, wanted: int, what: str) -> None:
    """ValueError unless a stage lies where its kind of block can."""
    if found != wanted:
        raise ValueError(f"{what} changes the size by {wanted}, but the stages ask for {found}")
