"""The blur of SSIMULACRA 2's reference, with its own rounding: recursive filters in float32.

In exact arithmetic it equals the convolution that `ssimulacra2` uses for gradients. In float32 its three oscillators
keep their rounding errors forever, which counts as lost structure over bright, smooth rows: for a photograph with a
clear sky the score falls by up to 1.4 points at scores near 88. Published figures include this effect, so ours are
measured in the same way.

As in libjxl, four samples of a row are computed at once from the four inputs and the last two outputs, in that order of
summation; columns are computed one by one.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_AT_ONCE = 4


def recursive_blur(x: Tensor, radius: int, shares: tuple[float, ...]) -> Tensor:
    """Every channel of [B, C, H, W] blurred with zeros around it, float32; shares are those of the three cosines."""
    batch, channels, height, width = x.shape
    rows = _fours(x.permute(3, 0, 1, 2).reshape(width, -1), radius, shares)
    columns = rows.view(width, batch, channels, height).permute(3, 1, 2, 0).reshape(height, -1)
    return _singles(columns, radius, shares).view(height, batch, channels, width).permute(1, 2, 0, 3)


def _singles(x: Tensor, radius: int, shares: tuple[float, ...]) -> Tensor:
    sums, still = _inputs(x, radius), x.new_zeros(3, x.shape[1])
    out = torch.empty_like(sums)
    _step_through(sums, still, still, out, radius, shares)
    return out[radius - 1 :]


def _fours(x: Tensor, radius: int, shares: tuple[float, ...]) -> Tensor:
    sums, still = _inputs(x, radius), x.new_zeros(3, x.shape[1])
    out, matrix = torch.empty_like(sums), x.new_tensor(_matrix(radius, shares))
    at = 2 * radius + 2  # before that, one by one
    last, before = _step_through(sums[:at], still, still, out, radius, shares)
    known = x.new_empty(_AT_ONCE + 6, x.shape[1])
    known[_AT_ONCE::2], known[_AT_ONCE + 1 :: 2] = before, last
    while at + _AT_ONCE <= len(sums):
        known[:_AT_ONCE] = sums[at : at + _AT_ONCE]
        made = (matrix @ known).view(3, _AT_ONCE, -1)
        out[at : at + _AT_ONCE] = made[0] + (made[1] + made[2])
        known[_AT_ONCE::2], known[_AT_ONCE + 1 :: 2] = made[:, -2], made[:, -1]
        at += _AT_ONCE
    before, last = known[_AT_ONCE::2], known[_AT_ONCE + 1 :: 2]
    _step_through(sums[at:], last, before, out[at:], radius, shares)
    return out[radius - 1 :]


def _inputs(x: Tensor, radius: int) -> Tensor:
    """The input at each place of [L, P], from `radius` − 1 before the first on: the two samples at the ends."""
    room, places = F.pad(x, (0, 0, 2 * radius, radius - 1)), len(x) + radius - 1
    return room[:places] + room[2 * radius : 2 * radius + places]


def _step_through(
    sums: Tensor, last: Tensor, before: Tensor, out: Tensor, radius: int, shares: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Compute one output after the other into `out`; return the last two of each oscillator [3, P]."""
    inward, back = (sums.new_tensor(values)[:, None] for values in _coefficients(radius, shares))
    for place, given in enumerate(sums):
        now = torch.addcmul(torch.addcmul(-before, back, last, value=-1), inward, given)
        out[place] = now[0] + (now[1] + now[2])
        before, last = last, now
    return last, before


@cache
def _coefficients(radius: int, shares: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """For each oscillator: the factor of its inputs, and the factor of its last output, which is subtracted."""
    frequencies = np.array([1, 3, 5]) * np.pi / (2 * radius)
    inward = -np.array(shares) * np.cos(frequencies * (radius + 1))
    return tuple(inward.tolist()), tuple((-2 * np.cos(frequencies)).tolist())


@cache
def _matrix(radius: int, shares: tuple[float, ...]) -> list[list[float]]:
    """The matrix to four outputs of each oscillator from four inputs and the outputs two and one before."""
    matrix = np.zeros((3, _AT_ONCE, _AT_ONCE + 6))
    for number, (inward, back) in enumerate(zip(*_coefficients(radius, shares), strict=True)):
        before, last = np.eye(_AT_ONCE + 6)[_AT_ONCE + 2 * number : _AT_ONCE + 2 * number + 2]
        for place in range(_AT_ONCE):
            now = inward * np.eye(_AT_ONCE + 6)[place] - back * last - before
            matrix[number, place], before, last = now, last, now
    flat: list[list[float]] = matrix.reshape(3 * _AT_ONCE, -1).tolist()
    return flat
