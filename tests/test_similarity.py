"""MS-SSIM as a loss is the measure, and its gradient is finite where the measure's is not."""

from __future__ import annotations

import pytest
import torch

from fedscodec.metrics.ms_ssim import FLOOR, _safe_log
from fedscodec.metrics.ms_ssim import of_batch as ms_ssim
from fedscodec.training.losses import distortion


def waves(noise=0.05, seed=0):
    """Two pictures [2, 3, 176, 181] with structure."""
    generator = torch.Generator().manual_seed(seed)
    rows, columns = torch.arange(176)[:, None] / 9, torch.arange(181)[None] / 5
    plain = 0.5 + 0.3 * torch.sin(rows + columns)[None, None].expand(2, 3, -1, -1)
    return (plain + noise * torch.randn(plain.shape, generator=generator)).clamp(0, 1)


def test_it_is_the_measure_of_the_library():
    library = pytest.importorskip("pytorch_msssim", reason="comes with the extra train")
    x, y = waves(), waves(0.2, 1)
    wanted = library.ms_ssim(x, y, data_range=1.0, size_average=False)
    torch.testing.assert_close(ms_ssim(x, y), wanted, rtol=0, atol=2e-5)
    torch.testing.assert_close(distortion(x, y, "ms-ssim"), 1 - wanted, rtol=0, atol=2e-5)
    torch.testing.assert_close(ms_ssim(x, x), torch.ones(2))


@pytest.mark.parametrize("shown", ["noise on a flat crop", "the negative", "another flat colour", "itself", "black"])
def test_the_gradient_is_finite_where_contrast_is_nought_or_turned_over(shown):
    x = torch.full((1, 3, 192, 192), 0.5) if "flat" in shown else waves()
    noise = 1e-4 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    y = {
        "noise on a flat crop": x + 300 * noise, "the negative": 1 - x, "another flat colour": x + 0.3,
        "itself": x.clone(), "black": torch.zeros_like(x),
    }[shown].requires_grad_()  # fmt: skip
    loss = distortion(x, y, "ms-ssim").sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(y.grad).all()
    assert (y.grad != 0).any() or shown == "itself"


def test_in_a_step_in_bfloat16_it_is_the_same():
    """Where the library's, whose convolutions then run in bfloat16, exceeds one."""
    generator = torch.Generator().manual_seed(0)
    x = 0.8 + 0.01 * torch.randn(2, 3, 192, 192, generator=generator)
    y = x + 0.01 * torch.randn(x.shape, generator=generator)
    plain = ms_ssim(y, x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(distortion(x, y, "ms-ssim"), 1 - plain)
    assert (plain < 1).all()
    library = pytest.importorskip("pytorch_msssim", reason="comes with the extra train")
    with torch.autocast("cpu", torch.bfloat16):
        assert (library.ms_ssim(y, x, data_range=1.0, size_average=False) > 1.1).all()


def test_the_logarithm_falls_more_slowly():
    values = torch.tensor([-1.0, 0.0, 2 * FLOOR, 0.5], requires_grad=True)
    found = _safe_log(values)
    found.sum().backward()
    torch.testing.assert_close(found[2:], torch.tensor([2 * FLOOR, 0.5]).log())
    torch.testing.assert_close(found[1], torch.tensor(FLOOR / 2).log())
    assert found[0] < found[1] < found[2]
    torch.testing.assert_close(values.grad, torch.tensor([1 / 1.02, 50.0, 50.0, 2.0]))
