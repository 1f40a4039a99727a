"""Check whether a run still learns. Divergence gives one message, and never overwrites a good checkpoint."""

from __future__ import annotations

import math

from ..errors import FedsError

FACTOR, STEPS = 20.0, 32
"""A mean loss this many times the best so far, over at least this many steps, is not chance."""
AT_ONCE = 1000.0
"""A mean loss this many times the best so far is divergence even over a single step: one drawn crop costs up to 100
times as much as a photograph.
"""
SKIPPED_IN_A_ROW = 50


class DivergedError(FedsError):
    """The loss or the weights of a training run diverged; the text names the step and the loss."""


class Health:
    """Follows the losses of a run and detects divergence."""

    def __init__(self) -> None:
        self.best = math.inf
        self._sum, self._steps = 0.0, 0  # of the losses that were not judged yet
        self.skipped = 0  # steps in a row whose gradient was not finite, as far as reports tell

    def check(self, step: int, loss: float, steps: int, skipped: int) -> None:
        """Check the mean loss of the last `steps`, of which some were skipped. Raises DivergedError on divergence."""
        if steps == 0:
            return
        self.skipped = self.skipped + skipped if skipped == steps else 0
        if self.skipped >= SKIPPED_IN_A_ROW:
            raise DivergedError(f"training diverged at step {step} (no gradient of the last {self.skipped} was finite)")
        if skipped == steps:
            return
        if not math.isfinite(loss) or loss > AT_ONCE * self.best:
            raise diverged(step, loss)
        self._sum, self._steps = self._sum + loss * (steps - skipped), self._steps + steps - skipped
        if self._steps < STEPS:
            return
        mean, self._sum, self._steps = self._sum / self._steps, 0.0, 0
        if mean > FACTOR * self.best:
            raise diverged(step, mean)
        self.best = min(self.best, mean)


def diverged(step: int, loss: float) -> DivergedError:
    """The error for a run whose loss, weights or tables are useless."""
    return DivergedError(f"training diverged at step {step} (loss {loss:.4g})")
