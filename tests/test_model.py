"""How a fresh network starts: signals survive the way to a table index, and the first guess is the bias alone."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from conftest import SMALL
from torch import nn

from fedscodec.networks.blocks.residual import ResidualBlock
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import STUDENT_PAPER, paper_stages

WIDE = replace(SMALL, stages=paper_stages(1, width=32), latents=64, hyper_latents=64, hyper_filters=64,
               slice_filters=(64, 64))  # fmt: skip


def fresh(seed: int = 0) -> FedsModel:
    torch.manual_seed(seed)
    return FedsModel(WIDE)


def he(weight: torch.Tensor) -> float:
    """Standard deviation of He's initialisation for LeakyReLU of slope 0.01."""
    return math.sqrt(2 / (1 + 0.01**2) / weight[0].numel())


def default(weight: torch.Tensor) -> float:
    """Standard deviation of torch's own: uniform in ±1/√fan_in."""
    return 1 / math.sqrt(3 * weight[0].numel())


def test_h_a_and_the_entropy_side_start_as_he_wrote() -> None:
    model = fresh()
    convolutions = [m for m in model.h_a.modules() if isinstance(m, nn.Conv2d)]
    hidden = [m for m in model.float_side.entropy_layers() if m.kind in ("relu", "signed")]
    assert (len(convolutions), len(hidden)) == (4, 11)  # 5 of h_s, and of both slices first, mean.0 and index.0
    for layer in (*convolutions, *hidden):
        assert float(layer.weight.detach().std()) == pytest.approx(he(layer.weight), rel=0.05)
        assert abs(float(layer.weight.detach().mean())) < 0.05 * he(layer.weight)


def test_means_and_indexes_begin_as_their_bias() -> None:
    last = [m for m in fresh().float_side.entropy_layers() if m.kind in ("mean", "index")]
    assert len(last) == 4
    for layer in last:
        assert float(layer.weight.detach().std()) == pytest.approx(0.05 * he(layer.weight), rel=0.05)


def test_transforms_keep_the_smaller_default_and_residual_branches_half_of_it() -> None:
    model = fresh()
    blocks = [m for part in (model.g_a, model.g_s) for m in part.modules() if isinstance(m, ResidualBlock)]
    assert len(blocks) == 6
    for block in blocks:
        assert float(block.conv1.weight.detach().std()) == pytest.approx(default(block.conv1.weight), rel=0.05)
        assert float(block.conv2.weight.detach().std()) == pytest.approx(0.5 * default(block.conv2.weight), rel=0.05)
    for weight in (model.g_a.last.weight, model.g_s.last.weight, model.g_a.down[1].conv.weight):
        assert float(weight.detach().std()) == pytest.approx(default(weight), rel=0.05)


def test_equal_seeds_start_equal_networks() -> None:
    one, same, other = (fresh(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not torch.equal(one["float_side.h_s.0.weight"], other["float_side.h_s.0.weight"])


def test_nothing_is_drawn_on_meta() -> None:
    before = torch.get_rng_state()
    with torch.device("meta"):
        model = FedsModel(STUDENT_PAPER)
    assert all(p.is_meta for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_fresh_network_has_symbols_to_code() -> None:
    # y of ordinary size gives a z that does not round to zero everywhere
    torch.manual_seed(3)
    with torch.no_grad():
        z = fresh().h_a(5 * torch.randn(1, 64, 16, 16))
    assert float(z.std()) > 0.5
