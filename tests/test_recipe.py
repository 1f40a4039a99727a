"""A recipe refuses what cannot be trained, and its learning rate rises, stays and falls to zero."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from fedscodec.errors import FedsError
from fedscodec.training.recipe import DECODER, FULL, LINEAR, QUANTISED, RECIPES, Recipe, recipe_from


def test_the_default_is_sound():
    recipe = Recipe()
    assert (recipe.batch, recipe.crop, recipe.optimizer) == (8, 192, "adam")
    assert recipe.warm_up < recipe.decay_from < 1 - recipe.quantised_share
    with pytest.raises(FrozenInstanceError):
        recipe.batch = 2


@pytest.mark.parametrize("crop", [0, -64, 63, 100])
def test_crop_is_a_positive_multiple_of_64(crop):
    with pytest.raises(ValueError, match=f"^crop must be a positive multiple of 64, found {crop}$"):
        Recipe(crop=crop)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"minutes": 0.0}, "minutes must be positive, found 0.0"),
        ({"minutes": -1.0}, "minutes must be positive, found -1.0"),
        ({"clip": 0.0}, "clip must be positive, found 0.0"),  # which would train nothing
        ({"batch": 0}, "batch must lie in 1..65536, found 0"),
        ({"batch": 10**18}, f"batch must lie in 1..65536, found {10**18}"),
        ({"seed": 2**64}, f"seed must lie in 0..{2**63 - 1}, found {2**64}"),
        ({"milestones": (-5,), "steps": 9}, r"milestones must be positive, found \(-5,\)"),
    ],
)
def test_values_that_no_run_can_have(values, complaint):
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        Recipe(**values)


def test_a_run_has_one_length():
    assert recipe_from("direct", {"steps": 5, "milestones": ()}).steps == 5
    assert recipe_from("train", {"minutes": 5.0, "steps": 0}).minutes == 5.0
    for name, options, found in (("direct", {}, 180_000), ("train", {"steps": 7}, 7)):
        complaint = f"^a run has a length in minutes or in steps, found 2 minutes and {found} steps$"
        with pytest.raises(FedsError, match=complaint):
            recipe_from(name, {"minutes": 2.0, **options})


def test_the_sides_of_all_crops():
    assert Recipe(crops=(256, 384)).sides == (192, 256, 384)
    assert Recipe(crops=(256, 384), crops_share=0.0).sides == (192,)


@pytest.mark.parametrize("optimizer", ["sgd", "", "Adam"])
def test_only_known_optimizers_are_taken(optimizer):
    with pytest.raises(ValueError, match=f"^optimizer must be adam, soap or muon, found {optimizer}$"):
        Recipe(optimizer=optimizer)
    assert Recipe(optimizer="adam").optimizer == "adam"


@pytest.mark.parametrize("share", [-0.1, 1.5, math.nan])
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
    rates = [Recipe().rate(0.7 + i / 100) for i in range(31)]
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


def test_milestones_divide_the_rate_by_ten_at_their_steps():
    recipe = RECIPES["paper-teacher"]
    rates = {step: recipe.rate(step / recipe.steps) for step in (0, 1, 129_999, 130_000, 159_999, 160_000, 179_999)}
    assert list(rates.values()) == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_the_three_stages_are_those_of_the_paper():
    teacher, distill, finetune = (RECIPES[f"paper-{stage}"] for stage in ("teacher", "distill", "finetune"))
    for recipe in (teacher, distill, finetune):
        assert (recipe.batch, recipe.crop, recipe.optimizer) == (8, 384, "adam")
        assert recipe.lr == recipe.side_lr == recipe.shortcut_lr == recipe.prior_lr == 1e-4
        assert (recipe.warm_up, recipe.linear_share, recipe.free_z, recipe.balance, recipe.ema) == (0, 0, 0, 0, 0)
    assert (teacher.steps, teacher.milestones) == (distill.steps, distill.milestones) == (180_000, (130_000, 160_000))
    assert (finetune.steps, finetune.milestones) == (150_000, (50_000, 100_000))
    assert (distill.alpha, distill.beta, distill.gamma, distill.delta) == (1.0, 0.5, 0.5, 0.0)
    assert (distill.latent_order, distill.relative, len(distill.taps)) == ("entropy", False, 6)
    assert (finetune.quantised_share, teacher.quantised_share) == (pytest.approx(1 / 3), 0)


def test_fu2024kd_learns_output_and_distribution_alone():
    fu = RECIPES["fu2024kd"]
    assert (fu.alpha, fu.beta, fu.gamma, fu.delta) == (1.0, 0.0, 0.0, 1.0)
    assert RECIPES["direct"] == RECIPES["paper-teacher"]


@pytest.mark.parametrize(
    ("progress", "phase"), [(0.0, LINEAR), (0.19, LINEAR), (0.2, FULL), (0.6, QUANTISED), (0.91, DECODER)]
)
def test_phases_follow_each_other(progress, phase):
    assert Recipe(linear_share=0.2, quantised_share=0.3, decoder_share=0.1).phase(progress) is phase


def test_a_run_without_a_quantised_share_never_gets_there():
    assert Recipe(quantised_share=0.0, linear_share=0.0).phase(0.9999) is FULL
    assert Recipe(quantised_share=0.0, linear_share=0.0).phase(1.0) is FULL


def test_parts_are_the_phases_and_their_shares():
    recipe = Recipe(linear_share=0.2, quantised_share=0.3, decoder_share=0.1)
    assert recipe.parts() == [
        (LINEAR, pytest.approx(0.2)), (FULL, pytest.approx(0.4)), (QUANTISED, pytest.approx(0.3)),
        (DECODER, pytest.approx(0.1)),
    ]  # fmt: skip
    assert Recipe(quantised_share=0.0).parts() == [(FULL, 1.0)]


def test_after_its_taught_share_a_student_learns_by_itself():
    recipe = Recipe(quantised_share=0.2, taught_share=0.7)
    assert [(phase.name, phase.taught, round(share, 9)) for phase, share in recipe.parts()] == [
        ("full", True, 0.7), ("full", False, 0.1), ("quantised", False, 0.2),
    ]  # fmt: skip
    assert not Recipe(taught_share=0.0).phase(0.0).taught
    assert Recipe().phase(1.0).taught
    with pytest.raises(ValueError, match=r"^taught_share must lie in 0..1, found 1.5$"):
        Recipe(taught_share=1.5)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"milestones": (10,)}, "milestones need a run of steps, found (10,) without steps"),
        ({"taps": (0, 6)}, "taps must lie in 0..5, found (0, 6)"),
        (
            {"linear_share": 0.6, "quantised_share": 0.5},
            "linear_share, quantised_share and decoder_share must add up to 0..1, found 0.6 + 0.5 + 0.0",
        ),
        ({"decay_minutes": 3.0, "steps": 9}, "decay_minutes needs a run of minutes, found 9 steps"),
        ({"decay_minutes": 31.0}, "decay_minutes must lie in 0..30, the minutes of the run, found 31.0"),
        ({"graphics": 1.5}, "graphics must lie in 0..1, found 1.5"),
        ({"crops": (100,)}, "crops must be a positive multiple of 64, found 100"),
        ({"precondition_every": 0}, "steps must not be negative and precondition_every be positive, found 0 and 0"),
        ({"latent_order": "size"}, "latent_order must be entropy or teacher, found size"),
        ({"lr": "x"}, "lr must be a number, found 'x'"),
        ({"batch": 2.0}, "batch must be a whole number, found 2.0"),
        ({"batch": True}, "batch must be a whole number, found True"),
        ({"crops": "a"}, "crops must be a list of whole numbers, found 'a'"),
        ({"crops": 5}, "crops must be a list of whole numbers, found 5"),
        ({"taps": (1.5,)}, "taps must be a list of whole numbers, found (1.5,)"),
        ({"compile": "x"}, "compile must be true or false, found 'x'"),
        ({"minutes": math.nan}, "minutes must be 0 or more, found nan"),
        ({"lr": -1e-3}, "lr must be 0 or more, found -0.001"),
        ({"clip": math.inf}, "clip must be 0 or more, found inf"),
        ({"ema": 2.0}, "ema must lie in 0..1, found 2.0"),
        ({"warm_up": 1.5}, "warm_up must lie in 0..1, found 1.5"),
    ],
)
def test_what_cannot_be_is_refused(values, complaint):
    with pytest.raises(ValueError, match="^" + re.escape(complaint) + "$"):
        Recipe(**values)


def test_recipe_from_replaces_what_is_given():
    assert recipe_from("train", {}) == Recipe()
    assert recipe_from("train", {"minutes": 2.0, "batch": None, "seed": 7}) == Recipe(minutes=2.0, seed=7)
    assert recipe_from("finetune", {"taps": [1, 2]}).taps == (1, 2)


def test_recipe_from_names_what_is_unknown():
    with pytest.raises(FedsError, match="^a recipe has no field epochs, rate; it has alpha, balance, batch, beta, "):
        recipe_from("train", {"rate": 1, "epochs": 3, "batch": 2})
    with pytest.raises(
        FedsError, match="^best: no such recipe; known are train, relay, branch, distill, finetune, soap, muon, "
    ):
        recipe_from("best", {})


def test_recipe_from_passes_on_why_a_value_is_impossible():
    with pytest.raises(FedsError, match="multiple of 64, found 100$"):
        recipe_from("train", {"crop": 100})
    with pytest.raises(FedsError, match="^batch must lie in 1..65536, found 0$"):
        recipe_from("train", {"batch": 0})


def test_a_trajectory_never_falls_and_a_branch_only_falls():
    relay, branch = RECIPES["relay"], RECIPES["branch"]
    assert [relay.rate(progress) for progress in (0.5, 0.99, 1.0)] == [1, 1, 1]
    assert (relay.ends_at, branch.ends_at) == (1.0, 0.0)
    assert [branch.rate(progress) for progress in (0.0, 0.02, 0.5, 1.0)] == pytest.approx([0.01, 1, 0.5, 0], abs=1e-2)
    assert replace(branch, warm_up=0.0).rate(0.0) == 1  # what --from makes of it


def test_the_rate_can_fall_in_the_last_minutes():
    recipe = Recipe(minutes=100.0, decay_minutes=20.0)
    assert [recipe.rate(progress) for progress in (0.5, 0.8, 0.9, 1.0)] == pytest.approx([1, 1, 0.5, 0])


def test_crops_grow_in_the_last_part_and_keep_about_their_pixels():
    recipe = Recipe(crop=192, crops=(256, 384), crops_share=0.2)
    sides = [recipe.crop_at(progress) for progress in (0.0, 0.79, 0.81, 0.89, 0.91, 0.99, 1.0)]
    assert sides == [192, 192, 256, 256, 384, 384, 384]
    assert [recipe.batch_at(side, 2) for side in (192, 256, 384)] == [8, 4, 2]
    assert [recipe.batch_at(side, 1) for side in (192, 256, 384)] == [8, 4, 2]  # 4.5 and 2
    assert recipe.batch_at(1024, 2) == 2  # one for each process


def test_every_field_is_explained():
    assert [field.name for field in fields(Recipe) if not field.metadata["help"].endswith(".")] == []
