"""The entropy side of light networks: h_s and one network for each pass over the latents, of 1×1 and depthwise layers.

`exact_nets` describes the layers, also for graphs. Their modules are connected once, as in `slices`: for floats, for
integers, and for steps alone. Maps are channels last.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..entropy.fixedpoint import CONTEXT_LIMIT, FINE_MEAN_UNIT, MOST_KNOWN_SHIFT, QUALITY_LEVELS, WIDE_LIMIT
from ..entropy.mixtures import GAUSSIAN
from ..entropy.parts import Cells, Part
from .exact_nets import hyper_synthesis, net_of
from .exact_twins import ExactTwin
from .prior import HyperPrior
from .slices import FloatSide, Reach
from .spec import ModelSpec, Passes
from .twins import HEADROOM, Maps, Signal, Trace, clamp, join, straight_through_round, through

KNOWN_UNIT, Z_UNIT = 8, 8
"""A float twin sees ŷ and ẑ divided by these, which keeps them near one."""
MEAN_GAIN, LOG_SCALE_GAIN = 4.0, 2.0
"""Factors of a network's output for the mean and for the logarithm of the scale."""


class PassNet(nn.Module):
    """Means and table indices of one part: the layers of `exact_nets.net_of` in order."""

    last: ExactTwin

    def __init__(self, spec: ModelSpec, passes: Passes, part: Part) -> None:
        super().__init__()
        self.layers = net_of(spec, passes, part)
        log_step = math.log(spec.largest_scale / spec.smallest_scale) / (spec.scales - 1)
        gain = torch.tensor([MEAN_GAIN] * part.width + [LOG_SCALE_GAIN / log_step] * part.width)
        for name, layer in self.layers.items():
            self.add_module(name, ExactTwin(layer, gain if layer.kind == "parameters" else None))
        if not self.last.weight.is_meta:
            with torch.no_grad():
                nn.init.kaiming_uniform_(self.last.weight, a=5**0.5)
                self.last.weight.mul_(0.1)

    def forward(self, x: Maps) -> Maps:
        """x: side and known → mean and index, each half of the channels of [B, G, K, H/2, W/2, 2C/G]."""
        for name, layer in self.layers.items():
            x = getattr(self, name)(cells_of(x, layer.cells) if layer.cells else x)
        return x


def cells_of(maps: Maps, cells: Cells) -> Maps:
    """[B, H, W, C] → [B, G, K, H/2, W/2, C], or with one group [B, K, H/2, W/2, C]."""
    if isinstance(maps, Trace):
        return maps
    if isinstance(maps, Signal):
        return maps._replace(values=cells_of(maps.values, cells))
    squares = maps.unflatten(1, (-1, 2)).unflatten(3, (-1, 2))
    groups = [torch.stack([squares[:, :, i, :, j] for i, j in corners], 1) for corners in cells.groups]
    return groups[0] if len(groups) == 1 else torch.stack(groups, 1)


def means_and_indexes(found: Tensor, cells: Cells | None) -> tuple[Tensor, Tensor]:
    """The output of a `PassNet` as two blocks, see `Part`."""
    if cells is not None and len(cells.groups) > 1:
        found = found.flatten(1, 2)
    half = found.shape[-1] // 2
    return found[..., :half], found[..., half:]


def quality_levels(quality: Tensor, qualities: int) -> Tensor:
    """`fixedpoint.quality_level` of real qualities [B], on their device; float64 [B]."""
    thousandths = torch.round(1000 * quality.double())
    if qualities == 1:
        return torch.zeros_like(thousandths)
    distance, half = thousandths - 500 * (qualities + 1), 500 * (qualities - 1)
    levels = torch.div(2 * QUALITY_LEVELS * distance + half, 2 * half, rounding_mode="floor")
    return levels.clamp(-CONTEXT_LIMIT, CONTEXT_LIMIT)


