"""Pictures that lost something, made without any codec, so that they are the same everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PHOTO = Path(__file__).parent / "pictures" / "astronaut.png"


def photo(height: int = 512, width: int = 512) -> NDArray[np.uint8]:
    """The middle of the test photograph, uint8 [H, W, 3]."""
    pixels = np.asarray(Image.open(PHOTO).convert("RGB"))
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width].copy()


def coarse(pixels: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Rounded to multiples of a step."""
    rounded = (pixels.astype(np.int32) + step // 2) // step * step
    return np.clip(rounded, 0, 255).astype(np.uint8)


def blocks(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """One pixel for every block."""
    rows, columns = (np.arange(n) // side * side for n in pixels.shape[:2])
    return np.ascontiguousarray(pixels[rows][:, columns])


def tinted(pixels: NDArray[np.uint8], by: int) -> NDArray[np.uint8]:
    """Redder and less blue."""
    return np.clip(pixels.astype(np.int32) + np.array([by, 0, -by]), 0, 255).astype(np.uint8)
