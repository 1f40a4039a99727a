"""Results are written whole or not at all, and never over what should stay."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from fedscodec.errors import OutputError
from fedscodec.files.outputs import (
    STANDARD,
    Place,
    output_path,
    replacing,
    require_folder,
    require_writable,
    write_file,
    write_output,
)


def told(action, *args, **options):
    with pytest.raises(OutputError) as caught:
        action(*args, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "output", "expected"),
    [
        ("photo.png", None, "photo.feds"),
        ("trip/day.1/photo.tar.png", None, "trip/day.1/photo.tar.feds"),
        ("photo", None, "photo.feds"),
        (".png", None, ".png.feds"),
        (".", None, ".feds"),
        ("photo.png", "other.bin", "other.bin"),
        ("photo.png", "-", "-"),
        ("-", None, "-"),
        ("-", "photo.feds", "photo.feds"),
    ],
)
def test_output_path(source, output, expected):
    assert output_path(Path(source), output and Place.named(output), ".feds") == Path(expected)


def test_a_suffix_can_stay():
    assert output_path(Path("trip/photo.png"), None, ".feds", keep=True) == Path("trip/photo.png.feds")
    assert output_path(Path("photo.png"), Place.named("out/"), ".feds", keep=True) == Path("out/photo.png.feds")
    assert output_path(Path("photo.png"), Place.named("other.bin"), ".feds", keep=True) == Path("other.bin")


def test_a_folder_for_results_may_hold_anything(tmp_path):
    (tmp_path / "x").mkdir()
    require_folder(tmp_path)
    require_folder(tmp_path / "new" / "x")
    (tmp_path / "a").touch()
    assert told(require_folder, tmp_path / "a") == f"{tmp_path / 'a'}: is a file, expected a folder"


def test_writes_exactly_the_bytes_and_nothing_beside_them(tmp_path):
    write_file(tmp_path / "a.feds", b"\x00\r\n\xff")
    assert (tmp_path / "a.feds").read_bytes() == b"\x00\r\n\xff"
    assert os.listdir(tmp_path) == ["a.feds"]


def without_nameless_files(monkeypatch):
    """A system without O_TMPFILE; skips where there is none anyway."""
    if not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no files without a name")
    monkeypatch.delattr(os, "O_TMPFILE")


def test_a_system_without_nameless_files(tmp_path, monkeypatch):
    without_nameless_files(monkeypatch)
    write_file(tmp_path / "a.feds", b"old")
    write_file(tmp_path / "a.feds", b"new", force=True)
    assert (tmp_path / "a.feds").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.feds"]


def test_a_system_that_cannot_name_a_file_afterwards(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_file(tmp_path / "a.feds", b"new")
    assert (tmp_path / "a.feds").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.feds"]


def test_a_name_as_long_as_the_file_system_allows(tmp_path):
    write_file(tmp_path / ("a" * 255), b"1")
    assert os.listdir(tmp_path) == ["a" * 255]


def test_an_existing_file_needs_force(tmp_path):
    path = tmp_path / "a.feds"
    path.write_bytes(b"old")
    assert told(write_file, path, b"new") == f"{path}: already exists, use --force to overwrite it"
    assert path.read_bytes() == b"old"
    write_file(path, b"new", force=True)
    assert path.read_bytes() == b"new"


def test_permissions_follow_the_umask_or_the_file_that_was_there(tmp_path):
    before = os.umask(0o027)
    try:
        write_file(tmp_path / "new", b"1")
        (tmp_path / "old").touch()
        (tmp_path / "old").chmod(0o604)
        write_file(tmp_path / "old", b"1", force=True)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o604


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    link.symlink_to(target)
    write_file(link, b"first")
    write_file(link, b"second", force=True)
    assert link.is_symlink()
    assert target.read_bytes() == b"second"
    assert sorted(os.listdir(tmp_path)) == ["link", "target"]


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("folder", "is a folder, expected a file"),
        ("nowhere/a.feds", "its folder does not exist"),
        ("file/a.feds", "its folder is a file"),
        ("b" * 300, "File name too long"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_places_where_nothing_can_be_written(tmp_path, place, sentence, force):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    path = tmp_path / place
    assert told(write_file, path, b"1", force=force) == f"{path}: {sentence}"
    assert told(require_writable, path, force=force) == f"{path}: {sentence}"
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_a_folder_without_permission_is_reported_before_the_work(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(os, "access", lambda place, mode: asked.append((place, mode)))
    sentence = told(require_writable, tmp_path / "a.feds")
    assert sentence == f"{tmp_path / 'a.feds'}: no permission to write there"
    assert asked == [(tmp_path, os.W_OK | os.X_OK)]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EACCES, "no permission to write there"),
        (errno.EROFS, "no permission to write there, the file system is read-only"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch, step, code, sentence):
    def fail(*_):
        raise OSError(code, os.strerror(code))

    path = tmp_path / "a.feds"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, fail)
    assert told(write_file, path, b"new", force=True) == f"{path}: {sentence}"
    assert os.listdir(tmp_path) == ["a.feds"]
    assert path.read_bytes() == b"old"


def test_what_is_written_piece_by_piece_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, steps, flush, rename = tmp_path / "a.state", [], os.fsync, os.replace
    path.write_bytes(b"old")
    path.chmod(0o600)

    def fsync(handle):
        os.write(handle, b"")  # Windows refuses to flush what is open for reading alone
        steps.append(os.pread(handle, 99, 0))
        flush(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append(paths[1]), rename(*paths)))
    with replacing(path) as part, part.open("wb") as stream:
        stream.write(b"new ")
        assert path.read_bytes() == b"old"
        stream.write(b"pieces")
    assert steps == [b"new pieces", path]
    assert path.read_bytes() == b"new pieces"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["a.state"]


def test_a_library_that_hides_new_files_is_overruled(tmp_path):
    path, plain = tmp_path / "a.state", tmp_path / "plain"
    plain.touch()
    with replacing(path) as part:
        other = tmp_path / "other"
        other.write_bytes(b"new")
        other.chmod(0o600)
        os.replace(other, part)
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.parametrize("step", ["block", "fsync", "replace"])
def test_what_is_not_written_to_its_end_leaves_the_old_file(tmp_path, monkeypatch, step):
    def fail(*_):
        raise KeyboardInterrupt

    path = tmp_path / "a.state"
    path.write_bytes(b"old")
    if step != "block":
        monkeypatch.setattr(os, step, fail)
    with pytest.raises(KeyboardInterrupt), replacing(path) as part:
        part.write_bytes(b"half")
        if step == "block":
            fail()
    assert os.listdir(tmp_path) == ["a.state"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("named_early", [False, True])
def test_ctrl_c_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch, named_early):
    if named_early:
        without_nameless_files(monkeypatch)

    def interrupt(_):
        assert len(os.listdir(tmp_path)) == 1 + named_early  # where it has a name, there is something to clean up
        raise KeyboardInterrupt

    path = tmp_path / "a.feds"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_file(path, b"new", force=True)
    assert os.listdir(tmp_path) == ["a.feds"]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("make", ["same", "symlink_to", "hardlink_to"])
def test_the_input_is_never_the_output(tmp_path, make):
    source = tmp_path / "a.png"
    source.touch()
    path = source if make == "same" else tmp_path / "other"
    if make != "same":
        getattr(path, make)(source)
    sentence = told(require_writable, path, source=source, force=True)
    assert sentence == f"{path}: is the input, expected another name for the output"


def test_a_named_pipe_gets_the_bytes_and_stays(tmp_path):
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_bytes()))
    reader.start()
    write_file(path, b"123")
    reader.join(timeout=10)
    assert read == [b"123"]
    assert path.is_fifo()


def test_a_terminal_gets_no_binary_data(monkeypatch):
    main, terminal = os.openpty()
    try:
        name = os.ttyname(terminal)
        expected = "is a terminal, expected a file or a pipe for binary data"
        assert told(write_file, Path(name), b"123") == f"{name}: {expected}"
        with open(terminal, "w", closefd=False) as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            assert told(require_writable, STANDARD) == f"standard output: {expected}"
            assert told(write_output, STANDARD, b"123") == f"standard output: {expected}"
    finally:
        os.close(main)
        os.close(terminal)


def test_standard_output_gets_the_bytes(capsysbinary):
    require_writable(STANDARD)
    write_output(STANDARD, b"\x00\r\n\xff")
    assert capsysbinary.readouterr().out == b"\x00\r\n\xff"


def test_a_path_gets_the_bytes(tmp_path):
    write_output(tmp_path / "a", b"1")
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_reader_that_has_left_is_no_fault_of_the_output(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(BrokenPipeError):
        write_output(STANDARD, b"1")
    with suppress(BrokenPipeError):
        stream.close()
