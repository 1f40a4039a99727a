"""What `--effort` means: in how many steps the latents of a picture are refined."""

from __future__ import annotations

STEPS = (0, 3, 5, 8, 12, 18, 28, 45, 75, 120)
"""By effort, 0 to 9. A step is one pass through the entropy side and g_s, forward and backward."""

PIXELS_AT_ONCE = 768**2
"""Of a tile of a refinement, with what surrounds it, at most."""
BYTES_PER_PIXEL = 900
"""Of memory for each of them while it is refined, with the light student; 2,200 with the paper's."""
