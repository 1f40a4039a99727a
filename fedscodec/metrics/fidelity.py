"""How near one picture is to another."""

from __future__ import annotations

import math

import numpy as np

from ..errors import FedsError
from ..images.picture import Picture

_ROWS = 64  # compared at once


def psnr(a: Picture, b: Picture) -> float:
    """Peak signal-to-noise ratio of two pictures of one size over their RGB samples, in decibels."""
    if a.pixels.shape != b.pixels.shape:
        raise FedsError(f"pictures of one size are compared, found {a.pixels.shape} and {b.pixels.shape}")
    error = sum(_squared_error(a, b, top) for top in range(0, a.height, _ROWS)) / a.pixels.size
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _squared_error(a: Picture, b: Picture, top: int) -> int:
    """Sum of squared differences of some rows: in stretches, so that it takes little memory, and exact."""
    first, second = (picture.pixels[top : top + _ROWS].astype(np.int32) for picture in (a, b))
    return int(np.square(first - second).sum(dtype=np.int64))
