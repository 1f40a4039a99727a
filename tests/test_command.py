"""`feds train` from a folder of pictures to a weights file that encodes."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from fedscodec import __version__
from fedscodec.codec import Model, psnr
from fedscodec.errors import FedsError
from fedscodec.images import from_array
from fedscodec.networks.spec import TINY
from fedscodec.networks.weights import read_weights
from fedscodec.training import command
from fedscodec.training.command import export, recipe_from, start, train
from fedscodec.training.recipe import Recipe

SHORT = {"minutes": 0.02, "crop": 64, "batch": 2, "optimizer": "adam"}


def colours(height, width):
    """A smooth picture, uint8 [H, W, 3]."""
    rows, columns = np.mgrid[:height, :width]
    waves = [rows * 2.0, columns * 1.5, 128 + 100 * np.sin((rows + columns) / 15)]
    return np.stack(waves, 2).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(colours(80, 96)).save(folder / "a.png")
    Image.fromarray(colours(96, 70)[::-1].copy()).save(folder / "b.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def checkpoint(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "deep" / "mine.safetensors"
    train([photos], out, "tiny", dict(SHORT), None, "cpu")
    return out


@pytest.fixture(scope="module")
def shipped(checkpoint):
    out = checkpoint.with_name("shipped.safetensors")
    export(checkpoint, out)
    return out


def code(path):
    """A picture through the bytes of a file, by the network of a weights file; the picture, the result, the bytes."""
    model = Model(read_weights(path), name="mine", quality=4.0, device="cpu", precision=torch.float32)
    picture = from_array(colours(70, 90))
    data = model.encode(picture)
    return picture, model.decode(data), data


def test_recipe_from_replaces_what_is_given():
    assert recipe_from({}) == Recipe()
    assert recipe_from({"minutes": 2.0, "batch": None, "seed": 7}) == Recipe(minutes=2.0, seed=7)


def test_recipe_from_names_an_unknown_field():
    with pytest.raises(FedsError, match="^a recipe has no field epochs, rate; it has balance, batch, clip, crop, "):
        recipe_from({"rate": 1, "epochs": 3, "batch": 2})


def test_recipe_from_passes_on_why_a_value_is_impossible():
    with pytest.raises(FedsError, match="multiple of 64, found 100$"):
        recipe_from({"crop": 100})
    with pytest.raises(FedsError, match="^minutes and batch must be positive, found 30.0 and 0$"):
        recipe_from({"batch": 0})


def test_an_unknown_network_is_named_before_anything_is_read(tmp_path):
    with pytest.raises(FedsError, match="^giant: no such network; known are teacher, student, "):
        train([tmp_path / "nowhere"], tmp_path / "out.safetensors", "giant", dict(SHORT), None, "cpu")
    assert list(tmp_path.iterdir()) == []


def test_training_leaves_a_weights_file_and_a_log(checkpoint):
    assert sorted(os.listdir(checkpoint.parent))[:2] == ["mine.jsonl", "mine.safetensors"]
    weights = read_weights(checkpoint)
    assert weights.spec == TINY
    words = weights.metadata
    assert (words["network"], words["start"], words["version"]) == ("tiny", "fresh", __version__)
    assert json.loads(words["recipe"])["crop"] == 64
    assert int(words["steps"]) > 0
    (line,) = checkpoint.with_suffix(".jsonl").read_text().splitlines()  # too short for a report
    assert json.loads(line)["recipe"]["minutes"] == 0.02


def test_training_tells_what_it_skipped(photos, tmp_path, capsys):
    recipe = {**SHORT, "minutes": 1e-6}
    train([photos], tmp_path / "x.safetensors", "tiny", recipe, None, "cpu")
    told = " ".join(capsys.readouterr().err.split())
    assert "broken.png: expected a picture" in told
    assert "2 pictures, 1 skipped, on cpu" in told


def test_a_checkpoint_encodes_and_decodes(checkpoint):
    picture, decoded, data = code(checkpoint)
    assert decoded.pixels.shape == (70, 90, 3)
    assert psnr(picture, decoded) > 15
    assert len(data) < picture.pixels.size / 2


def test_an_export_is_smaller_and_has_the_same_integers(checkpoint, shipped):
    assert shipped.stat().st_size < checkpoint.stat().st_size / 2
    before, after = read_weights(checkpoint), read_weights(shipped)
    assert after.fingerprint == before.fingerprint
    assert after.metadata == before.metadata
    assert not any(name.startswith("float_side.") for name in after.floats)
    assert {array.dtype for array in after.floats.values()} == {np.dtype(np.float16)}


def test_an_export_decodes_what_its_checkpoint_wrote(checkpoint, shipped):
    _, decoded, data = code(checkpoint)
    model = Model(read_weights(shipped), name="shipped", quality=4.0, device="cpu", precision=torch.float32)
    assert psnr(model.decode(data), decoded) > 45  # float16 transforms, the same symbols


def test_an_export_of_an_export_is_the_same(shipped, tmp_path):
    export(shipped, tmp_path / "again.safetensors")
    assert read_weights(tmp_path / "again.safetensors").fingerprint == read_weights(shipped).fingerprint


@pytest.mark.parametrize("which", ["checkpoint", "shipped"])
def test_training_goes_on_from_a_weights_file(which, photos, tmp_path, request):
    init, out = request.getfixturevalue(which), tmp_path / "more.safetensors"
    train([photos], out, "student", {**SHORT, "minutes": 1e-6}, init, "cpu")  # over after one step
    before, after = read_weights(init), read_weights(out)
    assert after.spec == TINY  # of the file, whatever network was asked for
    assert (after.metadata["network"], after.metadata["start"]) == ("tiny", init.name)
    recipe = json.loads(after.metadata["recipe"])
    assert recipe["linear_share"] == 0.0
    for name, array in before.floats.items():
        if name.split(".")[0] in ("g_a", "g_s", "h_a", "gains"):
            peak = "shortcut_lr" if ".shortcut." in name else "lr" if name[:2] == "g_" else "side_lr"
            step = 0.9 * recipe[peak] + 1e-6  # what the average moves in one step of Adam; a fresh network is 0.1 away
            np.testing.assert_allclose(after.floats[name], array.astype(np.float32), rtol=0, atol=step)


def test_a_start_from_weights_trains_all_of_the_network_at_once(checkpoint, photos, tmp_path, monkeypatch):
    stages = []
    monkeypatch.setattr(command.Trainer, "run", lambda run, tell, save: stages.append(run.stage))
    recipe = {**SHORT, "linear_share": 0.9}
    train([photos], tmp_path / "a.safetensors", "tiny", recipe, checkpoint, "cpu")
    train([photos], tmp_path / "b.safetensors", "tiny", recipe, None, "cpu")
    assert stages == ["full", "linear"]


def test_fresh_starts_with_one_seed_are_equal(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(command.Trainer, "run", lambda run, tell, save: save(run))  # as it is before any step
    starts = []
    for number, seed in enumerate((3, 3, 4)):
        torch.manual_seed(100 + number)  # whatever went before
        out = tmp_path / f"{number}.safetensors"
        train([photos], out, "tiny", {**SHORT, "seed": seed}, None, "cpu")
        starts.append(read_weights(out).floats)
    one, same, other = starts
    assert one.keys() == same.keys()
    assert all(np.array_equal(array, same[name]) for name, array in one.items())
    assert not np.array_equal(one["g_a.down.0.conv.weight"], other["g_a.down.0.conv.weight"])
    assert not np.array_equal(one["float_side.h_s.0.weight"], other["float_side.h_s.0.weight"])


def test_a_start_from_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FedsError, match="nowhere.safetensors: not a readable weights file"):
        start("tiny", tmp_path / "nowhere.safetensors")
