"""g_a, h_a and g_s of a light network as graphs, built from its spec and the arrays of its weights file.

    g_a   picture uint8 [H, W, 3], quality [1] → latents [1, M, H/16, W/16], or y, if gained
    h_a   y [1, M, H/16, W/16] → z [1, Z, H/64, W/64]
    g_s   y_hat [1, M, H/16, W/16] by its inverse gain (or as it is, if gained), quality [1] → picture uint8 [H, W, 3]

H and W are multiples of 64 (of 16 but for h_a). Which layers there are and how maps go through them is in
`networks.light_layers` and `networks.stages`, as for the torch networks; here layers become nodes. Where torch gathers
squares of positions into channels and multiplies, a graph has a convolution with a stride: the same products.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ..networks.light_layers import (
    KINDS,
    SLOPE,
    Z_GAIN,
    BlockLayers,
    LayerSpec,
    block_names,
    layers_of,
    plans,
    through_block,
    through_hyper,
)
from ..networks.spec import ModelSpec
from ..networks.stages import pixels_beyond, through_stages
from .building import Graph

Arrays = Mapping[str, np.ndarray]


class Sight(NamedTuple):
    """How far a transform sees in pixels, and the pixels that edges of its tiles must be multiples of."""

    reach: float
    grain: int = 16


def can_be_exported(spec: ModelSpec) -> bool:
    """Whether graphs support all parts of a network: described kinds of blocks, and passes."""
    plain = all(stage.kind in KINDS and stage.attention is None for stage in spec.stages)
    return plain and spec.entropy is not None and spec.shortcut in ("none", "principal") and spec.stages[-1].at == 16


def sight_of(spec: ModelSpec, way: str) -> Sight:
    """The sight of "g_a" or "g_s"."""
    plan, layers = plans(spec)[way], layers_of(spec)
    groups = [
        [layers[f"{way}.{name}.{key}"] for name in names for key in BlockLayers._fields] for names in block_names(plan)
    ]
    return Sight(pixels_beyond(plan, groups, lambda layer: layer.reach))


class Layer:
    """A layer as nodes, which are added when it is called with a map."""

    def __init__(self, graph: Graph, spec: LayerSpec, weight: np.ndarray, bias: np.ndarray) -> None:
        self.graph, self.spec, self.weight, self.bias = graph, spec, weight, bias

    def __call__(self, x: str, *, leaky: bool = False, plus: str | None = None) -> str:
        """Apply to x; then LeakyReLU, or add `plus`."""
        graph, (inputs, _, kernel, by, spread, depthwise) = self.graph, self.spec
        weight, bias = (array.astype(np.float32) for array in (self.weight, self.bias))
        if depthwise:
            x = graph.depthwise(x, weight[:, 0], bias)
        else:
            taps = weight.reshape(-1, inputs, by, by, kernel, kernel).transpose(0, 1, 4, 2, 5, 3)
            taps = taps.reshape(-1, inputs, kernel * by, kernel * by)
            x = graph.convolution(x, taps, bias, stride=by, padding=kernel // 2 * by)
        x = graph.shuffled(x, spread) if spread > 1 else x
        x = graph.leaky(x, SLOPE) if leaky else x
        return x if plus is None else graph.add("Add", x, plus)


def layers_in(graph: Graph, spec: ModelSpec, arrays: Arrays) -> dict[str, Layer]:
    """Every layer of a transform, by its name within it."""
    return {
        name.removeprefix(f"{graph.name}."): Layer(graph, layer, arrays[f"{name}.weight"], arrays[f"{name}.bias"])
        for name, layer in layers_of(spec).items() if name.startswith(f"{graph.name}.")
    }  # fmt: skip


class _Between(NamedTuple):
    """A quality between two neighbours, counted from 0, and its distance from the first towards the second."""

    low: str
    high: str
    share: str


class _Transform:
    """g_a or g_s as nodes, see `stages.Transforming`."""

    def __init__(self, graph: Graph, spec: ModelSpec, arrays: Arrays) -> None:
        self.graph, self.arrays, plan = graph, arrays, plans(spec)[graph.name]
        layers = layers_in(graph, spec, arrays)
        self.ways = [layers[f"{plan.name}.{i}"] for i in range(len(plan.ways))]
        self.attention: list[Callable[[str], str]] = [str] * len(plan.stages)  # which changes nothing
        self.groups = [[self._block(layers, name) for name in names] for names in block_names(plan)]
        self.last = layers["last"]
        self.shortcut: Sequence[Layer] = [layer for name, layer in layers.items() if name.startswith("shortcut.")]

    @staticmethod
    def _block(layers: Mapping[str, Layer], name: str) -> Callable[[str], str]:
        return partial(through_block, BlockLayers(*(layers[f"{name}.{key}"] for key in BlockLayers._fields)))

    def scaled(self, i: int, x: str, quality: _Between) -> str:
        graph, table = self.graph, self.arrays.get(f"{self.graph.name}.scales.{i}")
        if table is not None:
            x = graph.add("Mul", x, _factor(graph, table.astype(np.float32), quality))
        return graph.add("MaxPool", x, kernel_shape=(1, 1))  # changes nothing: after it ONNX Runtime keeps its layout

    def step(self, i: int, x: str) -> str:
        return self.shortcut[i](x)

    def sum(self, x: str, y: str) -> str:
        return self.graph.add("Add", x, y)


class _HyperAnalysis:
    """h_a as nodes, see `light_layers.HyperAnalysing`."""

    def __init__(self, graph: Graph, spec: ModelSpec, arrays: Arrays) -> None:
        self.graph, layers = graph, layers_in(graph, spec, arrays)
        self.layers, self.around = (
            [layer for name, layer in layers.items() if name.startswith(f"{kind}.")] for kind in ("layers", "around")
        )

    def compressed(self, y: str) -> str:
        add = self.graph.add
        return add("Mul", add("Sign", y), add("Log", add("Add", add("Abs", y), self.graph.number(1))))

    def leaky(self, x: str) -> str:
        return self.graph.leaky(x, SLOPE)

    def gained(self, z: str) -> str:
        return self.graph.add("Mul", z, self.graph.number(Z_GAIN))


def analysis(spec: ModelSpec, arrays: Arrays, *, gained: bool = False) -> Graph:
    """g_a."""
    graph = Graph("g_a")
    pixels = graph.given("picture", "uint8", "height", "width", 3)
    quality = _between(graph, graph.given("quality", "float32", 1), len(spec.lambdas))
    levels = graph.moved(graph.cast(pixels, "float32"), 2, 0, 1)
    picture = graph.add("Mul", graph.add("Unsqueeze", levels, graph.numbers(0)), graph.number(1 / 255))
    y, _ = through_stages(_Transform(graph, spec, arrays), picture, quality)
    if gained:
        y = graph.add("Mul", y, _factor(graph, arrays["gains.log_gain"].astype(np.float32), quality))
    graph.gives(y, "y" if gained else "latents", "float32", 1, spec.latents, "height/16", "width/16")
    return graph


def synthesis(spec: ModelSpec, arrays: Arrays, *, gained: bool = False, grey: bool = False) -> Graph:
    """g_s; with grey, every channel is the mean of the three."""
    graph = Graph("g_s")
    y_hat = graph.given("y_hat", "float32", 1, spec.latents, "height/16", "width/16")
    quality = _between(graph, graph.given("quality", "float32", 1), len(spec.lambdas))
    if gained:
        y_hat = graph.add("Mul", y_hat, _factor(graph, arrays["gains.log_inverse"].astype(np.float32), quality))
    x, _ = through_stages(_Transform(graph, spec, arrays), y_hat, quality)
    graph.gives(_as_bytes(graph, x, grey=grey), "picture", "uint8", "height", "width", 3)
    return graph


def hyper_analysis(spec: ModelSpec, arrays: Arrays) -> Graph:
    """h_a."""
    graph = Graph("h_a")
    y = graph.given("y", "float32", 1, spec.latents, "height/16", "width/16")
    z = through_hyper(_HyperAnalysis(graph, spec, arrays), y)
    graph.gives(z, "z", "float32", 1, spec.hyper_latents, "height/64", "width/64")
    return graph


def _between(graph: Graph, quality: str, qualities: int) -> _Between:
    """The neighbours of a quality in 1 … Q."""
    position = graph.clipped(graph.add("Sub", quality, graph.number(1)), 0, qualities - 1)
    low = graph.add("Min", graph.add("Floor", position), graph.number(max(qualities - 2, 0)))
    high = graph.add("Min", graph.add("Add", low, graph.number(1)), graph.number(qualities - 1))
    return _Between(graph.cast(low, "int64"), graph.cast(high, "int64"), graph.add("Sub", position, low))


def _factor(graph: Graph, logarithms: np.ndarray, quality: _Between) -> str:
    """Factors [1, C, 1, 1] from logarithms [Q, C], interpolated geometrically."""
    table = graph.constant(logarithms)
    first, second = (graph.add("Gather", table, which, axis=0) for which in (quality.low, quality.high))
    between = graph.add("Add", first, graph.add("Mul", quality.share, graph.add("Sub", second, first)))
    return graph.add("Reshape", graph.add("Exp", between), graph.numbers(1, -1, 1, 1))


def _as_bytes(graph: Graph, x: str, *, grey: bool) -> str:
    """[1, 3, H, W] in 0..1 → uint8 [H, W, 3]: clamped, then halves rounded up."""
    if grey:
        mean = graph.add("ReduceMean", x, axes=(1,), keepdims=1)
        x = graph.add("Concat", mean, mean, mean, axis=1)
    levels = graph.add("Add", graph.add("Mul", graph.clipped(x, 0, 1), graph.number(255)), graph.number(0.5))
    return graph.moved(graph.add("Squeeze", graph.cast(graph.add("Floor", levels), "uint8"), graph.numbers(0)), 1, 2, 0)


def gain_of(logarithms: np.ndarray, quality: float) -> np.ndarray:
    """The result of `_factor` without a graph: [1, C, 1, 1] float32 at a quality in 1 … Q."""
    position = min(max(quality - 1, 0.0), len(logarithms) - 1.0)
    low = min(int(position), max(len(logarithms) - 2, 0))
    first, second = (logarithms[i].astype(np.float32) for i in (low, min(low + 1, len(logarithms) - 1)))
    gain: np.ndarray = np.exp(first + np.float32(position - low) * (second - first))
    return gain[None, :, None, None]
