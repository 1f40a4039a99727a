"""The entropy side as integers: what ships, and what every encoder and decoder runs.

`export` turns a trained `FloatSide` into named integer arrays; `IntegerSide` runs them, channels last, from ẑ to the
table index of every latent. Layers are matched by name and declared kind, never by the look of their weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..entropy.fixedpoint import CONTEXT_LIMIT, MEAN_UNIT, quality_plane
from ..entropy.integer import IntegerConv, quantised_multiplier, requantise
from ..errors import WeightsError
from .slices import FloatSide, side_steps
from .spec import STRIDE, ModelSpec
from .tiles import HYPER_MARGIN, HYPER_SIDE, SLICE_SIDE, chunks, tiles, trim
from .twins import CONTEXT_UNIT, EntropyConv

Arrays = dict[str, np.ndarray]


def named_twins(side: FloatSide) -> dict[str, EntropyConv]:
    """Every layer that becomes integers, by its name in a weights file."""
    return {name: m for name, m in side.named_modules() if isinstance(m, EntropyConv)}


@torch.no_grad()
def export(side: FloatSide) -> Arrays:
    """All integers of the entropy side: weight, bias, multiplier and shift of each layer, and those of the context."""
    arrays: Arrays = {}
    steps = _input_steps(side)
    for name, twin in named_twins(side).items():
        integers = twin.integers(steps[name])
        arrays[f"{name}.weight"] = integers.weight
        arrays[f"{name}.bias"] = integers.bias
        arrays[f"{name}.multiplier"], arrays[f"{name}.shift"] = _multipliers(integers.factor)
    factor = 1.0 / (side.context_steps.double().numpy(force=True) * MEAN_UNIT)
    arrays["context.multiplier"], arrays["context.shift"] = _multipliers(factor)
    return arrays


def _multipliers(factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Multiplier and shift of every channel, both int32 [C].

    Each channel has a shift of its own: one that never fires has a tiny step and so a huge factor, which would leave
    few digits for the others if they had to share.
    """
    pairs = [quantised_multiplier(np.array([value])) for value in factor]
    return np.concatenate([m for m, _ in pairs]), np.array([shift for _, shift in pairs], dtype=np.int32)


def _input_steps(side: FloatSide) -> dict[str, Tensor]:
    """Steps of what reaches each layer, by the wiring of `FloatSide` and `SliceNet`."""
    steps: dict[str, Tensor] = {}
    spec = side.spec
    before = side_steps(spec).to(side.context_steps)
    for j, layer in enumerate(side.h_s):
        steps[f"h_s.{j}"] = before
        before = layer.steps
    context = torch.full((spec.slice_channels,), 1.0 / CONTEXT_UNIT, device=before.device)
    for i, net in enumerate(side.nets):
        steps[f"nets.{i}.first"] = torch.cat([before, context.repeat(i)])
        halves = net.first.steps.chunk(2)
        for stack, half in (("mean", halves[0]), ("index", halves[1])):
            for j, layer in enumerate(getattr(net, stack)):
                steps[f"nets.{i}.{stack}.{j}"] = half
                half = layer.steps
    return steps


