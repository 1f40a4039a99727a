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


def from_array(array: NDArray[np.uint8]) -> Picture:
    """A picture of uint8 samples [H, W, 3], not copied, or [H, W], which is grey. Raises ImageError for others.

    Transparent pictures come from `read_picture`, as Pillow images of mode RGBA or LA.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise ImageError("the array: expected samples without a mask, found a masked array; array.filled(0) gives some")
    array = np.asarray(array) if isinstance(array, np.ndarray) else array  # of its subclasses, too
    shape, dtype = np.shape(array), getattr(array, "dtype", type(array).__name__)
    if not isinstance(array, np.ndarray) or dtype != np.uint8:
        hint = "; floats in 0..1 become uint8 by np.floor(array * 255 + 0.5)" if "float" in str(dtype) else ""
        raise ImageError(f"the array: expected a numpy array of uint8, found {dtype}{hint}")
    if 0 in shape or len(shape) not in (2, 3) or shape[2:] not in ((), (3,)):
        raise ImageError(f"the array: expected shape [H, W, 3] or [H, W], no side 0, found {list(shape)}")
    if len(shape) == 2:
        return Picture(np.repeat(array[:, :, None], 3, axis=2), grey=True)
    return Picture(array, is_neutral(array))


def is_neutral(pixels: NDArray[np.uint8]) -> bool:
    """Whether red, green and blue [H, W, 3] are equal everywhere; for most pictures a few rows are enough to tell."""
    return all(
        np.array_equal(some[:, :, 0], some[:, :, 1]) and np.array_equal(some[:, :, 0], some[:, :, 2])
        for some in (pixels[:: max(len(pixels) // 16, 1)], pixels)
    )
