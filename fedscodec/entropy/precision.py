"""The precision of torch: autocast is switched on and off only here, and its global settings are listed here."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from operator import attrgetter, methodcaller
from typing import Any

import torch
from torch import Tensor

_SETTINGS: tuple[Callable[[Any], object], ...] = (
    methodcaller("get_float32_matmul_precision"),
    *map(attrgetter, (
        "backends.cuda.matmul.fp32_precision", "backends.cudnn.allow_tf32", "backends.cudnn.conv.fp32_precision",
        "backends.cudnn.enabled", "backends.mkldnn.conv.fp32_precision", "backends.mkldnn.enabled",
        "backends.mkldnn.matmul.fp32_precision",
    )),
)  # fmt: skip
"""What a program may set at any time: the older way to set a precision, the newer one, and which library computes."""


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


def float32_settings() -> tuple[object, ...]:
    """How torch is set now to compute float32 products and convolutions; with equal settings it computes alike.

    None stands for a setting that this version of torch lacks, or cannot tell because others contradict it.
    """
    return tuple(map(_told, _SETTINGS))


def _told(setting: Callable[[Any], object]) -> object:
    try:
        return setting(torch)
    except (AttributeError, RuntimeError):
        return None
