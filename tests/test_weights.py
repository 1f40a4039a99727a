"""Weights files: what goes in comes out, and nothing that was changed passes for what it was."""

from __future__ import annotations

import errno
import json
import os
import re
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import LIGHT_SIDE, SMALL
from safetensors.numpy import load_file, save_file

from fedscodec.errors import OutputError, WeightsError
from fedscodec.networks import counts
from fedscodec.networks.integer_side import export
from fedscodec.networks.metadata import counts_of, read_metadata
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import WindowAttention, paper_stages
from fedscodec.networks.weights import (
    Weights,
    fingerprint_of,
    float_transforms,
    integer_side,
    read_weights,
    trainable,
    write_weights,
)

MakeModel = Callable[..., FedsModel]


def rewrite(source: Path, target: Path, *, words: dict[str, str] | None = None, **tensors: np.ndarray | None) -> Path:
    """A copy of a weights file with some tensors replaced (None: left out) and other metadata."""
    arrays = {**load_file(source), **tensors}
    save_file({k: v for k, v in arrays.items() if v is not None}, target, {**read_metadata(source), **(words or {})})
    return target


def test_what_is_written_is_read(tiny: MakeModel, tiny_file: Path, tiny_weights: Weights) -> None:
    model = tiny()
    assert tiny_weights.spec == SMALL
    assert tiny_weights.metadata["origin"] == "random"
    assert tiny_weights.metadata["format"] == "feds-weights-1"
    assert tiny_weights.metadata["fingerprint"] == tiny_weights.fingerprint.hex()
    expected = export(model.float_side)
    assert tiny_weights.side.keys() == expected.keys()
    assert all(np.array_equal(tiny_weights.side[name], array) for name, array in expected.items())
    state = model.state_dict()
    assert tiny_weights.floats.keys() == {k for k in state if not k.startswith("float_side.")}
    for name, array in tiny_weights.floats.items():
        assert array.dtype == np.float16
        assert np.array_equal(array, state[name].numpy().astype(np.float16))
    assert (len(tiny_weights.z_tables), len(tiny_weights.y_tables)) == (8, 24)
    assert tiny_weights.y_tables.skip == 0
    assert tiny_file.stat().st_size < 140_000
    assert [p.name for p in tiny_file.parent.iterdir()] == ["tiny.safetensors"]  # no temporary file is left


def test_writing_twice_gives_the_same_tensors(tiny: MakeModel, tiny_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "again.safetensors"
    write_weights(path, tiny(), {"origin": "random"})
    # safetensors puts the words of the metadata into any order; what follows them is alike
    tensors = [data[8 + struct.unpack("<Q", data[:8])[0] :] for data in (path.read_bytes(), tiny_file.read_bytes())]
    assert tensors[0] == tensors[1]
    assert read_metadata(path) == read_metadata(tiny_file)


def test_transforms_of_a_file_are_those_of_the_model(tiny: MakeModel, tiny_weights: Weights) -> None:
    model, loaded = tiny(), float_transforms(tiny_weights)
    assert not loaded.training
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        y = model.g_a(x, torch.ones(1)).value
        torch.testing.assert_close(loaded.g_a(x, torch.ones(1)).value, y, atol=0.02 * float(y.std()), rtol=0)
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in loaded.g_a.parameters())
    assert all(p.is_meta for p in loaded.float_side.parameters())


def test_skip_travels_with_the_tables(tiny: MakeModel, tmp_path: Path) -> None:
    write_weights(tmp_path / "a.safetensors", tiny(), {}, skip=3)
    assert read_weights(tmp_path / "a.safetensors").y_tables.skip == 3


@pytest.mark.parametrize("skip", [1, 8])
def test_tables_of_z_skip_no_symbols(skip: int, tiny_file: Path, tmp_path: Path) -> None:
    weights = read_weights(tiny_file)
    assert (weights.z_tables.skip, len(weights.z_tables)) == (0, 8)
    z = replace(weights.z_tables, skip=skip)
    words = {"fingerprint": fingerprint_of(weights.side, z, weights.y_tables, SMALL).hex()}
    skipped = {"tables.z.skip": np.array([skip], np.int32)}
    path = rewrite(tiny_file, tmp_path / "skipped.safetensors", words=words, **skipped)
    with pytest.raises(WeightsError, match=rf"skipped\.safetensors: expected no skipped tables for z, found {skip}$"):
        read_weights(path)


