"""The state of a run comes back as it was: nested as it was, and lying in memory as it did."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fedscodec.errors import WeightsError
from fedscodec.training.state import read_state, write_state


def test_what_is_written_is_read(tmp_path):
    state = {
        "step": 7, "ratio": 0.1, "name": "a", "nothing": None, "flag": True,
        "by number": {0: torch.arange(3), 5: torch.tensor(2.5)},
        "nested": [torch.ones(2, 2, dtype=torch.bfloat16), [], [1, torch.zeros(0)]],
    }  # fmt: skip
    path = tmp_path / "run.state.safetensors"
    write_state(path, state)
    found = read_state(path)
    assert list(found) == list(state)
    assert [found[name] for name in ("step", "ratio", "name", "nothing", "flag")] == [7, 0.1, "a", None, True]
    assert torch.equal(found["by number"][0], torch.arange(3))
    assert found["by number"][5].shape == ()
    ones, empty, (one, zeros) = found["nested"]
    assert (ones.dtype, empty, one, tuple(zeros.shape)) == (torch.bfloat16, [], 1, (0,))
    assert [p.name for p in tmp_path.iterdir()] == ["run.state.safetensors"]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        torch.randn(4, 6).T,
        torch.randn(2, 3, 4).permute(2, 0, 1),
        torch.randn(5, 1, 1, 1).contiguous(memory_format=torch.channels_last),
    ],
)
def test_tensors_lie_in_memory_as_they_did(tensor, tmp_path):
    write_state(tmp_path / "s.safetensors", [tensor])
    (found,) = read_state(tmp_path / "s.safetensors")
    assert torch.equal(found, tensor)
    wide = [i for i in range(tensor.dim()) if tensor.shape[i] > 1]  # where there is one element, strides say nothing
    assert [found.stride(i) for i in wide] == [tensor.stride(i) for i in wide]


def test_it_is_a_safetensors_file(tmp_path):
    write_state(tmp_path / "s.safetensors", {"x": torch.tensor([1.5])})
    with safe_open(tmp_path / "s.safetensors", "pt") as file:
        assert file.metadata() == {
            "format": "feds-training-1", "state": '{"dict": [["x", {"tensor": "0", "order": [0]}]]}',
        }  # fmt: skip
        assert file.get_tensor("0").tolist() == [1.5]


def test_an_invalid_state_is_refused(tmp_path):
    path = tmp_path / "s.safetensors"
    with pytest.raises(WeightsError, match="s.safetensors: not a readable state of a training run"):
        read_state(path)
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(WeightsError, match=r"expected the state of a training run \(feds-training-1\), found None"):
        read_state(path)
    save_file({"x": torch.ones(1)}, path, {"format": "feds-training-1", "state": '{"dict": [["x", {"tensor": "1"'})
    with pytest.raises(WeightsError, match="not a readable state"):
        read_state(path)


def test_what_cannot_be_kept_is_refused_and_leaves_what_was(tmp_path):
    path = tmp_path / "s.safetensors"
    write_state(path, 1)
    with pytest.raises(TypeError, match="numbers, strings and tensors, found set"):
        write_state(path, {"x": {1, 2}})
    assert read_state(path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["s.safetensors"]
