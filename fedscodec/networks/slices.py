"""ChARM (Sec. 7): h_s, the slice networks, and the one walk over the slices that everything shares.

   ẑ, quality ─► h_s ─► side [2M] ──────────────┬──────────────────┬─────────── … slice networks, in order
                                               ▼                  ▼
        slice 0:  side ─► mean, index ─► coder ─► ŷ₀ ─► context ──┐
        slice 1:  side, context₀ ─► mean, index ─► coder ─► ŷ₁ ───┴─► …

Training, writing, reading and probing differ only in the coder that is handed in, and in whether `nets` is the float
twin (`FloatSide`) or the integers (`IntegerSide`). A decoder gets y = None, so an encoder cannot use what a decoder
does not have.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..entropy.fixedpoint import CONTEXT_LIMIT
from ..entropy.mixtures import GAUSSIAN
from .prior import HyperPrior
from .spec import ModelSpec
from .twins import CONTEXT_UNIT, EntropyConv, Signal, clamp, join, straight_through_round


class SymbolCoder(Protocol):
    """Spends, estimates or reads the bits of one stream after the other."""

    def hyper(self, z: Tensor | None, prior: Any) -> Tensor:
        """Code z under its factorised prior and return ẑ."""

    def slice(self, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """Code one slice of y, given its means and table indices, and return ŷ of the slice."""


class SideNets(Protocol):
    """What the walk needs of the entropy side; float twin and integers both provide it."""

    slices: int
    prior: Any

    def side(self, z_hat: Tensor, quality: Any) -> Any:
        """h_s, of ẑ and of the quality: as the gains scale y, so must what is expected of it."""

    def parameters_of(self, i: int, side: Any, contexts: list[Any]) -> tuple[Tensor, Tensor]:
        """Mean and table index of every latent of slice i."""

    def context(self, i: int, y_hat: Tensor) -> Any:
        """ŷ of slice i as later slices see it."""

    def part(self, y: Tensor, i: int) -> Tensor:
        """Slice i of y."""

    def join(self, parts: list[Tensor]) -> Tensor:
        """All slices of ŷ as one tensor; those that were not walked are filled with zeros."""


def walk(
    nets: SideNets, z: Tensor | None, y: Tensor | None, quality: Any, coder: SymbolCoder, slices: int | None = None
) -> Tensor:
    """Code z and then y slice by slice; returns ŷ of the first `slices` slices (all by default).

    quality: real numbers [B] from 1 for a `FloatSide`, thousandths as in a file's header for an `IntegerSide`.
    """
    side = nets.side(coder.hyper(z, nets.prior), quality)
    done: list[Tensor] = []
    contexts: list[Any] = []
    for i in range(nets.slices if slices is None else slices):
        mean, index = nets.parameters_of(i, side, contexts)
        y_hat = coder.slice(None if y is None else nets.part(y, i), mean, index)
        done.append(y_hat)
        contexts.append(nets.context(i, y_hat))
    del side, contexts  # of a large picture, a fifth of a gigabyte
    return nets.join(done)


class SliceNet(nn.Module):
    """Means and table indices of one slice: two stacks of 3×3 convolutions that share the input of their first layer.

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

    def forward(self, x: Signal) -> tuple[Signal, Signal]:
        """x: side and contexts → mean and index, both [B, C/slices, H, W]."""
        both = self.first(x)
        half = both.values.shape[1] // 2
        mean = Signal(both.values[:, :half], both.steps[:half])
        index = Signal(both.values[:, half:], both.steps[half:])
        for layer in self.mean:
            mean = layer(mean)
        for layer in self.index:
            index = layer(index)
        return mean, index


def quality_planes(quality: Tensor, qualities: int) -> Tensor:
    """`fixedpoint.quality_plane` of real qualities [B], on their device and without waiting for it; float64 [B]."""
    thousandths = torch.round(1000 * quality.double())
    distance = thousandths - 500 * (qualities + 1)
    return torch.div(distance, 32, rounding_mode="floor").clamp(-CONTEXT_LIMIT, CONTEXT_LIMIT)


def side_steps(spec: ModelSpec) -> Tensor:
    """Steps of what reaches h_s: those of ẑ, and of the quality."""
    return torch.tensor([1.0] * spec.hyper_latents + [1.0 / CONTEXT_UNIT])


class FloatSide(nn.Module):
    """The entropy side in float: h_s, the slice networks and the context, as trained."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec, self.slices = spec, spec.slices
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
        self.register_buffer("shapes", torch.tensor([[GAUSSIAN] * spec.scales] * spec.slices))
        self.register_buffer("input_steps", side_steps(spec), persistent=False)
        self.quantised = False

    def side(self, z_hat: Tensor, quality: Tensor) -> Signal:
        """ẑ [B, Z, H/64, W/64], integers, and quality [B] → side [B, 2M, H/16, W/16]."""
        numbers = (quality_planes(quality, len(self.spec.lambdas)) / CONTEXT_UNIT).to(z_hat)
        plane = numbers[:, None, None, None].expand(-1, 1, *z_hat.shape[2:])
        values = torch.cat([z_hat.clamp(-CONTEXT_LIMIT, CONTEXT_LIMIT), plane], 1)
        signal = Signal(values, self.input_steps)
        for layer in self.h_s:
            signal = layer(signal)
        return signal

    def parameters_of(self, i: int, side: Signal, contexts: list[Signal]) -> tuple[Tensor, Tensor]:
        """Mean (in quantisation steps) and table index (a real number unless quantised) of slice i."""
        mean, index = self.nets[i](join([side, *contexts]))
        return mean.values, index.values

    def context(self, i: int, y_hat: Tensor) -> Signal:
        """ŷ of slice i in units of its calibrated steps, divided by CONTEXT_UNIT."""
        count = self.spec.slice_channels
        steps = self.context_steps[i * count : (i + 1) * count]
        values = y_hat / steps[None, :, None, None]
        if self.quantised:
            values = clamp(straight_through_round(values), -CONTEXT_LIMIT, CONTEXT_LIMIT)
        return Signal(values / CONTEXT_UNIT, torch.full_like(steps, 1.0 / CONTEXT_UNIT))

    def part(self, y: Tensor, i: int) -> Tensor:
        """Channels of slice i."""
        count = self.spec.slice_channels
        return y[:, i * count : (i + 1) * count]

    def join(self, parts: list[Tensor]) -> Tensor:
        """Slices back to [B, M, H, W]."""
        y_hat = torch.cat(parts, 1)
        return F.pad(y_hat, (0, 0, 0, 0, 0, self.spec.latents - y_hat.shape[1]))

    def entropy_convs(self) -> list[EntropyConv]:
        """Every layer that becomes integers, in a fixed order."""
        return [m for m in self.modules() if isinstance(m, EntropyConv)]

    def set_mode(self, *, quantised: bool = False, observing: bool = False) -> None:
        """Switch all layers between float, fake-quantised and observing."""
        self.quantised = quantised
        for layer in self.entropy_convs():
            layer.quantised, layer.observing = quantised, observing
