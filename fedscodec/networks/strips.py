"""Run a transform in horizontal strips, so that memory stays bounded and results equal those of the whole picture.

The transforms are convolutional, so a row of their output depends on a limited number of rows of their input. Strips
overlap by that many rows, and what the overlap spoils is cut off. Networks with window attention see further than any
margin (windows are counted from the top, and shifted ones reach across), so they always run whole.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from .spec import ModelSpec

STRIP = 512
"""Picture rows whose result one strip keeps."""


def margin(spec: ModelSpec) -> int:
    """Picture rows that strips overlap on each side: the reach of g_a and g_s, rounded up to a multiple of 16.

    In picture rows, a 3×3 convolution at scale 1/s reaches s. Per scale s = 2, 4, 8: the block's convolution and two
    of every residual block, on top of the strided or sub-pixel convolution that leads to it (at most 2·s).
    """
    reach = sum(s * (1 + 2 * spec.blocks_per_group) + 2 * s for s in (2, 4, 8)) + 16
    return -(-reach // 16) * 16


def run_in_strips(transform: Callable[[Tensor], Tensor], x: Tensor, scale: float, spec: ModelSpec) -> Tensor:
    """transform(x) for x [1, C, H, W] → [1, C', H·scale, W·scale], scale 1/16 (g_a) or 16 (g_s)."""
    unit, grain = (1, 16) if scale < 1 else (16, 1)  # picture rows of a row of x, and of a row of the result
    rows = x.shape[2] * unit
    if rows <= STRIP + 2 * margin(spec) or spec.attention is not None or spec.framework != "cnn":
        return transform(x)
    out: Tensor | None = None
    for top in range(0, rows, STRIP):
        bottom = min(top + STRIP, rows)
        first, last = max(top - margin(spec), 0), min(bottom + margin(spec), rows)
        part = transform(x[:, :, first // unit : last // unit])
        if out is None:
            out = part.new_empty((1, part.shape[1], rows // grain, part.shape[3]))
        out[:, :, top // grain : bottom // grain] = part[:, :, (top - first) // grain : (bottom - first) // grain]
    if out is None:
        raise ValueError(f"a map without rows cannot be transformed: {tuple(x.shape)}")
    return out
