"""Resize pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from .picture import Picture


def resize(picture: Picture, width: int, height: int, of: tuple[float, float] | None = None) -> Picture:
    """Resize a picture by Lanczos; `of` is the part that counts, from the upper left, in its own pixels.

    The alpha always counts completely, whatever its size.
    """
    image = Image.fromarray(picture.pixels)
    right, bottom = of or image.size
    box = (0.0, 0.0, min(right, float(image.width)), min(bottom, float(image.height)))
    pixels = np.array(image.resize((width, height), Image.Resampling.LANCZOS, box))
    if picture.alpha is None:
        return replace(picture, pixels=pixels)
    alpha = Image.fromarray(picture.alpha).resize((width, height), Image.Resampling.LANCZOS)
    return replace(picture, pixels=pixels, alpha=np.array(alpha))
