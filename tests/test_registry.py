"""How names, paths and fingerprints lead to networks, and what is said where they do not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SMALL

from fedscodec import registry
from fedscodec.codec.model import load_model, model_by_fingerprint
from fedscodec.errors import FedsError, UnknownModelError, WeightsError
from fedscodec.networks.model import FedsModel
from fedscodec.networks.weights import Weights, write_weights
from fedscodec.registry import (
    DEFAULT_MODEL,
    DEFAULT_QUALITY,
    NETWORKS,
    Resolved,
    by_fingerprint,
    describe,
    folders,
    installed,
    resolve,
)

MakeModel = Callable[..., FedsModel]


@pytest.fixture
def folder(tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where weights are looked for, with a tiny network of one's own in it."""
    place = tmp_path / "own"
    place.mkdir()
    shutil.copy(tiny_file, place / "mine.safetensors")
    monkeypatch.setattr(registry, "folders", lambda: [place])
    return place


def test_folders_of_the_environment_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDS_WEIGHTS", f"{tmp_path / 'a'}:{tmp_path / 'b'}:")
    package = Path(registry.__file__).parent
    assert folders() == [tmp_path / "a", tmp_path / "b", package / "weights", package.parent / "weights"]
    monkeypatch.delenv("FEDS_WEIGHTS")
    assert folders() == [package / "weights", package.parent / "weights"]


@pytest.mark.parametrize(
    ("name", "network", "quality"),
    [
        ("mine", "mine", None),
        ("mine-q3", "mine", 3.0),
        ("mine-q4.5", "mine", 4.5),
        ("mine-q10", "mine", 10.0),
    ],
)
def test_names(name: str, network: str, quality: float | None, folder: Path) -> None:
    assert resolve(name) == Resolved(folder / "mine.safetensors", network, quality)


def test_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "mine.safetensors"
    assert resolve(str(path)) == Resolved(path, "mine", None)
    monkeypatch.chdir(folder)
    assert resolve("mine.safetensors") == Resolved(Path("mine.safetensors"), "mine", None)
    odd = shutil.copy(path, folder / "mine-q3.safetensors")
    assert resolve(str(odd)) == Resolved(Path(odd), "mine-q3", None)


def test_a_registered_name_leads_to_its_own_file_name(folder: Path) -> None:
    shutil.copy(folder / "mine.safetensors", folder / NETWORKS["student"].weights)
    assert resolve(DEFAULT_MODEL) == Resolved(folder / "student.safetensors", "student", 3.0)


def test_the_first_folder_wins(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = tmp_path / "second"
    second.mkdir()
    for name in ("mine", "other"):
        shutil.copy(folder / "mine.safetensors", second / f"{name}.safetensors")
    monkeypatch.setattr(registry, "folders", lambda: [tmp_path / "absent", folder, second])
    assert resolve("mine").path.parent == folder
    assert resolve("other").path.parent == second
    assert [(info.name, info.path.parent) for info in installed()] == [("mine", folder), ("other", second)]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("yours", "yours: no such model; installed are mine, each also with -q1 … -q7"),
        ("mine-q", "mine-q: no such model; installed are mine, each also with -q1 … -q7"),
        ("mine-q3-q4", "mine-q3-q4: no such model; installed are mine, each also with -q1 … -q7"),
        ("", ": no such model; installed are mine, each also with -q1 … -q7"),
        ("a\nb", "a\nb: no such model; installed are mine, each also with -q1 … -q7"),
        ("some/where", "some/where: no such weights file"),
        ("gone.safetensors", "gone.safetensors: no such weights file"),
    ],
)
def test_sentences_for_unknown_names(name: str, sentence: str, folder: Path) -> None:
    with pytest.raises(UnknownModelError) as caught:
        resolve(name)
    assert str(caught.value) == sentence


def test_sentence_for_a_registered_network_that_is_not_here(folder: Path) -> None:
    with pytest.raises(UnknownModelError) as caught:
        resolve("teacher-q2")
    words = f"teacher: its weights file teacher.safetensors is in none of {folder}; FEDS_WEIGHTS names more folders"
    assert str(caught.value) == words


def test_sentence_where_nothing_is_installed(folder: Path) -> None:
    (folder / "mine.safetensors").unlink()
    with pytest.raises(UnknownModelError, match=r"^mine: no such model; installed are none, each"):
        resolve("mine")
    with pytest.raises(
        UnknownModelError,
        match=r"installed are none; its weights file can be given as the model, or its folder in FEDS_WEIGHTS$",
    ):
        by_fingerprint(b"\0" * 8)


