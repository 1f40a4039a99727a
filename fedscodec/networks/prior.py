"""The factorised prior of z: one trained mixture of logistics per channel; frequency tables are made from it once."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class HyperPrior(nn.Module):
    """p(z) of each channel, a mixture of `components` logistic densities, integrated over a quantisation step."""

    def __init__(self, channels: int, components: int = 3) -> None:
        super().__init__()
        spread = torch.tensor([[2 * k / max(components - 1, 1) - 1 for k in range(components)]] * channels)
        self.logits = nn.Parameter(torch.zeros(channels, components))
        self.means = nn.Parameter(spread)
        self.log_scales = nn.Parameter(torch.zeros(channels, components))

    def likelihood(self, z: Tensor) -> Tensor:
        """Probability of the unit interval around z, for z [B, C, H, W]; the same shape, at least 1e-9."""
        z = z.float()[:, :, None]
        weights = F.softmax(self.logits, 1)[None, :, :, None, None]
        means = self.means[None, :, :, None, None]
        scales = self.log_scales.clamp(-4, 6).exp()[None, :, :, None, None]
        distance = (z - means).abs()  # symmetric, and precise in both tails
        mass = torch.sigmoid((0.5 - distance) / scales) - torch.sigmoid((-0.5 - distance) / scales)
        return (weights * mass).sum(2).clamp_min(1e-9)

    @torch.no_grad()
    def probabilities(self, largest: int = 127) -> np.ndarray:
        """Probability of each integer in ±largest, float64 [C, 2·largest+1], for building the tables."""
        values = torch.arange(-largest, largest + 1, dtype=torch.float32, device=self.logits.device)
        grid = values[None, None, :, None].expand(1, len(self.logits), -1, 1)
        mass = self.likelihood(grid)[0, :, :, 0].double().numpy(force=True)
        return mass / np.maximum(mass.sum(1, keepdims=True), 1.0)  # float32 may sum to a little more than one
