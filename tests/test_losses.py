"""The equations of the paper against a few lines of numpy each."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedscodec.networks.spec import LAMBDAS
from fedscodec.training.losses import (
    Gaussian,
    distortion,
    distribution_loss,
    feature_loss,
    interpolated_lambda,
    latent_loss,
    output_loss,
    quality_of_lambda,
    rate_distortion,
    sample_weights,
    top_channels,
)

TABLE = torch.tensor(LAMBDAS)


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
    found = interpolated_lambda(torch.from_numpy(quality).float(), TABLE)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)
    assert float(found[1]) == pytest.approx((0.0016 * 0.0032) ** 0.5, rel=1e-5)


def test_lambda_outside_the_qualities_is_that_of_the_nearest():
    found = interpolated_lambda(torch.tensor([0.0, 8.5]), TABLE)
    assert found.tolist() == pytest.approx([0.0016, 0.06], rel=1e-5)


def test_lambda_of_a_network_with_one_quality():
    assert interpolated_lambda(torch.tensor([1.0, 1.0]), torch.tensor([0.015])).tolist() == pytest.approx(
        [0.015, 0.015]
    )


def test_balanced_samples_weigh_as_lambda_says():
    rng = np.random.default_rng(4)
    x, x_hat = rng.random((2, 3, 3, 4, 4), dtype=np.float32)
    bits, lam = rng.random(3, dtype=np.float32) * 90, np.array([0.0016, 0.015, 0.06], dtype=np.float32)
    weights = (lam / 0.015) ** -0.5
    expected = np.mean(weights * (bits / 16 + lam * 65025 * ((x - x_hat) ** 2).mean(axis=(1, 2, 3))))
    balanced = sample_weights(torch.from_numpy(lam), 0.5, 0.015)
    result = rate_distortion(*(torch.from_numpy(a) for a in (x, x_hat, bits, lam)), balanced)
    assert float(result.loss) == pytest.approx(float(expected), rel=1e-5)
    assert sample_weights(torch.from_numpy(lam), 0.5, 0.015).tolist() == pytest.approx([3.0619, 1.0, 0.5], rel=1e-4)


def arrays(seed, *shapes):
    """Random float32 arrays, and the same as tensors."""
    rng = np.random.default_rng(seed)
    found = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    return found, [torch.from_numpy(array) for array in found]


def test_quality_of_lambda_undoes_the_interpolation():
    quality = torch.tensor([1.0, 1.3, 3.0, 4.75, 6.999, 7.0])
    torch.testing.assert_close(
        quality_of_lambda(interpolated_lambda(quality, TABLE), TABLE), quality, atol=1e-4, rtol=0
    )
    assert quality_of_lambda(torch.tensor([0.0001, 1.0]), TABLE).tolist() == [1.0, 7.0]
    assert quality_of_lambda(torch.tensor([0.0032, 0.06]), torch.tensor([0.015])).tolist() == [1.0, 1.0]


def test_distortion_is_the_squared_error_of_8_bit_samples_or_what_ms_ssim_leaves():
    x = torch.rand(2, 3, 176, 176, generator=torch.Generator().manual_seed(0))
    noisy = (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    expected = 65025 * ((x - noisy).numpy() ** 2).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(distortion(x, noisy).numpy(), expected, rtol=1e-5)
    lost = distortion(torch.cat([x, x[:1]]), torch.cat([noisy, x[:1]]), "ms-ssim")
    assert lost.shape == (3,)
    assert ((lost[:2] > 0.005) & (lost[:2] < 0.5)).all()
    assert float(lost[2]) == pytest.approx(0.0, abs=1e-5)


def test_ms_ssim_has_its_own_lambda_and_psnr_is_still_reported():
    x = torch.rand(2, 3, 192, 192, generator=torch.Generator().manual_seed(0))
    x_hat = (0.9 * x).requires_grad_()
    lam = torch.tensor([2.4, 115.37])
    result = rate_distortion(x, x_hat, torch.zeros(2), lam, metric="ms-ssim")
    expected = (lam * distortion(x, x_hat.detach(), "ms-ssim")).mean()
    assert float(result.loss.detach()) == pytest.approx(float(expected), rel=1e-5)
    assert float(result.mse.mean()) == pytest.approx(float((0.1 * x).square().mean()), rel=1e-4)
    result.loss.backward()
    assert torch.isfinite(x_hat.grad).all()
    assert (x_hat.grad != 0).any()


def test_output_loss_is_eq_4_at_the_price_of_the_distortion():
    (teacher, student, lam), tensors = arrays(5, (3, 3, 8, 8), (3, 3, 8, 8), (3,))
    expected = np.mean(lam * 65025 * ((teacher - student) ** 2).mean(axis=(1, 2, 3)))
    assert float(output_loss(*tensors)) == pytest.approx(float(expected), rel=1e-5)
    weights = np.array([1.0, 0.0, 3.0], dtype=np.float32)
    expected = np.mean(weights * lam * 65025 * ((teacher - student) ** 2).mean(axis=(1, 2, 3)))
    assert float(output_loss(*tensors, torch.from_numpy(weights))) == pytest.approx(float(expected), rel=1e-5)


def test_feature_loss_is_eq_5():
    shapes = [(2, 4, 8, 8), (2, 4, 4, 4), (2, 6, 2, 2)]
    teacher, taught = arrays(6, *shapes)
    student, learned = arrays(7, *shapes)
    expected = sum(((t - s) ** 2).mean() for t, s in zip(teacher, student, strict=True)) / 3
    assert float(feature_loss(taught, learned)) == pytest.approx(float(expected), rel=1e-5)


def test_topk_is_eq_7():
    entropies = np.array([0.2, 1.5, 0.9, 1.5, 0.0, 2.5], dtype=np.float32)
    expected = np.argsort(-entropies, kind="stable")[:4]
    assert top_channels(torch.from_numpy(entropies), 4).tolist() == expected.tolist() == [5, 1, 3, 2]
    assert top_channels(torch.from_numpy(entropies), 4, "teacher").tolist() == [1, 2, 3, 5]


def test_latent_loss_is_eq_8():
    (teacher, student), tensors = arrays(8, (2, 5, 4, 4), (2, 5, 4, 4))
    assert float(latent_loss(*tensors)) == pytest.approx(float(((teacher - student) ** 2).mean()), rel=1e-5)


def test_distribution_loss_is_the_divergence_of_gaussians_in_bits():
    mean, scale, other_mean, other_scale = 0.3, 1.5, -0.4, 0.8
    x = np.linspace(-20, 20, 400001)
    p = np.exp(-0.5 * ((x - mean) / scale) ** 2) / (scale * np.sqrt(2 * np.pi))
    log_q = -0.5 * ((x - other_mean) / other_scale) ** 2 - np.log(other_scale * np.sqrt(2 * np.pi))
    log_p = -0.5 * ((x - mean) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi))
    expected = (p * (log_p - log_q)).sum() * (x[1] - x[0]) / np.log(2)
    teacher, student = (
        Gaussian(torch.full((1, 2, 1, 1), m), torch.full((1, 2, 1, 1), s))
        for m, s in ((mean, scale), (other_mean, other_scale))
    )
    assert float(distribution_loss(teacher, student)) == pytest.approx(expected, rel=1e-4)
    assert float(distribution_loss(teacher, teacher)) == pytest.approx(0.0, abs=1e-6)
