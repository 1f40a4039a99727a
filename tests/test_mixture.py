"""Graphics and moved colours stand among the crops while the learning rate falls, and only then."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedscodec.training.mixture import Mixture, moved_colours
from fedscodec.training.recipe import Recipe

WHOLE = slice(0, 40)


def grey():
    return torch.full((40, 3, 64, 64), 0.5)


def replaced(x):
    return int((x != 0.5).flatten(1).any(1).sum())


def test_while_the_rate_is_constant_all_crops_are_photographs():
    mixture = Mixture(Recipe(graphics=0.5, jitter=0.5, decay_from=0.7))
    assert replaced(mixture.mixed(grey(), 3, WHOLE, 0.69)) == 0
    assert replaced(mixture.mixed(grey(), 3, WHOLE, 0.7)) > 30
    assert replaced(Mixture(Recipe(graphics=0.0, jitter=0.0)).mixed(grey(), 3, WHOLE, 1.0)) == 0
    assert 5 < replaced(Mixture(Recipe(graphics_before=0.3)).mixed(grey(), 3, WHOLE, 0.0)) < 22


def test_processes_see_the_parts_of_one_batch():
    mixture = Mixture(Recipe(graphics=0.5))
    whole = mixture.mixed(grey(), 3, WHOLE, 1.0)
    parts = [mixture.mixed(grey()[:20], 3, part, 1.0) for part in (slice(0, 20), slice(20, 40))]
    assert torch.equal(whole, torch.cat(parts))
    assert not torch.equal(whole, mixture.mixed(grey(), 4, WHOLE, 1.0))


@pytest.mark.parametrize("seed", range(4))
def test_moved_colours_stay_in_the_cube_and_reach_its_corners(seed):
    x = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(seed))
    moved = moved_colours(x, np.random.default_rng(seed))
    assert moved.shape == x.shape
    assert float(moved.min()) >= 0
    assert float(moved.max()) <= 1
    assert not torch.equal(moved, x)
