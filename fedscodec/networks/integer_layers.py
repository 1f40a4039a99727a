"""Float twins to integer layers: each is built from the named arrays of a weights file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..entropy.exact32 import ExactLayer
from ..entropy.integer import IntegerConv
from .arrays import fitting_array
from .exact_nets import integers_of
from .exact_twins import ExactTwin
from .twins import EntropyConv


def as_integers(wiring: nn.Module, arrays: Mapping[str, np.ndarray], name: str) -> nn.Module:
    """The same structure in integers: every layer is built, by its declared type, from the arrays under its name.

    Raises TypeError for a layer type without integers, and WeightsError if an array is missing or does not fit.
    """
    if make := LAYERS.get(type(wiring)):
        return make(name, wiring, arrays)
    if any(True for _ in wiring.parameters(recurse=False)):
        raise TypeError(f"{name} is a {type(wiring).__name__}, expected one of {[kind.__name__ for kind in LAYERS]}")
    for child, module in wiring.named_children():
        setattr(wiring, child, as_integers(module, arrays, f"{name}.{child}"))
    return wiring


def array_of(arrays: Mapping[str, np.ndarray], name: str, dtype: type, shape: tuple[int, ...]) -> Tensor:
    """`fitting_array` as a tensor."""
    return torch.from_numpy(fitting_array(arrays, name, dtype, shape))


def fill(buffer: Tensor, arrays: Mapping[str, np.ndarray], name: str) -> None:
    """Copy a float32 array into a buffer. Raises WeightsError if it is missing or does not fit the buffer."""
    buffer.copy_(array_of(arrays, name, np.float32, tuple(buffer.shape)))


def _layer(name: str, twin: EntropyConv, arrays: Mapping[str, np.ndarray]) -> IntegerConv:
    shape = tuple(twin.weight.shape)
    return IntegerConv(
        array_of(arrays, f"{name}.weight", np.int8, shape),
        array_of(arrays, f"{name}.bias", np.int32, shape[:1]),
        array_of(arrays, f"{name}.multiplier", np.int32, shape[:1]),
        array_of(arrays, f"{name}.shift", np.int32, shape[:1]),
        twin.low, twin.high, twin.upsample,
    )  # fmt: skip


def exact_layer(name: str, twin: ExactTwin, arrays: Mapping[str, np.ndarray]) -> ExactLayer:
    """The integer layer of a twin. Raises WeightsError if an array is missing, does not fit, or can overflow."""
    return ExactLayer(name, twin.spec, integers_of(arrays, name, twin.spec))


LAYERS: dict[type[nn.Module], Callable[[str, Any, Mapping[str, np.ndarray]], nn.Module]] = {
    EntropyConv: _layer,
    ExactTwin: exact_layer,
}
"""How to turn each layer type of a float twin into integers."""
