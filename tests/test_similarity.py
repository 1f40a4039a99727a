"""MS-SSIM is the measure of the library; as a loss it reaches to the border, and its gradient is always finite."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from fedscodec.metrics.ms_ssim import FLOOR, WEIGHTS, _safe_log
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
    torch.testing.assert_close(ms_ssim(x, x), torch.ones(2))


def test_as_a_loss_it_is_that_of_pictures_that_are_mirrored_at_every_scale():
    library = pytest.importorskip("pytorch_msssim.ssim", reason="comes with the extra train")
    x, y = waves(), waves(0.2, 1)
    expected, (a, b) = torch.ones(2, 3), (x, y)
    window = library._fspecial_gauss_1d(11, 1.5).repeat([3, 1, 1, 1])
    for scale, weight in enumerate(WEIGHTS):
        wide = [F.pad(picture, (5, 5, 5, 5), mode="reflect") for picture in (a, b)]
        means = library._ssim(*wide, 1.0, window)  # of SSIM and of its contrast
        expected = expected * means[0 if scale == 4 else 1] ** weight
        a, b = (F.avg_pool2d(picture, 2, padding=[side % 2 for side in a.shape[2:]]) for picture in (a, b))
    torch.testing.assert_close(distortion(x, y, "ms-ssim"), 1 - expected.mean(1), rtol=0, atol=2e-5)


def test_as_a_loss_an_error_at_the_border_counts_like_one_inside():
    x = waves()[:1, :, :, :176]
    frame = torch.zeros_like(x)
    frame[..., :4, :] = frame[..., -4:, :] = frame[..., :, :4] = frame[..., :, -4:] = 0.2
    inside = torch.roll(frame, (88, 88), (2, 3))  # the frame as a cross in the middle: as many pixels
    errors = [x + frame * waves(seed=2)[:1, :, :, :176], x + inside * waves(seed=2)[:1, :, :, :176]]
    measured = [float(1 - ms_ssim(x, y)) for y in errors]
    lost = [float(distortion(x, y, "ms-ssim")) for y in errors]
    assert measured[0] < 0.5 * measured[1]
    assert 0.8 < lost[0] / lost[1] < 1.6


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
    plain = ms_ssim(y, x, mirrored=True)
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
