"""The one switch for precision: what must be computed in float32 wherever autocast would take bfloat16."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def in_float32(x: Tensor) -> AbstractContextManager[object]:
    """A region where autocast is off for tensors like x; devices without autocast have nothing to switch off."""
    if not torch.amp.is_autocast_available(x.device.type):
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)
