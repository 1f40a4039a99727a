"""The float layers of light networks, as values, and how maps go through them.

Nothing here computes, and torch is not needed. Torch (`blocks.light`) and graphs (`graphs.transforms`) turn each layer
into a module or nodes that take and give maps of their kind. So the trained network and the exported one cannot differ
in structure.

    block    x + 1×1(depthwise 3×3(leaky(1×1 x))), and then x + 1×1(leaky(1×1 x)) through twice the width
    down     squares of 2×2 become channels, 1×1
    up       1×1, channels become squares of 2×2
    h_a      1×1, leaky, depthwise 3×3, leaky, then twice squares of 2×2 and 1×1, with the same after the first
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from . import stages
from .spec import ModelSpec, Passes
from .stages import Kind, Plan, require_factor

Map = TypeVar("Map")
Layer = TypeVar("Layer")
Layer_co = TypeVar("Layer_co", covariant=True)

SLOPE = 0.01
"""Negative slope of LeakyReLU in the float networks."""
Z_GAIN = 2.0
"""Factor of the output of h_a, so that a fresh network's z does not round to zero everywhere."""


class LayerSpec(NamedTuple):
    """A layer: [B, inputs, H, W] → [B, outputs, H·spread/gather, W·spread/gather].

    Squares of gather² positions become channels; then a convolution of kernel², with zeros around the map, or of each
    channel on its own (depthwise); then channels become squares of spread² positions. Both orders are those of
    `pixel_shuffle`.
    """

    inputs: int
    outputs: int
    kernel: int = 1
    gather: int = 1
    spread: int = 1
    depthwise: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of its weights: [O, I], or [O, I, k, k], where I is 1 for a depthwise layer."""
        rows, columns = self.outputs * self.spread**2, 1 if self.depthwise else self.inputs * self.gather**2
        return (rows, columns) if self.kernel == 1 else (rows, columns, self.kernel, self.kernel)

    @property
    def reach(self) -> int:
        """How far it sees, in positions of its output."""
        return self.kernel // 2 * self.spread


# ── Blocks and ways ───────────────────────────────────────────────────────────────────────────────────────


class BlockLayers(NamedTuple, Generic[Layer]):
    """The layers of a block: values, or what is made from them."""

    into: Layer
    around: Layer
    out: Layer
    widen: Layer
    narrow: Layer


def block_layers(width: int) -> BlockLayers[LayerSpec]:
    """The layers of a block of this width; they cost 6·C² + 9·C multiply-accumulates a position."""
    one, around = LayerSpec(width, width), LayerSpec(width, width, kernel=3, depthwise=True)
    return BlockLayers(one, around, one, LayerSpec(width, 2 * width), LayerSpec(2 * width, width))


class Product(Protocol[Map]):
    """A 1×1 layer that can be called."""

    def __call__(self, x: Map, *, leaky: bool = False, plus: Map | None = None) -> Map:
        """Of x; then LeakyReLU, or `plus` added."""


class LightBlock(Protocol[Map]):
    """A block whose layers can be called."""

    @property
    def into(self) -> Product[Map]:
        """1×1."""

    @property
    def around(self) -> Callable[[Map], Map]:
        """Depthwise 3×3."""

    @property
    def out(self) -> Product[Map]:
        """1×1."""

    @property
    def widen(self) -> Product[Map]:
        """1×1, to twice the width."""

    @property
    def narrow(self) -> Product[Map]:
        """1×1, and back."""


def through_block(block: LightBlock[Map], x: Map) -> Map:
    """Two changes to a map: one from the neighbourhood, one from the channels."""
    x = block.out(block.around(block.into(x, leaky=True)), plus=x)
    return block.narrow(block.widen(x, leaky=True), plus=x)


class LightKind(Kind[LayerSpec, BlockLayers[LayerSpec]]):
    """Up to four stages, the last at 1/16."""

    scaled = True

    def block(self, width: int, number: int) -> BlockLayers[LayerSpec]:
        """All alike."""
        return block_layers(width)

    def from_pixels(self, width: int, factor: int) -> LayerSpec:
        """Any factor."""
        return LayerSpec(3, width, kernel=3, gather=factor)

    def down(self, inputs: int, width: int) -> LayerSpec:
        """Halve a map."""
        return LayerSpec(inputs, width, gather=2)

    def to_latents(self, width: int, latents: int, factor: int) -> LayerSpec:
        """A matrix product at 1/16."""
        require_factor(factor, 1, "the last layer of light stages")
        return LayerSpec(width, latents)

    def from_latents(self, latents: int, width: int, factor: int) -> LayerSpec:
        """A matrix product at 1/16."""
        require_factor(factor, 1, "the first layer of light stages")
        return LayerSpec(latents, width)

    def up(self, inputs: int, width: int) -> LayerSpec:
        """Double a map."""
        return LayerSpec(inputs, width, spread=2)

    def to_pixels(self, width: int, factor: int) -> LayerSpec:
        """Sub-pixel convolution."""
        return LayerSpec(width, 3, kernel=3, spread=factor)


LIGHT = LightKind()
KINDS: dict[str, Kind[LayerSpec, BlockLayers[LayerSpec]]] = {"light": LIGHT}
"""The kinds of blocks that are described as values, by their name in a `Stage`; graphs support only these."""


def squares_down(latents: int) -> LayerSpec:
    """The principal shortcut beside g_a."""
    return LayerSpec(3, latents, gather=16)


def squares_up(latents: int) -> LayerSpec:
    """The principal shortcut beside g_s."""
    return LayerSpec(latents, 3, spread=16)


# ── h_a ───────────────────────────────────────────────────────────────────────────────────────────────────


class HyperLayers(NamedTuple, Generic[Layer]):
    """The layers of h_a: three 1×1 ones, and a depthwise one after each of the first two."""

    layers: tuple[Layer, ...]
    around: tuple[Layer, ...]


def hyper_layers(spec: ModelSpec, passes: Passes) -> HyperLayers[LayerSpec]:
    """h_a: the gained y [B, M, H/16, W/16] → z [B, Z, H/64, W/64]."""
    side = passes.side
    around = LayerSpec(side, side, kernel=3, depthwise=True)
    layers = (
        LayerSpec(spec.latents, side),
        LayerSpec(side, side, gather=2),
        LayerSpec(side, spec.hyper_latents, gather=2),
    )
    return HyperLayers(layers, (around, around))


class HyperAnalysing(Protocol[Map]):
    """The interface of h_a."""

    @property
    def layers(self) -> Sequence[Callable[[Map], Map]]:
        """See `HyperLayers`."""

    @property
    def around(self) -> Sequence[Callable[[Map], Map]]:
        """See `HyperLayers`."""

    def compressed(self, y: Map) -> Map:
        """sign(y)·log(1 + |y|), because y of q7 is six times that of q1."""

    def leaky(self, x: Map) -> Map:
        """LeakyReLU; x may be overwritten."""

    def gained(self, z: Map) -> Map:
        """Times Z_GAIN, in float32."""


def through_hyper(of: HyperAnalysing[Map], y: Map) -> Map:
    """z before rounding."""
    x = of.compressed(y)
    for layer, around in zip(of.layers, of.around, strict=False):
        x = of.leaky(around(of.leaky(layer(x))))
    return of.gained(of.layers[-1](x))


# ── Whole networks ────────────────────────────────────────────────────────────────────────────────────────


def plans(spec: ModelSpec) -> dict[str, Plan[LayerSpec]]:
    """g_a and g_s. Raises KeyError for stages that are not of KINDS, ValueError for stages at a wrong place."""
    return {"g_a": stages.analysis(spec, KINDS.__getitem__), "g_s": stages.synthesis(spec, KINDS.__getitem__)}


def block_names(plan: Plan[LayerSpec]) -> Iterator[list[str]]:
    """The names of the blocks of each stage."""
    for i, stage in enumerate(plan.stages):
        yield [f"groups.{i}.{number}" for number in range(stage.blocks)]


def layers_of(spec: ModelSpec) -> dict[str, LayerSpec]:
    """Every layer of g_a, g_s and h_a by its name in a weights file; raises like `plans`."""
    out: dict[str, LayerSpec] = {}
    for way, plan in plans(spec).items():
        out |= {f"{way}.{plan.name}.{i}": layer for i, layer in enumerate(plan.ways)}
        for stage, names in zip(plan.stages, block_names(plan), strict=True):
            for number, name in enumerate(names):
                block = KINDS[stage.kind].block(stage.width, number)
                out |= {f"{way}.{name}.{key}": layer for key, layer in block._asdict().items()}
        out[f"{way}.last"] = plan.last
    if spec.shortcut == "principal":
        out |= {"g_a.shortcut.0": squares_down(spec.latents), "g_s.shortcut.0": squares_up(spec.latents)}
    if spec.entropy is not None:
        for kind, layers in hyper_layers(spec, spec.entropy)._asdict().items():
            out |= {f"h_a.{kind}.{i}": layer for i, layer in enumerate(layers)}
    return out
