"""How far a decoded picture is from its original, over the 8-bit RGB samples of both."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..errors import FedsError

SIDE_AT_LEAST = 161  # below it there is no room for the window of 11 at the fifth scale


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio in decibels of samples uint8 [H, W, 3], one mean over all three channels."""
    _require_one_size(a, b)
    error = np.mean((a.astype(np.float32) - b.astype(np.float32)) ** 2, dtype=np.float64)
    return math.inf if error == 0 else float(10 * math.log10(255**2 / error))


def ms_ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """MS-SSIM in 0..1 of samples uint8 [H, W, 3], the mean over RGB, as pytorch-msssim and CompressAI compute it.

    That is defined for sides from 161 pixels on. Smaller pictures are continued by mirroring, both alike.
    FedsError where pytorch-msssim is not installed.
    """
    import torch

    try:
        from pytorch_msssim import ms_ssim as of
    except ImportError as error:
        raise FedsError("MS-SSIM needs pytorch-msssim: pip install 'fedscodec[bench]'") from error
    _require_one_size(a, b)
    if np.array_equal(a, b):
        return 1.0
    x, y = (torch.from_numpy(_large_enough(p)).permute(2, 0, 1)[None].float() for p in (a, b))
    with torch.inference_mode():
        return float(of(x, y, data_range=255.0))


def _large_enough(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    extra = [(0, max(SIDE_AT_LEAST - side, 0)) for side in pixels.shape[:2]]
    return np.ascontiguousarray(np.pad(pixels, [*extra, (0, 0)], mode="symmetric"))


def _require_one_size(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> None:
    if a.shape != b.shape:
        raise FedsError(f"pictures of one size are compared, found {a.shape} and {b.shape}")
