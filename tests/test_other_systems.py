"""What differs on Windows and macOS, as far as it can be shown elsewhere."""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path
from queue import Empty
from types import SimpleNamespace

import pytest

from fedscodec import cli
from fedscodec.batch.pipeline import Batch
from fedscodec.batch.plan import plan
from fedscodec.bench.datasets import Source, missing, pictures_in
from fedscodec.codec import backends
from fedscodec.commands.training import Terminal
from fedscodec.errors import ImageError, OutputError
from fedscodec.files import inputs, standard
from fedscodec.files.names import told_apart
from fedscodec.files.outputs import write_file

FOLDED = pytest.mark.parametrize("system", ["win32", "darwin"])


@FOLDED
def test_names_that_are_one_there(system, monkeypatch):
    assert told_apart("Caf\u00e9.PNG") != told_apart("cafe\u0301.png")
    monkeypatch.setattr(sys, "platform", system)
    assert told_apart("Caf\u00e9.PNG") == told_apart("cafe\u0301.png") == "caf\u00e9.png"


@FOLDED
def test_two_sources_do_not_become_one_file(system, tmp_path, monkeypatch):
    for name in ("Photo.png", "photo.bmp", "other.png"):
        (tmp_path / name).touch()
    wanted = {".png", ".bmp"}
    assert not any(task.fault for task in plan([tmp_path], None, ".feds", wanted).tasks)
    monkeypatch.setattr(sys, "platform", system)
    faults = {task.source.name: task.fault for task in plan([tmp_path], None, ".feds", wanted).tasks}
    assert faults.pop("other.png") == ""
    would = f"{tmp_path / 'Photo.feds'}: would be made of {tmp_path / 'Photo.png'} and of {tmp_path / 'photo.bmp'}, "
    assert [fault.replace("photo.feds", "Photo.feds") for fault in faults.values()] == [
        f"{would}expected one source for one output"
    ] * 2


