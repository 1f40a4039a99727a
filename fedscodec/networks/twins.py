"""Float twins of the integer layers: the trained form of the entropy side, and its conversion to integers.

Only `EntropyConv` and similar layers may be between ẑ and a table index. They run in three ways, all the same function
up to rounding: in float (most of training), with fake quantisation (the last stage; straight-through gradients, so that
the network that is tuned is the one that ships), and, after `integers()`, as a `fedscodec.entropy.integer.IntegerConv`.

Fixed-point formats. An activation is `integer · step` with one step per channel; weights are int8 with one scale per
output channel, after the input's steps were folded into them, so that accumulators need no further scaling:

    kind     integer range          step                      used for
    relu     0 … 127                calibrated per channel    hidden layers
    signed   -127 … 127             calibrated per channel    output of h_s
    mean     -2¹⁵+1 … 2¹⁵-1         1/16                      means, in units of a latent's quantisation step
    index    0 … tables-1           1                         probability table of each latent
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..entropy.fixedpoint import MEAN_LIMIT, MEAN_UNIT
from ..entropy.precision import in_float32

HEADROOM = 1.1
"""Calibrated ranges exceed the observed peak by this factor: clipping costs far more rate than coarser steps."""
CONTEXT_UNIT = 32
"""A float twin sees context and hidden values as about integer/32, which keeps them near one."""

Kind = Literal["relu", "signed", "mean", "index"]


class Signal(NamedTuple):
    """A feature map and the step of each channel [C]; values are multiples of it once quantised.

    axis: where its channels are, 1 in [B, C, H, W] and -1 in [B, H, W, C].
    """

    values: Tensor
    steps: Tensor
    axis: int = 1


class Trace(NamedTuple):
    """A signal without values, which passes steps and reach between layers.

    steps [C]: of each channel; None if only the reach is of interest. reach: how many cells of its own size it sees
    beyond each of its edges.
    """

    steps: Tensor | None
    reach: int = 0


Maps = TypeVar("Maps", Signal, Trace, Tensor)
"""What the network runs on: floats, steps alone, or integers (channels last [B, H, W, C])."""


def join(maps: list[Maps]) -> Maps:
    """Concatenate along the channels."""
    first = maps[0]
    if isinstance(first, Signal):
        values = torch.cat([s.values for s in maps], first.axis)
        return Signal(values, torch.cat([s.steps for s in maps]), first.axis)
    if isinstance(first, Trace):
        steps = [t.steps for t in maps if t.steps is not None]
        return Trace(torch.cat(steps) if steps else None, max(t.reach for t in maps))
    return torch.cat(maps, -1)


def halves(maps: Maps) -> tuple[Maps, Maps]:
    """The first half of the channels, and the second."""
    if isinstance(maps, Signal):
        (a, b), (first, second) = maps.values.chunk(2, 1), maps.steps.chunk(2)
        return Signal(a, first), Signal(b, second)
    if isinstance(maps, Trace):
        first, second = (None, None) if maps.steps is None else maps.steps.chunk(2)
        return Trace(first, maps.reach), Trace(second, maps.reach)
    a, b = maps.chunk(2, -1)
    return a, b


def through(layers: Iterable[Callable[[Maps], Maps]], maps: Maps) -> Maps:
    """Run layers one after the other."""
    for layer in layers:
        maps = layer(maps)
    return maps


def straight_through_round(x: Tensor) -> Tensor:
    """Round half up, as the integers do, with the gradient of the identity."""
    return x + (torch.floor(x + 0.5) - x).detach()


class _Clamp(torch.autograd.Function):
    """Clamp to low … high; outside, only gradients that lead back inside pass, so no output can get stuck."""

    @staticmethod
    def forward(ctx, x: Tensor, low: float, high: float) -> Tensor:  # noqa: ANN001
        ctx.save_for_backward(x)
        ctx.bounds = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN001
        (x,) = ctx.saved_tensors
        low, high = ctx.bounds
        return grad * (((x >= low) | (grad < 0)) & ((x <= high) | (grad > 0))), None, None


def clamp(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp whose gradient leads back into the range."""
    return _Clamp.apply(x, low, high)


class ConvIntegers(NamedTuple):
    """One layer as numbers: what `IntegerConv` is built from and a weights file stores."""

    weight: np.ndarray  # int8 [O, I, k, k]
    bias: np.ndarray  # int32 [O]
    factor: np.ndarray  # float64 [O]: accumulator → output integer; becomes multiplier and shift
    low: int
    high: int
    upsample: int


