"""Which files a batch takes, and where it puts their results."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fedscodec.batch.plan import Task, is_batch, plan
from fedscodec.errors import FedsError

TREE = ["a.png", "B.JPG", "notes.txt", ".hidden.png", "sub/c.png", "sub/deep/d.tif", ".git/e.png", "old/a.png"]
WANTED = frozenset({".png", ".jpg", ".tif"})


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in TREE:
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Path("photos")


def planned(*sources, output="out", **how):
    tasks = plan([Path(source) for source in sources], output and Path(output), ".feds", WANTED, **how).tasks
    assert all(not task.fault for task in tasks)
    return {str(task.source): str(task.target) for task in tasks}


def test_several_files_or_a_folder_are_a_batch(photos):
    for sources in (["a", "b"], ["photos"], ["photos/*.png"], ["?"]):
        assert is_batch([Path(source) for source in sources]), sources
    Path("[1].png").touch()
    for source in ("photos/a.png", "-", "nothing", "[1].png"):
        assert not is_batch([Path(source)]), source


def test_a_folder_is_mirrored(photos):
    flat = {"photos/B.JPG": "out/B.feds", "photos/a.png": "out/a.feds"}
    assert planned("photos") == flat
    below = {
        "photos/old/a.png": "out/old/a.feds",
        "photos/sub/c.png": "out/sub/c.feds",
        "photos/sub/deep/d.tif": "out/sub/deep/d.feds",
    }
    assert planned("photos", recursive=True) == flat | below
    assert planned("photos/", recursive=True) == flat | below


def test_suffixes_can_stay_so_that_none_has_anothers_result(photos):
    Path("photos/a.jpg").touch()
    with pytest.raises(AssertionError):
        planned("photos")
    assert planned("photos", keep=True) == {
        "photos/B.JPG": "out/B.JPG.feds", "photos/a.jpg": "out/a.jpg.feds", "photos/a.png": "out/a.png.feds",
    }  # fmt: skip


def test_without_an_output_folder_results_lie_beside_their_sources(photos):
    assert planned("photos/sub", output=None, recursive=True) == {
        "photos/sub/c.png": "photos/sub/c.feds",
        "photos/sub/deep/d.tif": "photos/sub/deep/d.feds",
    }


def test_single_files_go_into_the_folder_whatever_their_suffix(photos):
    assert planned("photos/sub/c.png", "photos/notes.txt", "photos/none.xyz") == {
        "photos/sub/c.png": "out/c.feds",
        "photos/notes.txt": "out/notes.feds",
        "photos/none.xyz": "out/none.feds",
    }


def test_of_several_inputs_folders_keep_their_names(photos):
    assert planned("photos/old", "photos/sub", "photos/B.JPG") == {
        "photos/old/a.png": "out/old/a.feds",
        "photos/sub/c.png": "out/sub/c.feds",
        "photos/B.JPG": "out/B.feds",
    }


def test_patterns_are_mirrored_from_their_last_fixed_folder(photos):
    assert planned("photos/*.png") == {"photos/a.png": "out/a.feds"}
    assert planned("photos/**/*.png") == {
        "photos/a.png": "out/a.feds",
        "photos/old/a.png": "out/old/a.feds",
        "photos/sub/c.png": "out/sub/c.feds",
    }
    assert planned("*/sub/c.*") == {"photos/sub/c.png": "out/photos/sub/c.feds"}


def test_a_source_that_is_named_twice_is_done_once(photos):
    assert planned("photos/a.png", "photos/a.png", "photos/*.png") == {"photos/a.png": "out/a.feds"}


def test_two_sources_of_one_output_are_both_refused(photos):
    Path("photos/a.jpg").touch()
    tasks = plan([photos], Path("out"), ".feds", WANTED).tasks
    fault = "out/a.feds: would be made of photos/a.jpg and of photos/a.png, expected one source for one output"
    assert tasks == [
        Task(Path("photos/B.JPG"), Path("out/B.feds")),
        Task(Path("photos/a.jpg"), Path("out/a.feds"), fault),
        Task(Path("photos/a.png"), Path("out/a.feds"), fault),
    ]


def test_paths_that_lead_to_one_place_are_one(photos):
    Path("link").symlink_to("photos")
    here = Path.cwd()
    assert planned("photos/a.png", here / "photos/a.png", "link/a.png", output=None) == {
        "photos/a.png": "photos/a.feds"
    }
    Path("photos/a.jpg").touch()
    tasks = plan([Path("photos/a.png"), here / "photos/a.jpg"], None, ".feds", WANTED).tasks
    assert [bool(task.fault) for task in tasks] == [True, True]
    tasks = plan([Path("photos/a.png"), Path("link/a.jpg")], None, ".feds", WANTED).tasks
    assert [bool(task.fault) for task in tasks] == [True, True]


def test_what_would_take_its_own_place_is_passed_over(photos):
    Path("photos/a.feds").touch()
    made = plan([Path("photos/a.png"), Path("photos/a.feds")], None, ".feds", WANTED)
    assert made.tasks == [Task(Path("photos/a.png"), Path("photos/a.feds"))]
    assert made.notes == ["photos/a.feds: its result would take its own place, skipped"]
    with pytest.raises(FedsError, match=r"its result would take its own place, skipped$"):
        plan([Path("photos/a.feds")], None, ".feds", WANTED)


def test_a_folder_that_cannot_be_read_is_a_failure(photos, monkeypatch):
    walk = os.walk

    def walked(folder, onerror):
        onerror(PermissionError(13, "Permission denied", str(Path(folder, "sub"))))
        return walk(folder)

    monkeypatch.setattr(os, "walk", walked)
    tasks = plan([photos], Path("out"), ".feds", WANTED).tasks
    assert tasks[-1] == Task(Path("photos/sub"), Path("photos/sub"), "photos/sub: cannot be read (Permission denied)")
    assert len(tasks) == 3
    assert len(plan([photos, photos], Path("out"), ".feds", WANTED).tasks) == 3


def test_nothing_at_all(photos):
    Path("empty").mkdir()
    with pytest.raises(FedsError, match=r"^empty: nothing to do here \(looked for \.jpg \.png \.tif\)$"):
        plan([Path("empty")], None, ".feds", WANTED)
    with pytest.raises(FedsError, match=r"^x/\*\.png, y\?: nothing to do here"):
        plan([Path("x/*.png"), Path("y?")], None, ".feds", WANTED)
