"""A network to train: fresh, from weights, for other λ or another metric."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fedscodec.errors import FedsError
from fedscodec.metrics.table import LOSSES
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import LAMBDAS, TINY, TINY_LIGHT, VARIANTS
from fedscodec.networks.weights import read_weights
from fedscodec.training.losses import quality_of_lambda
from fedscodec.training.start import resized, retargeted, start


def test_fresh_networks_are_variants_by_name():
    model, words = start("tiny", None)
    assert model.spec == TINY
    assert words == {"network": "tiny", "start": "fresh"}
    with pytest.raises(FedsError, match="^giant: no such network; known are student, teacher, "):
        start("giant", None)


def test_a_fresh_network_for_one_lambda_or_another_metric():
    assert start("tiny", None, 0.03)[0].spec.lambdas == (0.03,)
    model, _ = start("tiny", None, None, "ms-ssim")
    assert (model.spec.metric, model.spec.lambdas) == ("ms-ssim", LOSSES["ms-ssim"].lambdas)
    assert (model.gains.log_gain[3] == 0).all()  # q4 starts with gains of one, as it does for MSE
    assert VARIANTS["tiny"].lambdas == LAMBDAS
    for lam, found in ((-1.0, "-1"), (1e-60, "1e-60"), (1e10, r"1e\+10"), (float("nan"), "nan"), (float("inf"), "inf")):
        with pytest.raises(FedsError, match=rf"^λ must lie in 1e-09 to 1e\+09, found {found}$"):
            start("tiny", None, lam)


def test_weights_are_taken_as_they_are(tiny_file, tiny):
    model, words = start("student", tiny_file)
    parent = read_weights(tiny_file).fingerprint.hex()
    assert words == {"network": "student", "start": "tiny.safetensors", "parent": parent}
    assert model.spec == tiny().spec


def test_a_network_grows_into_a_larger_one_and_is_cut_from_it(tiny, monkeypatch):
    model, pictures = tiny(), torch.rand(4, 3, 64, 64)
    larger = replace(model.spec, stages=tuple(replace(s, blocks=s.blocks + 1) for s in model.spec.stages))
    monkeypatch.setitem(VARIANTS, "larger", replace(larger, lambdas=(1.0,)))
    monkeypatch.setitem(VARIANTS, "same", model.spec)
    assert resized(model, "same", None) is model
    large = resized(model, "larger", lambda: pictures)
    assert large.spec == larger  # with the λ of what it grew from
    back = resized(large, "same", None)
    assert all(torch.equal(value, back.state_dict()[name]) for name, value in model.state_dict().items())


def test_of_many_qualities_one_can_be_kept(tiny):
    model = tiny()
    with torch.no_grad():
        model.gains.log_gain.normal_()
    one = retargeted(model, 0.02, None)
    assert one.spec.lambdas == (0.02,)
    quality = 4 + torch.log(torch.tensor([0.02 / 0.015])) / torch.log(torch.tensor(0.03 / 0.015))
    for own, wanted in zip(one.gains(torch.ones(1)), model.gains(quality), strict=True):
        torch.testing.assert_close(own, wanted)
    assert torch.equal(one.g_a.last.weight, model.g_a.last.weight)
    assert torch.equal(one.float_side.nets[1].index[-1].steps, model.float_side.nets[1].index[-1].steps)


@pytest.mark.parametrize("lam", [0.0016, 0.02])
def test_of_a_light_network_one_quality_keeps_its_scales(lam: float) -> None:
    model = FedsModel(TINY_LIGHT)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".scales." in name or name.startswith("gains."):
                parameter.normal_()
    one = retargeted(model, lam, None)
    quality = quality_of_lambda(torch.tensor([lam]), torch.tensor(LAMBDAS))
    x, first = torch.rand(1, 3, 64, 64), torch.ones(1)
    with torch.no_grad():
        y = model.g_a(x, quality).value
        torch.testing.assert_close(one.g_a(x, first).value, y)
        torch.testing.assert_close(one.g_s(y, first).value, model.g_s(y, quality).value)
        torch.testing.assert_close(one.gains(first), model.gains(quality))
    assert {name for name, _ in one.named_parameters()} == {name for name, _ in model.named_parameters()}


def test_weights_for_one_metric_can_start_another(tiny):
    model = tiny()
    other = retargeted(model, None, "ms-ssim")
    assert other.spec.lambdas == LOSSES["ms-ssim"].lambdas
    torch.testing.assert_close(other.gains.log_gain, model.gains.log_gain)
    assert retargeted(model, None, "mse") is model


def test_one_quality_is_not_enough_for_another_metric(tiny):
    with pytest.raises(FedsError, match="^weights for 1 λ of mse cannot start a network for ms-ssim$"):
        retargeted(tiny(lambdas=(0.015,)), None, "ms-ssim")


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FedsError, match="nowhere.safetensors: not a readable weights file"):
        start("tiny", tmp_path / "nowhere.safetensors")
