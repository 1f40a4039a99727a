"""A network that grew from another equals it at first, and one that was cut from another has its parts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from conftest import CORNERS_SIDE, LIGHT_SIDE, SMALL, TAUGHT_SIDE, make_model
from torch import Tensor

from fedscodec.entropy.coders import RateEstimator
from fedscodec.errors import FedsError
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import ModelSpec, Stage, WindowAttention, paper_stages
from fedscodec.training.growth import cut, grow_transforms, grown
from fedscodec.training.warm_start import STEP

WINDOWS = WindowAttention(window=4, heads=2)
STAGES = (Stage(2, "light", 4, 1), Stage(4, "light", 6, 1), Stage(8, "light", 8, 1), Stage(16, "light", 10, 0))
LARGER = tuple(
    replace(stage, blocks=stage.blocks + 2, attention=WINDOWS if stage.at in (4, 8) else None) for stage in STAGES
)
PAIRS = {
    "light": ({"stages": STAGES, "shortcut": "principal"}, {"stages": LARGER, "shortcut": "principal"}),
    "swin-v1": (
        {"stages": STAGES, "shortcut": "principal"},
        {"stages": (*STAGES[:3], replace(STAGES[3], attention=replace(WINDOWS, version="swin-v1")))},
    ),
    "latents": (
        {"stages": STAGES, "shortcut": "principal", **LIGHT_SIDE},
        {"stages": LARGER, "shortcut": "principal", **TAUGHT_SIDE},
    ),
    "paper": ({"stages": paper_stages(1, width=8)}, {"stages": paper_stages(2, WINDOWS, width=8)}),
    "mixed": (
        {"stages": paper_stages(1, width=8, kind="mixed-v2")},
        {"stages": paper_stages(3, width=8, kind="mixed-v2")},
    ),
}


def pair(name: str) -> tuple[FedsModel, ModelSpec]:
    small, large = PAIRS[name]
    model = make_model(4, **small)
    return model, replace(model.spec, **large)


@pytest.fixture
def pictures() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(4, 3, 16, 16, generator=generator)
    return torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear")


def passed(model: FedsModel, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x̂, y and the bits."""
    spec = model.spec
    coder = RateEstimator(spec.scales, spec.smallest_scale, spec.largest_scale, noise=False)
    with torch.no_grad():
        out = model(x, torch.tensor([2.5] * len(x)), coder)
    return out.x_hat, out.y, coder.bits


