"""h_s and the net of each part as graphs: plain float32, in which every sum is an exact integer (`entropy.exact_sums`).

    h_s   z int16 [1, Z + 1, H/64, W/64], the last channel what the nets are told of the quality
          → side int16 [1, S, H/16, W/16]
    net   side, and if the part sees any the known of ŷ int16 [1, seen, H/16, W/16]
          → mean int16 in 1/64 and index int8, blocks of the part (`entropy.parts`) without their batch

Which layers they have is in `networks.exact_nets`, from which the torch networks are made, too. A factor of 2^-shift is
exact, so it is in the weights of the graph, and only the floor after a layer rounds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..entropy.exact_sums import ExactSpec
from ..entropy.fixedpoint import CONTEXT_LIMIT
from ..entropy.parts import Cells, Part
from ..networks.exact_nets import Net, integers_of, side_nets
from ..networks.spec import ModelSpec
from .building import Graph

Arrays = Mapping[str, np.ndarray]


def side_graphs(spec: ModelSpec, arrays: Arrays) -> list[Graph]:
    """h_s and then the network of each part. Raises WeightsError if an array is missing or does not fit."""
    nets = side_nets(spec)
    parts = [_net(part, net, nets.channels, arrays) for part, net in zip(spec.parts(), nets.parts, strict=True)]
    return [_hyper_synthesis(spec, nets.h_s, nets.channels, arrays), *parts]


def _hyper_synthesis(spec: ModelSpec, net: Net, channels: int, arrays: Arrays) -> Graph:
    graph = Graph("h_s")
    z = graph.given("z", "int16", 1, spec.hyper_latents + 1, "height/64", "width/64")
    x = graph.clipped(graph.cast(z, "float32"), -CONTEXT_LIMIT, CONTEXT_LIMIT)
    (found,) = _through(graph, x, "h_s", net, arrays)
    graph.gives(graph.cast(found, "int16"), "side", "int16", 1, channels, "height/16", "width/16")
    return graph


def _net(part: Part, net: Net, side: int, arrays: Arrays) -> Graph:
    graph = Graph(f"net{part.number}")
    x = graph.cast(graph.given("side", "int16", 1, side, "height/16", "width/16"), "float32")
    if part.seen:
        known = graph.given("known", "int16", 1, part.seen, "height/16", "width/16")
        x = graph.add("Concat", x, graph.cast(known, "float32"), axis=1)
    found = _through(graph, x, f"nets.{part.number}", net, arrays)
    half = net["last"].outputs // net["last"].groups // 2
    for x, what, kind in zip(found, ("mean", "index"), ("int16", "int8"), strict=True):
        block = graph.moved(graph.cast(x, kind), 0, 2, 3, 1)
        graph.gives(block, what, kind, "blocks", "height/32", "width/32", half)
    return graph


def _through(graph: Graph, x: str, name: str, net: Net, arrays: Arrays) -> list[str]:
    """The output of the last layer of a network: one map, or one for each half of its rows."""
    found = [x]
    for key, layer in net.items():
        found = exact_layer(graph, found[0], layer, arrays, f"{name}.{key}")
    return found


def exact_layer(graph: Graph, x: str, layer: ExactSpec, arrays: Arrays, name: str) -> list[str]:
    """A layer of integers: floor(sums · 2^-shift) within its bounds, one map for each pair of bounds."""
    weight, bias, shift = integers_of(arrays, name, layer)
    scale = np.ldexp(np.float32(1), -shift).astype(np.float32)  # nothing is rounded by it
    rows = weight * scale.reshape(-1, *(1,) * (weight.ndim - 1)), bias.astype(np.float32) * scale
    if layer.kernel:
        sums = graph.depthwise(x, *rows)
    else:
        sums = _in_cells(graph, x, layer.cells, *rows) if layer.cells else graph.pointwise(x, *rows)
    parts, found = len(layer.bounds), []
    for number, (low, high) in enumerate(layer.bounds):
        width = layer.outputs // layer.groups // parts
        part = graph.part(sums, 1, number * width, (number + 1) * width) if parts > 1 else sums
        found.append(graph.clipped(graph.add("Floor", part), low, high))
    return [graph.shuffled(one, layer.upsample) for one in found] if layer.upsample > 1 else found


def _in_cells(graph: Graph, x: str, cells: Cells, weight: np.ndarray, bias: np.ndarray) -> str:
    """Products where a part codes: [G·K, 2C/G, H/2, W/2], rows of group g being those of weight[g::G]."""
    count, found = len(cells.groups), []
    for group, corners in enumerate(cells.groups):
        places = [graph.corner(x, row, column) for row, column in corners]
        lifted = graph.add("Concat", *places, axis=0) if len(places) > 1 else places[0]
        found.append(graph.pointwise(lifted, weight[group::count], bias[group::count]))
    return graph.add("Concat", *found, axis=0) if count > 1 else found[0]
