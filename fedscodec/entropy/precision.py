"""Set the precision of torch: autocast is switched on and off only here."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def in_precision(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """A region in which layers compute in float32, or in bfloat16 by autocast."""
    return nullcontext() if precision == torch.float32 else torch.autocast(device.type, dtype=precision)


def in_float32(x: Tensor) -> AbstractContextManager[object]:
    """A region where autocast is off for tensors like x; devices without autocast have nothing to switch off."""
    if not torch.amp.is_autocast_available(x.device.type):
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)