@pytest.mark.parametrize("name", PAIRS)
def test_a_grown_network_is_the_smaller_one_at_first(name: str, pictures: Tensor) -> None:
    small, spec = pair(name)
    large = grown(small, spec, pictures)
    assert large.spec == spec
    assert sum(p.numel() for p in large.parameters()) > sum(p.numel() for p in small.parameters())
    (x_hat, y, bits), (same_x_hat, more, at_least) = passed(small, pictures), passed(large, pictures)
    torch.testing.assert_close(same_x_hat, x_hat, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(more[:, : y.shape[1]], y, atol=1e-4, rtol=1e-5)
    if spec.latents == small.spec.latents:
        torch.testing.assert_close(at_least, bits, rtol=1e-4, atol=0.1)
    else:
        assert (at_least > bits).all()  # nobody listens to new latents yet, but they are coded


def test_nets_of_a_base_in_four_passes_begin_as_those_of_their_colour(pictures: Tensor) -> None:
    small = make_model(4, stages=STAGES, shortcut="principal", **LIGHT_SIDE)
    large = grown(small, replace(small.spec, **CORNERS_SIDE), pictures)
    had, now = small.float_side.state_dict(), large.float_side.state_dict()
    for number, origin in enumerate((0, 0, 1, 1, 2, 3, 4, 5)):
        for layer in ("first.bias", "around.weight", "second.weight", "last.weight", "last.bias"):
            assert torch.equal(now[f"nets.{number}.{layer}"], had[f"nets.{origin}.{layer}"])
    assert torch.equal(now["nets.1.first.weight"][:, :12], had["nets.0.first.weight"])
    assert not now["nets.1.first.weight"][:, 12:].any()
    (x_hat, y, bits), (same_x_hat, same_y, other_bits) = passed(small, pictures), passed(large, pictures)
    torch.testing.assert_close(same_y, y)
    assert other_bits.sum() != bits.sum()
    assert (same_x_hat - x_hat).abs().mean() < 0.05  # only what rounding to other means changes
    with pytest.raises(FedsError, match="does not start with the latents"):
        cut(large, small.spec)


@pytest.mark.parametrize("name", PAIRS)
def test_all_new_parameters_learn(name: str, pictures: Tensor) -> None:
    small, spec = pair(name)
    large = grown(small, spec, pictures).requires_grad_()
    known = set(small.state_dict())
    y = large.g_a(pictures, torch.ones(4)).value
    (y.square().sum() + large.g_s(y, torch.ones(4)).value.square().sum()).backward()
    new = [p for n, p in large.named_parameters() if n not in known and n[:4] in ("g_a.", "g_s.")]
    assert len(new) > 4
    assert sum(bool(p.grad.any()) for p in new) >= len(new) // 16  # those next to what is zero
    with torch.no_grad():
        for parameter in new:
            parameter.sub_(0.1 * parameter.grad)
    assert not torch.equal(large.g_a(pictures, torch.ones(4)).value, y)


def test_new_latents_are_the_next_principal_components_and_change_nothing(pictures: Tensor) -> None:
    small = make_model(4, stages=STAGES, shortcut="principal")
    large = FedsModel(replace(small.spec, stages=LARGER, latents=24))
    fresh = large.gains.log_gain.detach().clone()
    large.requires_grad_(False)
    grow_transforms(small.requires_grad_(False), large, pictures)
    quality = torch.tensor([3.25] * 4)
    with torch.no_grad():
        y = small.g_a(pictures, quality).value
        more = large.g_a(pictures, quality).value
        torch.testing.assert_close(more[:, :16], y, atol=1e-5, rtol=1e-6)
        torch.testing.assert_close(large.g_s(more, quality).value, small.g_s(y, quality).value, atol=1e-5, rtol=1e-6)
        gained = more * large.gains(quality)[0]
        torch.testing.assert_close(large.h_a(gained), small.h_a(gained[:, :16]), atol=1e-4, rtol=1e-5)
        rows = large.g_a.shortcut[0].weight[16:] * STEP
    torch.testing.assert_close(rows @ rows.T, torch.eye(8), atol=1e-4, rtol=0)
    assert float((rows @ large.g_a.shortcut[0].weight[:16].T).abs().max()) < 1e-4  # nothing that is known already
    variances = more[:, 16:].var((0, 2, 3), correction=0)
    assert (variances[1:] <= variances[:-1] * 1.001).all()
    assert float(variances[0]) > 0.01
    assert float(more[:, 16:].mean((0, 2, 3)).abs().max()) < 1e-2
    assert torch.equal(large.gains.log_gain[:, 16:], fresh[:, 16:])
    assert torch.equal(large.gains.log_gain[:, :16], small.gains.log_gain)


@pytest.mark.parametrize("name", PAIRS)
def test_a_grown_network_is_cut_back_to_the_original(name: str, pictures: Tensor) -> None:
    small, spec = pair(name)
    small.float_side.shapes += torch.arange(small.spec.table_sets)[:, None, None]  # a set of its own for each stream
    again = cut(grown(small, spec, pictures), small.spec)
    assert again.spec == small.spec
    state = small.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in again.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"stages": STAGES[1:]}, "with stages of the same kinds and widths"),
        ({"stages": (replace(STAGES[0], width=5), *STAGES[1:])}, "with stages of the same kinds and widths"),
        (
            {"stages": (replace(STAGES[0], blocks=0), *STAGES[1:])},
            "has less at 1/2 than the smaller",
        ),
        ({"slices": 4}, "does not start with the latents of the smaller"),
        ({"latents": 8}, "does not start with the latents of the smaller"),
        ({"shortcut": "none"}, "with the same shortcut"),
        ({"lambdas": (0.01,)}, "with the same lambdas"),
        ({"hyper_filters": 9}, "the nets of the two networks differ in h_s.0"),
    ],
)
def test_networks_that_do_not_contain_each_other_are_refused(
    changes: dict[str, object], sentence: str, pictures: Tensor
) -> None:
    small = make_model(4, stages=STAGES, shortcut="principal")
    with pytest.raises(FedsError, match=sentence):
        grown(small, replace(SMALL, **{"stages": STAGES, "shortcut": "principal", **changes}), pictures)
