"""The equations of the paper against a few lines of numpy each."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedscodec.networks.spec import LAMBDAS
from fedscodec.training.losses import interpolated_lambda, rate_distortion, sample_weights


def test_rate_distortion_by_hand():
    x = torch.zeros(2, 3, 4, 4)
    x_hat = torch.stack([torch.full((3, 4, 4), 1 / 255), torch.full((3, 4, 4), 2 / 255)])
    result = rate_distortion(x, x_hat, torch.tensor([32.0, 8.0]), torch.tensor([0.5, 0.25]))
    assert result.bpp.tolist() == [2.0, 0.5]  # over the 16 pixels of each
    assert result.mse.tolist() == pytest.approx([1 / 255**2, 4 / 255**2])
    assert float(result.loss) == pytest.approx(2.0)  # mean of 2 + 0.5·1 and 0.5 + 0.25·4
    assert float(result.psnr) == pytest.approx(10 * np.log10(255**2 / 2.5), abs=1e-4)


def test_rate_distortion_is_that_of_numpy():
    rng = np.random.default_rng(3)
    x, x_hat = rng.random((2, 3, 3, 6, 5), dtype=np.float32)
    bits, lam = rng.random(3, dtype=np.float32) * 90, rng.random(3, dtype=np.float32)
    expected = np.mean(bits / 30 + lam * 65025 * ((x - x_hat) ** 2).mean(axis=(1, 2, 3)))
    result = rate_distortion(*(torch.from_numpy(a) for a in (x, x_hat, bits, lam)))
    assert float(result.loss) == pytest.approx(float(expected), rel=1e-5)


def test_the_error_is_measured_in_float32_and_reaches_the_picture():
    x_hat = torch.full((1, 3, 2, 2), 0.5, dtype=torch.bfloat16, requires_grad=True)
    result = rate_distortion(torch.full((1, 3, 2, 2), 0.25), x_hat, torch.tensor([4.0]), torch.tensor([1.0]))
    assert result.mse.dtype == torch.float32
    assert result.mse.tolist() == [0.0625]
    result.loss.backward()
    assert (x_hat.grad > 0).all()  # too bright: down is where the loss falls


def test_lambda_is_geometric_between_qualities():
    quality = np.array([1.0, 1.5, 3.0, 3.25, 6.9, 7.0])
    expected = np.exp(np.interp(quality, np.arange(1, 8), np.log(LAMBDAS)))
    found = interpolated_lambda(torch.from_numpy(quality).float(), LAMBDAS)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    assert float(found[1]) == pytest.approx((0.0016 * 0.0032) ** 0.5, rel=1e-5)


def test_lambda_outside_the_qualities_is_that_of_the_nearest():
    found = interpolated_lambda(torch.tensor([0.0, 8.5]), LAMBDAS)
    assert found.tolist() == pytest.approx([0.0016, 0.06], rel=1e-5)


def test_lambda_of_a_network_with_one_quality():
    assert interpolated_lambda(torch.tensor([1.0, 1.0]), (0.015,)).tolist() == pytest.approx([0.015, 0.015])


def test_balanced_samples_weigh_as_lambda_says():
    rng = np.random.default_rng(4)
    x, x_hat = rng.random((2, 3, 3, 4, 4), dtype=np.float32)
    bits, lam = rng.random(3, dtype=np.float32) * 90, np.array([0.0016, 0.015, 0.06], dtype=np.float32)
    weights = (lam / 0.015) ** -0.5
    expected = np.mean(weights * (bits / 16 + lam * 65025 * ((x - x_hat) ** 2).mean(axis=(1, 2, 3))))
    result = rate_distortion(*(torch.from_numpy(a) for a in (x, x_hat, bits, lam)), balance=0.5)
    assert float(result.loss) == pytest.approx(float(expected), rel=1e-5)
    assert sample_weights(torch.from_numpy(lam), 0.5).tolist() == pytest.approx([3.0619, 1.0, 0.5], rel=1e-4)
