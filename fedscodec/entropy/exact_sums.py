"""Which integer layers every float32 engine gets right: those in which no sum can reach 2²⁴ (`exact32`)."""

from __future__ import annotations

import numpy as np

from ..errors import WeightsError

LIMIT = 2**24
"""No sum reaches this, so that float32 holds them all."""
MOST_SHIFT = 23


def largest_sums(weight: np.ndarray, bias: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Per row, the largest |Σ weight · input + bias| that inputs within limits can make, or part of it; int64 [O].

    weight [O, I] or, of a depthwise layer, [C, k, k]; limits [I] are the largest magnitudes of inputs.
    """
    wide, most = np.abs(weight.astype(np.int64)), limits.astype(np.int64)
    products = wide.reshape(len(wide), -1).sum(1) * most if wide.ndim == 3 else wide @ most
    found: np.ndarray = products + np.abs(bias.astype(np.int64))
    return found


def require_exact(name: str, weight: np.ndarray, bias: np.ndarray, shift: np.ndarray, limits: np.ndarray) -> None:
    """WeightsError unless shifts are in range and nothing can overflow; types and shapes are the caller's to check."""
    least, most = int(shift.min()), int(shift.max())
    if not 0 <= least <= most <= MOST_SHIFT:
        raise WeightsError(f"{name}.shift must lie in 0..{MOST_SHIFT}, but it is {least}..{most}")
    if (largest := int(largest_sums(weight, bias, limits).max())) >= LIMIT:
        raise WeightsError(f"sums of {name} must stay below 2**24, but these weights can reach {largest}")
