"""Make pictures of arrays, and convert them to tensors and back; torch is imported only when needed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError
from .alpha.transparency import straight
from .picture import Picture, is_neutral

if TYPE_CHECKING:
    import torch


def from_array(array: NDArray[np.uint8]) -> Picture:
    """A picture of uint8 samples [H, W, 3], not copied, or [H, W] or [H, W, 1], which is grey.

    A fourth channel, or a second one beside grey, is alpha. Raises ImageError for other arrays.
    """
    if isinstance(array, np.ma.MaskedArray):
        raise ImageError("the array: expected samples without a mask, found a masked array; array.filled(0) gives some")
    array = np.asarray(array) if isinstance(array, np.ndarray) else array  # of its subclasses, too
    shape, dtype = np.shape(array), getattr(array, "dtype", type(array).__name__)
    if not isinstance(array, np.ndarray) or dtype != np.uint8:
        hint = "; floats in 0..1 become uint8 by np.floor(array * 255 + 0.5)" if "float" in str(dtype) else ""
        raise ImageError(f"the array: expected a numpy array of uint8, found {dtype}{hint}")
    if 0 in shape or len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (2,), (3,), (4,)):
        hint = "; np.moveaxis(array, 0, -1) puts channels last" if len(shape) == 3 and shape[0] in (1, 3, 4) else ""
        raise ImageError(
            f"the array: expected shape [H, W, C] with 1 to 4 channels or [H, W], no side 0, found {list(shape)}{hint}"
        )
    if shape[2:] in ((2,), (4,)):
        colours, alpha = straight(Image.fromarray(np.ascontiguousarray(array)))
        picture = from_array(np.asarray(colours))
        return picture if alpha is None else replace(picture, alpha=np.asarray(alpha))
    if shape[2:] == (3,):
        return Picture(array, is_neutral(array))
    return Picture(np.repeat(array.reshape(*shape[:2], 1), 3, axis=2), grey=True)


def to_tensor(picture: Picture) -> torch.Tensor:
    """The pixels as float32 [1, 3, H, W] in 0..1, contiguous, on the CPU."""
    import torch

    pixels = torch.from_numpy(np.require(picture.pixels, requirements=["C", "W"]))  # copied only if need be
    return pixels.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def pixels_of(picture: Picture, top: int, bottom: int, left: int, right: int) -> NDArray[np.uint8]:
    """A part of the samples [H, W, 3]; beyond the picture's end its last row and column are repeated."""
    part = picture.pixels[min(top, picture.height - 1) : bottom, min(left, picture.width - 1) : right]
    more = bottom - top - part.shape[0], right - left - part.shape[1]
    return np.pad(part, ((0, more[0]), (0, more[1]), (0, 0)), mode="edge") if any(more) else part


def region(picture: Picture, top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    """A part of the picture as in `to_tensor`; beyond its end the last row and column are repeated."""
    return to_tensor(Picture(pixels_of(picture, top, bottom, left, right)))


def from_tensor(x: torch.Tensor, *, grey: bool = False) -> NDArray[np.uint8]:
    """Samples uint8 [H, W, 3] of a float tensor [1, 3, H, W] in 0..1: clamped, then halves rounded up.

    `grey` puts the mean of the three channels into each. Raises ImageError for another shape, and for NaN.
    """
    import torch

    if x.ndim != 4 or x.shape[:2] != (1, 3):
        raise ImageError(f"the tensor: expected shape [1, 3, H, W], found {list(x.shape)}")
    values = x.detach()[0].to(torch.float32)
    values = values.mean(dim=0, keepdim=True) if grey else values
    if torch.isnan(values).any():
        raise ImageError("the tensor: expected numbers, found NaN")
    levels = values.clamp(0, 1).mul_(255).add_(0.5).floor_().to(torch.uint8)
    return levels.expand(3, -1, -1).permute(1, 2, 0).contiguous().cpu().numpy()


def pad(x: torch.Tensor, multiple: int = 64) -> torch.Tensor:
    """[B, C, H, W] with its last row and column repeated until both sides are multiples of `multiple`."""
    from torch.nn.functional import pad as extend

    return extend(x, (0, -x.shape[-1] % multiple, 0, -x.shape[-2] % multiple), mode="replicate")


def crop(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The upper left `height` x `width` of [B, C, H, W], a view: what `pad` added is gone."""
    return x[..., :height, :width]
