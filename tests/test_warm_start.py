"""After the warm start the wavelet shortcut is the principal components of the picture's blocks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import TINY, paper_stages
from fedscodec.training.warm_start import DAMPING, MIDDLE_LAMBDA, start_linear

STEP = math.sqrt(18 / (math.log(2) * 255**2 * MIDDLE_LAMBDA))
COMPLETE = replace(TINY, stages=paper_stages(0, width=192), latents=768)
"""16 · 16 · 3 latents, and no stage on the way that drops a band."""


class Transparent:
    """A coder that rounds nothing and counts nothing."""

    def hyper(self, z, prior):
        return z

    def code(self, part, y, mean, index):
        return y


def smooth(count, size, seed):
    """Pictures [count, 3, size, size] in 0..1 with the falling spectrum of photographs."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        F.interpolate(torch.rand(count, 3, n, n, generator=generator), size=(size, size), mode="bicubic") / n
        for n in (4, 8, 16, 32, 64)
    ]
    x = torch.stack(layers).sum(0)
    return (x - x.amin()) / (x.amax() - x.amin())


def started(spec, pictures):
    """A fresh model of that spec after the warm start."""
    torch.manual_seed(0)
    model = FedsModel(spec).eval().requires_grad_(False)
    start_linear(model, pictures)
    return model


def blocks(pictures):
    """All 16 × 16 blocks as rows of 768 numbers, float64."""
    return F.unfold(pictures.double(), 16, stride=16).transpose(1, 2).reshape(-1, 768).numpy()


@pytest.fixture(scope="module")
def pictures():
    return smooth(8, 64, seed=1)


@pytest.fixture(scope="module", params=["haar", "principal"])
def complete(request, pictures):
    return started(replace(COMPLETE, shortcut=request.param), pictures)


@pytest.fixture(scope="module", params=["haar", "principal"])
def truncated(request, pictures):
    return started(replace(TINY, shortcut=request.param), pictures)


@pytest.mark.parametrize("quality", [1.0, 4.0, 6.5])
def test_a_complete_basis_reconstructs_any_picture(complete, quality):
    x = torch.rand(1, 3, 64, 128, generator=torch.Generator().manual_seed(9))  # none of those it was made from
    output = complete.linear(x, torch.tensor([quality]), Transparent())
    assert output.y.shape == (1, 768, 4, 8)
    assert float((output.x_hat - x).abs().max()) < 1e-3


def test_a_complete_basis_keeps_lengths_and_is_centred(complete, pictures):
    y = complete.g_a.linear(pictures).double() * STEP
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(768).double(), atol=1e-3, rtol=0)
    rows = blocks(pictures)
    energy = np.square(rows - rows.mean(0)).sum()
    assert float(y.square().sum()) == pytest.approx(energy, rel=1e-3)


def test_variances_are_those_of_the_principal_components(complete, pictures):
    rows = blocks(pictures)
    expected = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[::-1][:40]
    found = (complete.g_a.linear(pictures).double() * STEP).var((0, 2, 3), correction=0)[:40]
    np.testing.assert_allclose(found.numpy(), expected, rtol=0.02, atol=1e-5)


def test_latents_are_ordered_by_variance(truncated, pictures):
    variances = truncated.g_a.linear(pictures).var((0, 2, 3), correction=0)
    assert (variances[1:] <= variances[:-1] * 1.001).all()
    assert variances[0] > 10 * variances[-1]


def test_a_truncated_basis_loses_the_least(truncated, pictures):
    x_hat = truncated.linear(pictures, torch.full((8,), 4.0), Transparent()).x_hat
    rows = blocks(pictures)
    left_out = np.linalg.eigvalsh(np.cov(rows.T, bias=True))[: -TINY.latents].sum() / 768
    error = float((x_hat - pictures).square().mean())
    most = 1.001 if truncated.spec.shortcut == "principal" else 2  # as the stages cut something, too
    assert left_out * 0.999 < error < left_out * most  # the best 12 of 768 directions


def test_context_steps_hold_six_deviations(truncated, pictures):
    y = truncated.g_a.linear(pictures)
    largest_gain = math.sqrt(0.06 / MIDDLE_LAMBDA)
    expected = (6 * y.std((0, 2, 3), correction=0) * largest_gain / 127).clamp_min(1 / 16)
    assert float(expected[0]) > 1 / 16  # else the next line would compare constants
    torch.testing.assert_close(truncated.float_side.context_steps, expected, rtol=1e-3, atol=1e-5)


def test_the_other_branches_begin_as_small_corrections(truncated):
    torch.manual_seed(0)
    fresh = FedsModel(truncated.spec)
    for part in ("g_a", "g_s"):
        before, after = getattr(fresh, part).last, getattr(truncated, part).last
        torch.testing.assert_close(after.weight, before.weight * DAMPING)
        assert not after.bias.any()


def test_a_network_without_shortcut_is_refused(pictures):
    with pytest.raises(ValueError, match="only a network with a linear shortcut can start"):
        start_linear(FedsModel(replace(TINY, shortcut="none")), pictures)
