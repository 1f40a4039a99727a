"""The state of a run comes back as it was: nested as it was, and lying in memory as it did."""

from __future__ import annotations

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from fedscodec.errors import OutputError, WeightsError
from fedscodec.training.state import as_damage_of, read_nested, read_state, write_state


def test_what_is_written_is_read(tmp_path):
    state = {
        "step": 7, "ratio": 0.1, "name": "a", "nothing": None, "flag": True,
        "by number": {0: torch.arange(3), 5: torch.tensor(2.5)},
        "nested": [torch.ones(2, 2, dtype=torch.bfloat16), [], [1, torch.zeros(0)]],
    }  # fmt: skip
    path = tmp_path / "run.state.safetensors"
    write_state(path, state)
    found = read_nested(path)
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
    (found,) = read_nested(tmp_path / "s.safetensors")
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
    assert read_nested(path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["s.safetensors"]


def whole():
    """The state of a run with all parts, as small as can be."""
    run = {
        "stage": {"w": torch.ones(2)}, "average": {}, "optimizers": {}, "draws": torch.zeros(3, dtype=torch.uint8),
        "noise": [torch.zeros(3, dtype=torch.uint8), None], "step": 4, "earlier": 0, "minutes": 0.5, "pixels": 9,
        "skipped": 0, "phase": "full", "fitted": 2, "quantised": False, "figures": torch.zeros(3), "told": [4, 0, 9],
        "ending": False, "best": float("inf"),
    }  # fmt: skip
    return {"run": run, "recipe": {}, "spec": {}, "words": {"network": "tiny", "start": "fresh"}}


def without(part, *path):
    """A whole state that lacks one part."""
    state = whole()
    inside = state
    for name in path:
        inside = inside[name]
    del inside[part]
    return state


def changed(value, part, *path):
    """A whole state with another value in place of one part."""
    state = whole()
    inside = state
    for name in path:
        inside = inside[name]
    inside[part] = value
    return state


def test_the_state_of_a_run_is_read(tmp_path):
    write_state(tmp_path / "s.safetensors", whole())
    assert read_state(tmp_path / "s.safetensors")["run"]["told"] == [4, 0, 9]


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ([], "expected a mapping as its state, found list"),
        (without("spec"), "expected spec in its state as dict, found nothing"),
        (without("words"), "expected words in its state as dict, found nothing"),
        (changed([], "run"), "expected run in its state as dict, found list"),
        (without("start", "words"), "expected start in its words as str, found nothing"),
        (changed(1, "teacher", "words"), "words that are no text"),
        (without("draws", "run"), "expected draws in its run as Tensor, found nothing"),
        (without("step", "run"), "step of the run is no count"),
        (changed(-1, "pixels", "run"), "pixels of the run is no count"),
        (changed(True, "fitted", "run"), "fitted of the run is no count"),
        (changed("long", "minutes", "run"), "minutes of the run is no number"),
        (changed(float("inf"), "minutes", "run"), "minutes of the run are inf"),
        (changed([], "phase", "run"), "the phase of the run is not known"),
        (changed([1], "told", "run"), "wrong numbers of parts"),
    ],
)
def test_a_state_that_lacks_a_part_is_refused(state, found, tmp_path):
    path = tmp_path / "s.safetensors"
    write_state(path, state)
    with pytest.raises(WeightsError) as failure:
        read_state(path)
    assert str(failure.value) == f"{path}: not a readable state of a training run ({found})"


@pytest.mark.parametrize(
    "words",
    [
        "[" * 100_000,
        '{"dict": [["x", {"tensor": "0", "order": [0, 1]}]]}',  # more sides than the tensor has
        '{"dict": [["x", {"tensor": 0, "order": [0]}]]}',
        '{"dict": [["x", {"tensor": "0", "order": 0}]]}',
        '{"dict": [[[], 1]]}',
        '{"dict": 1}',
        '{"list": []}',
    ],
)
def test_words_that_no_run_wrote_are_refused(words, tmp_path):
    path = tmp_path / "s.safetensors"
    save_file({"0": torch.ones(1)}, path, {"format": "feds-training-1", "state": words})
    with pytest.raises(WeightsError, match=r"s\.safetensors: not a readable state of a training run \("):
        read_state(path)


def test_what_fails_in_the_use_of_a_state_is_its_damage(tmp_path):
    layer = torch.nn.Linear(2, 3)
    with pytest.raises(WeightsError) as failure, as_damage_of(tmp_path / "s"):
        layer.load_state_dict({"weight": torch.ones(1), "bias": torch.ones(3)})
    assert str(failure.value).startswith(f"{tmp_path / 's'}: not a readable state of a training run (Error")
    assert "\n" not in str(failure.value)
    with pytest.raises(RuntimeError, match="can't allocate memory"), as_damage_of(tmp_path / "s"):
        raise RuntimeError("can't allocate memory")


def test_a_full_disk_is_named_and_leaves_what_was(tmp_path, monkeypatch):
    path = tmp_path / "s.safetensors"
    write_state(path, {"x": torch.ones(1)})

    def full(tensors, part, metadata):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("fedscodec.training.state.save_file", full)
    with pytest.raises(OutputError) as failure:
        write_state(path, {"x": torch.ones(2)})
    assert str(failure.value) == f"{path}: the disk is full"
    assert read_nested(path)["x"].tolist() == [1.0]
    assert [p.name for p in tmp_path.iterdir()] == ["s.safetensors"]


def test_a_file_that_the_system_lets_grow_no_further_is_named(tmp_path):
    resource = pytest.importorskip("resource")
    path, (soft, hard) = tmp_path / "s.safetensors", resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OutputError) as failure:
            write_state(path, {"x": torch.ones(4096)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(failure.value).startswith(f"{path}: ")
    assert list(tmp_path.iterdir()) == []


def test_a_state_in_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(OutputError) as failure:
        write_state(tmp_path / "nowhere" / "s.safetensors", {})
    assert str(failure.value) == f"{tmp_path / 'nowhere' / 's.safetensors'}: its folder does not exist"
