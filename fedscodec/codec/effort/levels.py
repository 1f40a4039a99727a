"""What `--effort` means: in how many steps the latents of a picture are refined."""

from __future__ import annotations

STEPS = (0, 2, 4, 6, 9, 12, 18, 27, 40, 60)
"""By effort, 0 to 9. A step is one pass through the entropy side and g_s, forward and backward."""
