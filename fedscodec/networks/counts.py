"""Count the parameters and multiply-accumulates of a network, in a pass without data.

Torch has its own counter, and a test compares this one with it. Torch's works below the functions that networks call;
without data, torch then loads its compiler, which takes seconds. This module counts the functions themselves.

The paper's Table 2 gives multiply-accumulates (which it calls FLOPs) of the whole forward pass, with encoder, decoder
and entropy networks, on 2560×1440 padded to 2560×1536. Ours are counted on 512×512: the cost of every layer grows with
the area, so the figure per pixel is the same.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from ..entropy.parts import Part, given
from .model import FedsModel
from .spec import ModelSpec

HEIGHT, WIDTH = 512, 512

Shape = list[int]


class _Passing:
    """A coder that costs nothing and changes nothing."""

    def hyper(self, z: torch.Tensor | None, prior: object) -> torch.Tensor:
        return given(z)

    def code(self, part: Part, y: torch.Tensor | None, mean: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return given(y)


def _on_meta(spec: ModelSpec) -> FedsModel:
    with torch.device("meta"):
        return FedsModel(spec)


@functools.cache
def parameters(spec: ModelSpec) -> int:
    """Number of trainable values of the whole network, including gains and prior."""
    return sum(p.numel() for p in _on_meta(spec).parameters())


@functools.cache
def kmacs_per_pixel(spec: ModelSpec) -> float:
    """Thousands of multiply-accumulates per pixel of a whole forward pass, including the products of attention."""
    model = _on_meta(spec)
    with MultiplyCounter() as counter, torch.no_grad():
        x = torch.empty(1, 3, HEIGHT, WIDTH, device="meta")
        model(x, torch.ones(1), _Passing())
    return counter.macs / (HEIGHT * WIDTH) / 1000


class MultiplyCounter(TorchFunctionMode):
    """Counts the multiply-accumulates of calls inside its block, with tensors on the meta device.

    Raises NotImplementedError for a kind of product that none of our networks has.
    """

    macs = 0

    def __torch_function__(
        self, func: Callable, types: Sequence[type], args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called instead of every function of torch; for known functions it returns a tensor of the right shape."""
        given = kwargs or {}
        if func in _OTHER_PRODUCTS:
            raise NotImplementedError(f"the products of {func} are not counted yet")
        if func in _PRODUCTS:
            macs, shape = _PRODUCTS[func](*args, **given)
            self.macs += macs
        elif func in _SHAPES:
            shape = _SHAPES[func](*args, **given)
        elif func.__name__.strip("_") in _ELEMENTWISE:
            shape = _broadcast(*(one.shape for one in _tensors(args)))
        else:
            return func(*args, **given)
        return torch.empty(shape, dtype=_tensors(args)[0].dtype, device="meta")


def _tensors(args: tuple) -> list[torch.Tensor]:
    """The tensors among the arguments, or in a sequence that comes first, as in cat."""
    listed = args[0] if isinstance(args[0], list | tuple) else ()
    return [one for one in (*args, *listed) if isinstance(one, torch.Tensor)]


def _broadcast(*shapes: torch.Size) -> Shape:
    rank = max(map(len, shapes))  # torch.broadcast_shapes loads SymPy
    return [max(sides) for sides in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True)]


def _cat(tensors: Sequence[torch.Tensor], dim: int = 0) -> Shape:
    shape = list(tensors[0].shape)
    shape[dim] = sum(tensor.shape[dim] for tensor in tensors)
    return shape


def _stack(tensors: Sequence[torch.Tensor], dim: int = 0) -> Shape:
    shape = list(tensors[0].shape)
    shape.insert(dim % (len(shape) + 1), len(tensors))
    return shape


def _part(x: torch.Tensor, index: Any) -> Shape:
    if isinstance(index, torch.Tensor):  # rows of a table
        return [*index.shape, *x.shape[1:]]
    return list(x[index].shape)


def _pixel_shuffle(x: torch.Tensor, by: int) -> Shape:
    batch, channels, height, width = x.shape
    return [batch, channels // by**2, height * by, width * by]


def _pixel_unshuffle(x: torch.Tensor, by: int) -> Shape:
    batch, channels, height, width = x.shape
    return [batch, channels * by**2, height // by, width // by]


def _linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> tuple[int, Shape]:
    return x.numel() * len(weight), [*x.shape[:-1], len(weight)]


def _convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> tuple[int, Shape]:
    steps, pads, gaps = ((n, n) if isinstance(n, int) else n for n in (stride, padding, dilation))
    sides = zip(x.shape[2:], weight.shape[2:], steps, pads, gaps, strict=True)
    shape = [len(x), len(weight), *((n + 2 * pad - gap * (k - 1) - 1) // step + 1 for n, k, step, pad, gap in sides)]
    return math.prod(shape) * weight[0].numel(), shape


def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *_: object, **__: object) -> tuple[int, Shape]:
    pairs = q.shape[:-1].numel() * k.shape[-2]
    return pairs * (q.shape[-1] + v.shape[-1]), [*q.shape[:-1], v.shape[-1]]


def _einsum(equation: str, *operands: torch.Tensor) -> tuple[int, Shape]:
    """Products of an einsum with two operands: one for each value of all indices."""
    given, _, result = equation.partition("->")
    sides = dict(zip(given.replace(",", ""), [n for one in operands for n in one.shape], strict=True))
    return math.prod(sides.values()), [sides[index] for index in result]


_PRODUCTS: dict[Callable, Callable[..., tuple[int, Shape]]] = {
    F.conv2d: _convolution,
    F.linear: _linear,
    F.scaled_dot_product_attention: _attention,
    torch.einsum: _einsum,
}
"""Multiply-accumulates and output shape of each function."""

_SHAPES: dict[Callable, Callable[..., Shape]] = {
    torch.cat: _cat,
    torch.stack: _stack,
    torch.Tensor.__getitem__: _part,
    F.pixel_shuffle: _pixel_shuffle,
    F.pixel_unshuffle: _pixel_unshuffle,
}
_ELEMENTWISE = {
    *("add", "sub", "rsub", "mul", "div", "truediv", "pow", "sqrt", "rsqrt", "exp", "log1p", "log2", "sign", "abs"),
    *(
        "lerp",
        "ldexp",
        "floor",
        "round",
        "clamp",
        "clamp_min",
        "clamp_max",
        "relu",
        "leaky_relu",
        "gelu",
        "sigmoid",
        "normalize",
        "layer_norm",
    ),
    *("empty_like", "full_like"),
}
"""Functions whose output shape is computed here, because torch would load its compiler for them."""

_OTHER_PRODUCTS = {
    *(F.conv1d, F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d, F.bilinear),
    *(torch.matmul, torch.mm, torch.bmm, torch.addmm, torch.baddbmm, torch.mv, torch.dot, torch.tensordot),
    *(torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.__rmatmul__, torch.Tensor.mm, torch.Tensor.bmm),
}
