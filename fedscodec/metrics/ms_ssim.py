"""MS-SSIM (Wang, Simoncelli and Bovik 2003) over RGB, with finite gradients.

It equals the MS-SSIM of pytorch-msssim and CompressAI, with one exception. The measure multiplies powers of five means,
one for each scale. Those of contrast can be zero or negative if a flat crop is coded with a trace of noise; the power
then has no slope or an infinite one. So below FLOOR the logarithm of a mean falls more slowly, but still falls, so that
there is something to learn. Variances are differences of nearly equal means and need float32: in the bfloat16 of a
training step they would be meaningless, and no gradient would be finite.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .convolution import blurred
from .sizes import require_one_size

SIDE_AT_LEAST = 161  # below it there is no room for the window of 11 at the fifth scale
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
FLOOR = 0.01
_WINDOW, _SIGMA, _C1, _C2 = 11, 1.5, 0.01**2, 0.03**2


def ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """MS-SSIM in 0..1 of samples uint8 [H, W, 3], the mean over RGB.

    It is defined for sides from 161 pixels on. Smaller pictures are extended by mirroring, both in the same way.
    """
    require_one_size(a, b)
    if np.array_equal(a, b):
        return 1.0
    x, y = (torch.from_numpy(_large_enough(p)).permute(2, 0, 1)[None].float() / 255 for p in (a, b))
    with torch.inference_mode():
        return float(of_batch(x, y))


def of_batch(x: Tensor, y: Tensor, *, mirrored: bool = False) -> Tensor:
    """MS-SSIM [B] of pictures [B, 3, H, W] in 0..1, float32, sides of more than 160 pixels: the mean over channels.

    mirrored: extend the pictures by half a window at every scale, so that all pixels count alike. The measure itself
    has the window inside the picture only: at the fifth scale a crop of 192² has four places for it, and the outer
    pixels hardly count. A network that learns from that draws a frame of noise around its pictures.
    """
    logarithm = torch.zeros(x.shape[:2], device=x.device)
    x, y = x.contiguous(), y.contiguous()  # of channels last, parts of the maps would be strided
    for scale, weight in enumerate(WEIGHTS):
        structure, contrast = _means(*((_extended(x), _extended(y)) if mirrored else (x, y)))
        last = scale == len(WEIGHTS) - 1
        logarithm = logarithm + weight * _safe_log(structure if last else contrast)
        padding = [side % 2 for side in x.shape[2:]]
        x, y = (F.avg_pool2d(image, 2, padding=padding) for image in (x, y))
    return logarithm.exp().mean(1)


def _extended(x: Tensor) -> Tensor:
    return F.pad(x, (_WINDOW // 2,) * 4, mode="reflect")


def _means(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The means of SSIM and of its contrast over a picture, for each channel; both [B, C]."""
    mean_x, xx = _blurred(torch.cat([x, x * x], 1)).chunk(2, 1)  # by themselves: as a rule x has no gradient
    mean_y, yy, xy = _blurred(torch.cat([y, y * y, x * y], 1)).chunk(3, 1)
    contrast = (2 * (xy - mean_x * mean_y) + _C2) / (xx - mean_x**2 + yy - mean_y**2 + _C2)
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    return (luminance * contrast).mean((2, 3)), contrast.mean((2, 3))


def _blurred(maps: Tensor) -> Tensor:
    """Maps [B, C, H, W] under a Gaussian window, where the window lies inside."""
    half = [math.exp(-(place**2) / (2 * _SIGMA**2)) for place in range(-(_WINDOW // 2), 1)]
    total = 2 * sum(half) - half[-1]
    return blurred(maps, tuple(tap / total for tap in half))


def _safe_log(mean: Tensor) -> Tensor:
    """log, and below FLOOR a finite function with the same value and slope there: log(FLOOR² / (2·FLOOR − mean))."""
    below = 2 * math.log(FLOOR) - (2 * FLOOR - mean.clamp_max(FLOOR)).log()
    return torch.where(mean > FLOOR, mean.clamp_min(FLOOR).log(), below)


def _large_enough(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    extra = [(0, max(SIDE_AT_LEAST - side, 0)) for side in pixels.shape[:2]]
    return np.ascontiguousarray(np.pad(pixels, [*extra, (0, 0)], mode="symmetric"))
