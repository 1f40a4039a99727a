"""One function per equation of the paper, each a few lines."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MIDDLE_LAMBDA = 0.015
"""The λ whose samples weigh one, however samples are balanced."""


class RateDistortion(NamedTuple):
    """What one batch cost: the mean loss, and bits per pixel and mean squared error (of 0..1) of each sample [B]."""

    loss: Tensor
    bpp: Tensor
    mse: Tensor

    @property
    def psnr(self) -> Tensor:
        """Decibels, of the batch's mean squared error."""
        return -10 * torch.log10(self.mse.mean())


def sample_weights(lam: Tensor, balance: float) -> Tensor:
    """Weights [B] of samples with these λ [B] in the mean of a batch: (λ / 0.015)^-balance.

    The loss at q7 is eight times that at q1, and would otherwise count as much more; relative savings, as BD-rate has
    them, count alike at a balance near 0.5.
    """
    return (lam / MIDDLE_LAMBDA) ** -balance


def rate_distortion(x: Tensor, x_hat: Tensor, bits: Tensor, lam: Tensor, balance: float = 0.0) -> RateDistortion:
    """Eq. 1 with R in bits per pixel: R + λ·255²·MSE. x, x_hat [B, 3, H, W] in 0..1; bits and λ [B].

    balance: see `sample_weights`.
    """
    bpp = bits / (x.shape[2] * x.shape[3])
    mse = (x_hat.float() - x.float()).square().mean((1, 2, 3))
    return RateDistortion((sample_weights(lam, balance) * (bpp + lam * 255**2 * mse)).mean(), bpp, mse)


def interpolated_lambda(quality: Tensor, lambdas: tuple[float, ...]) -> Tensor:
    """λ at real qualities 1 … Q, geometric between neighbours, as the gains are; [B]."""
    table = torch.tensor(lambdas, device=quality.device).log()
    position = (quality - 1).clamp(0, len(lambdas) - 1)
    low = position.floor().long().clamp_max(max(len(lambdas) - 2, 0))
    high = (low + 1).clamp_max(len(lambdas) - 1)
    return torch.lerp(table[low], table[high], position - low).exp()
