"""g_a, g_s and h_a, the float half of a network (Fig. 2), wired from a `ModelSpec`.

        x ─► DownBlock ─► attention ─► RG ─► DownBlock ─► attention ─► RG ─► DownBlock ─► RG ─► conv s2 ─► y
    sizes   /2                             /4                             /8                   /16
        x ─► Haar, 1×1 ──────────┬─► Haar, 1×1 ─────────────┬─► Haar, 1×1 ───┬─► Haar, 1×1 ──► added to y
                        added to stage 1            added to stage 2   added to stage 3       (spec.wavelet)

g_s is the mirror image. Stages return their maps for feature distillation (Eq. 5); there are no hooks.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import WindowAttentionModule
from .blocks import DownBlock, HaarDown, HaarUp, UpBlock, add, in_float32, leaky_relu, residual_group
from .spec import ModelSpec


class Transformed(NamedTuple):
    """Result of g_a or g_s and the maps of its inner stages, coarse to fine for g_s and fine to coarse for g_a."""

    value: Tensor
    taps: tuple[Tensor, ...]


def _attention(spec: ModelSpec, shift: bool) -> nn.Module:
    if spec.attention is None:
        return nn.Identity()
    a = spec.attention
    first_shift = a.window // 2 if shift else 0
    return WindowAttentionModule(
        spec.filters,
        version=a.version,
        window=a.window,
        heads=a.heads,
        blocks=a.blocks,
        first_shift=first_shift,
    )


class Analysis(nn.Module):
    """g_a: a picture [B, 3, H, W] in 0..1 → y [B, M, H/16, W/16]; H and W multiples of 16."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        n = spec.filters
        self.down = nn.ModuleList([DownBlock(3, n), DownBlock(n, n), DownBlock(n, n)])
        self.attention = nn.ModuleList([_attention(spec, False), _attention(spec, True), nn.Identity()])
        self.groups = nn.ModuleList(residual_group(spec) for _ in range(3))
        self.last = nn.Conv2d(n, spec.latents, 3, stride=2, padding=1)
        self.shortcut = nn.ModuleList()
        if spec.wavelet:
            widths = [3, n, n, n, spec.latents]
            self.shortcut.extend(HaarDown(i, o) for i, o in zip(widths, widths[1:], strict=False))

    def forward(self, x: Tensor) -> Transformed:
        """Analyse x; the last layer runs in float32 whatever the autocast of the caller."""
        linear = x
        taps: list[Tensor] = []
        for i, (down, attention, group) in enumerate(zip(self.down, self.attention, self.groups, strict=True)):
            x = group(attention(down(x)))
            if self.shortcut:
                with in_float32(linear):  # it carries the picture itself, which eight bits of mantissa would blur
                    linear = self.shortcut[i](linear.float())
                x = add(x, linear)
            taps.append(x)
        with in_float32(x):
            y = self.last(x.float())
            if self.shortcut:
                y = add(y, self.shortcut[3](linear.float()))
        return Transformed(y, tuple(taps))

    def linear(self, x: Tensor) -> Tensor:
        """The wavelet shortcut alone, [B, 3, H, W] → [B, M, H/16, W/16]: a linear transform codec's analysis."""
        for conv in self.shortcut:
            x = conv(x)
        return x


class Synthesis(nn.Module):
    """g_s: ŷ [B, M, H/16, W/16] → a picture [B, 3, H, W], nominally in 0..1, not clamped."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        n = spec.filters
        self.up = nn.ModuleList([UpBlock(spec.latents, n), UpBlock(n, n), UpBlock(n, n)])
        self.attention = nn.ModuleList([nn.Identity(), _attention(spec, False), _attention(spec, True)])
        self.groups = nn.ModuleList(residual_group(spec) for _ in range(3))
        self.last = nn.Conv2d(n, 12, 3, padding=1)
        self.shortcut = nn.ModuleList()
        if spec.wavelet:
            widths = [spec.latents, n, n, n, 3]
            self.shortcut.extend(HaarUp(i, o) for i, o in zip(widths, widths[1:], strict=False))

    def forward(self, y_hat: Tensor) -> Transformed:
        """Synthesise ŷ; the last layer runs in float32 whatever the autocast of the caller."""
        x = linear = y_hat
        taps: list[Tensor] = []
        for i, (up, attention, group) in enumerate(zip(self.up, self.attention, self.groups, strict=True)):
            x = group(attention(up(x)))
            if self.shortcut:
                with in_float32(linear):  # it carries the picture itself, which eight bits of mantissa would blur
                    linear = self.shortcut[i](linear.float())
                x = add(x, linear)
            taps.append(x)
        with in_float32(x):
            out = F.pixel_shuffle(self.last(x.float()), 2)
            if self.shortcut:
                out = add(out, self.shortcut[3](linear.float()))
        return Transformed(out, tuple(taps))

    def linear(self, y_hat: Tensor) -> Tensor:
        """The wavelet shortcut alone: a linear transform codec's synthesis."""
        for conv in self.shortcut:
            y_hat = conv(y_hat)
        return y_hat


class HyperAnalysis(nn.Module):
    """h_a: the gained y [B, M, H/16, W/16] → z [B, Z, H/64, W/64]; only the encoder runs it, in float."""

    GAIN = 2.0  # a fresh network's z should not all round to zero

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        z = spec.hyper_latents
        self.conv = nn.Conv2d(spec.latents, z, 3, padding=1)
        self.down1 = nn.Conv2d(z, z, 3, stride=2, padding=1)
        self.middle = nn.Conv2d(z, z, 3, padding=1)
        self.down2 = nn.Conv2d(z, z, 3, stride=2, padding=1)

    def forward(self, y: Tensor) -> Tensor:
        """z before rounding. y goes in as sign(y)·log(1 + |y|): that of q7 is six times that of q1."""
        with in_float32(y):
            x = y.float().sign() * torch.log1p(y.float().abs())
            x = leaky_relu(self.conv(x))
            x = leaky_relu(self.down1(x))
            x = leaky_relu(self.middle(x))
            return self.GAIN * self.down2(x)
