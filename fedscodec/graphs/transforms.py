"""g_a, h_a and g_s of a light network as graphs, built from its spec and the arrays of its weights file.

    g_a   picture uint8 [H, W, 3], quality [1] → latents [1, M, H/16, W/16], or y, if gained
    h_a   y [1, M, H/16, W/16] → z [1, Z, H/64, W/64]
    g_s   y_hat [1, M, H/16, W/16] by its inverse gain (or as it is, if gained), quality [1] → picture uint8 [H, W, 3]

H and W are multiples of 64 (of 16 but for h_a). What a stage sees is scaled by quality in the graph, as in
`networks.transforms`. Where torch gathers squares of positions into channels and multiplies, a graph has a convolution
with a stride: the same products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..networks.spec import ModelSpec, Stage
from .building import Graph

Arrays = Mapping[str, np.ndarray]


class Sight(NamedTuple):
    """How far a transform sees in pixels, and of how many pixels the edges of its tiles are multiples."""

    reach: int
    grain: int = 16


def can_be_exported(spec: ModelSpec) -> bool:
    """Whether a network has only parts that graphs are made of: light stages, and passes."""
    plain = all(stage.kind == "light" and stage.attention is None for stage in spec.stages)
    return plain and spec.entropy is not None and spec.shortcut in ("none", "principal") and spec.stages[-1].at == 16


def sight_of_analysis(spec: ModelSpec) -> Sight:
    """The first layer sees one position of its stage beyond its own, and so does every block."""
    return Sight(spec.stages[0].at + sum(stage.at * stage.blocks for stage in spec.stages))


def sight_of_synthesis(spec: ModelSpec) -> Sight:
    """The last layer sees as the first of g_a."""
    return sight_of_analysis(spec)


class _Layers:
    """The arrays of one transform, in float32."""

    def __init__(self, arrays: Arrays, prefix: str) -> None:
        self.arrays, self.prefix = arrays, prefix

    def under(self, name: str) -> _Layers:
        return _Layers(self.arrays, f"{self.prefix}.{name}")

    def has(self, name: str) -> bool:
        return f"{self.prefix}.{name}" in self.arrays

    def array(self, name: str) -> np.ndarray:
        return self.arrays[f"{self.prefix}.{name}"].astype(np.float32)

    @property
    def both(self) -> tuple[np.ndarray, np.ndarray]:
        return self.array("weight"), self.array("bias")


def analysis(spec: ModelSpec, arrays: Arrays, *, gained: bool = False) -> Graph:
    """g_a."""
    graph, layers = Graph("g_a"), _Layers(arrays, "g_a")
    pixels = graph.given("picture", "uint8", "height", "width", 3)
    weights = _between(graph, graph.given("quality", "float32", 1), len(spec.lambdas))
    levels = graph.moved(graph.cast(pixels, "float32"), 2, 0, 1)
    picture = x = graph.add("Mul", graph.add("Unsqueeze", levels, graph.numbers(0)), graph.number(1 / 255))
    for i, stage in enumerate(spec.stages):
        weight, bias = layers.under(f"down.{i}").both
        x = _from_pixels(graph, x, weight, bias, stage.at) if i == 0 else _squares_in(graph, x, weight, bias, 2)
        x = _stage(graph, x, layers, i, stage, weights)
    y = graph.pointwise(x, *layers.under("last").both)
    if layers.has("shortcut.0.weight"):
        y = graph.add("Add", y, _squares_in(graph, picture, *layers.under("shortcut.0").both, 16))
    if gained:
        y = graph.add("Mul", y, _factor(graph, arrays["gains.log_gain"].astype(np.float32), weights))
    graph.gives(y, "y" if gained else "latents", "float32", 1, spec.latents, "height/16", "width/16")
    return graph


def synthesis(spec: ModelSpec, arrays: Arrays, *, gained: bool = False, grey: bool = False) -> Graph:
    """g_s; with grey, every channel is the mean of the three."""
    graph, layers = Graph("g_s"), _Layers(arrays, "g_s")
    y_hat = x = graph.given("y_hat", "float32", 1, spec.latents, "height/16", "width/16")
    weights = _between(graph, graph.given("quality", "float32", 1), len(spec.lambdas))
    if gained:
        y_hat = x = graph.add("Mul", x, _factor(graph, arrays["gains.log_inverse"].astype(np.float32), weights))
    stages = spec.stages[::-1]
    for i, stage in enumerate(stages):
        x = graph.pointwise(x, *layers.under(f"up.{i}").both)
        x = _stage(graph, graph.shuffled(x, 2) if i else x, layers, i, stage, weights)
    x = graph.shuffled(graph.convolution(x, *layers.under("last").both, padding=1), stages[-1].at)
    if layers.has("shortcut.0.weight"):
        squares = graph.pointwise(y_hat, *layers.under("shortcut.0").both)
        x = graph.add("Add", x, graph.shuffled(squares, 16))
    graph.gives(_as_bytes(graph, x, grey=grey), "picture", "uint8", "height", "width", 3)
    return graph


def hyper_analysis(spec: ModelSpec, arrays: Arrays) -> Graph:
    """h_a."""
    graph, layers = Graph("h_a"), _Layers(arrays, "h_a")
    y = graph.given("y", "float32", 1, spec.latents, "height/16", "width/16")
    x = graph.add("Mul", graph.add("Sign", y), graph.add("Log", graph.add("Add", graph.add("Abs", y), graph.number(1))))
    for i in range(3):
        weight, bias = layers.under(f"layers.{i}").both
        x = _squares_in(graph, x, weight, bias, 2) if i else graph.pointwise(x, weight, bias)
        if i < 2:
            around = layers.under(f"around.{i}")
            x = graph.leaky(graph.depthwise(graph.leaky(x), around.array("weight")[:, 0], around.array("bias")))
    z = graph.add("Mul", x, graph.number(2.0))  # `LightHyperAnalysis.GAIN`
    graph.gives(z, "z", "float32", 1, spec.hyper_latents, "height/64", "width/64")
    return graph


def _stage(graph: Graph, x: str, layers: _Layers, i: int, stage: Stage, weights: tuple[str, str, str]) -> str:
    """What a stage does to its map: scaled by quality, then its blocks."""
    if layers.has(f"scales.{i}"):
        x = graph.add("Mul", x, _factor(graph, layers.array(f"scales.{i}"), weights))
    x = graph.add("MaxPool", x, kernel_shape=(1, 1))  # changes nothing: after it ONNX Runtime keeps its own layout
    for number in range(stage.blocks):
        x = _block(graph, x, layers.under(f"groups.{i}.{number}"))
    return x


def _block(graph: Graph, x: str, layers: _Layers) -> str:
    """`networks.blocks.light.LightBlock`."""
    around = layers.under("around")
    inner = graph.leaky(graph.pointwise(x, *layers.under("into").both))
    inner = graph.depthwise(inner, around.array("weight")[:, 0], around.array("bias"))
    x = graph.add("Add", graph.pointwise(inner, *layers.under("out").both), x)
    inner = graph.leaky(graph.pointwise(x, *layers.under("widen").both))
    return graph.add("Add", graph.pointwise(inner, *layers.under("narrow").both), x)


def _squares_in(graph: Graph, x: str, weight: np.ndarray, bias: np.ndarray, by: int) -> str:
    """Squares of positions become channels, and a 1×1 convolution [O, I·by²]: a convolution with a stride."""
    return graph.convolution(x, weight.reshape(len(weight), -1, by, by), bias, stride=by)


def _from_pixels(graph: Graph, x: str, weight: np.ndarray, bias: np.ndarray, by: int) -> str:
    """The same with a 3×3 convolution [O, 3·by², 3, 3]."""
    inner = weight.reshape(len(weight), 3, by, by, 3, 3).transpose(0, 1, 4, 2, 5, 3)
    return graph.convolution(x, inner.reshape(len(weight), 3, 3 * by, 3 * by), bias, stride=by, padding=by)


def _between(graph: Graph, quality: str, qualities: int) -> tuple[str, str, str]:
    """The qualities around one in 1 … Q, counted from 0, and how far it is from the first to the second."""
    position = graph.clipped(graph.add("Sub", quality, graph.number(1)), 0, qualities - 1)
    low = graph.add("Min", graph.add("Floor", position), graph.number(max(qualities - 2, 0)))
    high = graph.add("Min", graph.add("Add", low, graph.number(1)), graph.number(qualities - 1))
    return graph.cast(low, "int64"), graph.cast(high, "int64"), graph.add("Sub", position, low)


def _factor(graph: Graph, logarithms: np.ndarray, weights: tuple[str, str, str]) -> str:
    """Factors [1, C, 1, 1] from logarithms [Q, C], geometric between neighbours."""
    table, (low, high, share) = graph.constant(logarithms), weights
    first, second = (graph.add("Gather", table, which, axis=0) for which in (low, high))
    between = graph.add("Add", first, graph.add("Mul", share, graph.add("Sub", second, first)))
    return graph.add("Reshape", graph.add("Exp", between), graph.numbers(1, -1, 1, 1))


def _as_bytes(graph: Graph, x: str, *, grey: bool) -> str:
    """[1, 3, H, W] in 0..1 → uint8 [H, W, 3]: clamped, then halves rounded up."""
    if grey:
        mean = graph.add("ReduceMean", x, axes=(1,), keepdims=1)
        x = graph.add("Concat", mean, mean, mean, axis=1)
    levels = graph.add("Add", graph.add("Mul", graph.clipped(x, 0, 1), graph.number(255)), graph.number(0.5))
    return graph.moved(graph.add("Squeeze", graph.cast(graph.add("Floor", levels), "uint8"), graph.numbers(0)), 1, 2, 0)


def gain_of(logarithms: np.ndarray, quality: float) -> np.ndarray:
    """What `_factor` gives, without a graph: [1, C, 1, 1] float32 at a quality in 1 … Q."""
    position = min(max(quality - 1, 0.0), len(logarithms) - 1.0)
    low = min(int(position), max(len(logarithms) - 2, 0))
    first, second = (logarithms[i].astype(np.float32) for i in (low, min(low + 1, len(logarithms) - 1)))
    gain: np.ndarray = np.exp(first + np.float32(position - low) * (second - first))
    return gain[None, :, None, None]
