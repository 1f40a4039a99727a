"""g_a, g_s and h_a, the float half of a network (Fig. 2), built from a `ModelSpec`.

`stages` describes the way through the stages, also for graphs; `blocks` has the kinds. Stages return their maps for
feature distillation (Eq. 5); there are no hooks. If a kind of block asks for it, the inputs of its stages are scaled by
quality: a learned vector for each quality and stage, interpolated geometrically like the gains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..entropy.precision import in_float32
from .attention import WindowAttentionModule
from .blocks import kind_of
from .blocks.layers import add, grain_of, interpolated, leaky_relu, reach_of, scaled
from .shortcuts import shortcut_down, shortcut_up
from .spec import ModelSpec, Stage
from .stages import Plan, analysis, pixels_beyond, synthesis, through_stages


class Transformed(NamedTuple):
    """Result of g_a or g_s and the maps of its inner stages, coarse to fine for g_s and fine to coarse for g_a."""

    value: Tensor
    taps: tuple[Tensor, ...]


class Transform(nn.Module):
    """The common part of g_a and g_s: their stages, and how far they see.

    reach: pixels that a result depends on beyond its own; grain: pixels that edges of tiles must be multiples of.
    """

    def __init__(self, plan: Plan[nn.Module], qualities: int) -> None:
        super().__init__()
        self._ways, stages = plan.name, plan.stages
        self.add_module(plan.name, nn.ModuleList(plan.ways))
        self.attention = nn.ModuleList(_attention(stages))
        self.groups = nn.ModuleList(_group(stage) for stage in stages)
        self.last = plan.last
        inside = list(zip(self.attention, self.groups, strict=True))
        self.reach = pixels_beyond(plan, inside, reach_of)
        parts = zip(stages, plan.ways, inside, strict=True)
        self.grain = math.lcm(16, *(s.at * grain_of(module) for s, way, rest in parts for module in (way, *rest)))
        self.scales = nn.ParameterDict({  # logarithms, for the stages that are scaled by quality
            str(i): nn.Parameter(torch.zeros(qualities, stage.width))
            for i, stage in enumerate(stages) if kind_of(stage.kind).scaled
        })  # fmt: skip
        self.shortcut = nn.ModuleList()

    @property
    def sees_quality(self) -> bool:
        """Whether the result depends on the quality."""
        return len(self.scales) > 0

    def forward(self, x: Tensor, quality: Tensor) -> Transformed:
        """Run all stages and the last layer, with the linear shortcut beside them; quality [B] in 1 … Q.

        The result is always float32.
        """
        value, taps = through_stages(self, x, quality)
        return Transformed(value, tuple(taps))

    @property
    def ways(self) -> nn.ModuleList:
        """The layer that leads into each stage."""
        return getattr(self, self._ways)

    def scaled(self, i: int, x: Tensor, quality: Tensor) -> Tensor:
        """The input of stage i, scaled by quality if its kind of block asks for it."""
        return scaled(x, interpolated(self.scales[str(i)], quality)) if str(i) in self.scales else x

    def step(self, i: int, x: Tensor) -> Tensor:
        """Step i of the linear shortcut."""
        with in_float32(x):  # it carries the picture itself, which eight bits of mantissa would blur
            return self.shortcut[i](x.float())

    def sum(self, x: Tensor, y: Tensor) -> Tensor:
        """x + y, written into x if no gradient needs it."""
        return add(x, y)

    def linear(self, x: Tensor) -> Tensor:
        """The linear shortcut only: one half of a linear transform codec."""
        for step in self.shortcut:
            x = step(x)
        return x


def _attention(stages: Sequence[Stage]) -> list[nn.Module]:
    """The layers before the blocks of each stage; every other module starts with shifted windows."""
    modules: list[nn.Module] = []
    for stage in stages:
        a, before = stage.attention, sum(isinstance(m, WindowAttentionModule) for m in modules)
        if a is None:
            modules.append(nn.Identity())
            continue
        shift = a.window // 2 if before % 2 else 0
        modules.append(
            WindowAttentionModule(
                stage.width, version=a.version, window=a.window, heads=a.heads, blocks=a.blocks, first_shift=shift
            )
        )
    return modules


def _group(stage: Stage) -> nn.Sequential:
    """The blocks of one stage (RG of Fig. 6)."""
    kind = kind_of(stage.kind)
    return nn.Sequential(*(kind.block(stage.width, number) for number in range(stage.blocks)))


class Analysis(Transform):
    """g_a: a picture [B, 3, H, W] in 0..1 → y [B, M, H/16, W/16]; H and W multiples of 16."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(analysis(spec, kind_of), len(spec.lambdas))
        self.shortcut.extend(shortcut_down(spec))


class Synthesis(Transform):
    """g_s: ŷ [B, M, H/16, W/16] → a picture [B, 3, H, W], nominally in 0..1, not clamped."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(synthesis(spec, kind_of), len(spec.lambdas))
        self.shortcut.extend(shortcut_up(spec))


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
        """z before rounding. y is compressed to sign(y)·log(1 + |y|), because y of q7 is six times that of q1."""
        with in_float32(y):
            x = y.float().sign() * torch.log1p(y.float().abs())
            x = leaky_relu(self.conv(x))
            x = leaky_relu(self.down1(x))
            x = leaky_relu(self.middle(x))
            return self.GAIN * self.down2(x)
