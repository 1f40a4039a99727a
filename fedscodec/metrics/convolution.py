"""Convolve every channel with one symmetric filter."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..constants import constant


def blurred(x: Tensor, half: tuple[float, ...]) -> Tensor:
    """Maps [B, C, H, W] filtered along both axes where the filter lies inside; half: its taps up to the middle."""
    taps = constant((*half, *half[-2::-1]), x).expand(x.shape[1], 1, 1, -1)
    across = F.conv2d(x, taps, groups=x.shape[1])
    return F.conv2d(across, taps.transpose(2, 3), groups=x.shape[1])
