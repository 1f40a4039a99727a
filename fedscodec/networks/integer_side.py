"""The entropy side in integers, as it ships: every encoder and decoder runs it.

`export` turns a trained `FloatSide` into named integer arrays. `IntegerSide` runs them, channels last, from ẑ to the
table index of every latent. Layers are matched by name and declared kind, never by the shape of their weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from ..entropy.fixedpoint import CONTEXT_LIMIT, MEAN_UNIT, quality_plane
from ..entropy.integer import quantised_multiplier, requantise
from ..entropy.parts import Part, assemble
from ..errors import WeightsError
from .arrays import Arrays
from .integer_layers import array_of, as_integers, fill
from .light_integers import (
    UP,
    LightIntegers,
    export_light,
    light_steps,
    restore_light,
    side_in_tiles,
)
from .light_side import LightSide
from .slices import FloatSide
from .spec import ModelSpec
from .tiles import SLICE_SIDE, Box, chunks, each_last, run_in_tiles, tiles
from .twins import EntropyConv


def named_twins(side: FloatSide) -> dict[str, EntropyConv]:
    """Every layer that becomes integers, by its name in a weights file, with the steps of its inputs set."""
    side.trace()
    return _twins(side)


def _twins(side: FloatSide) -> dict[str, EntropyConv]:
    return {name: m for name, m in side.named_modules() if isinstance(m, EntropyConv)}


@torch.no_grad()
def export(side: FloatSide) -> Arrays:
    """All integers of the entropy side: weight, bias, multiplier and shift of each layer, and those of the context."""
    if isinstance(side, LightSide):
        return export_light(side)
    arrays: Arrays = {}
    for name, twin in named_twins(side).items():
        integers = twin.integers()
        arrays[f"{name}.weight"] = integers.weight
        arrays[f"{name}.bias"] = integers.bias
        arrays[f"{name}.multiplier"], arrays[f"{name}.shift"] = _multipliers(integers.factor)
    factor = 1.0 / (side.context_steps.double().numpy(force=True) * MEAN_UNIT)
    arrays["context.multiplier"], arrays["context.shift"] = _multipliers(factor)
    return arrays


def _multipliers(factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Multiplier and shift of every channel, both int32 [C].

    Each channel has its own shift: a channel that is never active has a tiny step and so a huge factor, which would
    leave few digits for the others if they shared one.
    """
    pairs = [quantised_multiplier(np.array([value])) for value in factor]
    return np.concatenate([m for m, _ in pairs]), np.array([shift for _, shift in pairs], dtype=np.int32)


def integer_nets(spec: ModelSpec, arrays: Mapping[str, np.ndarray]) -> IntegerSide | LightIntegers:
    """The integer entropy side that a spec describes. Raises WeightsError if an array is missing or does not fit."""
    return IntegerSide(spec, arrays) if spec.entropy is None else LightIntegers(spec, spec.entropy, arrays)


