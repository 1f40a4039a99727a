"""Resize pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .picture import Picture


def resize(picture: Picture, width: int, height: int, of: tuple[float, float] | None = None) -> Picture:
    """Resize a picture and its alpha by Lanczos.

    `of` is the part that counts, from the upper left, in the picture's own pixels.
    """
    alpha = None if picture.alpha is None else resized(picture.alpha, width, height, of)
    return replace(picture, pixels=resized(picture.pixels, width, height, of), alpha=alpha)


def resized(
    samples: NDArray[np.uint8], width: int, height: int, of: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Samples [H, W] or [H, W, 3] in another size, as `resize` does it."""
    image = Image.fromarray(samples)
    right, bottom = of or image.size
    box = (0.0, 0.0, min(right, float(image.width)), min(bottom, float(image.height)))
    return np.array(image.resize((width, height), Image.Resampling.LANCZOS, box))
