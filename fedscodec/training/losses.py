"""The losses: one function per equation of the paper.

Networks here are variable-rate, unlike the paper's, with three consequences. Every sample has its λ. The latents of Eq.
8 are compared without their gains, as g_s receives them: with gains, those of q7 would be six times those of q1 and
count forty times as much. And H_c is that of a network over all its qualities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..entropy.precision import in_float32
from ..metrics.table import LOSSES
from ..networks.blocks.layers import interpolated


class RateDistortion(NamedTuple):
    """The cost of a batch: the mean loss, and bits per pixel and mean squared error (of 0..1) of each sample [B]."""

    loss: Tensor
    bpp: Tensor
    mse: Tensor

    @property
    def psnr(self) -> Tensor:
        """PSNR in decibels, of the batch's mean squared error."""
        return -10 * torch.log10(self.mse.mean())


def sample_weights(lam: Tensor, balance: float, middle: float) -> Tensor:
    """Weights [B] of samples with these λ [B] in the mean of a batch: (λ / middle)^-balance.

    The loss at q7 is eight times that at q1, and would otherwise count that much more; relative savings, as in BD-rate,
    count equally at a balance near 0.5.
    """
    return (lam / middle) ** -balance


def distortion(x: Tensor, x_hat: Tensor, metric: str = "mse") -> Tensor:
    """D of Eq. 1 and d of Eq. 4 for each sample of [B, 3, H, W] in 0..1, [B]: the loss of the metric in `LOSSES`.

    Always in float32, whatever the precision of the step.
    """
    with in_float32(x):
        return LOSSES[metric].of(x.float(), x_hat.float())


def rate_distortion(
    x: Tensor, x_hat: Tensor, bits: Tensor, lam: Tensor, weights: Tensor | float = 1.0, metric: str = "mse"
) -> RateDistortion:
    """Eq. 1 with R in bits per pixel: R + λ·D, the weighted mean over samples.

    x, x_hat [B, 3, H, W] in 0..1; bits, λ and weights [B].
    """
    bpp = bits / (x.shape[2] * x.shape[3])
    mse = (x_hat.detach().float() - x.float()).square().mean((1, 2, 3))
    return RateDistortion((weights * (bpp + lam * distortion(x, x_hat, metric))).mean(), bpp, mse)


def output_loss(
    teacher: Tensor, student: Tensor, lam: Tensor, weights: Tensor | float = 1.0, metric: str = "mse"
) -> Tensor:
    """L_output (Eq. 4) of two pictures [B, 3, H, W], with the same weight as the distortion."""
    return (weights * lam * distortion(teacher, student, metric)).mean()


def feature_loss(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
    """L_feature (Eq. 5): the mean over layers of mean squared differences of maps [B, C, h, w]."""
    return torch.stack([(s.float() - t.float()).square().mean() for t, s in zip(teacher, student, strict=True)]).mean()


def top_channels(entropies: Tensor, count: int, order: str = "entropy") -> Tensor:
    """TopK (Eq. 7): the `count` channels of highest entropy, from the highest down, or in channel order.

    entropies [C] are the H_c of Eq. 6, see `EntropyProbe.channel_entropies`.
    """
    chosen = torch.argsort(entropies, descending=True, stable=True)[:count]
    return chosen if order == "entropy" else chosen.sort().values


def latent_loss(teacher: Tensor, student: Tensor) -> Tensor:
    """L_latent (Eq. 8): mean squared difference of the teacher's chosen channels and the student's ŷ, [B, C, h, w]."""
    return (student.float() - teacher.float()).square().mean()


class Gaussian(NamedTuple):
    """The prediction of an entropy model for latents: means and scales [B, C, h, w]."""

    mean: Tensor
    scale: Tensor


def distribution_loss(teacher: Gaussian, student: Gaussian) -> Tensor:
    """Mean Kullback-Leibler divergence of the student's Gaussians from the teacher's, in bits.

    This is our version of the probability distribution of FU2024KD; the paper gives no formula.
    """
    ratio = teacher.scale / student.scale
    distance = (teacher.mean - student.mean) / student.scale
    return (0.5 * (ratio.square() + distance.square() - 1) - ratio.log()).mean() / math.log(2)


def interpolated_lambda(quality: Tensor, lambdas: Tensor) -> Tensor:
    """λ at real qualities 1 … Q [B], interpolated geometrically between neighbours, like the gains; lambdas [Q]."""
    return interpolated(lambdas.log()[:, None], quality)[:, 0, 0, 0]


def quality_of_lambda(lam: Tensor, lambdas: Tensor) -> Tensor:
    """The real quality 1 … Q at which a network has these λ [B]: the inverse of `interpolated_lambda`; lambdas [Q]."""
    table, wanted = lambdas.log(), lam.log()
    if len(lambdas) == 1:
        return torch.ones_like(lam)
    low = (torch.searchsorted(table, wanted, right=True) - 1).clamp(0, len(lambdas) - 2)
    share = (wanted - table[low]) / (table[low + 1] - table[low])
    return 1 + low + share.clamp(0, 1)
