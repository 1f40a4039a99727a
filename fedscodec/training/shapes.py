"""Count residuals, to fit the shapes of their distributions (`entropy.mixtures`)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..entropy.coders import RateEstimator
from ..entropy.mixtures import RADIUS, fit_shapes
from ..entropy.parts import Part
from ..entropy.tables import scale_table
from ..networks.spec import ModelSpec


class ResidualCounter(RateEstimator):
    """Counts rounded residuals by set of tables, table and magnitude; one counter may follow many walks.

    counts: float64 [sets, tables, RADIUS + 1], on the device of the walks.
    """

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        super().__init__(spec.scales, spec.smallest_scale, spec.largest_scale, noise=False)
        self.spec = spec
        self.counts = torch.zeros(spec.table_sets, spec.scales, RADIUS + 1, dtype=torch.float64, device=device)

    def code(self, part: Part, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """Count a part."""
        if y is None:
            raise ValueError("nothing can be counted without latents")
        tables, width = self.counts.shape[1:]
        size = torch.round(y - mean).abs().nan_to_num(width - 1).clamp_max(width - 1).long()
        rows = index.nan_to_num(0.0).round().long().clamp(0, tables - 1)  # of a run that diverged, which is told later
        found = torch.bincount((rows * width + size).flatten(), minlength=tables * width)
        self.counts[part.tables] += found.view(tables, width)
        return super().code(part, y, mean, index)

    def fitted(self, counts: Tensor) -> Tensor:
        """Shapes [sets, tables, 5] fitted to such counts."""
        scales = scale_table(self.spec.scales, self.spec.smallest_scale, self.spec.largest_scale)
        return torch.from_numpy(fit_shapes(counts.numpy(force=True), scales)).float()