class IntegerSide(nn.Module):
    """The same interface as `FloatSide`, in exact integers; tensors are [1, H, W, C].

    Large maps run tile by tile, which changes no integer and limits the memory.

    Raises WeightsError if an array is missing or does not fit the spec.
    """

    prior = None  # the coders bring the tables of z themselves

    def __init__(self, spec: ModelSpec, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.spec = spec
        with torch.device("meta"):
            twins = FloatSide(spec)
        self.reach = twins.trace(steps=False)
        self.h_s, self.nets = (
            as_integers(part, arrays, name) for part, name in ((twins.h_s, "h_s"), (twins.nets, "nets"))
        )
        multiplier = array_of(arrays, "context.multiplier", np.int32, (spec.latents,))
        if (multiplier < 0).any():
            raise WeightsError("expected a non-negative context.multiplier, found a negative one")
        self.register_buffer("context_multiplier", multiplier)
        shift = array_of(arrays, "context.shift", np.int32, (spec.latents,))
        if (shift < 1).any() or (shift > 62).any():
            raise WeightsError(f"expected context.shift in 1..62, found {int(shift.min())}..{int(shift.max())}")
        self.register_buffer("context_shift", shift)

    def side(self, z_hat: Tensor, quality: int) -> Tensor:
        """ẑ int16 [1, H/64, W/64, Z] and quality in thousandths → side int8 [1, H/16, W/16, 2M]."""
        plane = quality_plane(quality, len(self.spec.lambdas))
        height, width = z_hat.shape[1:3]
        out = z_hat.new_empty((1, height * UP, width * UP, self.spec.side_channels), dtype=torch.int8)

        def write(box: Box, found: Tensor) -> None:
            box.of_last(out).copy_(found)

        side_in_tiles(self.h_s, z_hat, plane, torch.int8, self.reach.side, write)
        return out

    def unknown(self, side: Tensor) -> Tensor:
        """Zeros int8 [1, H/16, W/16, M]."""
        return side.new_zeros((*side.shape[:3], self.spec.latents))

    def parameters_of(self, part: Part, side: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Mean int16 in 1/16 and table index int8 of every latent of a part, [1, H/16, W/16, C]."""
        rows, columns = side.shape[1:3]
        shape = part.shape(1, rows, columns)
        means, indexes = side.new_empty(shape, dtype=torch.int16), side.new_empty(shape)

        def read(box: Box) -> Tensor:
            return torch.cat([box.of_last(side), box.of_last(known)[..., : part.seen]], -1)

        def write(box: Box, found: list[Tensor]) -> None:
            for whole, tile in zip((means, indexes), found, strict=True):
                box.of_last(whole).copy_(tile)

        grid = tiles(rows, columns, SLICE_SIDE, self.reach.parts[part.number])
        run_in_tiles(self.nets[part.number], read, write, grid, cut=each_last)
        return means, indexes

    def shown(self, part: Part, y_hat: Tensor) -> Tensor:
        """ŷ of a part (integers in 1/16) as int8 in the steps of its channels."""
        multiplier, shift = part.of(self.context_multiplier), part.of(self.context_shift)
        flat = y_hat.reshape(-1, part.width)
        out = torch.empty_like(flat, dtype=torch.int8)
        for chunk in chunks(len(flat)):
            out[chunk] = requantise(flat[chunk], multiplier, shift, -CONTEXT_LIMIT, CONTEXT_LIMIT)
        return out.view(y_hat.shape)

    def take(self, y: Tensor, part: Part) -> Tensor:
        """The block of a part of y [1, H/16, W/16, M]."""
        return part.take(y)

    def join(self, blocks: list[Tensor]) -> Tensor:
        """Blocks back to [1, H/16, W/16, M]; missing ones are zero."""
        return assemble(self.spec.parts(), blocks, self.spec.latents)


@torch.no_grad()
def restore_twins(side: FloatSide, arrays: Mapping[str, np.ndarray], steps: Mapping[str, np.ndarray]) -> None:
    """Restore a float twin from shipped integers, so that training can continue from them.

    steps: "<layer>.steps" of every layer, "context_steps" and "shapes", float32, as from `twin_steps`. Raises
    WeightsError if one is missing or has another type or shape; their values are the caller's to check.
    """
    if isinstance(side, LightSide):
        restore_light(side, arrays, steps)
        return
    for name, twin in _twins(side).items():
        fill(twin.steps, steps, f"{name}.steps")
    fill(side.context_steps, steps, "context_steps")
    if "shapes" in steps:  # which older files have not: theirs are Gaussian
        fill(side.shapes, steps, "shapes")
    for name, twin in named_twins(side).items():
        out_steps = twin.steps.double().repeat_interleave(twin.upsample**2)
        factor = np.ldexp(arrays[f"{name}.multiplier"].astype(np.float64), -arrays[f"{name}.shift"])
        scale = torch.from_numpy(factor) * out_steps / twin.gain
        weight = torch.from_numpy(arrays[f"{name}.weight"]).double() * scale[:, None, None, None]
        twin.weight.copy_(weight / twin.remembered_steps.double()[None, :, None, None])
        twin.bias.copy_(torch.from_numpy(arrays[f"{name}.bias"]).double() * scale)


def twin_steps(side: FloatSide) -> Arrays:
    """The steps that `restore_twins` needs."""
    if isinstance(side, LightSide):
        return light_steps(side)
    steps = {f"{name}.steps": twin.steps.numpy(force=True) for name, twin in _twins(side).items()}
    return {
        **steps, "context_steps": side.context_steps.numpy(force=True), "shapes": side.shapes.numpy(force=True),
    }  # fmt: skip
