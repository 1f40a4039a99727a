"""`FedsModel`: transforms, gains and entropy side of one network, and the results of a forward pass."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .blocks.layers import interpolated
from .hyper import LightHyperAnalysis
from .light_layers import SLOPE
from .light_side import LightSide
from .slices import FloatSide
from .spec import ModelSpec
from .transforms import Analysis, HyperAnalysis, Synthesis
from .twins import EntropyConv
from .walk import SymbolCoder, walk


class Latents(NamedTuple):
    """The result of the encoder's pass; taps are the inner maps of g_a."""

    y: Tensor  # [B, M, H/16, W/16], gained
    y_hat: Tensor  # the same, quantised
    taps: tuple[Tensor, ...]


class Output(NamedTuple):
    """The result of one pass through a network; taps are the inner maps of g_a and g_s, in order of computation."""

    x_hat: Tensor  # [B, 3, H, W]
    y: Tensor  # [B, M, H/16, W/16], gained
    y_hat: Tensor  # the same, quantised
    taps: tuple[Tensor, ...]


class Gains(nn.Module):
    """A pair of gain vectors per quality, interpolated geometrically between neighbours (design of Cui 2020).

    The encoder multiplies y before rounding, the decoder divides after the symbols are known: nothing here chooses a
    probability table, so it may be float.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        start = [0.5 * math.log(lam / spec.middle_lambda) for lam in spec.lambdas]  # step ∝ 1/√λ at high rate
        self.log_gain = nn.Parameter(torch.tensor([[s] * spec.latents for s in start]))
        self.log_inverse = nn.Parameter(torch.tensor([[-s] * spec.latents for s in start]))

    def forward(self, quality: Tensor) -> tuple[Tensor, Tensor]:
        """quality [B] in 1 … Q → gain and inverse gain, both [B, M, 1, 1]."""
        return interpolated(self.log_gain, quality), interpolated(self.log_inverse, quality)


class FedsModel(nn.Module):
    """The networks of Fig. 2 for one `ModelSpec`.

           ┌─────┐  y ┌──────┐      ┌─────┐ z   ┌───┐ ẑ  ┌─────┐ side
    x ──►──┤ g_a ├─►──┤ gain ├─►─┬──┤ h_a ├──►──┤ Q ├─►──┤ h_s ├──►──┐
           └─────┘    └──────┘   │  └─────┘     └───┘    └─────┘      │
                                 └──────────► parts, one after the other
           ┌─────┐    ┌────────┐  ŷ             │
    x̂ ──◄──┤ g_s ├─◄──┤ 1/gain ├──────◄─────────┘
           └─────┘    └────────┘
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.g_a = Analysis(spec)
        self.g_s = Synthesis(spec)
        self.h_a = HyperAnalysis(spec) if spec.entropy is None else LightHyperAnalysis(spec, spec.entropy)
        self.gains = Gains(spec)
        self.float_side = FloatSide(spec) if spec.entropy is None else LightSide(spec, spec.entropy)
        _initialise(self)

    def encode(self, x: Tensor, quality: Tensor, coder: SymbolCoder) -> Latents:
        """The encoder's pass: analyse, gain, h_a, walk. x, quality and coder as in `forward`."""
        analysed = self.g_a(x, quality)
        return self.code(analysed.value.float(), quality, coder, analysed.taps)

    def code(self, latents: Tensor, quality: Tensor, coder: SymbolCoder, taps: tuple[Tensor, ...] = ()) -> Latents:
        """Everything after g_a: gain, h_a, walk; latents [B, M, H/16, W/16] of g_a."""
        y = latents * self.gains(quality)[0]
        return Latents(y, walk(self.float_side, self.h_a(y), y, quality, coder), taps)

    def forward(self, x: Tensor, quality: Tensor, coder: SymbolCoder) -> Output:
        """x [B, 3, H, W] in 0..1, sides multiples of 64; quality [B] in 1 … Q; coder: estimates the rate."""
        return self._decoded(self.encode(x, quality, coder), quality, self.gains(quality)[1])

    def decoder_only(self, x: Tensor, quality: Tensor, coder: SymbolCoder) -> Output:
        """The same pass with gradients for g_s alone: files do not change, only their pictures improve."""
        with torch.no_grad():
            latents, inverse = self.encode(x, quality, coder), self.gains(quality)[1]
        return self._decoded(latents, quality, inverse)

    def linear(self, x: Tensor, quality: Tensor, coder: SymbolCoder) -> Output:
        """The same pass with the linear shortcut only: a linear transform codec with a learned entropy model."""
        latents = self.code(self.g_a.linear(x), quality, coder)
        return Output(self.g_s.linear(latents.y_hat * self.gains(quality)[1]), latents.y, latents.y_hat, ())

    def _decoded(self, latents: Latents, quality: Tensor, inverse: Tensor) -> Output:
        synthesised = self.g_s(latents.y_hat * inverse, quality)
        return Output(synthesised.value, latents.y, latents.y_hat, (*latents.taps, *synthesised.taps))


@torch.no_grad()
def _initialise(model: FedsModel) -> None:
    """He initialisation for the ten layers from y to a table index.

    g_a and g_s keep torch's smaller default: three inverse GDNs in a row would make large activations enormous. Blocks
    with another initialisation have a `start`.
    """
    if model.gains.log_gain.is_meta:
        return  # nothing to fill, and asking costs seconds of imports
    for module in (*model.h_a.modules(), *model.float_side.modules()):
        if isinstance(module, (nn.Conv2d, EntropyConv)):
            nn.init.kaiming_normal_(module.weight, a=SLOPE, nonlinearity="leaky_relu")
        if isinstance(module, EntropyConv) and module.kind in ("mean", "index"):
            module.weight.mul_(0.05)  # the first guess is the bias alone
    for module in model.modules():
        if callable(start := getattr(module, "start", None)):
            start()
