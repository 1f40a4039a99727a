"""A recipe refuses what cannot be trained, and its learning rate rises, stays and falls to zero."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest

from fedscodec.training.recipe import Recipe


def test_the_default_is_sound():
    recipe = Recipe()
    assert (recipe.batch, recipe.crop, recipe.optimizer) == (8, 256, "soap")
    assert recipe.warm_up < recipe.decay_from < 1 - recipe.quantised_share
    with pytest.raises(FrozenInstanceError):
        recipe.batch = 2


@pytest.mark.parametrize("crop", [0, -64, 63, 100])
def test_crop_is_a_positive_multiple_of_64(crop):
    with pytest.raises(ValueError, match=f"^crop must be a positive multiple of 64, found {crop}$"):
        Recipe(crop=crop)


@pytest.mark.parametrize("values", [{"minutes": 0.0}, {"minutes": -1.0}, {"batch": 0}])
def test_minutes_and_batch_are_positive(values):
    with pytest.raises(ValueError, match="minutes and batch must be positive, found"):
        Recipe(**values)


@pytest.mark.parametrize("optimizer", ["sgd", "", "Adam"])
def test_only_known_optimizers_are_taken(optimizer):
    with pytest.raises(ValueError, match=f"^optimizer must be adam or soap, found {optimizer}$"):
        Recipe(optimizer=optimizer)
    assert Recipe(optimizer="adam").optimizer == "adam"


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, math.nan])
def test_the_decay_begins_within_the_run(share):
    with pytest.raises(ValueError, match=f"^decay_from must lie in 0..1, found {share}$"):
        Recipe(decay_from=share)
    assert Recipe(decay_from=0.0, warm_up=0.0).rate(0.5) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("progress", "rate"),
    [
        (0.0, 0.01),  # never zero: the first steps are part of a short run
        (0.0001, 0.01),
        (0.05, 0.5),
        (0.1, 1.0),
        (0.3, 1.0),
        (0.5, 1.0),
        (0.625, 0.5 * (1 + math.sqrt(0.5))),  # a quarter of the way down the cosine
        (0.75, 0.5),
        (1.0, 0.0),
        (1.5, 0.0),
    ],
)
def test_rate(progress, rate):
    assert Recipe(warm_up=0.1, decay_from=0.5).rate(progress) == pytest.approx(rate, abs=1e-12)


def test_rate_without_warm_up_starts_at_the_peak():
    assert Recipe(warm_up=0.0).rate(0.0) == 1.0


def test_rate_never_rises_after_the_plateau():
    rates = [Recipe().rate(0.4 + i / 100) for i in range(61)]
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(
    ("progress", "price"), [(0.0, 0.0), (0.1, 0.0), (0.125, 0.25), (0.15, 0.5), (0.2, 1.0), (1.0, 1.0)]
)
def test_z_is_free_at_first_and_then_rises_to_its_price(progress, price):
    assert Recipe(free_z=0.1).price_of_z(progress) == pytest.approx(price)
    assert Recipe(free_z=0.0).price_of_z(progress) == 1.0


def test_only_known_precisions_are_taken():
    with pytest.raises(ValueError, match="^precision must be auto, float32 or bfloat16, found float16$"):
        Recipe(precision="float16")
