"""Window attention, Swin versions 1 and 2, on feature maps of any size (Sec. 6, Fig. 8, Eq. 9).

    x ─► [B, H, W, C] ─► block, windows on a grid ─► block, grid shifted by half a window ─► … ─► [B, C, H, W]

    version 1    x + attention(norm(x)), then x + mlp(norm(x))    dot product, table of relative biases
    version 2    x + norm(attention(x)), then x + norm(mlp(x))    cosine / τ, small network for the biases

There is neither padding nor a mask: a window that hangs over an edge of the map is a smaller window. Swin
pads and rolls the map and masks out what does not belong together; what its mask leaves is the same. So an
axis is cut into at most three spans (up to the first grid line, whole windows, remainder), a map into at most
nine areas of equal windows, and each area is one call of the attention kernel.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..entropy.precision import in_float32

Version = Literal["swin-v1", "swin-v2"]

CPU_BAND, DEVICE_BAND = 1 << 14, 1 << 18
"""Positions processed at once without gradients; the widest activations hold 4·C times as many.

On a CPU, a large map in bands of 2¹⁴ takes two thirds of the time of a single pass.
"""

LOG_SCALE_START, LOG_SCALE_LIMIT = math.log(10.0), math.log(100.0)
"""log(1/τ) of Eq. 9 at the start, and its upper bound (τ ≥ 0.01), as in Swin V2."""

SMALLEST_NORM = 1e-4
"""Least length of queries and keys: zeros have no direction, but need a finite gradient."""


class Span(NamedTuple):
    """Positions start … stop - 1 of an axis, cut into windows of `extent` positions without remainder."""

    start: int
    stop: int
    extent: int


def spans(size: int, window: int, first: int) -> list[Span]:
    """Cut an axis of `size` positions at first, first + window, first + 2·window, …"""
    last = first + (size - first) // window * window
    cuts = (Span(0, first, first), Span(first, last, window), Span(last, size, size - last))
    return [span for span in cuts if span.start < span.stop]


def first_cut(size: int, window: int, shift: int) -> int:
    """Position of the first grid line; an axis that fits into one window is not shifted."""
    return shift if size > window else 0


def bands(height: int, window: int, first: int, rows: int) -> list[tuple[int, int]]:
    """First and last row of bands of about `rows` rows, cut at grid lines: no window lies in two of them."""
    step = max(1, rows // window) * window
    return list(pairwise([0, *range(first + step, height, step), height]))


def partition(x: Tensor, h: int, w: int) -> Tensor:
    """[B, H, W, C], H and W multiples of h and w → windows [B·H/h·W/w, h·w, C]."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // h, h, width // w, w, channels).transpose(2, 3)
    return x.reshape(-1, h * w, channels)