@FOLDED
def test_pictures_whose_results_would_be_one_file_are_refused(system, tmp_path, monkeypatch):
    for folder, name in (("a", "One.png"), ("b", "one.png")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    assert len(pictures_in([tmp_path / "a", tmp_path / "b"])) == 2
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(ImageError, match="one.png: expected pictures with different names, found .*One.png too"):
        pictures_in([tmp_path / "a", tmp_path / "b"])


def test_what_macos_puts_beside_pictures_is_no_picture(tmp_path):
    source = Source("pair", "a pair", "", 1)
    for name in (".DS_Store", "._one.png"):
        (tmp_path / name).touch()
    assert missing(source, tmp_path) == ["0 pictures in place of 1"]
    (tmp_path / "one.png").touch()
    assert missing(source, tmp_path) == []
    assert pictures_in([tmp_path]) == [tmp_path / "one.png"]


def test_programs_replace_patterns_on_windows_alone(tmp_path, monkeypatch):
    for name in ("a[1].png", "a1.png", "b.png"):
        (tmp_path / name).touch()
    given = [tmp_path / name for name in ("a[1].png", "?.png", "none*.png", "-")]
    assert inputs.expanded(given) == given
    monkeypatch.setattr(inputs, "os", SimpleNamespace(name="nt", path=os.path))
    assert inputs.expanded(given) == [tmp_path / "a[1].png", tmp_path / "b.png", tmp_path / "none*.png", tmp_path / "-"]


def test_arguments_reach_the_commands_as_they_are(monkeypatch):
    called = []
    monkeypatch.setattr(cli, "app", lambda **how: called.append(how))
    cli.main()
    assert called == [{"prog_name": "feds", "windows_expand_args": False}]


@pytest.mark.parametrize("there", [0, 1, 2])
def test_a_gpu_is_seen_by_its_driver(there, tmp_path, monkeypatch):
    drivers = [tmp_path / name for name in ("linux", "within windows", "windows")]
    monkeypatch.setattr(backends, "_DRIVERS", tuple(drivers))
    assert [backends.gpu_is_wanted(device) for device in ("auto", "cpu", "cuda")] == [False, False, True]
    drivers[there].touch()
    assert [backends.gpu_is_wanted(device) for device in ("auto", "cpu", "cuda")] == [True, False, True]


@pytest.mark.parametrize(("system", "terminal", "expected"), [
    ("nt", False, ["backslashreplace", "utf-8"]), ("nt", True, ["backslashreplace"]),
    ("posix", False, ["backslashreplace"]),
])  # fmt: skip
def test_files_get_utf8_and_terminals_their_own(system, terminal, expected, monkeypatch):
    asked = []
    stream = SimpleNamespace(reconfigure=lambda **how: asked.extend(how.values()), isatty=lambda: terminal)
    monkeypatch.setattr(standard, "os", SimpleNamespace(name=system, O_WRONLY=1, O_RDONLY=0))
    silent = SimpleNamespace()  # which cannot be changed
    monkeypatch.setattr(standard, "sys", SimpleNamespace(stdin=stream, stdout=stream, stderr=silent))
    standard.reopen_closed()
    assert asked == expected


def test_waiting_for_a_result_wakes_up():
    waits = []

    def get(timeout):
        waits.append(timeout)
        if len(waits) < 3:
            raise Empty
        return "done"

    assert Batch._next(SimpleNamespace(_results=SimpleNamespace(get=get))) == "done"
    assert waits == [0.5] * 3


def refuse(*_):
    """What a system does that does not allow something."""
    raise PermissionError(errno.EACCES, "Permission denied")


class HeldError(PermissionError):
    """What Windows raises if another program has a file open."""

    winerror = 32


@pytest.mark.parametrize("busy", [1, 5, 6])
def test_a_file_that_is_looked_at_is_replaced_a_moment_later(busy, tmp_path, monkeypatch):
    path, tries, waits, rename = tmp_path / "a.feds", [], [], os.replace

    def replace(*paths):
        tries.append(paths)
        if len(tries) <= busy:
            raise HeldError(errno.EACCES, "Permission denied")
        rename(*paths)

    path.write_bytes(b"old")
    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(time, "sleep", waits.append)
    if busy > 5:
        with pytest.raises(OutputError, match="^.*a.feds: another program has it open$"):
            write_file(path, b"new", force=True)
    else:
        write_file(path, b"new", force=True)
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8][:busy]
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old" if busy > 5 else b"new", ["a.feds"])


def test_what_may_not_be_written_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(time, "sleep", None)
    with pytest.raises(OutputError, match="^.*a.feds: no permission to write there$"):
        write_file(tmp_path / "a.feds", b"new")
    assert os.listdir(tmp_path) == []


def test_nothing_is_left_of_a_file_that_may_only_be_read(tmp_path, monkeypatch):
    remove = Path.unlink

    def unlink(path, **how):
        if not path.stat().st_mode & 0o200:
            refuse()
        remove(path, **how)

    (tmp_path / "a.feds").write_bytes(b"old")
    (tmp_path / "a.feds").chmod(0o444)
    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="no permission"):
        write_file(tmp_path / "a.feds", b"new", force=True)
    assert os.listdir(tmp_path) == ["a.feds"]


def test_nothing_is_left_where_permissions_cannot_be_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "chmod", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="no permission"):
        write_file(tmp_path / "a.feds", b"new")
    assert os.listdir(tmp_path) == []


def test_a_curve_that_cannot_be_written_ends_no_training(tmp_path, capsys):
    log = tmp_path / "mine.jsonl"
    log.write_text("")
    (tmp_path / "mine.svg").mkdir()
    Terminal(None).saved(log)
    assert capsys.readouterr().err.replace("\n", "") == f"{Path(tmp_path, 'mine.svg')}: is a folder, expected a file"
