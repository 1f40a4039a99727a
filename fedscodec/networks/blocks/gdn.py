"""GDN, generalised divisive normalisation, in bands and in float32.

It divides by a square root; with eight bits of mantissa this would cost tenths of a decibel at high rates.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...entropy.precision import in_float32
from .layers import bands, pointwise


class _LowerBound(torch.autograd.Function):
    """max(x, bound) with a gradient that still lets x rise from below the bound (Ballé et al. 2018)."""

    @staticmethod
    def forward(ctx, x: Tensor, bound: float) -> Tensor:  # noqa: ANN001
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp_min(bound)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:  # noqa: ANN001
        (x,) = ctx.saved_tensors
        return grad * ((x >= ctx.bound) | (grad < 0)), None


def lower_bound(x: Tensor, bound: float) -> Tensor:
    """Element-wise max(x, bound); below the bound only gradients that raise x pass."""
    return _LowerBound.apply(x, bound)


class GDN(nn.Module):
    """Generalised divisive normalisation, x / sqrt(β + γ·x²), or its inverse (Ballé et al. 2016)."""

    PEDESTAL = 2.0**-36  # keeps the gradient of the squared parameters away from zero

    def __init__(self, channels: int, inverse: bool = False) -> None:
        super().__init__()
        self.inverse = inverse
        gamma = torch.full((channels, channels), self.PEDESTAL**0.5)
        self.beta = nn.Parameter(torch.full((channels,), (1 + self.PEDESTAL) ** 0.5))
        self.gamma = nn.Parameter(gamma.fill_diagonal_((0.1 + self.PEDESTAL) ** 0.5))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] → the same shape, in float32."""
        with in_float32(x):
            floor = self.PEDESTAL**0.5
            beta = lower_bound(self.beta, (1e-6 + self.PEDESTAL) ** 0.5) ** 2 - self.PEDESTAL
            gamma = lower_bound(self.gamma, floor) ** 2 - self.PEDESTAL
            if torch.is_grad_enabled():
                return _Normalised.apply(x, gamma, beta, self.inverse)
            return _normalised(x, gamma, beta, self.inverse)


def _normalised(x: Tensor, gamma: Tensor, beta: Tensor, inverse: bool) -> Tensor:
    """x / sqrt(β + γ·x²), or x · sqrt(β + γ·x²), in float32 and in bands of rows that fit into a cache."""
    out = torch.empty_like(x, dtype=torch.float32)
    for part, target in bands(x, out):
        part = part.float()
        norm = pointwise(part * part, gamma, beta)
        torch.mul(norm.sqrt_() if inverse else norm.rsqrt_(), part, out=target)
    return out


class _Normalised(torch.autograd.Function):
    """`_normalised` with gradients, in bands in both directions.

    As single operations, the float32 maps at half the picture's size would go through memory ten times a step, which on
    a CPU costs as much as all convolutions of their stage. Only x is kept for the backward pass.
    """

    @staticmethod
    def forward(ctx, x: Tensor, gamma: Tensor, beta: Tensor, inverse: bool) -> Tensor:  # noqa: ANN001
        ctx.save_for_backward(x, gamma, beta)
        ctx.inverse = inverse
        return _normalised(x, gamma, beta, inverse)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # noqa: ANN001
        x, gamma, beta = ctx.saved_tensors
        grad_x, grad_gamma, grad_beta = torch.empty_like(x), torch.zeros_like(gamma), torch.zeros_like(beta)
        for part, above, target in bands(x, grad, grad_x):
            part, above = part.float(), above.float()
            square = part * part
            norm = pointwise(square, gamma, beta)
            # d out / d norm: x/2 · norm^(-1/2), or -x/2 · norm^(-3/2)
            root = norm.rsqrt()
            slope = above * part * root
            slope = slope.mul_(0.5) if ctx.inverse else slope.mul_(root.square()).mul_(-0.5)
            rows = slope.permute(0, 2, 3, 1).reshape(-1, len(beta))
            grad_gamma.addmm_(rows.t(), square.permute(0, 2, 3, 1).reshape(-1, len(beta)))
            grad_beta += rows.sum(0)
            direct = above * (norm.mul_(root) if ctx.inverse else root)
            target.copy_(direct.addcmul_(part, pointwise(slope, gamma.t(), None), value=2.0))
        return grad_x, grad_gamma, grad_beta, None