def test_what_a_file_says_of_itself(folder: Path, tiny_weights: Weights) -> None:
    (info,) = installed()
    path = folder / "mine.safetensors"
    assert info == describe(path)
    assert (info.name, info.path, info.spec, info.bytes) == ("mine", path, SMALL, path.stat().st_size)
    assert info.fingerprint == tiny_weights.fingerprint.hex()
    assert info.qualities == SMALL.lambdas
    assert info.metadata["origin"] == "random"


def test_unreadable_files_are_skipped_when_listing_but_not_when_described(folder: Path) -> None:
    (folder / "broken.safetensors").write_bytes(b"no weights")
    (folder / "notes.txt").write_text("nothing")
    assert [info.name for info in installed()] == ["mine"]
    with pytest.raises(WeightsError, match=r"broken\.safetensors: not a readable weights file"):
        describe(folder / "broken.safetensors")
    with pytest.raises(WeightsError, match="not a readable weights file"):
        load_model("broken", "cpu")


def test_qualities_of_loaded_models(folder: Path, tiny_weights: Weights) -> None:
    model = load_model("mine-q2.5", "cpu")
    assert (model.name, model.quality, model.fingerprint) == ("mine", 2.5, tiny_weights.fingerprint)
    assert str(model.device) == "cpu"
    assert load_model("mine", "cpu").quality == DEFAULT_QUALITY
    assert load_model(str(folder / "mine.safetensors"), "cpu").name == "mine"
    with pytest.raises(FedsError, match="device must be auto, cpu or cuda, found tpu"):
        load_model("mine", "tpu")


def test_a_network_is_found_by_its_fingerprint(folder: Path, tiny: MakeModel, tiny_weights: Weights) -> None:
    write_weights(folder / "another.safetensors", tiny(seed=1), {})
    another = describe(folder / "another.safetensors")
    assert another.fingerprint != tiny_weights.fingerprint.hex()
    assert model_by_fingerprint(tiny_weights.fingerprint, "cpu").name == "mine"
    assert model_by_fingerprint(bytes.fromhex(another.fingerprint), "cpu").name == "another"
    assert by_fingerprint(tiny_weights.fingerprint) == Resolved(folder / "mine.safetensors", "mine", None)
    with pytest.raises(UnknownModelError) as caught:
        by_fingerprint(b"\1" * 8, name="photo.feds")
    assert str(caught.value) == (
        "photo.feds: was written by the network 0101010101010101, which is not installed; "
        f"installed are another ({another.fingerprint}), mine ({tiny_weights.fingerprint.hex()}); "
        "its weights file can be given as the model, or its folder in FEDS_WEIGHTS"
    )


def test_a_network_is_found_behind_another_file_of_its_name(
    folder: Path, tmp_path: Path, tiny: MakeModel, tiny_weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tmp_path / "first"
    first.mkdir()
    monkeypatch.setattr(registry, "folders", lambda: [tmp_path / ("x" * 300), first, folder])
    for damage in (False, True):
        write_weights(first / "mine.safetensors", tiny(lambdas=(0.015,)), {})
        if damage:
            (first / "mine.safetensors").write_bytes((first / "mine.safetensors").read_bytes()[:50])
        assert by_fingerprint(tiny_weights.fingerprint).path == folder / "mine.safetensors"
        assert resolve("mine").path == first / "mine.safetensors"
    with pytest.raises(UnknownModelError, match=r"; cannot be read: mine\.safetensors; its weights file "):
        by_fingerprint(bytes(8))


@pytest.mark.parametrize("name", ["mine-q5", "mine.bin", "mine.pth"])
def test_every_name_that_is_listed_can_be_given(name: str, folder: Path) -> None:
    shutil.copy(folder / "mine.safetensors", folder / f"{name}.safetensors")
    assert name in registry.names()
    assert resolve(name) == registry.Resolved(folder / f"{name}.safetensors", name, None)
    assert resolve("mine-q4").quality == 4.0


def test_a_name_that_no_file_can_have(folder: Path) -> None:
    with pytest.raises(UnknownModelError, match=": no such weights file$"):
        resolve("x" * 5000 + "/a")


def test_a_network_with_one_quality(folder: Path, tiny: MakeModel) -> None:
    write_weights(folder / "single.safetensors", tiny(lambdas=(0.015,)), {})
    assert describe(folder / "single.safetensors").qualities == (0.015,)
    assert describe(folder / "single.safetensors").spec == replace(SMALL, lambdas=(0.015,))
    model = load_model("single-q1", "cpu")
    assert model.gains(1.0)[0].shape == (1, 16, 1, 1)
    with pytest.raises(FedsError, match="quality must lie between 1 and 1 for single, found 2"):
        model.gains(2.0)