def merge(windows: Tensor, h: int, w: int, height: int, width: int) -> Tensor:
    """[B·H/h·W/w, h·w, C] → [B, H, W, C] of the given height and width; undoes `partition`."""
    x = windows.reshape(-1, height // h, width // w, h, w, windows.shape[-1]).transpose(2, 3)
    return x.reshape(-1, height, width, windows.shape[-1])


def spread(table: Tensor, window: int) -> Tensor:
    """[(2·window - 1)², heads], a row per offset → [heads, qi, qj, ki, kj], query (qi, qj), key (ki, kj)."""
    place = torch.arange(window, device=table.device)
    offset = place[:, None] - place + window - 1
    grid = table.unflatten(0, (2 * window - 1, 2 * window - 1))
    return grid[offset[:, None, :, None], offset[None, :, None, :]].permute(4, 0, 1, 2, 3)


def log_offsets(window: int, device: torch.device) -> Tensor:
    """All offsets within a window as sign(d)·log2(1 + 8·|d| / (window - 1)) / 3, [(2·window - 1)², 2]."""
    offset = torch.arange(1 - window, window, device=device) * (8.0 / max(window - 1, 1))
    scaled = offset.sign() * torch.log2(1 + offset.abs()) / 3
    return torch.cartesian_prod(scaled, scaled)


class DotProduct(nn.Module):
    """Version 1: logits q·k / √d, and one learned bias per head and offset."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.scale = (channels // heads) ** -0.5
        self.table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Scale q and k [..., heads, n, d] so that their plain product is the logit."""
        return q * self.scale, k

    def bias(self) -> Tensor:
        """Biases [heads, qi, qj, ki, kj]: B of Eq. 9."""
        return spread(self.table, self.window)


class Cosine(nn.Module):
    """Version 2, Eq. 9: logits cos(q, k) / τ, one τ ≥ 0.01 per head; biases in 0..16 from log offsets."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.log_scale = nn.Parameter(torch.full((heads, 1, 1), LOG_SCALE_START))
        self.offset_mlp = nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, heads, bias=False))

    def forward(self, q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        """Scale q and k [..., heads, n, d] so that their plain product is the logit."""
        inverse_tau = self.log_scale.clamp(max=LOG_SCALE_LIMIT).exp()
        return F.normalize(q, dim=-1, eps=SMALLEST_NORM) * inverse_tau, F.normalize(k, dim=-1, eps=SMALLEST_NORM)

    def bias(self) -> Tensor:
        """Biases [heads, qi, qj, ki, kj]: B of Eq. 9."""
        weight = self.offset_mlp[0].weight
        table = self.offset_mlp(log_offsets(self.window, weight.device).to(weight.dtype))
        return 16 * spread(table, self.window).sigmoid()


class SwinBlock(nn.Module):
    """Attention within windows, then two linear layers per position; `shift` moves the grid of windows."""

    def __init__(self, channels: int, version: Version, window: int, heads: int, shift: int) -> None:
        super().__init__()
        self.window, self.heads, self.shift = window, heads, shift
        self.norm_first = version == "swin-v1"
        self.similarity = (DotProduct if version == "swin-v1" else Cosine)(channels, heads, window)
        # No bias on k, in version 1 either: it adds the same to all logits of a query, which softmax ignores.
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.q_bias = nn.Parameter(torch.zeros(heads, 1, channels // heads))
        self.v_bias = nn.Parameter(torch.zeros(heads, 1, channels // heads))
        self.proj = nn.Linear(channels, channels)
        wide = 4 * channels
        self.mlp = nn.Sequential(nn.Linear(channels, wide), nn.GELU(), nn.Linear(wide, channels))
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self._start_near_identity()

    def _start_near_identity(self) -> None:
        for layer in (self.qkv, self.proj, self.mlp[0], self.mlp[2]):
            nn.init.trunc_normal_(layer.weight, std=0.02)
        for layer in (self.proj, self.mlp[0], self.mlp[2]):
            nn.init.zeros_(layer.bias)
        if not self.norm_first:
            # Swin V2 starts these at zero; a little more lets gradients into the layers from the first step.
            nn.init.constant_(self.norm1.weight, 0.02)
            nn.init.constant_(self.norm2.weight, 0.02)

    def silence(self) -> None:
        """Set the block to the identity; it still learns from the first step."""
        last = (self.proj, self.mlp[2]) if self.norm_first else (self.norm1, self.norm2)
        for layer in last:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, H, W, C] → the same shape."""
        batch, height, width, _ = x.shape
        with in_float32(x):
            bias = self.similarity.bias()
        top, left = (first_cut(size, self.window, self.shift) for size in (height, width))
        most = CPU_BAND if x.device.type == "cpu" else DEVICE_BAND
        rows = height if torch.is_grad_enabled() else most // (batch * width)
        cuts = bands(height, self.window, top, rows)
        return torch.cat([self._band(x[:, a:b], bias, 0 if a else top, left) for a, b in cuts], 1)

    def _band(self, x: Tensor, bias: Tensor, top: int, left: int) -> Tensor:
        """Both halves of the block on rows that share no window with other rows."""
        if self.norm_first:
            x = x + self._attention(self.norm1(x), bias, top, left)
            return x + self.mlp(self.norm2(x))
        x = x + self.norm1(self._attention(x, bias, top, left))
        return x + self.norm2(self.mlp(x))

    def _attention(self, x: Tensor, bias: Tensor, top: int, left: int) -> Tensor:
        """Attention within all windows of x [B, H, W, C]; the grid starts at row `top` and column `left`."""
        qkv = self.qkv(x)
        strips = []
        for r in spans(x.shape[1], self.window, top):
            strip = qkv[:, r.start : r.stop]
            columns = spans(x.shape[2], self.window, left)
            areas = [self._area(strip[:, :, c.start : c.stop], r.extent, c.extent, bias) for c in columns]
            strips.append(torch.cat(areas, 2))
        return self.proj(torch.cat(strips, 1))

    def _area(self, qkv: Tensor, h: int, w: int, bias: Tensor) -> Tensor:
        """Attention within windows of h × w, [B, H, W, 3C] → [B, H, W, C]; float32 from logits to result."""
        exact = torch.promote_types(qkv.dtype, torch.float32)
        parts = partition(qkv, h, w).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).to(exact)
        pairs = bias[:, :h, :w, :h, :w].reshape(1, self.heads, h * w, h * w).to(exact)
        with in_float32(qkv):
            q, k = self.similarity(parts[0] + self.q_bias, parts[1])
            # The bias keeps its first dimension, of one: without it the CPU takes a path 5 times slower.
            y = F.scaled_dot_product_attention(q, k, parts[2] + self.v_bias, attn_mask=pairs, scale=1.0)
        return merge(y.transpose(1, 2).flatten(2), h, w, *qkv.shape[1:3]).to(qkv.dtype)


class WindowAttentionModule(nn.Module):
    """Swin blocks on a feature map, every other one with the window grid shifted by half a window (Sec. 6.1).

    Args:
        channels: C; a multiple of `heads`.
        version: "swin-v1" or "swin-v2", the rows of Table 4.
        window: side of a window in positions of the map.
        heads: attention heads.
        blocks: how many blocks; shifts alternate between two values, one of them 0.
        first_shift: shift of the first block, 0..window - 1; after 0 comes window // 2, after others 0.

    Raises:
        ValueError: on values that fit no network.
    """

    def __init__(
        self,
        channels: int,
        version: Version = "swin-v2",
        window: int = 8,
        heads: int = 8,
        blocks: int = 1,
        first_shift: int = 0,
    ) -> None:
        super().__init__()
        if version not in ("swin-v1", "swin-v2"):
            raise ValueError(f"version of window attention is swin-v1 or swin-v2, found {version!r}")
        if min(channels, window, heads, blocks) < 1 or channels % heads:
            raise ValueError(
                "window attention needs positive numbers, and channels that are a multiple of heads, "
                f"found window {window}, {blocks} blocks, {channels} channels and {heads} heads"
            )
        if not 0 <= first_shift < window:
            raise ValueError(f"first_shift must be in 0..{window - 1}, found {first_shift}")
        self.reach, self.grain = blocks * (window - 1), window
        shifts = (first_shift, 0 if first_shift else window // 2)
        self.blocks = nn.ModuleList(SwinBlock(channels, version, window, heads, shifts[i % 2]) for i in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W], any H and W from 1 up → the same shape and dtype, in channels_last order."""
        y = x.permute(0, 2, 3, 1).contiguous()
        for block in self.blocks:
            y = block(y)
        return y.permute(0, 3, 1, 2).to(x.dtype)