# ── Fingerprints ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["h_s.0.weight", "nets.1.mean.1.bias", "nets.0.first.multiplier", "context.shift"])
def test_one_integer_changes_the_fingerprint(name: str, tiny_weights: Weights) -> None:
    tables = tiny_weights.z_tables, tiny_weights.y_tables
    assert fingerprint_of(tiny_weights.side, *tables, SMALL) == tiny_weights.fingerprint
    changed = tiny_weights.side[name].copy()
    changed.flat[-1] += 1
    other = fingerprint_of({**tiny_weights.side, name: changed}, *tables, SMALL)
    assert other != tiny_weights.fingerprint
    assert len(other) == 8


def test_the_fingerprint_is_that_of_little_endian_integers(tiny_weights: Weights) -> None:
    tables = tiny_weights.z_tables, tiny_weights.y_tables
    big = {name: array.astype(array.dtype.newbyteorder(">")) for name, array in tiny_weights.side.items()}
    assert fingerprint_of(big, *tables, SMALL) == tiny_weights.fingerprint


def test_tables_names_and_shapes_are_part_of_the_fingerprint(tiny: MakeModel, tiny_weights: Weights) -> None:
    side, z, y = tiny_weights.side, tiny_weights.z_tables, tiny_weights.y_tables
    renamed = {("x" + k if k == "h_s.0.bias" else k): v for k, v in side.items()}
    reshaped = {k: v.reshape(-1) if k == "h_s.0.weight" else v for k, v in side.items()}
    found = {fingerprint_of(side, z, y, SMALL), fingerprint_of(side, y, z, SMALL)}
    found |= {fingerprint_of(renamed, z, y, SMALL), fingerprint_of(reshaped, z, y, SMALL)}
    assert len(found) == 4


def test_floats_and_words_are_not_part_of_the_fingerprint(
    tiny: MakeModel, tmp_path: Path, tiny_weights: Weights
) -> None:
    model = tiny()
    with torch.no_grad():
        model.g_a.last.weight.mul_(2)
    write_weights(tmp_path / "a.safetensors", model, {"origin": "elsewhere"}, checkpoint=True)
    assert read_weights(tmp_path / "a.safetensors").fingerprint == tiny_weights.fingerprint


# ── Damage ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tensor", ["side.h_s.0.weight", "side.context.multiplier", "tables.y.frequencies"])
def test_a_flipped_bit_of_an_integer_is_noticed(tensor: str, tiny_file: Path, tmp_path: Path) -> None:
    data = bytearray(tiny_file.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    start = 8 + length + json.loads(data[8 : 8 + length])[tensor]["data_offsets"][0]
    data[start] ^= 1
    path = tmp_path / "flipped.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"flipped\.safetensors: (its integers have the fingerprint|.*with the sum)"):
        read_weights(path)


def test_an_invalid_weights_file_is_refused(tiny_file: Path, tmp_path: Path) -> None:
    data = tiny_file.read_bytes()
    for name, content in {"empty": b"", "noise": b"\xff" * 64, "cut": data[:5000], "half": data[:-1]}.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=rf"{name}\.safetensors: not a readable weights file"):
            read_weights(path)
    with pytest.raises(WeightsError, match="not a readable weights file"):
        read_weights(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"format": "feds-weights-9"}, "expected a weights file of format feds-weights-1, found feds-weights-9"),
        ({"fingerprint": "00" * 8}, "but it says 0000000000000000"),
        ({"spec": "{"}, "description of the network is not valid"),
        ({"spec": '{"colour": 1}'}, "description of the network is not valid"),
        ({"spec": '{"slices": 0}'}, "description of the network is not valid"),
        ({"spec": '{"slice_filters": []}'}, "description of the network is not valid"),
        ({"spec": json.dumps({**SMALL.to_dict(), "scales": 23})}, "expected 8 and 23 or 46 tables, found 8 and 24"),
        (
            {"spec": json.dumps({**SMALL.to_dict(), "slice_filters": [16, 9]})},
            "has the fingerprint|have the fingerprint",
        ),
    ],
)
def test_wrong_metadata_is_refused(words: dict[str, str], sentence: str, tiny_file: Path, tmp_path: Path) -> None:
    path = rewrite(tiny_file, tmp_path / "wrong.safetensors", words=words)
    with pytest.raises(WeightsError, match=rf"wrong\.safetensors: .*({sentence})"):
        read_weights(path)


