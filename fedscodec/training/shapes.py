"""Counting residuals, so that the shapes of their distributions can be fitted to them (`entropy.mixtures`)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..entropy.coders import RateEstimator
from ..entropy.mixtures import RADIUS, fit_shapes
from ..entropy.tables import scale_table
from ..networks.spec import ModelSpec


class ResidualCounter(RateEstimator):
    """Counts rounded residuals by slice, table and magnitude; one counter may go on many walks.

    counts: float64 [slices, tables, RADIUS + 1], where the walks run.
    """

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        super().__init__(spec.scales, spec.smallest_scale, spec.largest_scale, noise=False)
        self.spec = spec
        self.counts = torch.zeros(spec.slices, spec.scales, RADIUS + 1, dtype=torch.float64, device=device)

    def slice(self, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """Count a slice."""
        if y is None:
            raise ValueError("nothing can be counted without latents")
        number, (tables, width) = self.walked % self.spec.slices, self.counts.shape[1:]
        size = torch.round(y - mean).abs().clamp_max(width - 1).long()
        rows = index.round().long().clamp(0, tables - 1)
        found = torch.bincount((rows * width + size).flatten(), minlength=tables * width)
        self.counts[number] += found.view(tables, width)
        return super().slice(y, mean, index)

    def fitted(self, counts: Tensor) -> Tensor:
        """Shapes [slices, tables, 5] of such counts."""
        scales = scale_table(self.spec.scales, self.spec.smallest_scale, self.spec.largest_scale)
        return torch.from_numpy(fit_shapes(counts.numpy(force=True), scales)).float()
