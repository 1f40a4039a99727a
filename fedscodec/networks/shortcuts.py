"""Linear shortcuts beside g_a and g_s.

    haar        x ─► Haar, 1×1 ─┬─► Haar, 1×1 ─┬─► Haar, 1×1 ─┬─► Haar, 1×1 ─► added to y
                                added to the stages 1, 2 and 3
    principal   x ─► squares of 16×16, 1×1 ─► added to y       (starts as principal components)

In g_s the mirror image. They carry the picture itself, which eight bits of mantissa would blur: all of it is float32.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks.layers import BAND, pointwise
from .blocks.light import layer_of
from .light_layers import squares_down, squares_up
from .spec import ModelSpec

_HAAR = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) * 0.5
# rows: average, horizontal, vertical and diagonal detail; the matrix is orthonormal and its own inverse


def haar(x: Tensor) -> Tensor:
    """One level of the orthonormal Haar transform: [B, C, H, W] → [B, 4·C, H/2, W/2], bands first."""
    b, c, h, w = x.shape
    patches = F.pixel_unshuffle(x, 2).reshape(b, c, 4, h // 2, w // 2)
    bands = torch.einsum("kp,bcpij->bkcij", _HAAR.to(x), patches)
    return bands.reshape(b, 4 * c, h // 2, w // 2)


class HaarDown(nn.Conv2d):
    """`haar` followed by a 1×1 convolution, computed as one 2×2 convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(4 * inputs, outputs, 1)
        self.register_buffer("transform", _HAAR.clone(), persistent=False)  # on the device, so that none waits for it

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inputs, H, W] → [B, outputs, H/2, W/2]."""
        bands = self.weight.reshape(self.out_channels, 4, -1)
        taps = torch.einsum("okc,kp->ocp", bands, self.transform.to(bands))
        return F.conv2d(x, taps.reshape(self.out_channels, -1, 2, 2), self.bias, stride=2)


class HaarUp(nn.Conv2d):
    """A 1×1 convolution followed by the inverse of `haar`, computed as one matrix product and a pixel shuffle."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, 4 * outputs, 1)
        self.register_buffer("transform", _HAAR.clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inputs, H, W] → [B, outputs, 2H, 2W]."""
        transform = self.transform.to(self.weight)
        weight = torch.einsum("kp,kci->cpi", transform, self.weight.reshape(4, -1, self.in_channels))
        bias = torch.einsum("kp,kc->cp", transform, self.bias.reshape(4, -1))
        weight, bias = weight.reshape(-1, self.in_channels), bias.reshape(-1)
        if torch.is_grad_enabled():
            return F.pixel_shuffle(pointwise(x, weight, bias), 2)
        b, _, h, w = x.shape
        out = torch.empty((b, 2 * h, 2 * w, len(bias) // 4), dtype=x.dtype, device=x.device).permute(0, 3, 1, 2)
        rows = max(BAND // (len(bias) * w), 1)
        for part, target in zip(x.split(rows, 2), out.split(2 * rows, 2), strict=True):
            target.copy_(F.pixel_shuffle(pointwise(part, weight, bias), 2))
        return out


def shortcut_down(spec: ModelSpec) -> list[nn.Module]:
    """The steps of the shortcut beside g_a: none, one, or one for each stage and the last layer."""
    if spec.shortcut == "principal":
        return [layer_of(squares_down(spec.latents))]
    widths = [3, *(stage.width for stage in spec.stages), spec.latents]
    return [HaarDown(i, o) for i, o in pairwise(widths)] if _has_haar(spec) else []


def shortcut_up(spec: ModelSpec) -> list[nn.Module]:
    """The steps of the shortcut beside g_s."""
    if spec.shortcut == "principal":
        return [layer_of(squares_up(spec.latents))]
    widths = [spec.latents, *(stage.width for stage in reversed(spec.stages)), 3]
    return [HaarUp(i, o) for i, o in pairwise(widths)] if _has_haar(spec) else []


def _has_haar(spec: ModelSpec) -> bool:
    if spec.shortcut == "haar" and [stage.at for stage in spec.stages] != [2, 4, 8]:
        raise ValueError("the Haar shortcut goes with stages at 2, 4 and 8")
    return spec.shortcut == "haar"
