"""How g_a and g_s go through their stages, for modules of torch and for nodes of a graph.

    x ─► [way ─► scaled by quality ─► attention ─► blocks] ─► … once for each stage … ─► last ─► value
    x ─► linear shortcut ─────────────────────────────────────────────────────────────► added to it, see `shortcuts`

g_s is the mirror image of g_a: from ŷ through the stages in reverse order, to a picture. What a stage is made of stands
in `spec.stages`, and a `Kind` says what that means. Nothing here computes, and torch is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from itertools import pairwise
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from .spec import ModelSpec, Stage

Map = TypeVar("Map")
"""What goes through layers: tensors [B, C, H, W], or the names of maps in a graph."""
Quality = TypeVar("Quality", contravariant=True)
Layer = TypeVar("Layer")
Layer_co = TypeVar("Layer_co", covariant=True)
Block_co = TypeVar("Block_co", covariant=True)


class Kind(Protocol[Layer_co, Block_co]):
    """The interface of a kind of block, from which stages of g_a and g_s are built.

    Layers say how far they see (`reach`, in positions of their output). Modules that do not keep torch's initialisation
    have a method `start`. A way that a kind does not have raises ValueError.

    scaled: whether the inputs of its stages are scaled by quality.
    """

    scaled: bool = False

    def block(self, width: int, number: int) -> Block_co:
        """The block of that number in its stage, [B, width, H, W] → the same shape."""

    def from_pixels(self, width: int, factor: int) -> Layer_co:
        """[B, 3, H, W] → [B, width, H/factor, W/factor]."""

    def down(self, inputs: int, width: int) -> Layer_co:
        """[B, inputs, H, W] → [B, width, H/2, W/2]."""

    def to_latents(self, width: int, latents: int, factor: int) -> Layer_co:
        """[B, width, H, W] → [B, latents, H/factor, W/factor], float32."""

    def from_latents(self, latents: int, width: int, factor: int) -> Layer_co:
        """[B, latents, H, W] → [B, width, H·factor, W·factor]."""

    def up(self, inputs: int, width: int) -> Layer_co:
        """[B, inputs, H, W] → [B, width, 2H, 2W]."""

    def to_pixels(self, width: int, factor: int) -> Layer_co:
        """[B, width, H, W] → [B, 3, H·factor, W·factor], float32."""


def require_factor(found: int, wanted: int, what: str) -> None:
    """Raise ValueError unless this kind of block supports a stage at this place."""
    if found != wanted:
        raise ValueError(f"{what} changes the size by {wanted}, but the stages ask for {found}")


class Plan(NamedTuple, Generic[Layer]):
    """The stages of g_a or g_s in order, the way into each with its name, and the last layer.

    at: the resolution of the last layer's output, as 1/at of the picture's side.
    """

    stages: tuple[Stage, ...]
    name: str
    ways: list[Layer]
    last: Layer
    at: int


def analysis(spec: ModelSpec, kind_of: Callable[[str], Kind[Layer, Any]]) -> Plan[Layer]:
    """g_a. Raises ValueError if a kind of block does not support a stage's place."""
    stages, last = spec.stages, spec.stages[-1]
    down = [kind_of(stages[0].kind).from_pixels(stages[0].width, stages[0].at)]
    down += [kind_of(b.kind).down(a.width, b.width) for a, b in pairwise(stages)]
    out = kind_of(last.kind).to_latents(last.width, spec.latents, 16 // last.at)
    return Plan(stages, "down", down, out, 16)


def synthesis(spec: ModelSpec, kind_of: Callable[[str], Kind[Layer, Any]]) -> Plan[Layer]:
    """g_s. Raises ValueError as in `analysis`."""
    stages, last = spec.stages[::-1], spec.stages[0]
    up = [kind_of(stages[0].kind).from_latents(spec.latents, stages[0].width, 16 // stages[0].at)]
    up += [kind_of(b.kind).up(a.width, b.width) for a, b in pairwise(stages)]
    return Plan(stages, "up", up, kind_of(last.kind).to_pixels(last.width, last.at), 1)


def pixels_beyond(plan: Plan[Layer], groups: Iterable[Iterable[Any]], reach: Callable[[Any], float]) -> float:
    """Pixels that a result depends on beyond its own; groups: the layers after the way into each stage."""
    parts = zip(plan.stages, plan.ways, groups, strict=True)
    beyond = sum(stage.at * (reach(way) + sum(map(reach, group))) for stage, way, group in parts)
    return beyond + plan.at * reach(plan.last)


class Transforming(Protocol[Map, Quality]):
    """The interface of g_a or g_s: layers that are called with a map."""

    @property
    def ways(self) -> Iterable[Callable[[Map], Map]]:
        """The layer that leads into each stage."""

    @property
    def attention(self) -> Iterable[Callable[[Map], Map]]:
        """The layers before the blocks of each stage."""

    @property
    def groups(self) -> Iterable[Iterable[Callable[[Map], Map]]]:
        """The blocks of each stage."""

    @property
    def last(self) -> Callable[[Map], Map]:
        """The last layer."""

    @property
    def shortcut(self) -> Sized:
        """The steps of the linear shortcut: none, one, or one for each stage and the last layer."""

    def scaled(self, i: int, x: Map, quality: Quality) -> Map:
        """The input of stage i, scaled by quality if its kind of block asks for it."""

    def step(self, i: int, x: Map) -> Map:
        """Step i of the linear shortcut."""

    def sum(self, x: Map, y: Map) -> Map:
        """x + y; x may be overwritten."""


def through_stages(of: Transforming[Map, Quality], x: Map, quality: Quality) -> tuple[Map, Sequence[Map]]:
    """The value of g_a or g_s, and the map of each stage."""
    linear, taps = x, list[Map]()
    for i, (way, attention, group) in enumerate(zip(of.ways, of.attention, of.groups, strict=True)):
        x = attention(of.scaled(i, way(x), quality))
        for block in group:
            x = block(x)
        if len(of.shortcut) > 1:  # one step a stage
            linear = of.step(i, linear)
            x = of.sum(x, linear)
        taps.append(x)
    value = of.last(x)
    return (of.sum(value, of.step(-1, linear)) if len(of.shortcut) else value), taps
