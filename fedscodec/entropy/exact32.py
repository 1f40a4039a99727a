"""Layers that are exact on every float32 engine: they decide the tables in light networks.

A layer has int8 weights and integer inputs within a known limit, and no sum of products with bias, in whatever order,
reaches 2²⁴. So float32 holds every sum exactly, and the layer gives the same integers in any engine:

    out = clamp(floor((Σ weight · input + bias) · 2^-shift), low, high)        (half a unit for rounding is in the bias)

A factor of a power of two is exact too, so only floor rounds, and in floats the factor is part of weights and bias.
One description, three ways to run it: `torch._int_mm` (which takes int8: inputs of 0 … 255 go in 128 lower, wider ones
as two planes, 256 · hi + lo, see `in_planes`), and float32 and float64 products.

    kind          weight         inputs → outputs
    pointwise     [O, I]         [..., I] → [..., O]; with upsample [B, H, W, I] → [B, 2H, 2W, O/4]
    grouped       [G·O, I]       [B, G, ..., I] → [B, G, ..., O], rows of group g are weight[g::G] (see `Part`)
    depthwise     [C, k, k]      [B, H, W, C] → the same, zeros around the map

Maps are channels last.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import is_lack_of_memory
from .exact_matmul import (
    Prepared,
    are_float32_products_exact,
    choose_exact_backend,
    left_side,
    prepare,
    sliding_product,
)
from .exact_sums import ExactIntegers, ExactSpec
from .fixedpoint import INT8_LIMIT, RELU_LIMIT
from .precision import float32_settings, in_float32

_PLANE = 256  # a wide input is 256 · hi + lo, both int8


class Product(NamedTuple):
    """The rows of one group, prepared for a backend; the added bias is in units of the outputs."""

    matrix: Prepared | Tensor  # int8, or by 2^-shift in float
    bias: Tensor
    scale: Tensor  # of sums of int8 products


class ExactLayer(nn.Module):
    """One layer of integers, with numbers checked by `require_exact`.

    Inputs are integers in any type; int8 inputs with limits beyond int8 are `in_planes`. Outputs are integers in
    float32.
    """

    weight: Tensor
    bias: Tensor
    shift: Tensor
    low: Tensor
    high: Tensor
    limits: Tensor
    kernels: Tensor
    offset: Tensor

    def __init__(self, name: str, spec: ExactSpec, integers: ExactIntegers) -> None:
        super().__init__()
        self.name, self.upsample, self.groups = name, spec.upsample, spec.groups
        weight, bias, shift = map(torch.from_numpy, integers)
        for key, array in (("weight", weight), ("bias", bias), ("shift", shift)):
            self.register_buffer(key, array)
        self.register_buffer("limits", torch.tensor(spec.limits, dtype=torch.int32))
        self.ranges, self.depthwise = spec.bounds, spec.kernel > 0
        bounds = torch.tensor(self.ranges, dtype=torch.float32).repeat_interleave(len(weight) // len(self.ranges), 0)
        self.register_buffer("low", bounds[:, 0])
        self.register_buffer("high", bounds[:, 1])
        self.unsigned = set(spec.limits) == {RELU_LIMIT}
        self.wide = max(spec.limits) > (RELU_LIMIT if self.unsigned else INT8_LIMIT)
        if self.depthwise:
            scale = torch.ldexp(torch.ones(len(weight)), -shift)
            self.register_buffer("kernels", weight * scale[:, None, None], persistent=False)
            self.register_buffer("offset", bias * scale, persistent=False)
        self._ready: dict[tuple[str, str], list[Product]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """The layer of x, see the table above."""
        if self.depthwise:
            return self._whole(_depthwise(x.float(), self.kernels, self.offset))
        backend = choose_exact_backend(x.device)
        if backend == "float32" and self.wide and not are_float32_products_exact(x.device):
            backend = "float64"
        products = self._products(backend, x.device)
        if self.groups > 1:
            return torch.stack([self._product(one, how) for one, how in zip(x.unbind(1), products, strict=True)], 1)
        out = self._product(x, products[0])
        return shuffled(out) if self.upsample > 1 else out

    def _product(self, x: Tensor, how: Product) -> Tensor:
        """One group's product of [..., I], every step exact: see the top."""
        flat, batch = x.reshape(-1, x.shape[-1]), len(x)
        if isinstance(how.matrix, Prepared):
            batch //= 1 + self._given_planes(x)
            out = torch.addcmul(how.bias, self._sums(flat, how.matrix), how.scale)
        else:
            with in_float32(x):
                out = torch.addmm(how.bias, flat.to(how.matrix.dtype), how.matrix).float()
        return self._whole(out).view(batch, *x.shape[1:-1], -1)

    def _given_planes(self, x: Tensor) -> bool:
        return x.dtype == torch.int8 and (self.wide or self.unsigned)

    def _sums(self, flat: Tensor, matrix: Prepared) -> Tensor:
        """flat [N, I] or its planes times int8 weights, int32 [N, O]; for unsigned inputs, minus 128 · Σ weights."""
        if self.wide:
            planes = flat if self._given_planes(flat) else in_planes(flat)
            sums = sliding_product(left_side(planes, matrix), len(planes), 0, matrix)
            return torch.add(sums[len(sums) // 2 :], sums[: len(sums) // 2], alpha=_PLANE)
        if self._given_planes(flat):
            flat = flat[len(flat) // 2 :] ^ -128  # the low byte tells 0 … 255 from each other; this makes it 128 lower
        elif self.unsigned:
            flat = flat - 128
        return sliding_product(left_side(flat, matrix), len(flat), 0, matrix)

    def _products(self, backend: str, device: torch.device) -> list[Product]:
        key = (backend, str(device))
        if key not in self._ready:
            self._ready[key] = [self._made_ready(group, backend, device) for group in range(self.groups)]
        return self._ready[key]

    def _made_ready(self, group: int, backend: str, device: torch.device) -> Product:
        rows = slice(group, None, self.groups)
        weight, bias, shift = (array[rows].to(device) for array in (self.weight, self.bias, self.shift))
        kind = torch.float64 if backend == "float64" else torch.float32
        scale = torch.ldexp(torch.ones(len(shift), dtype=kind, device=device), -shift)
        if backend != "int_mm":
            return Product((weight * scale[:, None]).t().contiguous(), bias * scale, scale)
        lifted = bias + (128 * weight.sum(1, dtype=torch.int32) if self.unsigned else 0)  # which the sums contain
        return Product(prepare(weight.t().cpu()[None], backend, device), lifted * scale, scale)

    def _whole(self, out: Tensor) -> Tensor:
        """Round down to integers within their bounds, in place."""
        out.floor_()
        for (low, high), part in zip(self.ranges, out.chunk(len(self.ranges), -1), strict=True):
            part.clamp_(low, high)
        return out


def kept(x: Tensor) -> Tensor:
    """Integers of at most 12 bits in the form that wide layers multiply best, two bytes each: `in_planes`, or int16."""
    return in_planes(x) if choose_exact_backend(x.device) == "int_mm" else x.to(torch.int16)


def in_planes(x: Tensor) -> Tensor:
    """Integers [B, ...] in int8, [2B, ...]: first the multiples of 256, then the rest, -128 … 127."""
    values = x.to(torch.int16)
    planes = torch.empty((2 * len(x), *x.shape[1:]), dtype=torch.int8, device=x.device)
    planes[: len(x)] = (values + _PLANE // 2).bitwise_right_shift_(8)
    planes[len(x) :] = values  # the low byte, as signed
    return planes


def shuffled(x: Tensor) -> Tensor:
    """[B, H, W, 4C] → [B, 2H, 2W, C]: channel 4c + 2i + j of (y, x) becomes channel c of (2y + i, 2x + j)."""
    batch, height, width, channels = x.shape
    parts = x.view(batch, height, width, channels // 4, 2, 2).permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(batch, 2 * height, 2 * width, channels // 4)


def _depthwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """float32 [B, H, W, C] convolved with [C, k, k], zeros around the map, plus [C]."""
    if is_depthwise_exact(str(x.device)):
        return _convolved(x, weight, bias).contiguous()
    return _by_shifts(x, weight).add_(bias)


def _convolved(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`_depthwise` by torch's convolution, on a GPU by its kernel for depthwise ones.

    `F.conv2d` would take cuDNN's there, which chooses an algorithm for each shape, also inexact ones (Winograd, FFT),
    and uses TF32 by default, which keeps 11 bits of inputs that have 12.
    """
    maps, kernels, edge = x.permute(0, 3, 1, 2), weight[:, None], weight.shape[-1] // 2
    with in_float32(x):
        if x.is_cuda:
            found = _on_a_gpu(maps.contiguous(), kernels, [2 * edge + 1] * 2, bias, [1, 1], [edge] * 2, [1, 1])
        else:
            found = F.conv2d(maps, kernels, bias, padding=edge, groups=len(weight))
    return found.permute(0, 2, 3, 1)


def _on_a_gpu(*given: Any) -> Tensor:
    found: Tensor = torch.ops.aten._conv_depthwise2d(*given)
    return found


def _by_shifts(x: Tensor, weight: Tensor) -> Tensor:
    (height, width), kernel = x.shape[1:3], weight.shape[-1]
    padded = F.pad(x, (0, 0, *(4 * (kernel // 2,))))
    sums = torch.zeros_like(x)
    for i in range(kernel):
        for j in range(kernel):
            sums.addcmul_(padded[:, i : i + height, j : j + width], weight[:, i, j])
    return sums


def is_depthwise_exact(device: str) -> bool:
    """Whether this device's depthwise convolution is exact for sums below 2²⁴, as torch is set now.

    Winograd's and FFT's would not be, nor one that takes inputs of bfloat16, as global settings may allow.
    """
    return _is_depthwise_exact(device, float32_settings())


@functools.cache
def _is_depthwise_exact(device: str, settings: tuple[object, ...]) -> bool:
    """The test; it depends on the settings without reading them."""
    random = torch.Generator().manual_seed(5)
    for kernel in (3, 5):
        x = torch.randint(-2047, 2048, (1, 24, 40, 32), generator=random).float().to(device)
        weight = torch.randint(-127, 128, (32, kernel, kernel), generator=random).to(device, torch.int8)
        weight[:16] = 127
        try:
            found = _convolved(x, weight.float(), torch.zeros(32, device=x.device))
        except RuntimeError as failure:
            if is_lack_of_memory(failure):
                raise  # which says nothing about the device
            return False
        if not torch.equal(found, _by_shifts(x.double(), weight.double()).float()):
            return False
    return True
