"""Start the linear shortcut as the best linear transform codec instead of at random.

y begins as 16×16 blocks of the picture in a basis of principal components, ordered by variance; g_s begins as the
transpose. Where the shortcut is a chain of Haar transforms and 1×1 convolutions, each of these starts as the principal
components of what reaches it. Everything stays trainable. The step of q4 is the one that uniform quantisation at high
rate wants: d/dΔ of λ·255²·Δ²/36 − log₂Δ is zero at Δ² = 18 / (ln 2 · 255² · λ).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_unshuffle

from ..networks.model import FedsModel
from ..networks.shortcuts import haar
from ..networks.spec import LAMBDAS

MIDDLE_LAMBDA = LAMBDAS[3]
"""The λ for MSE at which the gains of a fresh network are one."""
STEP = math.sqrt(18 / (math.log(2) * 255**2 * MIDDLE_LAMBDA))
"""Quantisation step of the middle quality, in units of the picture."""
DAMPING = 0.05
"""What remains of the last convolutions of the non-linear branches, so that they start as small corrections."""


def principal(features: Tensor, count: int, centred: bool) -> tuple[Tensor, Tensor, Tensor]:
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

    Raises ValueError for a network without a linear shortcut.
    """
    if model.spec.shortcut == "none":
        raise ValueError("only a network with a linear shortcut can start from principal components")
    spread = _start_squares(model, pictures) if model.spec.shortcut == "principal" else _start_haar(model, pictures)
    for layer in (model.g_a.last, model.g_s.last):
        layer.weight.mul_(DAMPING)
        layer.bias.zero_()
    model.float_side.begin(spread, float(model.gains.log_gain.max().exp()))


def _start_squares(model: FedsModel, pictures: Tensor) -> Tensor:
    """Principal components of squares of 16×16; returns the spread of y [M] at the middle quality."""
    squares, into, out = pixel_unshuffle(pictures, 16), model.g_a.shortcut[0], model.g_s.shortcut[0]
    mean, matrix, variances = principal(squares, model.spec.latents, centred=True)
    for weight, values in ((into.weight, matrix / STEP), (out.weight, matrix.T * STEP)):
        weight.zero_()  # a network may have more latents than there are components
        weight[: values.shape[0], : values.shape[1]] = values
    into.bias.zero_()
    into.bias[: len(matrix)] = -(matrix @ mean) / STEP
    out.bias.copy_(mean)
    return pad(variances.sqrt() / STEP, (0, model.spec.latents - len(variances)))


def _start_haar(model: FedsModel, pictures: Tensor) -> Tensor:
    """Principal components stage by stage; returns the spread of y [M] at the middle quality."""
    if model.spec.latents > (most := 4 * model.spec.stages[-1].width):
        raise ValueError(f"{model.spec.latents} latents are more than the {most} bands of the shortcut")
    features = pictures
    for stage, (into, out) in enumerate(zip(model.g_a.shortcut, reversed(model.g_s.shortcut), strict=True)):
        bands, last = haar(features), stage == 3
        mean, matrix, variances = principal(bands, min(bands.shape[1], into.out_channels), centred=last)
        scale = 1 / STEP if last else 1.0
        _assign(into, matrix * scale, -(matrix @ mean) * scale if last else 0.0)
        _assign(out, matrix.T / scale, mean if last else 0.0)
        features = into(features)
    return variances.sqrt() / STEP
