"""Bricks of the transforms: GDN, residual blocks and groups, down- and up-sampling, the Haar transform.

All work on float tensors [B, C, H, W]. GDN runs in float32 even under bfloat16 autocast: it divides by a root, and
eight bits of mantissa there cost tenths of a decibel at high rates.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import WindowAttentionModule
from .spec import ModelSpec

SLOPE = 0.01
"""Negative slope of LeakyReLU in the float networks."""


BAND = 2**20
"""Values that pointwise layers treat at once where no gradient is needed: fresh memory costs more than the work."""


def in_float32(x: Tensor) -> AbstractContextManager[object]:
    """A region where autocast is off for tensors like x; devices without autocast have nothing to switch off."""
    if not torch.amp.is_autocast_available(x.device.type):
        return nullcontext()
    return torch.autocast(x.device.type, enabled=False)


class _LowerBound(torch.autograd.Function):
    """max(x, bound) whose gradient still lets x move up from below the bound (Ballé et al. 2018)."""

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


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A 1×1 convolution as the matrix product it is: x [B, I, H, W], weight [O, I] → [B, O, H, W], channels last.

    With one thread, torch otherwise takes a slow path for 1×1 convolutions that copies to contiguous and back.
    """
    return F.linear(x.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)


def leaky_relu(x: Tensor) -> Tensor:
    """LeakyReLU, in place where no gradient needs x."""
    return F.leaky_relu(x, SLOPE, inplace=not torch.is_grad_enabled())


def add(x: Tensor, y: Tensor) -> Tensor:
    """x + y, into x where no gradient needs it: fresh memory for large maps costs more than the sum itself."""
    in_place = not torch.is_grad_enabled() and torch.result_type(x, y) == x.dtype
    return x.add_(y) if in_place else x + y


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
    for part, target in _bands(x, out):
        part = part.float()
        norm = pointwise(part * part, gamma, beta)
        torch.mul(norm.sqrt_() if inverse else norm.rsqrt_(), part, out=target)
    return out


