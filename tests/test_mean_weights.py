"""The mean of two networks is that of their parameters, and a network that can be trained and can encode."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fedscodec.errors import FedsError
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import TINY_LIGHT
from fedscodec.networks.weights import read_weights, trainable, write_weights

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("mean_weights", ROOT / "tools" / "mean_weights.py")
TOOL = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(TOOL)


def written(path, value, spec=TINY_LIGHT):
    """A checkpoint whose parameters all have a value."""
    torch.manual_seed(0)
    model = FedsModel(spec)
    model.float_side.trace()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    write_weights(path, model, {"network": "toy", "steps": "7", "start": "fresh"}, checkpoint=True)
    return path


def test_the_mean_of_two_networks_has_the_share_of_each(tmp_path):
    start, end = written(tmp_path / "a.safetensors", 1.0), written(tmp_path / "b.safetensors", 2.0)
    TOOL.mean(start, end, tmp_path / "half.safetensors")
    TOOL.mean(start, end, tmp_path / "most.safetensors", 0.75)
    for name, expected in (("half", 1.5), ("most", 1.75)):
        found = read_weights(tmp_path / f"{name}.safetensors")
        assert {v for p in trainable(found).parameters() for v in p.detach().flatten().tolist()} == {expected}
        assert found.metadata["start"] == "the mean of a.safetensors and b.safetensors"
        assert (found.metadata["network"], found.metadata["steps"]) == ("toy", "7")


def test_networks_that_differ_have_no_mean_and_nothing_is_overwritten(tmp_path):
    start = written(tmp_path / "a.safetensors", 1.0)
    other = written(tmp_path / "c.safetensors", 1.0, replace(TINY_LIGHT, latents=32))
    with pytest.raises(FedsError, match=r"a.safetensors: expected the network of .*c.safetensors, found another$"):
        TOOL.mean(start, other, tmp_path / "out.safetensors")
    with pytest.raises(FedsError, match=r"c.safetensors: exists already$"):
        TOOL.mean(start, start, other)


@pytest.mark.parametrize("share", ["nan", "1.01", "-0.1", "inf", "half"])
def test_a_share_outside_of_0_to_1_is_wrong_usage(share, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["mean_weights.py", "a", "b", str(tmp_path / "c"), f"--share={share}"])
    with pytest.raises(SystemExit) as ended:
        TOOL.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"mean_weights.py: error: argument --share: expected a share in 0..1, found {share}"
