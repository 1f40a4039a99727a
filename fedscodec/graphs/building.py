"""`Graph`: build an ONNX file node by node; each node is named by its output.

Maps are [B, C, H, W]. Weights of layers are as in torch: rows first.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from . import protobuf
from .protobuf import Attribute, Value

_END = 2**31 - 1


class Graph:
    """A graph under construction; every method that adds a node returns the name of its output."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self._nodes: list[bytes] = []
        self._tensors: list[tuple[bytes, memoryview]] = []
        self._count = 0

    def given(self, name: str, kind: str, *sides: int | str) -> str:
        """Add an input."""
        self.inputs.append((name, kind, sides))
        return name

    def gives(self, found: str, name: str, kind: str, *sides: int | str) -> None:
        """Make something an output with that name."""
        self._nodes.append(protobuf.node("Identity", [found], [name], {}))
        self.outputs.append((name, kind, sides))

    def packed(self, words: Mapping[str, str]) -> bytes:
        """The whole graph as an ONNX file, with metadata about its origin."""
        return protobuf.model(self.name, self._nodes, self._tensors, self.inputs, self.outputs, words)

    def constant(self, array: np.ndarray) -> str:
        """Add a constant tensor."""
        name = self._next()
        self._tensors.append(protobuf.tensor(name, array))
        return name

    def numbers(self, *values: int) -> str:
        """Add integers, for shapes and positions."""
        return self.constant(np.array(values, dtype=np.int64))

    def number(self, value: float) -> str:
        """Add one number."""
        return self.constant(np.array(value, dtype=np.float32))

    def add(self, kind: str, *inputs: str, **attributes: Attribute) -> str:
        """Add any node with one output."""
        name = self._next()
        self._nodes.append(protobuf.node(kind, inputs, [name], attributes))
        return name

    def _next(self) -> str:
        self._count += 1
        return f"t{self._count}"

    def convolution(
        self, x: str, weight: np.ndarray, bias: np.ndarray, *, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> str:
        """Add a convolution; weight [O, I/groups, k, k], bias [O]."""
        return self.add(
            "Conv", x, self.constant(weight), self.constant(bias),
            kernel_shape=weight.shape[2:], strides=(stride,) * 2, pads=(padding,) * 4, group=groups,
        )  # fmt: skip

    def pointwise(self, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
        """Add a 1×1 convolution; weight [O, I]."""
        return self.convolution(x, weight[:, :, None, None], bias)

    def depthwise(self, x: str, weight: np.ndarray, bias: np.ndarray) -> str:
        """Add a convolution of each channel on its own, zeros around the map; weight [C, k, k]."""
        return self.convolution(x, weight[:, None], bias, padding=weight.shape[1] // 2, groups=len(weight))

    def leaky(self, x: str, slope: float) -> str:
        """Add LeakyReLU."""
        return self.add("LeakyRelu", x, alpha=slope)

    def shuffled(self, x: str, by: int) -> str:
        """[B, by²·C, H, W] → [B, C, by·H, by·W], channels first."""
        return self.add("DepthToSpace", x, blocksize=by, mode="CRD")

    def clipped(self, x: str, low: float, high: float) -> str:
        """Clip to low … high."""
        return self.add("Clip", x, self.number(low), self.number(high))

    def cast(self, x: str, kind: str) -> str:
        """Cast to another type, by numpy's name."""
        return self.add("Cast", x, to=protobuf.TYPES[kind])

    def part(self, x: str, axis: int, start: int, stop: int = _END) -> str:
        """x[start:stop] along an axis."""
        return self.add("Slice", x, *(self.numbers(one) for one in (start, stop, axis)))

    def corner(self, x: str, row: int, column: int) -> str:
        """This corner of every square of 2×2."""
        ends, axes, steps = self.numbers(_END, _END), self.numbers(2, 3), self.numbers(2, 2)
        return self.add("Slice", x, self.numbers(row, column), ends, axes, steps)

    def moved(self, x: str, *order: int) -> str:
        """Axes in another order."""
        return self.add("Transpose", x, perm=order)
