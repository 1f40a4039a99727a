"""Convolutions in whole numbers: the arithmetic that decides with which table a symbol is coded.

The one rule of this file: **the same integers everywhere**. A layer has int8 weights and int8 inputs, its
sums of products are exact, and an integer multiplier and a shift bring them back to a small range, so neither
the machine, the number of threads, the batch, nor the way of summing can change one bit of the result:

    out = clamp(((acc + bias) * multiplier + 2**(shift - 1)) >> shift, low, high),  acc = sum of int8 * int8

A convolution is one exact product (see `exact_matmul`) per kernel row over row windows: never `conv2d`, whose
Winograd and FFT variants are not exact.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from fedscodec.entropy.exact_matmul import (
    Prepared,
    choose_exact_backend,
    largest_sums,
    prepare,
    row_buffer,
    sliding_product,
)
from fedscodec.errors import FedsError, WeightsError

_FLOAT64_EXACT = 2**53  # every integer up to here is a float64
_STRIP_POSITIONS = {"cpu": 2048, "cuda": 65536}  # computed at once: bounds the memory, whatever the picture


class _Operands(NamedTuple):
    """What a layer needs with one backend on one device, derived from its integers at first use.

    Output channels stand in (i, j, c) order, so that the pixel shuffle moves whole runs of channels.
    """

    right: Prepared
    fits_float64: bool  # whether requantisation by scale and offset is exact
    multiplier: Tensor  # int64 [O]
    shift: Tensor  # int64 [O]
    bias: Tensor  # int64 [O]
    scale: Tensor  # float64 [O], multiplier * 2**-shift
    offset: Tensor  # float64 [O], bias * scale + 1/2


def requantise(
    values: Tensor, multiplier: Tensor, shift: Tensor | int, low: int, high: int, bias: Tensor | None = None
) -> Tensor:
    """Scale integers `[..., C]` by `multiplier / 2**shift`, round ties upwards, clamp to `low..high`.

    `values` are int8 to int32, `multiplier` is `[C]` in 0..2**31-1, `shift` one number or `[C]` in 1..62,
    `bias` `[C]` is added first: `(|value| + |bias|) * multiplier` must stay below 2**62, as it always does
    without a bias. Returns int8 where the range allows, else int32. Raises FedsError for other `values`.
    """
    if values.dtype not in (torch.int8, torch.int16, torch.int32):
        raise FedsError(f"expected int8, int16 or int32 values to requantise, found {values.dtype}")
    shift = torch.as_tensor(shift, dtype=torch.int64, device=values.device)
    wide = values.to(torch.int64)
    if bias is not None:
        wide.add_(bias)
    wide.mul_(multiplier.to(torch.int64)).add_(torch.ones_like(shift) << (shift - 1))
    return wide.bitwise_right_shift_(shift).clamp_(low, high).to(_output_dtype(low, high))


def quantised_multiplier(scale: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int32], int]:
    """Find int32 multipliers `[O]` and one shift so that `multiplier / 2**shift` is nearest to `scale` `[O]`.

    For export. The largest multiplier lands in 2**20..2**21, an error of at most 2**-21, and a channel 2**-8
    as large still has 12 bits; 21 bits leave room to requantise in float64. 0 gives 0, and so does a scale so
    small beside the largest that it rounds to 0. Where all are below 2**-31, so that no int32 sum gets past
    1, the shift stays at 52. Raises WeightsError for scales that are negative, not finite, or from 2**29 up.
    """
    scale = np.asarray(scale, dtype=np.float64)
    if scale.ndim != 1 or not np.all((scale >= 0) & (scale < 2**29)):
        raise WeightsError("expected scales as one row of numbers from 0 to below 2**29, found others")
    exponent = int(np.frexp(scale.max(initial=0.0))[1])  # the largest is in 2**(exponent - 1) .. 2**exponent
    shift = min(max(21 - exponent, 1), 52)
    return np.rint(np.ldexp(scale, shift)).astype(np.int32), shift


class IntegerConv(nn.Module):
    """A "same" convolution, stride 1, int8 to `low..high`, channels last, with an optional pixel shuffle.

        int8 [B, H, W, I] -> zero padding k//2 -> acc int32 -> requantise -> [B, H*up, W*up, O/up**2]

    The output is int8 where `low..high` allows, else int32. With `upsample` 2, channel `c*4 + 2*i + j` goes
    to channel `c` at `(2y + i, 2x + j)`, as in torch.nn.PixelShuffle.

    weight int8 `[O, I, k, k]` (k odd), bias int32 `[O]`, multiplier int32 `[O]` (>= 0), shift int32, one
    number or `[O]` (1..62): all buffers, so they move and are saved with the module. Change them only by
    `load_state_dict`, which checks them anew and drops what was derived from the old ones.
    """

    weight: Tensor
    bias: Tensor
    multiplier: Tensor
    shift: Tensor

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        multiplier: Tensor,
        shift: Tensor,
        low: int = -128,
        high: int = 127,
        upsample: int = 1,
    ) -> None:
        """Take the layer's integers; WeightsError unless they are as described and no input can overflow.

        That is, at worst, |acc| < 2**31 and (|acc| + |bias|) * multiplier < 2**62 for every output channel.
        """
        super().__init__()
        self.low, self.high, self.upsample = low, high, upsample
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("multiplier", multiplier)
        self.register_buffer("shift", shift)
        self._operands: dict[tuple[str, str], _Operands] = {}
        _check_layer(self)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve int8 `[B, H, W, I]`; raises FedsError if `x` is anything else."""
        outputs, inputs, kernel, _ = self.weight.shape
        if x.dtype != torch.int8 or x.dim() != 4 or x.shape[3] != inputs or not x.numel():
            found = f"{x.dtype} {list(x.shape)}"
            raise FedsError(f"expected int8 [B, H, W, {inputs}], not empty, found {found}")
        operands = self._operands_for(choose_exact_backend(x.device), x.device)
        (batch, height, width), up = x.shape[:3], self.upsample
        shape = (batch, height, up, width, up, outputs // up**2)
        out = x.new_empty(shape, dtype=_output_dtype(self.low, self.high))
        strip = max(1, _STRIP_POSITIONS[x.device.type] // (batch * width))
        for top in range(0, height, strip):
            bottom, step = min(top + strip, height), batch * width
            windows = _row_windows(x.transpose(0, 1), top, bottom, kernel, operands.right.backend)
            acc = sliding_product(windows, (bottom - top) * step, step, operands.right)
            target = out[:, top:bottom].permute(1, 0, 3, 2, 4, 5)  # rows, B, W, i, j, c
            target.copy_(self._requantised(acc, operands).view(target.shape))
        return out.view(batch, height * up, width * up, -1)

    def _requantised(self, acc: Tensor, operands: _Operands) -> Tensor:
        """The integers `low..high`, in some type, for the exact sums `[..., O]`."""
        _, fits_float64, multiplier, shift, bias, scale, offset = operands
        if not fits_float64:
            return requantise(acc.to(torch.int32), multiplier, shift, self.low, self.high, bias)
        # All of this holds integers of at most 53 bits times 2**-shift (`_fits_float64`): only floor rounds.
        return acc.to(torch.float64).mul_(scale).add_(offset).floor_().clamp_(self.low, self.high)

    def _operands_for(self, backend: str, device: torch.device) -> _Operands:
        key = (backend, str(device))
        if key not in self._operands:
            self._operands[key] = _derive_operands(self, backend, device)
        return self._operands[key]

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (the signature is torch's)
        super()._load_from_state_dict(*args, **kwargs)
        self._operands.clear()
        _check_layer(self)


def _row_windows(x: Tensor, top: int, bottom: int, kernel: int, backend: str) -> Tensor:
    """What the kernel sees of each row of `x` `[H, B, W, I]`: `[(bottom - top + k - 1) * B * W, k * I]`.

    Row (y, b, w) holds x[top - k//2 + y, b, w - k//2 : w + k//2 + 1], and zeros where that is outside. Hence
    the rows from `ky * B * W` on, times the weights of kernel row ky, are that row's share of all the sums:
    k copies of the input, in the carrier's type, instead of the k*k of im2col.
    """
    (height, batch, width, inputs), half = x.shape, kernel // 2
    above, below = max(half - top, 0), max(bottom + half - height, 0)
    x = x[max(top - half, 0) : bottom + half]
    seen = functional.pad(x, (0, 0, half, half, 0, 0, above, below)).unfold(2, kernel, 1).transpose(3, 4)
    rows = (bottom - top + kernel - 1) * batch * width
    buffer = row_buffer(rows, kernel * inputs, backend, x.device)
    flat = buffer[:rows, : kernel * inputs]
    flat.view(bottom - top + kernel - 1, batch, width, kernel, inputs).copy_(seen)
    return buffer


def _derive_operands(layer: IntegerConv, backend: str, device: torch.device) -> _Operands:
    outputs, inputs, kernel, _ = layer.weight.shape
    order = torch.arange(outputs).view(-1, layer.upsample**2).t().reshape(-1)
    weight = layer.weight.cpu()[order].permute(2, 3, 1, 0).reshape(kernel, kernel * inputs, outputs)
    multiplier, bias = (buffer.cpu().to(torch.int64)[order] for buffer in (layer.multiplier, layer.bias))
    shift = layer.shift.cpu().to(torch.int64).expand(outputs)[order]
    scale = torch.from_numpy(np.ldexp(multiplier.numpy().astype(np.float64), -shift.numpy()))
    return _Operands(
        prepare(weight, backend, device),
        _fits_float64(layer),
        *(tensor.to(device) for tensor in (multiplier, shift, bias, scale, bias * scale + 0.5)),
    )


def _fits_float64(layer: IntegerConv) -> bool:
    """Whether (acc + bias) * multiplier + 2**(shift-1) stays within 53 bits: float64 requantises exactly.

    Then so do acc * multiplier and bias * multiplier + 2**(shift-1) (`_Operands.offset`), and as the factor
    2**-shift only moves the exponent, neither the product with `scale` nor the sum with `offset` is rounded.
    """
    _, products = _worst_case(layer)
    return max(products) + (1 << int(layer.shift.max()) - 1) <= _FLOAT64_EXACT


def _worst_case(layer: IntegerConv) -> tuple[list[int], list[int]]:
    """The largest |acc| and (|acc| + |bias|) * multiplier of each output channel, as Python integers."""
    sums: list[int] = largest_sums(layer.weight.flatten(1)).tolist()
    bias, multiplier = layer.bias.tolist(), layer.multiplier.tolist()
    return sums, [(s + abs(b)) * m for s, b, m in zip(sums, bias, multiplier, strict=True)]


def _check_layer(layer: IntegerConv) -> None:
    """Raise WeightsError unless types, shapes and ranges are as documented and nothing can overflow."""
    _check_types(layer)
    if not -(2**31) <= layer.low <= layer.high < 2**31:
        raise WeightsError(f"expected an output range within int32, found {layer.low}..{layer.high}")
    if (least := int(layer.multiplier.min())) < 0:
        raise WeightsError(f"expected non-negative multipliers, found {least}")
    least, most = int(layer.shift.min()), int(layer.shift.max())
    if least < 1 or most > 62:
        raise WeightsError(f"expected shifts in 1..62, found {least}..{most}")
    sums, products = _worst_case(layer)
    if max(sums) >= 2**31:
        raise WeightsError(f"expected sums that fit 32 bits, found weights that can reach {max(sums)}")
    if max(products) >= 2**62:
        raise WeightsError(f"expected scaled sums below 2**62, found weights that can reach {max(products)}")


def _check_types(layer: IntegerConv) -> None:
    shape = list(layer.weight.shape)
    sound = len(shape) == 4 and shape[2] == shape[3] and shape[2] % 2 == 1 and min(shape) > 0
    if layer.weight.dtype != torch.int8 or not sound or layer.weight[0].numel() >= 2**24:
        expected, found = "int8 [O, I, k, k] with odd k and I*k*k < 2**24", f"{layer.weight.dtype} {shape}"
        raise WeightsError(f"expected weights {expected}, found {found}")
    for name, buffer in (("bias", layer.bias), ("multiplier", layer.multiplier), ("shift", layer.shift)):
        allowed = ([shape[0]], []) if name == "shift" else ([shape[0]],)
        if buffer.dtype != torch.int32 or list(buffer.shape) not in allowed:
            found = f"{buffer.dtype} {list(buffer.shape)}"
            raise WeightsError(f"expected {name} as int32 [{shape[0]}], found {found}")
    if layer.upsample not in (1, 2) or shape[0] % layer.upsample**2:
        found = f"{layer.upsample} of {shape[0]} channels"
        raise WeightsError(f"expected upsampling by 1, or by 2 with 4n channels, found {found}")


def _output_dtype(low: int, high: int) -> torch.dtype:
    return torch.int8 if low >= -128 and high <= 127 else torch.int32
