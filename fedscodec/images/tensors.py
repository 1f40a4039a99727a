"""Convert pictures to tensors and back; torch is imported only when needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError
from .picture import Picture

if TYPE_CHECKING:
    import torch


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
