"""Set the precision of torch: autocast is switched on and off only here."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def in_precision(device: torch.device, precision: torch.dtype) -> AbstractContextManager[object]:
    """A region in which layers compute in float32, or in bfloat16 by autocast, whatever the program around says."""
    if precision == torch.float32:
        return _without_autocast(device.type)
    return torch.autocast(device.type, dtype=precision)


def in_float32(x: Tensor) -> AbstractContextManager[object]:
    """A region where autocast is off for tensors like x."""
    return _without_autocast(x.device.type)


def _without_autocast(kind: str) -> AbstractContextManager[object]:
    """A region without autocast; kinds of devices that have none have nothing to switch off."""
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()
