"""How large a network is and how much it multiplies, counted on a pass without data.

The paper's Table 2 gives multiply-accumulates (under the name of FLOPs) of the whole forward pass, encoder, decoder
and entropy networks together, on 2560×1440 padded to 2560×1536. Ours are counted on 512×512: every layer's cost grows
with the area, so the figure for a pixel is the same.
"""

from __future__ import annotations

import functools

import torch
from torch.utils.flop_counter import FlopCounterMode

from .model import FedsModel
from .slices import walk
from .spec import ModelSpec

HEIGHT, WIDTH = 512, 512

PAPER = {"student-paper": (35.34, 483.0), "teacher": (95.43, 1572.0)}
"""Millions of parameters (Table 1) and thousands of multiply-accumulates a pixel (Table 2) that the paper gives."""


class _Passing:
    """A coder that costs nothing and changes nothing."""

    def hyper(self, z: torch.Tensor | None, prior: object) -> torch.Tensor:
        return _given(z)

    def slice(self, y: torch.Tensor | None, mean: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return _given(y)


def _given(x: torch.Tensor | None) -> torch.Tensor:
    if x is None:
        raise ValueError("counting needs the encoder's tensors")
    return x


def _on_meta(spec: ModelSpec) -> FedsModel:
    with torch.device("meta"):
        return FedsModel(spec)


@functools.cache
def parameters(spec: ModelSpec) -> int:
    """Trainable numbers of the whole network, gains and prior included."""
    return sum(p.numel() for p in _on_meta(spec).parameters())


@functools.cache
def kmacs_per_pixel(spec: ModelSpec) -> float:
    """Thousands of multiply-accumulates for each pixel of a whole forward pass; attention's products included."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        x = torch.empty(1, 3, HEIGHT, WIDTH, device="meta")
        model = _on_meta(spec)
        y = model.g_a(x).value
        model.g_s(walk(model.float_side, model.h_a(y), y, torch.ones(1), _Passing()))
    return counter.get_total_flops() / 2 / (HEIGHT * WIDTH) / 1000
