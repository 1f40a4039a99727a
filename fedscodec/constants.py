"""Numbers that stay on a device once they are there."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Numbers = tuple[float, ...] | tuple[tuple[float, ...], ...]


def constant(values: Numbers, like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A tensor of `values` on the device of `like`, and of its type unless `dtype` says otherwise; not to be changed.

    It is made once. A copy to a GPU at every use would let the program wait for the GPU each time.
    """
    return _made(values, dtype or like.dtype, like.device)


@functools.lru_cache(maxsize=256)
def _made(values: Numbers, dtype: torch.dtype, device: torch.device) -> Tensor:
    import torch

    with torch.inference_mode(False):  # or no gradient could pass through a use of it
        return torch.tensor(values, dtype=dtype, device=device)
