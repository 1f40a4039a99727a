"""Units and limits of the integers in the entropy side and the coders."""

from __future__ import annotations

MEAN_UNIT = 16
"""Means and ŷ are integers in 1/16 of a latent's quantisation step."""
FINE_MEAN_UNIT = 64
"""The same for light networks: when nearly all symbols are zero, coarser means cost half a per cent."""
MEAN_LIMIT = 2**15 - 1
"""Means lie within ± this many units, that is within ±2048 or ±512 steps."""
SYMBOL_LIMIT = 2**15 - 1
"""Residuals are clamped to ± this many steps before coding; only pathological inputs come near it."""
CONTEXT_LIMIT = 127
"""Inputs of h_s from ẑ, and of later slices from ŷ, are clamped to ± this, so that they are int8."""
RELU_LIMIT, WIDE_LIMIT, INT8_LIMIT = 255, 2047, 127
"""The largest integers of light networks: after a ReLU, after a depthwise layer (also of ŷ as seen), of weights."""
MOST_KNOWN_SHIFT = 9
"""Largest shift of ŷ before the networks of light networks see it."""


def quality_plane(thousandths: int, qualities: int) -> int:
    """The input of the entropy side for a file's quality: its distance from the middle one, int8.

    thousandths: as in the header, 1000 for q1. qualities: how many λs the network has. One unit is 0.032 of a quality.
    """
    return max(-CONTEXT_LIMIT, min(CONTEXT_LIMIT, (thousandths - 500 * (qualities + 1)) // 32))


QUALITY_LEVELS = 120
"""Input of light networks for the highest quality; minus this for the lowest."""


def quality_level(thousandths: int, qualities: int) -> int:
    """The input of a light network for a file's quality: from -120 for the lowest to 120 for the highest, int8.

    thousandths and qualities as in `quality_plane`. Integer qualities of seven give integers, 40 apart.
    """
    if qualities == 1:
        return 0
    distance, half = thousandths - 500 * (qualities + 1), 500 * (qualities - 1)
    return max(-CONTEXT_LIMIT, min(CONTEXT_LIMIT, (2 * QUALITY_LEVELS * distance + half) // (2 * half)))
