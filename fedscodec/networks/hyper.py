"""h_a of light networks: what the encoder says of its latents in z; float, and the decoder does not have it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks.layers import leaky_relu
from .spec import ModelSpec, Passes


class LightHyperAnalysis(nn.Module):
    """h_a: the gained y [B, M, H/16, W/16] → z [B, Z, H/64, W/64].

    1×1, leaky, depthwise 3×3, leaky, then twice unshuffle 2 and 1×1, with the same after the first.
    """

    GAIN = 2.0  # a fresh network's z should not all round to zero

    def __init__(self, spec: ModelSpec, passes: Passes) -> None:
        super().__init__()
        side = passes.side
        self.layers = nn.ModuleList(
            nn.Linear(inputs, outputs)
            for inputs, outputs in ((spec.latents, side), (4 * side, side), (4 * side, spec.hyper_latents))
        )
        self.around = nn.ModuleList(nn.Conv2d(side, side, 3, padding=1, groups=side) for _ in range(2))

    def forward(self, y: Tensor) -> Tensor:
        """z before rounding. y goes in as sign(y)·log(1 + |y|): that of q7 is six times that of q1."""
        x = y.sign() * torch.log1p(y.abs())
        for layer, around in zip(self.layers, self.around, strict=False):
            x = leaky_relu(around(leaky_relu(_pointwise(layer, x))))
            x = F.pixel_unshuffle(x, 2).contiguous(memory_format=torch.channels_last)
        return self.GAIN * _pointwise(self.layers[2], x).float()


def _pointwise(layer: nn.Module, x: Tensor) -> Tensor:
    out: Tensor = layer(x.permute(0, 2, 3, 1))
    return out.permute(0, 3, 1, 2)
