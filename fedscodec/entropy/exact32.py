"""Layers whose sums every float32 engine gets right: what decides tables in light networks.

A layer has int8 weights and integer inputs within a known limit, and no sum of products, in whatever order, with bias,
reaches 2²⁴. So float32 holds every sum exactly, and the layer is the same integers in any engine:

    out = clamp(floor((Σ weight · input + bias) · 2^-shift), low, high)        (half a unit for rounding is in the bias)

A factor of a power of two is exact too, so only floor rounds. One description, three ways to run it: `torch._int_mm`
(which takes int8: inputs of 0 … 255 go in 128 lower, wider ones as two planes, 256 · hi + lo), and float32 and
float64 products.

    kind          weight         inputs → outputs
    pointwise     [O, I]         [..., I] → [..., O]; with upsample [B, H, W, I] → [B, 2H, 2W, O/4]
    grouped       [G·O, I]       [B, G, ..., I] → [B, G, ..., O], rows of group g are weight[g::G] (see `Part`)
    depthwise     [C, k, k]      [B, H, W, C] → the same, zeros around the map

Maps are channels last.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .exact_matmul import Prepared, choose_exact_backend, prepare, row_buffer, sliding_product
from .exact_sums import ExactIntegers, ExactSpec
from .fixedpoint import INT8_LIMIT, RELU_LIMIT

_PLANE = 256  # a wide input is 256 · hi + lo, both int8


class ExactLayer(nn.Module):
    """One layer of integers, whose numbers `require_exact` has let pass.

    What goes in are integers in any type; what comes out, in float32.
    """

    weight: Tensor
    bias: Tensor
    shift: Tensor
    low: Tensor
    high: Tensor
    limits: Tensor
    scale: Tensor
    offset: Tensor
    lifted: Tensor

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
        scale = torch.ldexp(torch.ones(len(weight)), -shift)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("offset", bias.float() * scale, persistent=False)  # exact: bias is below 2²⁴
        self.unsigned = set(spec.limits) == {RELU_LIMIT}
        self.wide = max(spec.limits) > (RELU_LIMIT if self.unsigned else INT8_LIMIT)
        lifted = bias.float() + (128 * weight.flatten(1).sum(1, dtype=torch.float32) if self.unsigned else 0)
        self.register_buffer("lifted", lifted * scale, persistent=False)  # exact, as 128 times weights are in the sums
        self._prepared: dict[tuple[str, str], list[Prepared | Tensor]] = {}

    def forward(self, x: Tensor) -> Tensor:
        """The layer of x, see the table above."""
        if self.depthwise:
            return self._requantised(_depthwise(x.float(), self.weight), slice(None), self.offset)
        if self.groups > 1:
            each = [self._product(part, group) for group, part in enumerate(x.unbind(1))]
            return torch.stack(each, 1)
        out = self._product(x, 0)
        return shuffled(out) if self.upsample > 1 else out

    def _product(self, x: Tensor, group: int) -> Tensor:
        """One group's product of [..., I], requantised."""
        rows = slice(group, None, self.groups)
        flat = x.reshape(-1, x.shape[-1])
        backend = choose_exact_backend(x.device)
        matrix = self._matrices(backend, x.device)[group]
        if isinstance(matrix, Prepared):
            return self._requantised(self._in_planes(flat, matrix), rows, self.lifted).view(*x.shape[:-1], -1)
        with torch.autocast(x.device.type, enabled=False):
            sums = (flat.to(matrix.dtype) @ matrix).float()
        return self._requantised(sums, rows, self.offset).view(*x.shape[:-1], -1)

    def _in_planes(self, flat: Tensor, matrix: Prepared) -> Tensor:
        """flat [N, I] · matrix in int8 products, float32; of unsigned inputs, less 128 · Σ weights."""
        count, inner = flat.shape
        buffer = row_buffer((1 + self.wide) * count, inner, "int_mm", flat.device)
        values = flat.to(torch.int16)
        if not self.wide:
            buffer[:count, :inner].copy_(values - 128 if self.unsigned else values)
            return sliding_product(buffer, count, 0, matrix).float()
        buffer[:count, :inner].copy_((values + _PLANE // 2) >> 8)
        buffer[count : 2 * count, :inner].copy_(values)  # the low byte, as signed
        sums = sliding_product(buffer, 2 * count, 0, matrix)
        return torch.add(sums[count:], sums[:count], alpha=_PLANE).float()

    def _matrices(self, backend: str, device: torch.device) -> list[Prepared | Tensor]:
        key = (backend, str(device))
        if key not in self._prepared:
            weights = [self.weight[group :: self.groups].t() for group in range(self.groups)]
            if backend == "int_mm":
                self._prepared[key] = [prepare(one.cpu()[None], backend, device) for one in weights]
            else:
                kind = torch.float64 if backend == "float64" else torch.float32
                self._prepared[key] = [one.to(device, kind).contiguous() for one in weights]
        return self._prepared[key]

    def _requantised(self, sums: Tensor, rows: slice, offset: Tensor) -> Tensor:
        """Every step is exact: see the top."""
        out = sums.mul_(self.scale[rows]).add_(offset[rows]).floor_()
        for (low, high), part in zip(self.ranges, out.chunk(len(self.ranges), -1), strict=True):
            part.clamp_(low, high)
        return out


def shuffled(x: Tensor) -> Tensor:
    """[B, H, W, 4C] → [B, 2H, 2W, C]: channel 4c + 2i + j of (y, x) becomes channel c of (2y + i, 2x + j)."""
    batch, height, width, channels = x.shape
    parts = x.view(batch, height, width, channels // 4, 2, 2).permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(batch, 2 * height, 2 * width, channels // 4)


def _depthwise(x: Tensor, weight: Tensor) -> Tensor:
    """Sums of float32 [B, H, W, C] with int8 [C, k, k], zeros around the map."""
    kernel = weight.shape[-1]
    if is_depthwise_exact(str(x.device)):
        maps, weights = x.permute(0, 3, 1, 2), weight[:, None].float()
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(maps, weights, padding=kernel // 2, groups=len(weight)).permute(0, 2, 3, 1).contiguous()
    return _by_shifts(x, weight)


def _by_shifts(x: Tensor, weight: Tensor) -> Tensor:
    (height, width), kernel = x.shape[1:3], weight.shape[-1]
    padded, weights = F.pad(x, (0, 0, *(4 * (kernel // 2,)))), weight.float()
    sums = torch.zeros_like(x)
    for i in range(kernel):
        for j in range(kernel):
            sums.addcmul_(padded[:, i : i + height, j : j + width], weights[:, i, j])
    return sums


@functools.cache
def is_depthwise_exact(device: str) -> bool:
    """Whether this device's depthwise convolution is exact for sums below 2²⁴: Winograd's and FFT's would not be."""
    random = torch.Generator().manual_seed(5)
    for kernel in (3, 5):
        x = torch.randint(-2047, 2048, (1, 24, 40, 32), generator=random).float().to(device)
        weight = torch.randint(-127, 128, (32, kernel, kernel), generator=random).to(device, torch.int8)
        weight[:16] = 127
        try:
            with torch.autocast(x.device.type, enabled=False):
                found = F.conv2d(x.permute(0, 3, 1, 2), weight[:, None].float(), padding=kernel // 2, groups=32)
        except RuntimeError:
            return False
        if not torch.equal(found.permute(0, 2, 3, 1), _by_shifts(x.double(), weight.double()).float()):
            return False
    return True
