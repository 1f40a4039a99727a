"""When a run counts as diverged, and when a costly crop is just that."""

from __future__ import annotations

import math

import pytest

from fedscodec.training.health import AT_ONCE, FACTOR, STEPS, DivergedError, Health


def test_one_costly_crop_is_no_divergence():
    health = Health()
    for step in range(1, STEPS):
        health.check(step, 1.0, 1, 0)
    health.check(STEPS, 3 * FACTOR, 1, 0)  # a mean of less than three over all of them
    assert 1.0 < health.best < 3.0


def test_a_mean_that_stays_far_above_the_best_is():
    health = Health()
    health.check(STEPS, 0.5, STEPS, 0)
    assert health.best == 0.5
    with pytest.raises(DivergedError, match=r"^training diverged at step 64 \(loss 10.5\)$"):
        health.check(2 * STEPS, 10.5, STEPS, 0)


@pytest.mark.parametrize("loss", [math.nan, math.inf, 1.01 * AT_ONCE])
def test_what_no_crop_can_cost_ends_a_run_at_once(loss):
    health = Health()
    health.check(STEPS, 1.0, STEPS, 0)
    with pytest.raises(DivergedError, match="^training diverged at step 33 "):
        health.check(STEPS + 1, loss, 1, 0)


def test_gradients_that_are_never_finite_end_a_run():
    health = Health()
    with pytest.raises(DivergedError, match="no gradient of the last 50 was finite"):
        health.check(50, math.nan, 50, 50)
