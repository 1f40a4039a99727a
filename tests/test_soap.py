"""SOAP with quicker products is the library's SOAP, without decay of weights."""

import pytest
import torch
from torch import nn

from fedscodec.training.soap import WIDEST, soap

pytest.importorskip("pytorch_optimizer")
from pytorch_optimizer import SOAP  # noqa: E402

EVERY, LR = 3, 1e-2


def trained(make, shapes, steps=12):
    """Weights after some steps down a noisy bowl."""
    noise = torch.Generator().manual_seed(4)
    weights = [nn.Parameter(torch.randn(shape, generator=noise)) for shape in shapes]
    optimizer = make([{"params": weights, "lr": LR}])
    for _ in range(steps):
        for weight in weights:
            weight.grad = weight.detach() + torch.randn(weight.shape, generator=noise)
        optimizer.step()
    return [weight.detach() for weight in weights]


def library(groups):
    return SOAP(groups, betas=(0.95, 0.95), weight_decay=0.0, precondition_frequency=EVERY, max_precondition_dim=WIDEST)


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (8, 3, 3, 3), (7,), (12, WIDEST + 1), (WIDEST + 8, 12)])
def test_in_float32_steps_are_those_of_the_library(shape):
    (ours,) = trained(lambda groups: soap(groups, EVERY, torch.float32), [shape])
    (theirs,) = trained(library, [shape])
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_in_bfloat16_steps_go_the_same_way():
    start, ours, theirs = (
        trained(make, [(24, 40)], steps)[0]
        for make, steps in ((library, 0), (lambda groups: soap(groups, EVERY, torch.bfloat16), 12), (library, 12))
    )
    same = torch.cosine_similarity((ours - start).flatten(), (theirs - start).flatten(), dim=0)
    assert 0.95 < same < 1
    assert (ours - start).norm() == pytest.approx(float((theirs - start).norm()), rel=0.02)
    assert ours.dtype == torch.float32


def test_a_weight_without_a_gradient_does_not_decay():
    weight = nn.Parameter(torch.ones(4, 6))
    optimizer = soap([{"params": [weight], "lr": 0.5}], EVERY, torch.float32)
    for _ in range(5):
        weight.grad = torch.zeros(4, 6)
        optimizer.step()
    assert torch.equal(weight.detach(), torch.ones(4, 6))
