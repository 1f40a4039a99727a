"""g_a, g_s and h_a: shapes, inner maps, the linear shortcut."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import SMALL
from torch import Tensor, nn

from fedscodec.networks.model import FedsModel, Gains
from fedscodec.networks.spec import ModelSpec, WindowAttention, paper_stages
from fedscodec.networks.transforms import Analysis, HyperAnalysis, Synthesis

ATTENTIVE = replace(SMALL, stages=paper_stages(0, WindowAttention(window=4, heads=2), width=8))
MIXED = replace(SMALL, stages=paper_stages(1, width=8, kind="mixed-v1"))
GROUPED = replace(SMALL, stages=paper_stages(1, width=8))

ONE = torch.ones(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(2)


@pytest.mark.parametrize("spec", [SMALL, replace(SMALL, shortcut="none"), ATTENTIVE, MIXED, GROUPED])
@torch.no_grad()
def test_shapes_and_taps_for_odd_multiples_of_16(spec: ModelSpec) -> None:
    analysed = Analysis(spec)(torch.rand(2, 3, 48, 80), torch.tensor([1.0, 6.5]))
    assert analysed.value.shape == (2, 16, 3, 5)
    assert [tuple(tap.shape) for tap in analysed.taps] == [(2, 8, 24, 40), (2, 8, 12, 20), (2, 8, 6, 10)]
    synthesised = Synthesis(spec)(analysed.value, torch.tensor([1.0, 6.5]))
    assert synthesised.value.shape == (2, 3, 48, 80)
    assert [tuple(tap.shape) for tap in synthesised.taps] == [(2, 8, 6, 10), (2, 8, 12, 20), (2, 8, 24, 40)]


@torch.no_grad()
def test_hyper_analysis_quarters_and_takes_large_latents() -> None:
    h_a = HyperAnalysis(SMALL)
    assert h_a(torch.randn(2, 16, 8, 12)).shape == (2, 8, 2, 3)
    assert h_a(torch.randn(1, 16, 3, 5)).shape == (1, 8, 1, 2)
    assert torch.isfinite(h_a(torch.full((1, 16, 4, 4), 1e30))).all()
    y = torch.randn(1, 16, 4, 4)
    h_a.conv.bias.zero_()
    layers = [h_a.conv, h_a.down1, h_a.middle]
    x = torch.sign(y) * torch.log(1 + y.abs())
    for layer in layers:
        x = nn.functional.leaky_relu(layer(x), 0.01)
    torch.testing.assert_close(h_a(y), h_a.GAIN * h_a.down2(x))


@pytest.mark.parametrize("transform", [Analysis, Synthesis])
@torch.no_grad()
def test_without_its_last_convolution_a_transform_is_its_linear_shortcut(transform: type[nn.Module]) -> None:
    net = transform(SMALL)
    net.last.weight.zero_()
    net.last.bias.zero_()
    x = torch.randn(1, 3, 32, 48) if transform is Analysis else torch.randn(1, 16, 2, 3)
    assert torch.equal(net.linear(x), net(x, ONE).value)
    double = net.linear(x + x) - net.linear(torch.zeros_like(x))  # affine: additive but for the bias
    torch.testing.assert_close(double, 2 * (net.linear(x) - net.linear(torch.zeros_like(x))), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_the_shortcut_reaches_inner_maps() -> None:
    net, x = Analysis(SMALL), torch.rand(1, 3, 32, 32)
    before = net(x, ONE).taps
    net.shortcut[0].bias[0] += 1.0
    after = net(x, ONE).taps
    torch.testing.assert_close(after[0][:, 0], before[0][:, 0] + 1.0)
    torch.testing.assert_close(after[0][:, 1:], before[0][:, 1:])


@torch.no_grad()
def test_results_are_float32_under_autocast() -> None:
    g_a, g_s = Analysis(SMALL), Synthesis(SMALL)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = g_a(torch.rand(1, 3, 32, 32), ONE).value
        assert y.dtype == g_s(y, ONE).value.dtype == HyperAnalysis(SMALL)(y).dtype == torch.float32
        torch.testing.assert_close(y, g_a(torch.zeros(1, 3, 32, 32), ONE).value, atol=2.0, rtol=0)


def test_model_forward_is_wired_as_drawn() -> None:
    class Shift:
        """Adds one to everything, so that what is coded is told from what was."""

        def hyper(self, z: Tensor | None, prior: object) -> Tensor:
            return z + 1

        def code(self, part: object, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
            return y + 1

    model, x = FedsModel(SMALL), torch.rand(2, 3, 64, 128)
    quality = torch.tensor([1.0, 6.5])
    with torch.no_grad():
        out = model(x, quality, Shift())
        gain, inverse = model.gains(quality)
        torch.testing.assert_close(out.y, model.g_a(x, quality).value * gain)
        torch.testing.assert_close(out.y_hat, out.y + 1)
        torch.testing.assert_close(out.x_hat, model.g_s(out.y_hat * inverse, quality).value)
        linear = model.linear(x, quality, Shift())
        torch.testing.assert_close(linear.y, model.g_a.linear(x) * gain)
        torch.testing.assert_close(linear.x_hat, model.g_s.linear((linear.y + 1) * inverse))
    assert len(out.taps) == 6
    assert linear.taps == ()


def test_gains_are_interpolated_geometrically() -> None:
    gains = Gains(replace(SMALL, lambdas=(0.001, 0.004, 0.064)))
    with torch.no_grad():
        gain, inverse = gains(torch.tensor([1.0, 1.5, 2.0, 2.5, 3.0, 9.0]))
    expected = [(0.001 / 0.015) ** 0.5 * factor for factor in (1, 2**0.5, 2, 4, 8, 8)]
    assert gain.shape == inverse.shape == (6, 16, 1, 1)
    torch.testing.assert_close(gain[:, 3, 0, 0], torch.tensor(expected))
    torch.testing.assert_close(gain * inverse, torch.ones(6, 16, 1, 1))


def test_a_single_quality_has_a_gain() -> None:
    gain, _ = Gains(replace(SMALL, lambdas=(0.015,)))(torch.tensor([1.0]))
    torch.testing.assert_close(gain.detach(), torch.ones(1, 16, 1, 1))
