"""h_a of light networks: computes z from the latents; float, and used by the encoder only."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks.layers import leaky_relu, pointwise
from .blocks.light import Depthwise
from .light_layers import Z_GAIN, LayerSpec, hyper_layers, through_hyper
from .spec import ModelSpec, Passes


class LightHyperAnalysis(nn.Module):
    """h_a: the gained y [B, M, H/16, W/16] → z [B, Z, H/64, W/64], see `light_layers`."""

    def __init__(self, spec: ModelSpec, passes: Passes) -> None:
        super().__init__()
        specs = hyper_layers(spec, passes)
        self.layers = nn.ModuleList(map(_Layer, specs.layers))
        self.around = nn.ModuleList(map(Depthwise, specs.around))

    def forward(self, y: Tensor) -> Tensor:
        """z before rounding."""
        return through_hyper(self, y)

    def compressed(self, y: Tensor) -> Tensor:
        """sign(y)·log(1 + |y|)."""
        return y.sign() * torch.log1p(y.abs())

    def leaky(self, x: Tensor) -> Tensor:
        """LeakyReLU, in place if no gradient needs x."""
        return leaky_relu(x)

    def gained(self, z: Tensor) -> Tensor:
        """Times Z_GAIN, in float32."""
        return Z_GAIN * z.float()


class _Layer(nn.Linear):
    """A 1×1 layer, with an optional reordering of squares into channels as in `pixel_unshuffle`."""

    def __init__(self, spec: LayerSpec) -> None:
        super().__init__(*spec.shape[::-1])
        self.gather = spec.gather

    def forward(self, x: Tensor) -> Tensor:
        if self.gather > 1:
            x = F.pixel_unshuffle(x, self.gather).contiguous(memory_format=torch.channels_last)
        return pointwise(x, self.weight, self.bias)