def test_a_file_says_how_large_its_network_is(
    tiny_file: Path, tiny_weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = read_metadata(tiny_file)
    counted = counts_of({}, tiny_weights.spec)
    assert counted == (counts.parameters(tiny_weights.spec), counts.kmacs_per_pixel(tiny_weights.spec))
    for lie in ({"parameters": "-1"}, {"parameters": "many"}, {"kmacs_per_pixel": "nan"}, {"kmacs_per_pixel": "inf"}):
        assert counts_of({**metadata, **lie}, tiny_weights.spec) == counted
    monkeypatch.delattr(counts, "kmacs_per_pixel")
    assert counts_of(metadata, tiny_weights.spec) == counted  # as the file says
    rewrite(tiny_file, tmp_path / "other.safetensors", words={"parameters": "7", "kmacs_per_pixel": "0.5"})
    other = read_weights(tmp_path / "other.safetensors")
    assert counts_of(other.metadata, other.spec) == (7, 0.5)
    assert other.fingerprint == tiny_weights.fingerprint


def test_a_file_without_metadata_is_refused(tmp_path: Path) -> None:
    save_file({"a": np.zeros(1)}, tmp_path / "plain.safetensors")
    with pytest.raises(WeightsError, match=r"expected a weights file of format feds-weights-1, found None"):
        read_weights(tmp_path / "plain.safetensors")


def test_missing_and_strange_tensors_are_refused(tiny_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.safetensors"
    for name in ("side.h_s.0.weight", "tables.z.low"):
        with pytest.raises(WeightsError):
            read_weights(rewrite(tiny_file, path, **{name: None}))
    for name in ("extra", "extra.weight", "side"):
        with pytest.raises(WeightsError, match=f"unknown tensor, {name}"):
            read_weights(rewrite(tiny_file, path, **{name: np.zeros(1, np.float32)}))


def test_transforms_that_do_not_fit_are_refused(tiny_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "wrong.safetensors"
    name = "g_s.last.bias"
    with pytest.raises(WeightsError, match=rf"missing tensors: \['{name}'\]"):
        float_transforms(read_weights(rewrite(tiny_file, path, **{name: None})))
    with pytest.raises(WeightsError, match=r"expected g_s\.last\.bias to have the shape"):
        float_transforms(read_weights(rewrite(tiny_file, path, **{name: np.zeros(5, np.float16)})))
    with pytest.raises(WeightsError, match=r"unknown tensors: \['g_s\.more'\]"):
        float_transforms(read_weights(rewrite(tiny_file, path, **{"g_s.more": np.zeros(5, np.float16)})))


@pytest.mark.parametrize("value", [7e4, -7e4, np.inf, np.nan])
def test_values_beyond_float16_are_not_written(value: float, tiny: MakeModel, tmp_path: Path) -> None:
    model = tiny()
    with torch.no_grad():
        model.g_s.last.bias[3] = value
    with pytest.raises(WeightsError, match=r"^g_s\.last\.bias has values that do not fit float16$"):
        write_weights(tmp_path / "a.safetensors", model, {})
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_holds_what_float32_can(tiny: MakeModel, tmp_path: Path) -> None:
    model, path = tiny(), tmp_path / "c.safetensors"
    with torch.no_grad():
        model.g_s.last.bias[3] = 7e4
        write_weights(path, model, {}, checkpoint=True)
        assert read_weights(path).floats["g_s.last.bias"][3] == 7e4
        model.g_s.last.bias[3] = torch.nan
    with pytest.raises(WeightsError, match=r"^g_s\.last\.bias has values that do not fit float32$"):
        write_weights(path, model, {}, checkpoint=True)
    assert read_weights(path).floats["g_s.last.bias"][3] == 7e4


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_others_may_read_what_the_umask_lets_them(mask: int, mode: int, tiny: MakeModel, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        write_weights(tmp_path / "a.safetensors", tiny(), {})
        assert os.umask(mask) == mask  # as it was found
    finally:
        os.umask(before)
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("load", [float_transforms, trainable])
@pytest.mark.parametrize(
    "changes",
    [
        {"stages": paper_stages(0, WindowAttention(window=8, heads=3), width=8)},
        {"stages": paper_stages(0, width=8, kind="cubic")},
        {"stages": paper_stages(0, WindowAttention(window=8, heads=5), width=8, kind="mixed-v2")},
    ],
)
def test_a_network_that_cannot_be_built_is_refused(
    load: Callable[[Weights], FedsModel], changes: dict[str, Any], tiny_weights: Weights
) -> None:
    with pytest.raises(WeightsError, match="^cannot build the network in the description: "):
        load(replace(tiny_weights, spec=replace(SMALL, **changes)))


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tiny: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept.safetensors"
    path.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("fedscodec.files.outputs.os.fsync", full)
    with pytest.raises(OutputError, match=r"kept.safetensors: the disk is full$"):
        write_weights(path, tiny(), {})
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


# ── Training on ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_checkpoint_keeps_the_floats_exactly(tiny: MakeModel, tmp_path: Path, tiny_weights: Weights) -> None:
    model = tiny()
    write_weights(tmp_path / "c.safetensors", model, {}, checkpoint=True)
    weights = read_weights(tmp_path / "c.safetensors")
    again = trainable(weights)
    state, found = model.state_dict(), again.state_dict()
    assert state.keys() == found.keys()
    for name, value in state.items():
        assert torch.equal(found[name], value), name
    assert all(p.requires_grad for p in again.parameters())
    assert weights.fingerprint == tiny_weights.fingerprint
    integer_side(weights)  # a checkpoint is also a network to run


def test_a_shipped_file_can_be_trained_on_and_written_again(tiny_weights: Weights, tmp_path: Path) -> None:
    model = trainable(tiny_weights)
    assert all(p.requires_grad and not p.is_meta for p in model.parameters())
    write_weights(tmp_path / "again.safetensors", model, {})
    again = read_weights(tmp_path / "again.safetensors")
    assert again.fingerprint == tiny_weights.fingerprint
    assert all(np.array_equal(again.floats[k], v) for k, v in tiny_weights.floats.items())


@torch.no_grad()
def test_layers_without_weights_survive_being_trained_on(tiny: MakeModel, tmp_path: Path) -> None:
    # what is left of such a layer is its bias, which sets the scale of its integers
    model = tiny()
    for layer in (model.float_side.h_s[0], model.float_side.nets[1].mean[-1], model.float_side.nets[0].index[-1]):
        layer.weight.zero_()
    write_weights(tmp_path / "a.safetensors", model, {})
    weights = read_weights(tmp_path / "a.safetensors")
    found = trainable(weights)
    for name in ("h_s.0", "nets.1.mean.1", "nets.0.index.1"):
        assert not weights.side[f"{name}.weight"].any()
        assert (np.abs(weights.side[f"{name}.bias"]) == 2**24).all()
        expected = model.float_side.get_submodule(name).bias
        torch.testing.assert_close(found.float_side.get_submodule(name).bias, expected, rtol=1e-6, atol=0)
    write_weights(tmp_path / "b.safetensors", found, {})
    assert read_weights(tmp_path / "b.safetensors").fingerprint == weights.fingerprint


def test_a_checkpoint_that_lacks_a_part_of_its_twin_is_refused(tiny: MakeModel, tmp_path: Path) -> None:
    write_weights(tmp_path / "c.safetensors", tiny(), {}, checkpoint=True)
    for name in ("float_side.h_s.0.weight", "float_side.nets.1.mean.0.steps", "float_side.prior.means"):
        broken = rewrite(tmp_path / "c.safetensors", tmp_path / "d.safetensors", **{name: None})
        with pytest.raises(WeightsError, match=rf"^missing tensors: \['{re.escape(name)}'\], unknown tensors: \[\]$"):
            trainable(read_weights(broken))
        float_transforms(read_weights(broken))  # which needs no twin


@pytest.mark.parametrize(
    "changes",
    [
        {"twin.h_s.0.steps": None},
        {"twin.nets.1.index.1.steps": None},
        {"twin.context_steps": None},
        {"twin.prior.means": None},
        {"twin.h_s.0.steps": np.ones(7, np.float32)},
        {"twin.context_steps": np.ones((2, 16), np.float32)},
        {"twin.h_s.0.steps": np.ones(1, np.float32)},  # which would be spread over all channels
        {"twin.h_s.0.steps": np.ones(8, np.int8)},
        {"twin.context_steps": np.ones(16, np.float16)},
        {"twin.shapes": np.ones((2, 24, 1), np.float32)},
        {"twin.prior.logits": np.zeros((8, 2), np.float32)},
        {"twin.prior.more": np.zeros(1, np.float32)},
    ],
)
def test_a_twin_that_does_not_fit_is_refused(
    changes: dict[str, np.ndarray | None], tiny_file: Path, tmp_path: Path
) -> None:
    weights = read_weights(rewrite(tiny_file, tmp_path / "wrong.safetensors", **changes))
    with pytest.raises(WeightsError, match="^the steps or the prior of the float twin do not fit the network: "):
        trainable(weights)
    integer_side(weights)  # to decode, no twin is needed


NOT_FINITE = "expected finite numbers in {}, found others"
UNSOUND = [
    ("h_s.0.steps", np.nan, NOT_FINITE),
    ("h_s.0.steps", np.inf, NOT_FINITE),
    ("h_s.0.steps", 0.0, "expected steps above 0 in {}, found 0"),
    ("h_s.0.steps", -0.5, "expected steps above 0 in {}, found -0.5"),
    ("nets.0.first.steps", np.nan, NOT_FINITE),
    ("shapes", np.nan, NOT_FINITE),
    ("prior.logits", np.nan, NOT_FINITE),
]


@pytest.mark.parametrize("how", ["shipped", "checkpoint", "light"])
@pytest.mark.parametrize(("name", "value", "sentence"), UNSOUND)
def test_a_twin_with_unsound_numbers_is_refused(
    name: str, value: float, sentence: str, how: str, tiny: MakeModel, tmp_path: Path
) -> None:
    model, whole = tiny(**(LIGHT_SIDE if how == "light" else {})), how == "checkpoint"
    write_weights(tmp_path / "a.safetensors", model, {}, checkpoint=whole)
    weights = read_weights(tmp_path / "a.safetensors")
    values = weights.floats[f"float_side.{name}"] if whole else weights.twin[name]
    values.flat[-1] = value
    with pytest.raises(WeightsError, match=f"^{re.escape(sentence.format(f'float_side.{name}'))}$"):
        trainable(weights)
    float_transforms(weights)  # to decode, no twin is needed


def test_context_steps_and_weights_that_steps_make_are_sound_too(tiny_file: Path) -> None:
    weights = read_weights(tiny_file)
    weights.twin["context_steps"][3] = 0
    with pytest.raises(WeightsError, match=r"^expected steps above 0 in float_side\.context_steps, found 0$"):
        trainable(weights)
    weights = read_weights(tiny_file)
    weights.twin["h_s.0.steps"][:] = 1e-44  # the weights behind are divided by them
    with pytest.raises(WeightsError, match=r"^expected finite numbers in float_side\.h_s\.1\.weight, found others$"):
        trainable(weights)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_transforms_that_are_not_finite_are_not_trained(checkpoint: bool, tiny: MakeModel, tmp_path: Path) -> None:
    write_weights(tmp_path / "a.safetensors", tiny(), {}, checkpoint=checkpoint)
    weights = read_weights(tmp_path / "a.safetensors")
    weights.floats["g_a.last.weight"].flat[5] = np.nan
    for load in (float_transforms, trainable):
        with pytest.raises(WeightsError, match=r"^expected finite numbers in g_a\.last\.weight, found others$"):
            load(weights)