class EntropyLayer(nn.Module):
    """The common part of every layer between ẑ and a table index.

    quantised: run with fake quantisation. observing: keep the peak of every output channel. settling: take steps from
    the peaks when a `Trace` passes. After that, a layer remembers the steps of its inputs.
    """

    steps: Tensor
    peak: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.quantised = self.observing = self.settling = False
        self.input_steps: Tensor | None = None

    @property
    def remembered_steps(self) -> Tensor:
        """Steps of its inputs [I], from the last trace. Raises RuntimeError before any."""
        if self.input_steps is None:
            raise RuntimeError("a layer that no trace went through does not know the steps of its inputs")
        return self.input_steps


class EntropyConv(EntropyLayer):
    """A same-size convolution k×k, stride 1, with an optional pixel shuffle, whose output is an integer.

    kind: see the table above. gain multiplies the output of the convolution, so that a fresh network's outputs have the
    right size. tables: number of probability tables, for kind "index".
    """

    def __init__(
        self, inputs: int, outputs: int, kind: Kind, *, kernel: int = 3, upsample: int = 1,
        gain: float = 1.0, tables: int = 64,
    ) -> None:  # fmt: skip
        super().__init__()
        conv = nn.Conv2d(inputs, outputs * upsample**2, kernel)
        self.weight, self.bias = conv.weight, conv.bias
        self.kind, self.gain, self.upsample = kind, gain, upsample
        self.low, self.high = {
            "relu": (0, 127), "signed": (-127, 127), "mean": (-MEAN_LIMIT, MEAN_LIMIT), "index": (0, tables - 1),
        }[kind]  # fmt: skip
        fixed = {"mean": 1.0 / MEAN_UNIT, "index": 1.0}.get(kind, 4.0 / 127)
        self.register_buffer("steps", torch.full((outputs,), fixed))
        self.register_buffer("peak", torch.zeros(outputs))

    def forward(self, x: Signal | Trace) -> Signal | Trace:
        """x [B, I, H, W] → [B, O, H·upsample, W·upsample], in float32: integers would not fit bfloat16."""
        if isinstance(x, Trace):
            self.input_steps = x.steps
            if self.settling:
                self.calibrate()
            return Trace(self.steps if x.steps is not None else None, (x.reach + self.reach) * self.upsample)
        with in_float32(x.values):
            return self._convolve(x)

    @property
    def reach(self) -> int:
        """Cells that it sees beyond its own."""
        return self.weight.shape[-1] // 2

    def _convolve(self, x: Signal) -> Signal:
        weight, bias = self._effective(x.steps) if self.quantised else (self.weight, self.bias)
        out = F.conv2d(x.values, weight, bias, padding=weight.shape[-1] // 2) * self.gain
        if self.upsample > 1:
            out = F.pixel_shuffle(out, self.upsample)
        if self.kind == "relu":
            out = F.relu(out)
        if self.observing:
            self.peak.copy_(torch.maximum(self.peak, out.detach().abs().amax((0, 2, 3))))
        steps = self.steps[None, :, None, None]
        if self.quantised:
            out = clamp(straight_through_round(out / steps), self.low, self.high) * steps
        elif self.kind == "index":
            out = clamp(out, self.low, self.high)
        return Signal(out, self.steps)

    def _scaled(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Weights with the input's steps folded in, and the scale of each output channel that makes them int8."""
        folded = self.weight * steps[None, :, None, None]
        scale = folded.detach().abs().amax((1, 2, 3)).clamp_min(1e-12) / 127
        return folded, torch.maximum(scale, self.bias.detach().abs() / 2**24)  # so that the bias fits its integer

    def _effective(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and bias rounded as `integers()` rounds them, in the units of the float convolution."""
        folded, scale = self._scaled(steps)
        column = scale[:, None, None, None]
        weight = straight_through_round(folded / column) * column / steps[None, :, None, None]
        return weight, straight_through_round(self.bias / scale) * scale

    def calibrate(self) -> None:
        """Fix the steps of a hidden or signed layer from the observed peaks."""
        if self.kind in ("relu", "signed"):
            floor = self.peak.mean() * 1e-3 + 1e-6  # a channel that never fires still needs a step
            self.steps.copy_(torch.maximum(self.peak, floor) * HEADROOM / 127)

    @torch.no_grad()
    def integers(self) -> ConvIntegers:
        """The layer as integers, with the input steps that it remembers."""
        folded, scale = self._scaled(self.remembered_steps.double())
        weight = torch.floor(folded / scale[:, None, None, None] + 0.5).to(torch.int8)
        bias = torch.floor(self.bias.double() / scale + 0.5).clamp(-(2**30), 2**30).to(torch.int32)
        out_steps = self.steps.double().repeat_interleave(self.upsample**2)
        factor = scale * self.gain / out_steps
        return ConvIntegers(
            weight.numpy(force=True), bias.numpy(force=True), factor.numpy(force=True),
            self.low, self.high, self.upsample,
        )  # fmt: skip
