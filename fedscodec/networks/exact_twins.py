"""Float twins of the layers of light networks, whose integers every float32 engine gets right (`entropy.exact32`).

Maps are channels last. What a layer is, `entropy.exact_sums.ExactSpec` says. As with `twins.EntropyConv` it runs in
float, with fake quantisation, or, after `integers()`, as an `ExactLayer`. Weights are int8 with one scale per row; what
leaves a row is brought to its step by a power of two. The step of a channel is calibrated; that of means is 1/64 of a
latent's quantisation step, and that of table indices 1.

What these ranges cost is in docs/how-it-works.md: 12 bits after a depthwise layer and for ŷ, and means in 1/64, matter
most where nearly all symbols are zero.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..constants import constant
from ..entropy.exact_sums import LIMIT, ExactIntegers, ExactSpec
from ..entropy.fixedpoint import FINE_MEAN_UNIT, INT8_LIMIT
from ..entropy.precision import in_float32
from .quick import depthwise
from .twins import HEADROOM, EntropyLayer, Signal, Trace, clamp, straight_through_round

_MARGIN = 0.97  # of the largest sum, which rounding may still raise
_LARGEST_SHIFT = 18  # half of it, for rounding, is below what the margin leaves
_SQRT_HALF = 0.5**0.5


class ExactTwin(EntropyLayer):
    """An `ExactSpec` in float. If the layer works on the cells of a part, its inputs are these cells.

    gain [O] multiplies the outputs of a "parameters" layer. A fresh layer has He's weights; a depthwise one adds them
    to the identity.
    """

    def __init__(self, spec: ExactSpec, gain: Tensor | None = None) -> None:
        super().__init__()
        self.spec, self.kind, self.kernel, self.groups = spec, spec.kind, spec.kernel, spec.groups
        rows = spec.shape[0]
        self.weight = nn.Parameter(torch.empty(spec.shape))
        self.bias = nn.Parameter(torch.zeros(rows))
        fixed = torch.ones(spec.outputs)
        if self.kind == "parameters":
            fixed[: spec.outputs // 2] = 1.0 / FINE_MEAN_UNIT
        else:
            fixed *= 4.0 / spec.bounds[0][1]
        self.register_buffer("steps", fixed)
        self.register_buffer("peak", torch.zeros(spec.outputs))
        self.register_buffer("gain", torch.ones(rows) if gain is None else gain, persistent=False)
        self._begin()

    @torch.no_grad()
    def _begin(self) -> None:
        if self.weight.is_meta:
            return
        if self.kernel:
            nn.init.uniform_(self.weight, -1 / self.kernel, 1 / self.kernel)
            self.weight[:, self.kernel // 2, self.kernel // 2] += 1
        else:
            nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def forward(self, x: Signal | Trace) -> Signal | Trace:
        """[B, H, W, I] → [B, H·upsample, W·upsample, O], or of groups [B, G, …, I] → [B, G, …, O/G]."""
        if isinstance(x, Trace):
            self.input_steps = x.steps
            if self.settling and x.steps is not None:
                self._settle(x.steps)
            return Trace(None if x.steps is None else self.steps, self.spec.beyond(x.reach))
        if not self.quantised:
            return Signal(self._observed(self._computed(x.values, self.weight, self.bias)), self.steps, -1)
        with in_float32(x.values):
            weight, bias = self._rounded(x.steps)
            out = self._computed(x.values.to(weight.dtype), weight, bias)
            steps, low, high = self._by_channel(out)
            return Signal(clamp(straight_through_round(out / steps), low, high) * steps, self.steps, -1)

    def _by_channel(self, out: Tensor) -> tuple[Tensor, Tensor | float, Tensor | float]:
        """Steps and bounds in the layout of the computation."""
        bounds = self.spec.bounds
        if self.kind != "parameters":
            return self.steps, float(bounds[0][0]), float(bounds[0][1])
        rows = constant(bounds, out).repeat_interleave(len(self.steps) // 2, 0)
        low, high = rows.unbind(1)
        return self._grouped(self.steps, out), self._grouped(low, out), self._grouped(high, out)

    def _grouped(self, rows: Tensor, out: Tensor) -> Tensor:
        """[O] reshaped to fit [..., O], or [B, G, …, O/G]."""
        if self.groups == 1:
            return rows
        return rows.view(-1, self.groups).t().reshape(self.groups, *(1,) * (out.dim() - 3), -1)

    def _computed(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if self.kernel:
            maps = depthwise(x.permute(0, 3, 1, 2), weight[:, None], bias)
            return maps.permute(0, 2, 3, 1)
        if self.kind == "parameters":
            return self._last(x, weight, bias)
        out = F.linear(x, weight, bias)
        if (up := self.spec.upsample) > 1:
            out = F.pixel_shuffle(out.permute(0, 3, 1, 2), up).permute(0, 2, 3, 1)
        return F.relu(out)

    def _last(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if self.groups == 1:
            out = F.linear(x, weight)
        else:
            out = torch.stack([F.linear(one, weight[g :: self.groups]) for g, one in enumerate(x.unbind(1))], 1)
        out = out.to(bias.dtype)  # of bfloat16, where autocast is on
        return (out + self._grouped(bias, out)) * self._grouped(self.gain, out)

    def _observed(self, out: Tensor) -> Tensor:
        if self.observing and self.kind != "parameters":
            self.peak.copy_(torch.maximum(self.peak, out.detach().float().abs().flatten(0, -2).amax(0)))
        if self.kind != "parameters":
            return out
        half = out.shape[-1] // 2
        return torch.cat([out[..., :half], clamp(out[..., half:], *map(float, self.spec.bounds[1]))], -1)

    # ── integers ──────────────────────────────────────────────────────────────────────────────────────────

    def _folded(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and bias in the units of the inputs' integers."""
        inputs = steps[:, None, None] if self.kernel else steps
        gain = self.gain.to(steps)
        return self.weight * inputs * gain.view(-1, *(1,) * (self.weight.dim() - 1)), self.bias * gain

    def _least_scale(self, steps: Tensor) -> Tensor:
        """The finest scale of each row that keeps its weights within int8 and its sums below 2²⁴."""
        folded, bias = (part.detach() for part in self._folded(steps))
        rows = folded.abs().flatten(1)
        limits = constant(self.spec.limits, rows)
        reach = rows.sum(1) * limits if self.kernel else rows @ limits
        furthest = (reach + bias.abs()) / (_MARGIN * LIMIT)
        return torch.maximum(rows.amax(1) / INT8_LIMIT, furthest).clamp_min(1e-12)

    def _scales(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift of every row: its step, divided by a power of two."""
        out = self._row_steps().to(steps)
        shift = torch.floor(torch.log2(out / self._least_scale(steps)) + 1e-6).clamp(0, _LARGEST_SHIFT)
        return torch.ldexp(out, -shift), shift

    def _row_steps(self) -> Tensor:
        return self.steps.repeat_interleave(self.spec.upsample**2)

    def _settle(self, steps: Tensor) -> None:
        """Fix the steps of a hidden layer from the observed peaks and from the range of its weights.

        Either weights or activations lose up to a bit, because a power of two lies between their scales: with "wide" it
        is always the activations, which have bits to spare; otherwise whichever loses less.
        """
        if self.kind == "parameters":
            return
        floor = self.peak.mean() * 1e-3 + 1e-6  # a channel that never fires still needs a step
        ideal = torch.maximum(self.peak, floor) * HEADROOM / self.spec.bounds[0][1]
        least = self._least_scale(steps).view(len(ideal), -1).amax(1) * 1.02  # so that a little training fits
        power = torch.log2(ideal / least)
        below = torch.floor(power).clamp(0, _LARGEST_SHIFT - 1)
        rounded_up = torch.ldexp(least, below + (ideal > torch.ldexp(least, below)))
        keep = (2 ** (below - power) >= _SQRT_HALF) & (self.kind == "relu")
        self.steps.copy_(torch.where(keep, torch.maximum(ideal, least), rounded_up))

    def _rounded(self, steps: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and bias rounded as `integers()` rounds them, in the units of the float layer."""
        folded, bias = self._folded(steps)
        scale, _ = self._scales(steps)
        column = scale.view(-1, *(1,) * (folded.dim() - 1))
        back = column / (steps[:, None, None] if self.kernel else steps)
        gain = self.gain.view_as(column)
        weight = straight_through_round(folded / column).clamp(-INT8_LIMIT, INT8_LIMIT) * back / gain
        return weight, straight_through_round(bias / scale) * scale / self.gain

    @torch.no_grad()
    def integers(self) -> ExactIntegers:
        """The layer as integers, with the input steps that it remembers."""
        steps = self.remembered_steps.double()
        folded, bias = self._folded(steps)
        scale, shift = self._scales(steps)
        column = scale.view(-1, *(1,) * (folded.dim() - 1))
        weight = torch.floor(folded / column + 0.5).clamp(-INT8_LIMIT, INT8_LIMIT)
        half = torch.where(shift > 0, torch.ldexp(torch.ones_like(shift), shift - 1), 0)
        whole = torch.floor(bias / scale + 0.5) + half
        arrays = ((weight, np.int8), (whole, np.int32), (shift, np.int32))
        return ExactIntegers(*(array.numpy(force=True).astype(kind) for array, kind in arrays))

    @torch.no_grad()
    def restore(self, integers: ExactIntegers) -> None:
        """The inverse of `integers()`, with the input steps that it remembers and its own steps already set."""
        steps = self.remembered_steps.double()
        shift = torch.from_numpy(integers.shift).double()
        scale = torch.ldexp(self._row_steps().double(), -shift) / self.gain.double()
        column = scale.view(-1, *(1,) * (self.weight.dim() - 1))
        inputs = steps[:, None, None] if self.kernel else steps
        self.weight.copy_(torch.from_numpy(integers.weight).double() * column / inputs)
        half = torch.where(shift > 0, torch.ldexp(torch.ones_like(shift), shift - 1), 0)
        self.bias.copy_((torch.from_numpy(integers.bias).double() - half) * scale)
