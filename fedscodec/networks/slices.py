"""The entropy side in float, as trained: h_s, the networks of every part, and the ŷ that they see.

Its layers are connected here, once: `SliceNet` and h_s run on float twins, on the integers made from them, and without
values, which tells every layer the steps of its inputs (`FloatSide.trace`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..entropy.fixedpoint import CONTEXT_LIMIT
from ..entropy.mixtures import GAUSSIAN
from ..entropy.parts import Part, assemble
from .prior import HyperPrior
from .spec import ModelSpec
from .twins import (
    CONTEXT_UNIT,
    EntropyConv,
    EntropyLayer,
    Maps,
    Signal,
    Trace,
    clamp,
    halves,
    join,
    straight_through_round,
    through,
)


class SliceNet(nn.Module):
    """Means and table indices of one slice: two stacks of 3×3 convolutions with a common first input.

    `first` computes the first layer of both stacks at once, the mean's half and then the index's half.
    """

    def __init__(self, spec: ModelSpec, i: int) -> None:
        super().__init__()
        widths = spec.slice_filters
        inputs = spec.side_channels + i * spec.slice_channels
        self.first = EntropyConv(inputs, 2 * widths[0], "relu")
        self.mean = nn.ModuleList(EntropyConv(a, b, "relu") for a, b in zip(widths, widths[1:], strict=False))
        self.mean.append(EntropyConv(widths[-1], spec.slice_channels, "mean", gain=4.0))
        self.index = nn.ModuleList(EntropyConv(a, b, "relu") for a, b in zip(widths, widths[1:], strict=False))
        last = EntropyConv(widths[-1], spec.slice_channels, "index", gain=8.0, tables=spec.scales)
        nn.init.constant_(last.bias, 0.35 * spec.scales / 8.0)  # start at a scale near one
        self.index.append(last)

    def forward(self, x: Maps) -> tuple[Maps, Maps]:
        """x: side and context → mean and index, both with the channels of the slice."""
        mean, index = halves(self.first(x))
        return through(self.mean, mean), through(self.index, index)


def quality_planes(quality: Tensor, qualities: int) -> Tensor:
    """`fixedpoint.quality_plane` of real qualities [B], on their device and without waiting for it; float64 [B]."""
    thousandths = torch.round(1000 * quality.double())
    distance = thousandths - 500 * (qualities + 1)
    return torch.div(distance, 32, rounding_mode="floor").clamp(-CONTEXT_LIMIT, CONTEXT_LIMIT)


def side_steps(spec: ModelSpec) -> Tensor:
    """Steps of the inputs of h_s: those of ẑ, and of the quality."""
    return torch.tensor([1.0] * spec.hyper_latents + [1.0 / CONTEXT_UNIT])


class Reach(NamedTuple):
    """How many latents h_s and the nets of every part see beyond each of their own."""

    side: int
    parts: tuple[int, ...]


class FloatSide(nn.Module):
    """The entropy side in float: h_s, the slice networks and the context, as trained."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        h, z = spec.hyper_filters, spec.hyper_latents
        self.prior = HyperPrior(z)
        self.h_s = nn.ModuleList([
            EntropyConv(z + 1, h, "relu"),
            EntropyConv(h, h, "relu", upsample=2),
            EntropyConv(h, h, "relu"),
            EntropyConv(h, h, "relu", upsample=2),
            EntropyConv(h, spec.side_channels, "signed"),
        ])  # fmt: skip
        self.nets = nn.ModuleList(SliceNet(spec, i) for i in range(spec.slices))
        self.register_buffer("context_steps", torch.ones(spec.latents))
        self.register_buffer("shapes", torch.tensor([[GAUSSIAN] * spec.scales] * spec.table_sets))
        self.register_buffer("input_steps", side_steps(spec), persistent=False)
        self.quantised = False

    def side(self, z_hat: Tensor, quality: Tensor) -> Signal:
        """ẑ [B, Z, H/64, W/64], integers, and quality [B] → side [B, 2M, H/16, W/16]."""
        numbers = (quality_planes(quality, len(self.spec.lambdas)) / CONTEXT_UNIT).to(z_hat)
        plane = numbers[:, None, None, None].expand(-1, 1, *z_hat.shape[2:])
        values = torch.cat([z_hat.clamp(-CONTEXT_LIMIT, CONTEXT_LIMIT), plane], 1)
        return through(self.h_s, Signal(values, self.input_steps))

    def unknown(self, side: Signal) -> Tensor:
        """Zeros [B, H/16, W/16, M]."""
        batch, _, rows, columns = side.values.shape
        return side.values.new_zeros((batch, rows, columns, self.spec.latents))

    def parameters_of(self, part: Part, side: Signal, known: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (in quantisation steps) and table index (a real number unless quantised) of a part."""
        seen = known[..., : part.seen].permute(0, 3, 1, 2)
        steps = self.context_steps.new_full((part.seen,), 1.0 / CONTEXT_UNIT)
        mean, index = self.nets[part.number](join([side, Signal(seen, steps)]))
        return mean.values.permute(0, 2, 3, 1), index.values.permute(0, 2, 3, 1)

    def shown(self, part: Part, y_hat: Tensor) -> Tensor:
        """ŷ of a part in units of its calibrated steps, divided by CONTEXT_UNIT."""
        values = y_hat / part.of(self.context_steps)
        if self.quantised:
            values = clamp(straight_through_round(values), -CONTEXT_LIMIT, CONTEXT_LIMIT)
        return values / CONTEXT_UNIT

    def take(self, y: Tensor, part: Part) -> Tensor:
        """The block of a part of y [B, M, H/16, W/16]."""
        return part.take(y.permute(0, 2, 3, 1))

    def join(self, blocks: list[Tensor]) -> Tensor:
        """Blocks back to [B, M, H/16, W/16]."""
        return assemble(self.spec.parts(), blocks, self.spec.latents).permute(0, 3, 1, 2)

    def trace(self, *, steps: bool = True) -> Reach:
        """Set the input steps of every layer, and find how far h_s and the networks of each part see."""
        side = through(self.h_s, Trace(self.input_steps if steps else None))
        unit = self.context_steps.new_full((self.spec.latents,), 1.0 / CONTEXT_UNIT) if steps else None
        beyond = [
            self.nets[part.number](join([side._replace(reach=0), Trace(None if unit is None else unit[: part.seen])]))
            for part in self.spec.parts()
        ]
        return Reach(side.reach, tuple(max(mean.reach, index.reach) for mean, index in beyond))

    def entropy_layers(self) -> list[EntropyLayer]:
        """Every layer that becomes integers, in a fixed order."""
        return [m for m in self.modules() if isinstance(m, EntropyLayer)]

    @torch.no_grad()
    def begin(self, spread: Tensor, most_gain: float) -> None:
        """Initialise from the spread [M] of the channels of y at the middle quality, and from their highest gain.

        Every slice network starts with the table of its channels' own spread.
        """
        spec = self.spec
        self.context_steps.copy_((6 * spread * most_gain / CONTEXT_LIMIT).clamp_min(1 / 16))
        log_step = math.log(spec.largest_scale / spec.smallest_scale) / (spec.scales - 1)
        index = (spread.clamp_min(spec.smallest_scale).log() - math.log(spec.smallest_scale)) / log_step
        for net, part in zip(self.nets, spec.parts(), strict=True):
            net.index[-1].bias.copy_(part.of(index).clamp(0, spec.scales - 1) / net.index[-1].gain)

    def peaks(self) -> list[Tensor]:
        """The observed peaks, for `calibrate`; with several processes, the largest count."""
        return [layer.peak for layer in self.entropy_layers()]

    @torch.no_grad()
    def copy_steps(self, other: FloatSide) -> None:
        """Copy the calibrated steps of another network."""
        for layer, calibrated in zip(self.entropy_layers(), other.entropy_layers(), strict=True):
            layer.steps.copy_(calibrated.steps)

    @torch.no_grad()
    def calibrate(self) -> None:
        """Fix the steps of all layers from the observed peaks, each after the layers that feed it."""
        layers = self.entropy_layers()
        for layer in layers:
            layer.settling = True
        self.trace()
        for layer in layers:
            layer.settling = False

    def set_mode(self, *, quantised: bool = False, observing: bool = False) -> None:
        """Switch all layers between float, fake-quantised and observing."""
        self.quantised = quantised
        for layer in self.entropy_layers():
            layer.quantised, layer.observing = quantised, observing
            if observing:
                layer.peak.zero_()  # of an earlier calibration
