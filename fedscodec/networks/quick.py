"""Layers that learn quickly on a CPU: products in one pass through memory, and depthwise convolutions.

Both compute what torch computes; only the way there differs. Other devices, and builds of torch without the operations
of oneDNN, take torch's own way.

* A 1×1 convolution with LeakyReLU or a sum takes three passes: torch copies the bias, adds the product, and then does
  the rest. oneDNN does all of it at once, and the gradient of LeakyReLU needs only its output.
* oneDNN has no quick weight gradient of depthwise kernels larger than 3×3. That of a 5×5 kernel takes 1.4 ms in float32
  and 5.5 ms in bfloat16 for maps of [4, 192, 12, 12]; those of the four 3×3 kernels that cover it take 0.7 ms.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .light_layers import SLOPE

_QUICK_KERNEL = 3  # the largest whose weight gradient oneDNN computes quickly


def _has_one_pass(dtype: torch.dtype) -> bool:
    """Whether this build of torch, on this CPU, has fused products that work."""
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        one, operation = torch.ones(1, 1, dtype=dtype), torch.ops.mkldnn._linear_pointwise
        leaky = operation(-one, one, one[0] * 0, "leaky_relu", [SLOPE], "")
        three = operation.binary(one, one, one, one[0], "add")
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool(abs(float(leaky) + SLOPE) < 1e-4 and float(three) == 3.0)


_ONE_PASS = frozenset(dtype for dtype in (torch.float32, torch.bfloat16) if _has_one_pass(dtype))


def _working_dtype(x: Tensor) -> torch.dtype:
    """The precision in which torch would compute a product with x here."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def has_one_pass(x: Tensor) -> bool:
    """Whether `one_pass` can work on x."""
    return x.device.type == "cpu" and _working_dtype(x) in _ONE_PASS


def one_pass(x: Tensor, weight: Tensor, bias: Tensor, plus: Tensor | None = None) -> Tensor:
    """LeakyReLU(x·weightᵀ + bias), or x·weightᵀ + bias + plus: [..., I], [O, I], [O], [..., O] → [..., O].

    x and plus are contiguous; the result has the precision of the region. `has_one_pass(x)` must hold.
    """
    dtype = _working_dtype(x)
    rows, weight, bias = x.reshape(-1, x.shape[-1]).to(dtype), weight.to(dtype), bias.to(dtype)
    others = None if plus is None else plus.reshape(-1, len(weight)).to(dtype)
    if torch.is_grad_enabled():
        out = _OnePass.apply(rows, weight, bias, others)
    else:
        out = _computed(rows, weight, bias, others)
    return out.view(*x.shape[:-1], len(weight))


def _computed(rows: Tensor, weight: Tensor, bias: Tensor, plus: Tensor | None) -> Tensor:
    operation = torch.ops.mkldnn._linear_pointwise
    if plus is None:
        return operation(rows, weight, bias, "leaky_relu", [SLOPE], "")
    return operation.binary(rows, plus, weight, bias, "add")


class _OnePass(Function):
    """`_computed`, with gradients."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, plus: Tensor | None) -> Tensor:
        """[N, I], [O, I], [O], [N, O] → [N, O]."""
        out = _computed(rows, weight, bias, plus)
        ctx.leaky = plus is None
        ctx.save_for_backward(rows, weight, out if ctx.leaky else None)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of all inputs that need one."""
        rows, weight, out = ctx.saved_tensors
        into, for_weight, for_bias, for_plus = ctx.needs_input_grad
        inner = torch.ops.aten.leaky_relu_backward(grad, out, SLOPE, True) if ctx.leaky else grad
        return (
            inner @ weight if into else None,
            inner.t() @ rows if for_weight else None,
            inner.sum(0) if for_bias else None,
            grad if for_plus else None,
        )


def depthwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A convolution of each channel with its own odd k×k kernel, zeros around: [B, C, H, W], [C, 1, k, k], [C]."""
    learns = torch.is_grad_enabled() and weight.requires_grad
    if weight.shape[-1] <= _QUICK_KERNEL or x.device.type != "cpu" or not learns:
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))
    dtype = _working_dtype(x)
    return _Depthwise.apply(x.to(dtype), weight.to(dtype), bias.to(dtype))


class _Depthwise(Function):
    """A depthwise convolution whose weight gradient is put together from those of 3×3 kernels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """[B, C, H, W], [C, 1, k, k], [C] → [B, C, H, W]."""
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of all inputs that need one."""
        x, weight = ctx.saved_tensors
        into, for_weight, for_bias = ctx.needs_input_grad
        grad = grad.contiguous(memory_format=torch.channels_last)
        return (
            _gradient(grad, x, weight, weight.shape[-1] // 2, into=True) if into else None,
            _weight_gradient(grad, x, weight) if for_weight else None,
            grad.sum((0, 2, 3)) if for_bias else None,
        )


def _weight_gradient(grad: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """[C, 1, k, k]; neighbouring 3×3 kernels share a row or column, which both get right."""
    k, (h, w) = weight.shape[-1], grad.shape[2:]
    around = (k // 2,) * 4
    wide = F.pad(x.permute(0, 2, 3, 1), (0, 0, *around)).permute(0, 3, 1, 2)
    small = weight[:, :, :_QUICK_KERNEL, :_QUICK_KERNEL].contiguous()
    out = torch.empty_like(weight)
    for i, j in product(range(0, k - 1, _QUICK_KERNEL - 1), repeat=2):
        seen = wide[:, :, i : i + h + 2, j : j + w + 2]
        out[:, :, i : i + _QUICK_KERNEL, j : j + _QUICK_KERNEL] = _gradient(grad, seen, small, 0, into=False)
    return out


def _gradient(grad: Tensor, x: Tensor, weight: Tensor, padding: int, *, into: bool) -> Tensor:
    """The gradient of a depthwise convolution for its input, or for its weights."""
    wanted = [into, not into, False]
    found = torch.ops.aten.convolution_backward(
        grad, x, weight, None, [1, 1], [padding] * 2, [1, 1], False, [0, 0], len(weight), wanted
    )
    return found[0] if into else found[1]
