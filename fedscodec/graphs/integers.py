"""h_s and the net of each part as graphs: plain float32, in which every sum is an exact integer (`entropy.exact_sums`).

    h_s   z int16 [1, Z + 1, H/64, W/64], the last channel what the nets are told of the quality
          → side int16 [1, S, H/16, W/16]
    net   side, and if the part sees any the known of ŷ int16 [1, seen, H/16, W/16]
          → mean int16 in 1/64 and index int8, blocks of the part (`entropy.parts`) without their batch

The wiring is that of `networks.light_side`. A factor of 2^-shift is exact too, so it is in the weights of the graph,
and only the floor after a layer rounds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..entropy.exact_sums import require_exact
from ..entropy.fixedpoint import CONTEXT_LIMIT, MEAN_LIMIT, MOST_KNOWN_SHIFT, RELU_LIMIT, WIDE_LIMIT
from ..entropy.parts import Part
from ..errors import WeightsError
from ..networks.spec import ModelSpec, Passes
from ..networks.weights_file import fitting_array
from .building import Graph

Arrays = Mapping[str, np.ndarray]
HYPER_REACH = 4 + 2 + 1
"""Positions of its result that h_s sees beyond its own: one at 1/64, one at 1/32 and one at 1/16."""
NET_REACH = 2
_DOUBLED = (2, 4)  # the layers of h_s after which the map is doubled


class Layer(NamedTuple):
    """A layer whose products and sums are its integers by 2^-shift, in float32: nothing is rounded."""

    weight: np.ndarray
    bias: np.ndarray


def layer(arrays: Arrays, name: str, shape: tuple[int, ...], limits: np.ndarray) -> Layer:
    """A layer by its name; WeightsError where an array is missing, does not fit, or can overflow."""
    weight = fitting_array(arrays, f"{name}.weight", np.int8, shape)
    bias, shift = (fitting_array(arrays, f"{name}.{key}", np.int32, shape[:1]) for key in ("bias", "shift"))
    require_exact(name, weight, bias, shift, limits)
    scale = np.ldexp(np.float32(1), -shift).astype(np.float32)
    return Layer(weight * scale.reshape(-1, *(1,) * (weight.ndim - 1)), bias.astype(np.float32) * scale)


def known_shift(spec: ModelSpec, arrays: Arrays) -> np.ndarray:
    """By how much each channel of ŷ is shifted before it is shown to the nets, int16 [M]."""
    shift = fitting_array(arrays, "known.shift", np.int32, (spec.latents,))
    if (shift < 0).any() or (shift > MOST_KNOWN_SHIFT).any():
        found = f"{int(shift.min())}..{int(shift.max())}"
        raise WeightsError(f"known.shift must lie in 0..{MOST_KNOWN_SHIFT}, but it is {found}")
    return shift.astype(np.int16)


def side_graphs(spec: ModelSpec, arrays: Arrays) -> list[Graph]:
    """h_s and then the net of each part; WeightsError where an array is missing or does not fit."""
    if spec.entropy is None:
        raise WeightsError("these entropy networks have no graphs")
    passes = spec.entropy
    return [hyper_synthesis(spec, passes, arrays), *(net_of(spec, passes, arrays, part) for part in spec.parts())]


def hyper_synthesis(spec: ModelSpec, passes: Passes, arrays: Arrays) -> Graph:
    """h_s."""
    graph, side = Graph("h_s"), passes.side
    z = graph.given("z", "int16", 1, spec.hyper_latents + 1, "height/64", "width/64")
    x = graph.clipped(graph.cast(z, "float32"), -CONTEXT_LIMIT, CONTEXT_LIMIT)
    limits = np.full(spec.hyper_latents + 1, CONTEXT_LIMIT)
    for i in range(7):
        name = f"h_s.{i}"
        if i % 2:
            x = _depthwise(graph, x, layer(arrays, name, (side, 3, 3), limits))
        else:
            rows = 4 * side if i in _DOUBLED else side
            x = _relu(graph, graph.pointwise(x, *layer(arrays, name, (rows, len(limits)), limits)))
            x = graph.shuffled(x, 2) if i in _DOUBLED else x
        limits = np.full(side, WIDE_LIMIT if i % 2 else RELU_LIMIT)
    graph.gives(graph.cast(x, "int16"), "side", "int16", 1, side, "height/16", "width/16")
    return graph


def net_of(spec: ModelSpec, passes: Passes, arrays: Arrays, part: Part) -> Graph:
    """The net of a part."""
    graph, name, width = Graph(f"net{part.number}"), f"nets.{part.number}", passes.width
    x = graph.cast(graph.given("side", "int16", 1, passes.side, "height/16", "width/16"), "float32")
    if part.seen:
        known = graph.given("known", "int16", 1, part.seen, "height/16", "width/16")
        x = graph.add("Concat", x, graph.cast(known, "float32"), axis=1)
    limits = np.repeat([RELU_LIMIT, WIDE_LIMIT], [passes.side, part.seen])
    hidden, wide = np.full(width, RELU_LIMIT), np.full(width, WIDE_LIMIT)
    x = _relu(graph, graph.pointwise(x, *layer(arrays, f"{name}.first", (width, len(limits)), limits)))
    x = _depthwise(graph, x, layer(arrays, f"{name}.around", (width, 5, 5), hidden))
    x = _relu(graph, graph.pointwise(x, *layer(arrays, f"{name}.second", (width, width), wide)))
    x = _of_cells(graph, x, part, layer(arrays, f"{name}.last", (2 * part.width, width), hidden))
    groups = len(part.cells.groups) if part.cells else 1
    half, sides = part.width // groups, ("blocks", "height/32", "width/32")
    for what, kind, start, low, high in (
        ("mean", "int16", 0, -MEAN_LIMIT, MEAN_LIMIT), ("index", "int8", half, 0, spec.scales - 1),
    ):  # fmt: skip
        found = graph.clipped(graph.add("Floor", graph.part(x, 1, start, start + half)), low, high)
        graph.gives(graph.moved(graph.cast(found, kind), 0, 2, 3, 1), what, kind, *sides, half)
    return graph


def _of_cells(graph: Graph, hidden: str, part: Part, last: Layer) -> str:
    """The last layer where a part codes: [G·K, 2C/G, H/2, W/2], rows of group g being those of weight[g::G]."""
    if part.cells is None:
        raise WeightsError(f"{part.name} codes all cells, which light networks do not")
    count, found = len(part.cells.groups), []
    for group, corners in enumerate(part.cells.groups):
        cells = [graph.corner(hidden, row, column) for row, column in corners]
        x = graph.add("Concat", *cells, axis=0) if len(cells) > 1 else cells[0]
        found.append(graph.pointwise(x, last.weight[group::count], last.bias[group::count]))
    return graph.add("Concat", *found, axis=0) if count > 1 else found[0]


def _relu(graph: Graph, sums: str) -> str:
    return graph.clipped(graph.add("Floor", sums), 0, RELU_LIMIT)


def _depthwise(graph: Graph, x: str, layer: Layer) -> str:
    return graph.clipped(graph.add("Floor", graph.depthwise(x, *layer)), -WIDE_LIMIT, WIDE_LIMIT)