class IntegerSide(nn.Module):
    """The same interface as `FloatSide`, in exact integers; tensors are [1, H, W, C].

    Large maps are computed tile by tile, which changes no integer and bounds the memory of what lies between.

    Raises WeightsError where an array is missing or does not fit the spec.
    """

    prior = None  # the coders bring the tables of z themselves

    def __init__(self, spec: ModelSpec, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.spec, self.slices = spec, spec.slices
        with torch.device("meta"):
            twins = named_twins(FloatSide(spec))
        layers = {name: _layer(name, twin, arrays) for name, twin in twins.items()}
        self.h_s = nn.ModuleList(layer for name, layer in layers.items() if name.startswith("h_s."))
        self.first = nn.ModuleList(layers[f"nets.{i}.first"] for i in range(spec.slices))
        depth = len(spec.slice_filters)
        self.stacks = nn.ModuleDict({
            stack: nn.ModuleList(
                nn.Sequential(*(layers[f"nets.{i}.{stack}.{j}"] for j in range(depth))) for i in range(spec.slices)
            )
            for stack in ("mean", "index")
        })  # fmt: skip
        multiplier = _array(arrays, "context.multiplier", np.int32, (spec.latents,))
        if (multiplier < 0).any():
            raise WeightsError("context.multiplier must not be negative")
        self.register_buffer("context_multiplier", multiplier)
        shift = _array(arrays, "context.shift", np.int32, (spec.latents,))
        if (shift < 1).any() or (shift > 62).any():
            raise WeightsError(f"context.shift must lie in 1..62, but it is {int(shift.min())}..{int(shift.max())}")
        self.register_buffer("context_shift", shift)

    def side(self, z_hat: Tensor, quality: int) -> Tensor:
        """ẑ int32 [1, H/64, W/64, Z] and quality in thousandths → side int8 [1, H/16, W/16, 2M]."""
        plane = quality_plane(quality, len(self.spec.lambdas))
        (height, width), up = z_hat.shape[1:3], STRIDE // 16
        out = z_hat.new_empty((1, height * up, width * up, self.spec.side_channels), dtype=torch.int8)
        for seen, kept in tiles(height, width, HYPER_SIDE, HYPER_MARGIN):
            part = seen.of_last(z_hat).clamp(-CONTEXT_LIMIT, CONTEXT_LIMIT).to(torch.int8)
            x = F.pad(part, (0, 1), value=plane)
            for layer in self.h_s:
                x = layer(x)
            kept.scaled(up).of_last(out).copy_(kept.inside(seen).scaled(up).of_last(x))
            if seen != kept:  # one of several
                trim()
        return out

    def parameters_of(self, i: int, side: Tensor, contexts: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Mean int16 in 1/16 and table index int8 of every latent of slice i, [1, H/16, W/16, M/slices]."""
        shape = (*side.shape[:3], self.spec.slice_channels)
        means, indexes = side.new_empty(shape, dtype=torch.int16), side.new_empty(shape)
        for seen, kept in tiles(shape[1], shape[2], SLICE_SIDE, len(self.spec.slice_filters) + 1):
            inputs = torch.cat([seen.of_last(x) for x in (side, *contexts)], -1)
            mean, index = self.first[i](inputs).chunk(2, -1)
            inner = kept.inside(seen)
            kept.of_last(means).copy_(inner.of_last(self.stacks["mean"][i](mean)))
            kept.of_last(indexes).copy_(inner.of_last(self.stacks["index"][i](index)))
            if seen != kept:  # one of several
                trim()
        return means, indexes

    def context(self, i: int, y_hat: Tensor) -> Tensor:
        """ŷ of slice i (integers in 1/16) as int8 in the steps of its channels."""
        count = self.spec.slice_channels
        part = slice(i * count, (i + 1) * count)
        multiplier, shift = self.context_multiplier[part], self.context_shift[part]
        flat = y_hat.reshape(-1, count)
        out = torch.empty_like(flat, dtype=torch.int8)
        for chunk in chunks(len(flat)):
            out[chunk] = requantise(flat[chunk], multiplier, shift, -CONTEXT_LIMIT, CONTEXT_LIMIT)
        return out.view(y_hat.shape)

    def part(self, y: Tensor, i: int) -> Tensor:
        """Channels of slice i."""
        count = self.spec.slice_channels
        return y[..., i * count : (i + 1) * count]

    def join(self, parts: list[Tensor]) -> Tensor:
        """Slices back to [1, H/16, W/16, M]; missing ones are zero."""
        y_hat = torch.cat(parts, -1)
        return F.pad(y_hat, (0, self.spec.latents - y_hat.shape[-1]))


def _array(arrays: Mapping[str, np.ndarray], name: str, dtype: type, shape: tuple[int, ...]) -> Tensor:
    array = arrays.get(name)
    if array is None:
        raise WeightsError(f"the array {name} is missing")
    if array.dtype != dtype or array.shape != shape:
        expected = f"{np.dtype(dtype).name} {list(shape)}"
        raise WeightsError(f"{name} must be {expected}, but it is {array.dtype.name} {list(array.shape)}")
    return torch.from_numpy(array)


def _layer(name: str, twin: EntropyConv, arrays: Mapping[str, np.ndarray]) -> IntegerConv:
    shape = tuple(twin.weight.shape)
    return IntegerConv(
        _array(arrays, f"{name}.weight", np.int8, shape),
        _array(arrays, f"{name}.bias", np.int32, shape[:1]),
        _array(arrays, f"{name}.multiplier", np.int32, shape[:1]),
        _array(arrays, f"{name}.shift", np.int32, shape[:1]),
        twin.low, twin.high, twin.upsample,
    )  # fmt: skip


@torch.no_grad()
def restore_twins(side: FloatSide, arrays: Mapping[str, np.ndarray], steps: Mapping[str, np.ndarray]) -> None:
    """Put shipped integers back into a float twin, so that training can go on from them.

    steps: "<layer>.steps" of every layer, "context_steps" and "shapes", as `twin_steps` gives them.
    """
    for name, twin in named_twins(side).items():
        twin.steps.copy_(torch.from_numpy(steps[f"{name}.steps"]))
    side.context_steps.copy_(torch.from_numpy(steps["context_steps"]))
    if "shapes" in steps:  # which older files have not: theirs are Gaussian
        side.shapes.copy_(torch.from_numpy(steps["shapes"]))
    inputs = _input_steps(side)
    for name, twin in named_twins(side).items():
        out_steps = twin.steps.double().repeat_interleave(twin.upsample**2)
        factor = np.ldexp(arrays[f"{name}.multiplier"].astype(np.float64), -arrays[f"{name}.shift"])
        scale = torch.from_numpy(factor) * out_steps / twin.gain
        weight = torch.from_numpy(arrays[f"{name}.weight"]).double() * scale[:, None, None, None]
        twin.weight.copy_(weight / inputs[name].double()[None, :, None, None])
        twin.bias.copy_(torch.from_numpy(arrays[f"{name}.bias"]).double() * scale)


def twin_steps(side: FloatSide) -> Arrays:
    """The steps that `restore_twins` needs."""
    steps = {f"{name}.steps": twin.steps.numpy(force=True) for name, twin in named_twins(side).items()}
    return {
        **steps, "context_steps": side.context_steps.numpy(force=True), "shapes": side.shapes.numpy(force=True),
    }  # fmt: skip