class _Normalised(torch.autograd.Function):
    """`_normalised` with gradients, in bands both ways.

    As single operations the maps of half the picture's size, in float32, go through memory ten times a step, which on
    a CPU costs as much as all convolutions of their stage. Nothing but x is kept for the way back.
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
        for part, above, target in _bands(x, grad, grad_x):
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


def _bands(*maps: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same rows of maps [B, C, H, W], sample by sample on a CPU; whole maps where no cache is to be kept warm."""
    if maps[0].device.type != "cpu":
        yield maps
        return
    _, c, _, w = maps[0].shape
    rows = max(BAND // 8 // (c * w), 1)
    for sample in zip(*maps, strict=True):
        yield from zip(*(m[None].split(rows, 2) for m in sample), strict=True)


class ResidualBlock(nn.Module):
    """conv3×3 LeakyReLU conv3×3 LeakyReLU plus identity [17]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] → the same shape; x itself is overwritten where no gradient needs it."""
        return add(x, leaky_relu(self.conv2(leaky_relu(self.conv1(x)))))


class MixedBlock(nn.Module):
    """Half the channels through a residual block, half through Swin attention, as in the framework of Table 3."""

    def __init__(self, channels: int, version: str, shift: bool) -> None:
        super().__init__()
        half = channels // 2
        self.into = nn.Conv2d(channels, 2 * half, 1)
        self.conv = ResidualBlock(half)
        heads = max(h for h in (8, 4, 2, 1) if half % h == 0)
        self.window = WindowAttentionModule(
            half, version=version, window=8, heads=heads, blocks=1, first_shift=4 if shift else 0
        )
        self.out = nn.Conv2d(2 * half, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] → the same shape."""
        local, distant = self.into(x).chunk(2, 1)
        return add(self.out(torch.cat([self.conv(local), self.window(distant)], 1)), x)


def residual_group(spec: ModelSpec) -> nn.Sequential:
    """The blocks of one group (RG of Fig. 6); empty where the spec has none."""
    if spec.framework == "cnn":
        return nn.Sequential(*(ResidualBlock(spec.filters) for _ in range(spec.blocks_per_group)))
    version = spec.attention.version if spec.attention else "swin-v1"
    return nn.Sequential(*(MixedBlock(spec.filters, version, shift=bool(i % 2)) for i in range(spec.blocks_per_group)))


class DownBlock(nn.Module):
    """Halve the size: conv3×3 stride 2, LeakyReLU, conv3×3, GDN, beside a 1×1 shortcut on every second pixel.

    The shortcut slices before it convolves: a strided 1×1 convolution of three channels corrupts memory in the
    backward pass of some CPU builds when its weights are channels_last.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.conv = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.gdn = GDN(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inputs, H, W] → [B, outputs, H/2, W/2]; H and W even."""
        inner = self.gdn(self.conv(leaky_relu(self.down(x))))
        return add(inner, pointwise(x[:, :, ::2, ::2], self.skip.weight[:, :, 0, 0], self.skip.bias))


class UpBlock(nn.Module):
    """Double the size: sub-pixel conv3×3, LeakyReLU, conv3×3, inverse GDN, beside a sub-pixel 1×1 shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.up = nn.Conv2d(inputs, 4 * outputs, 3, padding=1)
        self.conv = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.igdn = GDN(outputs, inverse=True)
        self.skip = nn.Conv2d(inputs, 4 * outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inputs, H, W] → [B, outputs, 2H, 2W]."""
        inner = self.igdn(self.conv(leaky_relu(F.pixel_shuffle(self.up(x), 2))))
        return add(inner, F.pixel_shuffle(pointwise(x, self.skip.weight[:, :, 0, 0], self.skip.bias), 2))


_HAAR = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) * 0.5
# rows: average, horizontal, vertical and diagonal detail; the matrix is orthonormal and its own inverse


def haar(x: Tensor) -> Tensor:
    """One level of the orthonormal Haar transform: [B, C, H, W] → [B, 4·C, H/2, W/2], bands outermost."""
    b, c, h, w = x.shape
    patches = F.pixel_unshuffle(x, 2).reshape(b, c, 4, h // 2, w // 2)
    bands = torch.einsum("kp,bcpij->bkcij", _HAAR.to(x), patches)
    return bands.reshape(b, 4 * c, h // 2, w // 2)


def inverse_haar(x: Tensor) -> Tensor:
    """Undo `haar`: [B, 4·C, H, W] → [B, C, 2H, 2W]."""
    b, c, h, w = x.shape
    patches = torch.einsum("kp,bkcij->bcpij", _HAAR.to(x), x.reshape(b, 4, c // 4, h, w))
    return F.pixel_shuffle(patches.reshape(b, c, h, w), 2)


class HaarDown(nn.Conv2d):
    """`haar` and then this 1×1 convolution, computed as one 2×2 convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(4 * inputs, outputs, 1)
        self.register_buffer("transform", _HAAR.clone(), persistent=False)  # on the device, so that none waits for it

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inputs, H, W] → [B, outputs, H/2, W/2]."""
        bands = self.weight.reshape(self.out_channels, 4, -1)
        taps = torch.einsum("okc,kp->ocp", bands, self.transform.to(bands))
        return F.conv2d(x, taps.reshape(self.out_channels, -1, 2, 2), self.bias, stride=2)


class HaarUp(nn.Conv2d):
    """This 1×1 convolution and then `inverse_haar`, computed as one matrix product and a pixel shuffle."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, 4 * outputs, 1)
        self.register_buffer("transform", _HAAR.clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, inputs, H, W] → [B, outputs, 2H, 2W]."""
        transform = self.transform.to(self.weight)
        weight = torch.einsum("kp,kci->cpi", transform, self.weight.reshape(4, -1, self.in_channels))
        bias = torch.einsum("kp,kc->cp", transform, self.bias.reshape(4, -1))
        weight, bias = weight.reshape(-1, self.in_channels), bias.reshape(-1)
        if torch.is_grad_enabled():
            return F.pixel_shuffle(pointwise(x, weight, bias), 2)
        b, _, h, w = x.shape
        out = torch.empty((b, 2 * h, 2 * w, len(bias) // 4), dtype=x.dtype, device=x.device).permute(0, 3, 1, 2)
        rows = max(BAND // (len(bias) * w), 1)
        for part, target in zip(x.split(rows, 2), out.split(2 * rows, 2), strict=True):
            target.copy_(F.pixel_shuffle(pointwise(part, weight, bias), 2))
        return out