class LightSide(FloatSide):
    """The entropy side of a light network in float, as trained.

    known_shift [M]: the networks see ŷ in 2^shift of its units of 1/64.
    """

    known_shift: Tensor
    known_peak: Tensor

    def __init__(self, spec: ModelSpec, passes: Passes) -> None:
        nn.Module.__init__(self)
        self.spec = spec
        self.prior = HyperPrior(spec.hyper_latents)
        self.h_s = nn.ModuleList(map(ExactTwin, hyper_synthesis(spec, passes).values()))
        self.nets = nn.ModuleList(PassNet(spec, passes, part) for part in spec.parts())
        self.register_buffer("known_shift", torch.full((spec.latents,), 2.0))
        self.register_buffer("known_peak", torch.zeros(spec.latents), persistent=False)
        self.register_buffer("shapes", torch.tensor([[GAUSSIAN] * spec.scales] * spec.table_sets))
        units = torch.tensor([1.0 / Z_UNIT] * spec.hyper_latents + [1.0 / QUALITY_LEVELS])
        self.register_buffer("input_steps", units, persistent=False)
        self.quantised = self.observing = False

    def side(self, z_hat: Tensor, quality: Tensor) -> Signal:
        """ẑ [B, Z, H/64, W/64], integers, and quality [B] → side [B, H/16, W/16, S]."""
        last = z_hat.permute(0, 2, 3, 1).clamp(-CONTEXT_LIMIT, CONTEXT_LIMIT) / Z_UNIT
        levels = (quality_levels(quality, len(self.spec.lambdas)) / QUALITY_LEVELS).to(z_hat)
        plane = levels[:, None, None, None].expand(*last.shape[:3], 1)
        return through(self.h_s, Signal(torch.cat([last, plane], -1), self.input_steps, -1))

    def unknown(self, side: Signal) -> Tensor:
        """Zeros [B, H/16, W/16, M]."""
        return side.values.new_zeros((*side.values.shape[:3], self.spec.latents))

    def parameters_of(self, part: Part, side: Signal, known: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (in quantisation steps) and table index (a real number unless quantised) of a part."""
        seen = Signal(known[..., : part.seen], self._known_steps()[: part.seen], -1)
        found = self.nets[part.number](join([side, seen]) if part.seen else side)
        return means_and_indexes(found.values, part.cells)

    def shown(self, part: Part, y_hat: Tensor) -> Tensor:
        """ŷ of a part as later parts see it."""
        if self.observing:
            peak = y_hat.detach().abs().flatten(2, -2).amax((0, 2))  # [G·K, C/G]
            self._observe(part, peak)
        if not self.quantised:
            return y_hat / KNOWN_UNIT
        steps = self._block_steps(part, self._known_steps() * KNOWN_UNIT)
        return clamp(straight_through_round(y_hat / steps), -WIDE_LIMIT, WIDE_LIMIT) * steps / KNOWN_UNIT

    def _observe(self, part: Part, peak: Tensor) -> None:
        groups = len(part.cells.groups) if part.cells else 1
        by_group = peak.view(groups, -1, peak.shape[-1]).amax(1)  # [G, C/G]
        whole = part.of(self.known_peak)
        whole.copy_(torch.maximum(whole, by_group.t().reshape(-1)))

    def _block_steps(self, part: Part, steps: Tensor) -> Tensor:
        """[M] reshaped to fit a block of the part."""
        if part.cells is None:
            return part.of(steps)
        groups = len(part.cells.groups)
        return part.of(steps).view(-1, groups).t().repeat_interleave(part.cells.corners, 0)[:, None, None]

    def _known_steps(self) -> Tensor:
        """Steps of ŷ as the networks see it, [M]."""
        return torch.ldexp(self.known_shift.new_ones(()) / (FINE_MEAN_UNIT * KNOWN_UNIT), self.known_shift)

    def trace(self, *, steps: bool = True) -> Reach:
        """Set the input steps of every layer, and find how far h_s and the network of each part see."""
        side = through(self.h_s, Trace(self.input_steps if steps else None))
        known, found = self._known_steps() if steps else None, []
        for part in self.spec.parts():
            seen = [Trace(None if known is None else known[: part.seen])] if part.seen else []
            found.append(self.nets[part.number](join([side._replace(reach=0), *seen])).reach)
        return Reach(side.reach, tuple(found))

    @torch.no_grad()
    def calibrate(self) -> None:
        """Fix the steps of all layers and of ŷ from the observed peaks, in the order of the walk."""
        wanted = torch.log2((self.known_peak * HEADROOM * FINE_MEAN_UNIT / WIDE_LIMIT).clamp_min(1e-9)).ceil()
        self.known_shift.copy_(wanted.clamp(0, MOST_KNOWN_SHIFT))
        super().calibrate()

    def peaks(self) -> list[Tensor]:
        """The observed peaks, including that of ŷ."""
        return [*super().peaks(), self.known_peak]

    @torch.no_grad()
    def copy_steps(self, other: FloatSide) -> None:
        """Copy the calibrated steps of another network."""
        super().copy_steps(other)
        if isinstance(other, LightSide):
            self.known_shift.copy_(other.known_shift)

    @torch.no_grad()
    def begin(self, spread: Tensor, most_gain: float) -> None:
        """Start every network with the table of its channels' own spread [M]; most_gain is not used."""
        spec = self.spec
        ratio = (spread.clamp(spec.smallest_scale, spec.largest_scale) / spec.smallest_scale).log()
        for part, net in zip(spec.parts(), self.nets, strict=True):
            net.last.bias[part.width :] = part.of(ratio) / LOG_SCALE_GAIN

    def set_mode(self, *, quantised: bool = False, observing: bool = False) -> None:
        """Switch all layers between float, fake-quantised and observing."""
        super().set_mode(quantised=quantised, observing=observing)
        self.observing = observing
        if observing:
            self.known_peak.zero_()
