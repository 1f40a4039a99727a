"""Measure what the integers of a network need besides its weights: steps of activations and shapes of residuals.

Both are measured on the averaged network, which is the one that is saved, and copied to the one in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import torch

from ..entropy.coders import RateEstimator
from ..networks.model import FedsModel
from .crops import Crops
from .parallel import Team
from .recipe import Recipe
from .shapes import ResidualCounter

BATCHES = 16
REFIT_BATCHES = 4  # while a run goes on; sixteen took 3 % of its time
FINAL_BATCHES = 64


def spread(count: int, qualities: int) -> Iterator[float]:
    """`count` qualities from 1 to the number of qualities, evenly spaced."""
    return (1 + (qualities - 1) * number / max(count - 1, 1) for number in range(count))


class Calibration:
    """Calibrates `average` on crops and copies the results to `model`.

    Uses its own random generators, so that a run does not depend on when it was saved.
    """

    def __init__(
        self, model: FedsModel, average: FedsModel, crops: Crops, recipe: Recipe, team: Team,
        autocast: Callable[[], AbstractContextManager[object]],
    ) -> None:  # fmt: skip
        self.model, self.average, self.crops, self.recipe = model, average, crops, recipe
        self.team, self.autocast = team, autocast

    @property
    def quantised(self) -> bool:
        """Whether the entropy side already runs with fake quantisation."""
        return self.model.float_side.quantised

    def quantise(self) -> None:
        """Run the entropy side of both networks with fake quantisation from now on."""
        for model in (self.model, self.average):
            model.float_side.set_mode(quantised=True)

    @torch.no_grad()
    def fix_steps(self) -> None:
        """Fix the steps of all activations."""
        side, spec = self.average.float_side, self.model.spec
        side.set_mode(observing=True)
        coder = RateEstimator(spec.scales, spec.smallest_scale, spec.largest_scale, noise=False)  # nobody asks its rate
        self._walk(BATCHES, self.crops.fresh_generator(self.recipe.seed), coder)
        side.set_mode()
        for peak in side.peaks():
            self.team.largest(peak)
        side.calibrate()
        self.model.float_side.copy_steps(side)

    @torch.no_grad()
    def fit_shapes(self, batches: int, step: int) -> None:
        """Fit the shapes of residuals. Does nothing if the recipe keeps Gaussians."""
        if self.recipe.shapes_every == 0:
            return
        counter = ResidualCounter(self.model.spec, self.crops.device)
        self._walk(batches, self.crops.fresh_generator(self.recipe.seed + step), counter)
        shapes = counter.fitted(self.team.mean(counter.counts) * self.team.size)
        for model in (self.model, self.average):
            model.float_side.shapes.copy_(shapes)

    def _walk(self, batches: int, generator: torch.Generator, coder: RateEstimator) -> None:
        """The inputs of the average's entropy side for some pictures; g_s, half of the work, does not run.

        Covers the lowest to the highest quality, because clipping costs most at the ends.
        """
        average, recipe, part = self.average, self.recipe, self.team.part(self.recipe.batch)
        for level in spread(batches, len(self.model.spec.lambdas)):
            x = self.crops.batch(recipe.batch, recipe.crop, generator, part)
            quality = torch.full((len(x),), level, device=self.crops.device)
            with self.autocast():
                average.encode(x, quality, coder)

    def finite(self) -> bool:
        """Whether weights and tables of both networks hold finite numbers."""
        return all(bool(torch.isfinite(v).all()) for m in (self.model, self.average) for v in m.state_dict().values())
