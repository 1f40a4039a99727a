"""SSIMULACRA 2 against what libjxl's tool (0.11.2) gives for the same pictures."""

import pytest
import torch
from distortions import blocks, coarse, photo, tinted

from fedscodec.metrics.recursive_blur import recursive_blur
from fedscodec.metrics.ssimulacra2 import _blur, _kernel, _shares, of_samples, pyramid, score, ssimulacra2

REFERENCE = {
    "coarse-8": (photo(), coarse(photo(), 8), 86.87318398),
    "coarse-48": (photo(), coarse(photo(), 48), -6.92703465),
    "blocks-2": (photo(), blocks(photo(), 2), 33.01299572),
    "blocks-4": (photo(), blocks(photo(), 4), -51.35391034),
    "tinted": (photo(), tinted(photo(), 12), 68.46599058),
    "odd": (photo(131, 77), blocks(photo(131, 77), 2), 39.28970039),
    "three scales": (photo(33, 20), coarse(photo(33, 20), 32), 73.92758946),
    "two scales": (photo(9, 8), coarse(photo(9, 8), 32), 86.81259947),
}


def tensor(pixels):
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


@pytest.mark.parametrize("name", REFERENCE)
def test_scores_are_those_of_the_reference(name):
    original, distorted, expected = REFERENCE[name]
    assert of_samples(original, distorted) == pytest.approx(expected, abs=0.05)
    # In exact arithmetic smooth pictures score a little higher: the reference's rounding counts as lost structure.
    without_rounding = float(ssimulacra2(tensor(original), tensor(distorted)))
    assert expected - 0.01 < without_rounding < expected + 0.15


def test_the_recursive_blur_is_the_convolution_but_for_its_rounding():
    x = torch.rand(2, 3, 37, 61, generator=torch.Generator().manual_seed(0))
    blurred = recursive_blur(x, 5, _shares())
    assert torch.allclose(blurred, _blur(x), atol=1e-5)
    assert not torch.equal(blurred, _blur(x))
    line = torch.zeros(1, 1, 1, 21)
    line[..., 10] = 1
    middle = recursive_blur(line, 5, _shares())[0, 0, 0]
    kernel = torch.tensor(_kernel())
    assert torch.allclose(middle[6:15], kernel * kernel[4], atol=1e-6)
    assert float(kernel.sum()) == pytest.approx(1)


def test_originals_are_kept_and_distinguished():
    first, second = photo(40, 40), tinted(photo(40, 40), 5)
    scores = [of_samples(a, coarse(photo(40, 40), 16)) for a in (first, second, first)]
    assert scores[0] == scores[2] != scores[1]


def test_equal_pictures_have_100():
    x = tensor(photo(70, 50))
    assert float(ssimulacra2(x, x)) == pytest.approx(100, abs=1e-3)


def test_a_batch_is_its_pictures_and_an_original_may_be_kept():
    original, distorted = tensor(photo(64, 96)), [tensor(coarse(photo(64, 96), step)) for step in (4, 32)]
    alone = torch.cat([ssimulacra2(original, x) for x in distorted])
    assert torch.allclose(ssimulacra2(original.expand(2, -1, -1, -1), torch.cat(distorted)), alone, atol=1e-3)
    assert torch.allclose(torch.cat([score(pyramid(original), x) for x in distorted]), alone, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 7), (8, 9)])
def test_every_size_has_a_score(size):
    pixels = photo(*size)
    assert float(ssimulacra2(tensor(pixels), tensor(255 - pixels))) < 60


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_gradients_are_finite_on_flat_and_equal_pictures(level):
    x = torch.full((1, 3, 40, 33), level, requires_grad=True)
    for other in (torch.full_like(x, level), torch.zeros_like(x), torch.rand(x.shape), torch.full_like(x, 1.3)):
        x.grad = None
        ssimulacra2(other.detach(), x).sum().backward()
        assert bool(x.grad.isfinite().all())


def test_the_gradient_leads_to_a_better_picture():
    original = tensor(photo(64, 64))
    x = tensor(coarse(photo(64, 64), 48)).requires_grad_()
    before = ssimulacra2(original, x)
    before.sum().backward()
    better = x.detach() + 0.002 * x.grad.sign()
    assert float(ssimulacra2(original, better)) > float(before.detach()) + 1


def test_the_gradient_is_that_of_finite_differences():
    original = tensor(photo(16, 16))
    x = tensor(tinted(photo(16, 16), 20)).requires_grad_()
    ssimulacra2(original, x).sum().backward()
    towards = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    step = 1e-3 * towards
    with torch.no_grad():
        change = float(ssimulacra2(original, x + step) - ssimulacra2(original, x - step))
    assert change == pytest.approx(2 * float((x.grad * step).sum()), rel=0.05)
