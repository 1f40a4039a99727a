"""Start the wavelet shortcut as the best linear transform codec instead of at random.

The shortcut of g_a is a chain of Haar transforms and 1×1 convolutions. Its convolutions start as the principal
components of what reaches them, so that y begins as 16×16 blocks of the picture in a basis ordered by variance; g_s
begins as the transpose. Everything stays trainable. The step of q4 is the one that uniform quantisation at high rate
wants: d/dΔ of λ·255²·Δ²/36 − log₂Δ is zero at Δ² = 18 / (ln 2 · 255² · λ).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..networks.model import FedsModel
from ..networks.shortcuts import haar

MIDDLE_LAMBDA = 0.015
"""The λ at which the gains of a fresh network are one."""
DAMPING = 0.05
"""What remains of the last convolutions of the non-linear branches, so that they begin as small corrections."""


def _principal(features: Tensor, count: int, centred: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [C], the `count` leading eigenvectors [count, C] and their variances of features [B, C, H, W]."""
    flat = features.transpose(0, 1).flatten(1)
    mean = flat.mean(1)
    moments = flat @ flat.T / flat.shape[1] - (torch.outer(mean, mean) if centred else 0.0)
    values, vectors = torch.linalg.eigh(moments.double())
    order = torch.argsort(values, descending=True)[:count]
    rows = vectors[:, order].T
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))  # signs are free: so that two starts agree on them
    return mean, (rows * largest.sign()).float(), values[order].clamp_min(0).float()


def _assign(conv: nn.Conv2d, matrix: Tensor, bias: Tensor | float = 0.0) -> None:
    conv.weight.zero_()
    conv.weight[: matrix.shape[0], : matrix.shape[1], 0, 0] = matrix
    if conv.bias is not None:
        conv.bias.copy_(torch.as_tensor(bias).expand_as(conv.bias))


@torch.no_grad()
def start_linear(model: FedsModel, pictures: Tensor) -> None:
    """Set the shortcuts, the last convolutions and the context steps of a fresh model from pictures [B, 3, H, W].

    Raises ValueError for a network without a wavelet shortcut.
    """
    if model.spec.shortcut != "haar":
        raise ValueError("only a network with a wavelet shortcut can start from principal components")
    if model.spec.latents > (most := 4 * model.spec.stages[-1].width):
        raise ValueError(f"{model.spec.latents} latents are more than the {most} bands of the shortcut")
    step = math.sqrt(18 / (math.log(2) * 255**2 * MIDDLE_LAMBDA))
    features = pictures
    for stage, (into, out) in enumerate(zip(model.g_a.shortcut, reversed(model.g_s.shortcut), strict=True)):
        bands, last = haar(features), stage == 3
        mean, matrix, variances = _principal(bands, min(bands.shape[1], into.out_channels), centred=last)
        scale = 1 / step if last else 1.0
        _assign(into, matrix * scale, -(matrix @ mean) * scale if last else 0.0)
        _assign(out, matrix.T / scale, mean if last else 0.0)
        features = into(features)
    for conv in (model.g_a.last, model.g_s.last):
        conv.weight.mul_(DAMPING)
        conv.bias.zero_()
    spread = variances.sqrt() / step  # of y at the middle quality
    model.float_side.context_steps.copy_((6 * spread * model.gains.log_gain.max().exp() / 127).clamp_min(1 / 16))
    _start_scales(model, spread)


def _start_scales(model: FedsModel, spread: Tensor) -> None:
    """Let every slice network begin with the table of its channels' own spread [M]."""
    spec = model.spec
    log_step = math.log(spec.largest_scale / spec.smallest_scale) / (spec.scales - 1)
    index = (spread.clamp_min(spec.smallest_scale).log() - math.log(spec.smallest_scale)) / log_step
    for net, part in zip(model.float_side.nets, index.split(spec.slice_channels), strict=True):
        last = net.index[-1]
        last.bias.copy_(part.clamp(0, spec.scales - 1) / last.gain)
