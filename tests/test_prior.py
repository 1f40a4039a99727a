"""The factorised prior: a distribution, whatever its parameters, and one that frequency tables can be made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedscodec.entropy.tables import TOTAL, tables_from_probabilities
from fedscodec.networks.prior import HyperPrior


def random_prior(seed: int = 0, channels: int = 5) -> HyperPrior:
    """A prior away from its start."""
    torch.manual_seed(seed)
    prior = HyperPrior(channels)
    with torch.no_grad():
        prior.logits.normal_()
        prior.means.normal_(0, 4)
        prior.log_scales.normal_(0.0, 0.7)
    return prior


def test_likelihood_is_the_mixtures_mass() -> None:
    prior = random_prior()
    z = torch.randn(2, 5, 3, 4) * 3
    weights = np.exp(prior.logits.double().numpy(force=True))
    weights /= weights.sum(1, keepdims=True)
    means, scales = prior.means.double().numpy(force=True), np.exp(prior.log_scales.double().numpy(force=True))
    expected = np.zeros(z.shape)
    for c in range(5):
        for k in range(3):
            at = (z.double().numpy()[:, c] - means[c, k] + np.array([[[[0.5]]], [[[-0.5]]]])) / scales[c, k]
            upper, lower = 1 / (1 + np.exp(-at))
            expected[:, c] += weights[c, k] * (upper - lower)
    np.testing.assert_allclose(prior.likelihood(z).detach(), expected, rtol=1e-4, atol=1e-7)


def test_a_fresh_prior_by_hand() -> None:
    # three logistics of scale one at -1, 0 and 1 with equal weights, at z = 0
    def mass(mean: float) -> float:
        return 1 / (1 + np.exp(mean - 0.5)) - 1 / (1 + np.exp(mean + 0.5))

    expected = (mass(-1) + mass(0) + mass(1)) / 3
    assert HyperPrior(1).likelihood(torch.zeros(1, 1, 1, 1)).item() == pytest.approx(expected, rel=1e-6)


def test_likelihoods_of_all_integers_sum_to_one() -> None:
    z = torch.arange(-200, 201.0).reshape(1, 1, -1, 1).expand(1, 5, -1, 1)
    for offset in (0.0, 0.3):
        sums = random_prior().likelihood(z + offset).sum((0, 2, 3))
        torch.testing.assert_close(sums, torch.ones(5), atol=1e-5, rtol=0)


def test_likelihood_has_a_floor_and_a_gradient() -> None:
    prior = random_prior()
    assert prior.likelihood(torch.full((1, 5, 1, 1), 1e6)).max().item() == pytest.approx(1e-9)
    (-torch.log2(prior.likelihood(torch.randn(2, 5, 4, 4)))).sum().backward()
    for parameter in (prior.logits, prior.means, prior.log_scales):
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().max() > 0


def test_the_tail_is_symmetric_and_falls_off_like_a_logistic() -> None:
    prior = HyperPrior(1, components=1)
    with torch.no_grad():
        prior.means.zero_()
    left, right, further = prior.likelihood(torch.tensor([-12.0, 12.0, 13.0]).reshape(1, 1, 3, 1)).flatten().tolist()
    assert left == right
    assert further / right == pytest.approx(np.exp(-1), rel=1e-3)


@pytest.mark.parametrize("largest", [1, 127])
def test_shape_of_the_probabilities(largest: int) -> None:
    prior = random_prior()
    found = prior.probabilities(largest)
    assert found.shape == (5, 2 * largest + 1)
    assert found.dtype == np.float64
    middle = prior.likelihood(torch.zeros(1, 5, 1, 1)).flatten().double().numpy(force=True)
    np.testing.assert_allclose(found[:, largest], middle, rtol=1e-6)
    assert np.all(found.sum(1) <= 1 + 1e-9)


@pytest.mark.parametrize(("mean", "log_scale"), [(0.0, 0.0), (0.0, -20.0), (100.0, 2.0), (500.0, 0.0), (0.0, 20.0)])
def test_tables_can_be_made_of_any_prior(mean: float, log_scale: float) -> None:
    prior = random_prior()
    with torch.no_grad():
        prior.means.fill_(mean)
        prior.log_scales.fill_(log_scale)
    probabilities = prior.probabilities()
    tables = tables_from_probabilities(probabilities, np.full(5, -127, dtype=np.int32))
    assert len(tables) == 5
    assert np.all(tables.frequencies.sum(1) == TOTAL)
    assert np.all((tables.low == -127) & (tables.high == 127))
    shares = tables.frequencies[:, :255] / TOTAL
    np.testing.assert_allclose(shares, probabilities, atol=4e-5)  # ESCAPE and the floor of each entry
