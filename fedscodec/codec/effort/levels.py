"""The levels of `--effort`: the number of steps in which the latents of a picture are refined."""

from __future__ import annotations

STEPS = (0, 3, 5, 8, 12, 18, 28, 45, 75, 120)
"""Steps for effort 0 to 9. A step is one pass through the entropy side and g_s, forward and backward."""
MOST_EFFORT = len(STEPS) - 1

PIXELS_AT_ONCE = 768**2
"""Most pixels of a tile of a refinement, including its surroundings."""
BYTES_PER_PIXEL = 1800
"""Bytes of memory for each of them while it is refined in float32, with the light student; 4,000 with the paper's."""
