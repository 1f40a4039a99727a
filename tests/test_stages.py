"""Step functions: what a batch costs a network alone, and what a teacher adds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedscodec.entropy.coders import EntropyProbe, RateEstimator
from fedscodec.errors import FedsError
from fedscodec.networks.spec import paper_stages
from fedscodec.training import losses
from fedscodec.training.recipe import DECODER, FULL, LINEAR, RECIPES, Recipe
from fedscodec.training.stages import FIGURES, Alone, Distilled, Survey

PLAIN = replace(RECIPES["paper-distill"], batch=2, crop=64)
QUALITY = torch.tensor([2.0, 6.5])


@pytest.fixture
def x():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def still(model, x, quality=QUALITY):
    """A pass with rounding in place of noise, and its estimator."""
    spec = model.spec
    coder = RateEstimator(spec.scales, spec.smallest_scale, spec.largest_scale, noise=False)
    return model(x, quality, coder), coder


def figures(cost):
    return dict(zip(FIGURES, cost.figures.tolist(), strict=True))


def test_alone_is_eq_1_with_z_at_its_price(tiny, x):
    model = tiny()
    stage = Alone(model, Recipe(balance=0.5))
    output, coder = still(model, x)
    lam = losses.interpolated_lambda(QUALITY, torch.tensor(model.spec.lambdas)).numpy()
    bits_z, bits_y = (b.detach().numpy() for b in (coder.bits_z, coder.bits_y))
    mse = ((output.x_hat - x) ** 2).mean((1, 2, 3)).detach().numpy()
    weights = (lam / 0.015) ** -0.5
    for price in (1.0, 0.25):
        cost = stage(x, QUALITY, DECODER, price)  # whose rate is that of rounded symbols
        rate = (price * bits_z + bits_y) / 64**2
        assert float(cost.loss.detach()) == pytest.approx(np.mean(weights * (rate + lam * 65025 * mse)), rel=1e-4)
        told = figures(cost)
        whole = np.mean(weights * ((bits_z + bits_y) / 64**2 + lam * 65025 * mse))
        assert told["loss"] == pytest.approx(whole, rel=1e-4)
        assert told["mse"] == pytest.approx(mse.mean(), rel=1e-4)
        assert [told[name] for name in FIGURES[3:]] == [0, 0, 0, 0]


def test_a_student_that_is_its_teacher_has_nothing_to_learn(tiny, x):
    stage = Distilled(tiny(), tiny(), replace(PLAIN, delta=1.0))
    told = figures(stage(x, QUALITY, FULL, 1.0))
    assert [told[name] for name in FIGURES[3:]] == pytest.approx([0, 0, 0, 0], abs=1e-6)


def test_distilled_is_eq_2_and_3(tiny, x):
    student, teacher = tiny(1, latents=8), tiny(2, latents=12)
    recipe = replace(PLAIN, alpha=0.75, beta=0.5, gamma=0.25, delta=2.0, taps=(0, 4))
    stage = Distilled(student, teacher, recipe)
    spec = teacher.spec
    probe = EntropyProbe(spec.scales, spec.smallest_scale, spec.largest_scale)
    theirs = teacher(x, QUALITY, probe)
    found = stage.survey(x, QUALITY)
    entropies = probe.maps.mean((0, 2, 3))
    torch.testing.assert_close(found.entropies, entropies)
    stage.choose(found)
    chosen = np.argsort(-entropies.detach().numpy(), kind="stable")[:8]
    assert stage.channels.tolist() == chosen.tolist()
    ours, _ = still(student, x)
    lam = losses.interpolated_lambda(QUALITY, torch.tensor(spec.lambdas))
    told = figures(stage(x, QUALITY, FULL, 1.0))
    output = (lam * 65025 * ((theirs.x_hat - ours.x_hat) ** 2).mean((1, 2, 3))).mean()
    assert told["output"] == pytest.approx(float(output.detach()), rel=1e-4)
    feature = sum(((theirs.taps[t] - ours.taps[t]) ** 2).mean() for t in (0, 4)) / 2
    assert told["feature"] == pytest.approx(float(feature.detach()), rel=1e-4)
    ungained = [out.y_hat * model.gains(QUALITY)[1] for out, model in ((theirs, teacher), (ours, student))]
    latent = ((ungained[0][:, chosen] - ungained[1]) ** 2).mean()
    assert told["latent"] == pytest.approx(float(latent.detach()), rel=1e-4)
    assert told["distribution"] > 0
    cost = stage(x, QUALITY, DECODER, 1.0)
    told = figures(cost)
    parts = 0.75 * told["output"] + 0.5 * told["feature"] + 0.25 * told["latent"] + 2.0 * told["distribution"]
    assert float(cost.loss.detach()) == pytest.approx(told["loss"] + parts, rel=1e-4)


def test_fu2024kd_looks_at_output_and_distribution_alone(tiny, x):
    stage = Distilled(tiny(1), tiny(2), replace(RECIPES["fu2024kd"], batch=2, crop=64))
    told = figures(stage(x, QUALITY, FULL, 1.0))
    assert told["feature"] == told["latent"] == 0
    assert told["output"] > 0
    assert told["distribution"] > 0


def test_gradients_reach_the_student_and_its_projections_alone(tiny, x):
    student, teacher = tiny(1), tiny(2, stages=paper_stages(0, width=12))
    stage = Distilled(student, teacher, PLAIN)
    assert [tuple(p.weight.shape) for p in stage.projections] == [(12, 8, 1, 1)] * 6
    stage(x, QUALITY, FULL, 1.0).loss.backward()
    assert all(p.grad is None for p in teacher.parameters())
    assert all((p.weight.grad != 0).any() for p in stage.projections)
    assert (student.g_a.down[0].down.weight.grad != 0).any()


def test_maps_of_equal_width_need_no_projection(tiny):
    assert list(Distilled(tiny(1), tiny(2), PLAIN).projections.parameters()) == []


def test_the_linear_phase_has_no_maps_to_compare(tiny, x):
    told = figures(Distilled(tiny(1), tiny(2), PLAIN)(x, QUALITY, LINEAR, 1.0))
    assert told["feature"] == 0
    assert told["latent"] > 0


def test_what_is_untaught_costs_as_alone_does(tiny, x):
    model = tiny()
    taught, alone = Distilled(model, tiny(1), PLAIN), Alone(model, PLAIN)
    torch.manual_seed(5)
    cost = taught(x, QUALITY, replace(FULL, taught=False), 1.0)
    torch.manual_seed(5)
    other = alone(x, QUALITY, FULL, 1.0)
    assert torch.equal(cost.loss, other.loss)
    assert torch.equal(cost.figures, other.figures)


def test_relative_losses_know_no_units(tiny, x):
    recipe = replace(PLAIN, relative=True)
    stage = Distilled(tiny(1), tiny(2), recipe)
    found = stage.survey(x, QUALITY)
    tripled = [9.0 * v for v in (found.latent_variances.clamp_min(4.0), found.map_variances)]
    stage.choose(Survey(found.entropies, found.latent_variances.clamp_min(4.0), found.map_variances))
    told = figures(stage(x, QUALITY, FULL, 1.0))
    stage.choose(Survey(found.entropies, *tripled))
    smaller = figures(stage(x, QUALITY, FULL, 1.0))
    assert smaller["feature"] == pytest.approx(told["feature"] / 9, rel=1e-3)
    assert smaller["latent"] == pytest.approx(told["latent"] / 9, rel=1e-3)


def test_a_teacher_for_one_lambda_teaches_a_student_for_it(tiny, x):
    one = torch.ones(2)
    taught = Distilled(tiny(1, lambdas=(0.015,)), tiny(2), PLAIN)
    torch.testing.assert_close(taught._teachers_quality(torch.full((2,), 0.015)), 4 * one)
    taught(x, one, FULL, 1.0).loss.backward()


@pytest.mark.parametrize(
    ("student", "teacher", "complaint"),
    [
        ({}, {"latents": 8}, "a teacher of 8 latents cannot teach a student of 16"),
        ({}, {"lambdas": (0.015,)}, "the teacher covers λ of 0.015 … 0.015, but the student needs 0.0016 … 0.06"),
        ({}, {"metric": "ms-ssim"}, "the teacher was trained for ms-ssim, the student is for mse"),
    ],
)
def test_what_does_not_fit_is_refused(tiny, student, teacher, complaint):
    with pytest.raises(FedsError, match=f"^{complaint}$"):
        Distilled(tiny(1, **student), tiny(2, **teacher), PLAIN)
