"""Likelihoods of residuals against the formula in double precision, and their gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import gaussian_mass
from torch import Tensor

from fedscodec.entropy.likelihoods import LEAST, gaussian_likelihood, mixture_likelihood
from fedscodec.entropy.mixtures import GAUSSIAN, RELATIVE_SCALES

PEAKED = (0.3, 0.2, 0.3, 0.15, 0.05)


@pytest.mark.parametrize("scale", [0.11, 0.5, 1.0, 7.3, 128.0])
def test_gaussian_likelihood_against_erf(scale: float) -> None:
    residuals = [0.0, 0.25, -0.5, 1.0, -1.0, 2.5, -6.0]
    found = gaussian_likelihood(torch.tensor(residuals), torch.tensor(scale))
    expected = [max(gaussian_mass(r, scale), 1e-9) for r in residuals]
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-8)


def test_gaussian_likelihood_keeps_its_digits_in_the_tail() -> None:
    # at 4.5 scales of 1, erfc in double gives this; a difference of float32 erf would be zero
    expected = 0.5 * (math.erfc(4.5 / 2**0.5) - math.erfc(5.5 / 2**0.5))
    assert gaussian_likelihood(torch.tensor(5.0), torch.tensor(1.0)).item() == pytest.approx(expected, rel=1e-4)
    assert gaussian_likelihood(torch.tensor(1e6), torch.tensor(1.0)).item() == pytest.approx(1e-9)


def step_by_step(residual: Tensor, scale: Tensor, shapes: Tensor) -> Tensor:
    """The mass of mixtures by erfc, for autograd."""
    factor, distance = math.sqrt(0.5) / scale, residual.abs()
    parts = [
        0.5 * w * (torch.erfc((distance - 0.5) * factor / r) - torch.erfc((distance + 0.5) * factor / r))
        for w, r in zip(shapes, RELATIVE_SCALES, strict=True)
    ]
    return torch.stack(parts).sum(0)


def test_the_likelihood_of_a_mixture() -> None:
    residual, scale = torch.tensor([0.0, 0.4, -3.0]), torch.tensor([0.5, 1.0, 2.0])
    shapes = torch.tensor(PEAKED)[:, None].expand(5, 3)
    found = mixture_likelihood(residual, scale, shapes)
    expected = [
        sum(w * gaussian_mass(r, a * s) for w, a in zip(PEAKED, RELATIVE_SCALES, strict=True))
        for r, s in zip(residual.tolist(), scale.tolist(), strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    plain = mixture_likelihood(residual, scale, torch.tensor(GAUSSIAN)[:, None].expand(5, 3))
    torch.testing.assert_close(plain, gaussian_likelihood(residual, scale), rtol=1e-6, atol=0)


@pytest.mark.parametrize("shape", [PEAKED, GAUSSIAN])
def test_gradients_are_those_of_the_formula(shape: tuple[float, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    residual = 3 * torch.randn(2000, generator=generator)
    scale = 0.11 + 4 * torch.rand(2000, generator=generator)
    shapes, up = torch.tensor(shape)[:, None].expand(5, 2000), torch.randn(2000, generator=generator)
    exact = [values.double().requires_grad_() for values in (residual, scale)]
    mass = step_by_step(*exact, shapes.double())
    expected = torch.autograd.grad(mass.clamp_min(LEAST), exact, up.double())
    inputs = [residual.requires_grad_(), scale.requires_grad_()]
    found = mixture_likelihood(*inputs, shapes)
    torch.testing.assert_close(found.double(), mass.clamp_min(LEAST), rtol=1e-4, atol=1e-7)
    for one, other in zip(torch.autograd.grad(found, inputs, up), expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5)
    if shape == GAUSSIAN:
        found = gaussian_likelihood(*inputs)
        for one, other in zip(torch.autograd.grad(found, inputs, up), expected, strict=True):
            torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-5)


def test_far_residuals_cost_what_the_least_likelihood_costs_and_have_no_gradient() -> None:
    residual = torch.tensor([1e6, -300.0], requires_grad=True)
    scale = torch.tensor([0.11, 1.0], requires_grad=True)
    found = gaussian_likelihood(residual, scale)
    found.log2().sum().backward()
    assert found.tolist() == pytest.approx([1e-9, 1e-9])
    assert residual.grad is not None and residual.grad.tolist() == [0.0, 0.0]
    assert scale.grad is not None and scale.grad.tolist() == [0.0, 0.0]
