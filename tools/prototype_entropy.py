"""The entropy side of a prototype's checkpoint under the names of a light network: `h_a.*` and `float_side.*`."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from fedscodec.networks.light_side import LOG_SCALE_GAIN
from fedscodec.networks.spec import ModelSpec

_H_S = {"h_s.0": 0, "h_s_dw.0": 1, "h_s.1": 2, "h_s_dw.1": 3, "h_s.2": 4, "h_s_dw.2": 5, "h_s.3": 6}
_NET = {"a": "first", "dw.0": "around", "p.0": "second", "out": "last"}


def entropy_state(saved: Mapping[str, Tensor], spec: ModelSpec) -> dict[str, Tensor]:
    """Tensors of `FedsModel.h_a` and `.float_side`, of those that begin with `entropy.` in a checkpoint's "net"."""
    state: dict[str, Tensor] = {}
    given = {name.removeprefix("entropy."): v.float() for name, v in saved.items() if name.startswith("entropy.")}
    for end in ("weight", "bias"):
        for i in range(3):
            state[f"h_a.layers.{i}.{end}"] = given[f"h_a.{i}.{end}"]
        for i in range(2):
            state[f"h_a.around.{i}.{end}"] = given[f"h_a_dw.{i}.{end}"]
        for theirs, ours in _H_S.items():
            state[f"float_side.h_s.{ours}.{end}"] = _plain(given[f"{theirs}.{end}"])
        for part in spec.parts()[:6]:
            net = f"base_nets.{part.number}" if part.number < 2 else f"nets.{part.number - 2}"
            for theirs, ours in _NET.items():
                state[f"float_side.nets.{part.number}.{ours}.{end}"] = _plain(given[f"{net}.{theirs}.{end}"])
    for part in spec.parts()[:6]:  # the scale that each channel starts from is in the bias here
        bias = state[f"float_side.nets.{part.number}.last.bias"]
        bias[part.width :] += (part.of(given["start"]) - math.log(spec.smallest_scale)) / LOG_SCALE_GAIN
    for name in ("logits", "means", "log_scales"):
        state[f"float_side.prior.{name}"] = given[f"prior.{name}"]
    return {name: values.clone() for name, values in state.items()}


def _plain(values: Tensor) -> Tensor:
    """Depthwise weights [C, 1, k, k] as [C, k, k]."""
    return values[:, 0] if values.dim() == 4 else torch.clone(values)
