"""`Picture`: samples and metadata."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture and its metadata.

    `pixels` is uint8 [H, W, 3], 0..255. `grey`: the picture has no colour, `pixels` has one channel three times. `exif`
    starts with its TIFF header (II or MM). `warnings` are sentences about what was not kept. `alpha` is uint8 [H, W],
    255 for opaque, or None; colours are straight.
    """

    pixels: NDArray[np.uint8]
    grey: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    warnings: tuple[str, ...] = ()
    alpha: NDArray[np.uint8] | None = None

    def __post_init__(self) -> None:
        """Raise ImageError unless pixels and alpha are what the class says."""
        _require("pixels", self.pixels, (None, None, 3))
        if self.alpha is not None:
            _require("alpha", self.alpha, self.pixels.shape[:2])

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])


def _require(name: str, found: object, expected: tuple[int | None, ...]) -> None:
    """Raise ImageError unless `found` is an array of uint8 of that shape (None: any side but 0)."""
    shape, dtype = getattr(found, "shape", ()), getattr(found, "dtype", type(found).__name__)
    fits = len(shape) == len(expected) and all(f == (e or f) and f for f, e in zip(shape, expected, strict=True))
    if not (isinstance(found, np.ndarray) and dtype == np.uint8 and fits):
        sides = ", ".join("HW"[at] if side is None else str(side) for at, side in enumerate(expected))
        raise ImageError(f"{name}: expected uint8 samples [{sides}], no side 0, found {dtype} {list(shape)}")


def is_neutral(pixels: NDArray[np.uint8]) -> bool:
    """Whether red, green and blue [H, W, 3] are equal everywhere; for most pictures a few rows are enough to tell."""
    return all(
        np.array_equal(some[:, :, 0], some[:, :, 1]) and np.array_equal(some[:, :, 0], some[:, :, 2])
        for some in (pixels[:: max(len(pixels) // 16, 1)], pixels)
    )
