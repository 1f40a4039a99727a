"""Peak signal-to-noise ratio: over the RGB samples, and over luma and chroma as in video coding."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .decibels import psnr_of
from .sizes import require_one_size

_ROWS = 64  # compared at once, so that it takes little memory
MOST_OF_A_PLANE = 100.0
"""Decibels of a plane without error, when other planes have errors."""

# BT.709, full range: luma, and the differences of blue and red from it.
_YCBCR = np.array(
    [[0.2126, 0.7152, 0.0722], [-0.2126 / 1.8556, -0.7152 / 1.8556, 0.5], [0.5, -0.7152 / 1.5748, -0.0722 / 1.5748]]
)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Decibels of the mean squared error over all samples uint8 [H, W, C]; infinite for no error."""
    return psnr_of(mean_squared_error(a, b))


def mean_squared_error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """The mean over all samples uint8 [H, W, C], exact."""
    require_one_size(a, b)
    total = 0
    for top in range(0, len(a), _ROWS):
        difference = a[top : top + _ROWS].astype(np.int32) - b[top : top + _ROWS]
        total += int(np.square(difference).sum(dtype=np.int64))
    return total / a.size


def psnr_ycbcr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Decibels of Y, Cb and Cr (BT.709, full range, 4:4:4) weighed 6:1:1; infinite for no error at all."""
    require_one_size(a, b)
    sums = np.zeros(3)
    for top in range(0, len(a), _ROWS):
        difference = (a[top : top + _ROWS].astype(np.float64) - b[top : top + _ROWS]) @ _YCBCR.T
        sums += np.square(difference).sum((0, 1))
    planes = [psnr_of(float(total) / (a.size / 3)) for total in sums]
    if all(math.isinf(plane) for plane in planes):
        return math.inf
    y, cb, cr = (min(plane, MOST_OF_A_PLANE) for plane in planes)
    return (6 * y + cb + cr) / 8
