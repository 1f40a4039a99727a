"""Faults of the system around feds, in real processes: a sentence, an exit code, no half file, the old one intact.

Processes are forked from this one, which has loaded what is slow to load; they have their own descriptors, limits,
user and signals.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fedscodec.cli import app, main
from fedscodec.codec import model as loading
from fedscodec.files import outputs

CORPUS = Path(__file__).parent / "conformance" / "v1"
NOBODY = 65534
OLD = b"what was there before"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform != "linux", reason="forks, and asks /proc")


@pytest.fixture(autouse=True, scope="module")
def _all_is_loaded(tmp_path_factory):
    """What is imported late may lie where another user cannot read it."""
    target, again = (tmp_path_factory.mktemp("warm") / name for name in ("a.feds", "a.png"))
    source = str(CORPUS / "noise-q1.png")
    for command in (
        ["encode", source, "-o", str(target), "--model", "tiny"],
        ["decode", str(target), "-o", str(again)],
        ["verify", str(target)],
    ):
        assert CliRunner().invoke(app, [*command, "--device", "cpu"]).exit_code == 0


class Process:
    """A `feds` process; `before` runs in it first."""

    def __init__(self, *arguments, stdin=b"", stdout=None, before=lambda: None):
        loading.load_model("tiny", "cpu")  # so that nothing is to be loaded in the child
        self.words, source = os.memfd_create("words"), os.memfd_create("source")
        os.write(source, stdin)
        os.lseek(source, 0, os.SEEK_SET)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of forks in processes with threads
            self.pid = os.fork()
        if not self.pid:
            code = 70
            try:
                code = self._run(list(map(str, arguments)), source, stdout, before)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(source)

    def _run(self, arguments, stdin, stdout, before):
        signal.signal(signal.SIGINT, signal.default_int_handler)
        torch.set_num_threads(1)
        os.dup2(stdin, 0)
        os.dup2(self.words if stdout is None else stdout, 1)
        os.dup2(self.words, 2)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(n, mode) for n, mode in ((0, "r"), (1, "w"), (2, "w")))
        sys.argv = ["feds", *arguments]
        before()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        for stream in (sys.stdout, sys.stderr):  # as the interpreter does at its end
            try:
                stream.flush()
            except OSError:
                code = 120
        return code

    def end(self):
        """Exit code (minus the signal that killed it) and what it said."""
        _, status = os.waitpid(self.pid, 0)
        os.lseek(self.words, 0, os.SEEK_SET)
        with os.fdopen(self.words, "rb") as words:
            return os.waitstatus_to_exitcode(status), words.read().decode()


def feds(*arguments, **options):
    return Process(*arguments, "--device", "cpu", **options).end()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a picture, its file, and an old output."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(CORPUS / "photo-256x192-q5.feds", "a.feds")
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (192, 256, 3), np.uint8)).save("a.png")
    Path("old").write_bytes(OLD)
    return tmp_path


ENCODE = ("encode", "a.png", "--model", "tiny", "--quality", "7", "--force")
DECODE = ("decode", "a.feds", "--format", "png", "--force")


def left(folder="."):
    return sorted(os.listdir(folder))


@pytest.fixture
def unchanged(place):
    """At the end nothing is new in the working folder, and the old output is as it was."""
    yield
    assert left(place) == ["a.feds", "a.png", "old"]
    assert Path("old").read_bytes() == OLD


# ── No room ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small_disk(tmp_path_factory):
    """A disk of 16 kB that is all but full."""
    disk = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        (disk / "old").write_bytes(OLD)
        (disk / "filler").write_bytes(bytes(8192))
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("output", ["old", "new"])
def test_a_full_disk(place, unchanged, small_disk, output):
    target = small_disk / output
    assert feds(*DECODE, "-o", target) == (1, f"feds: {target}: the disk is full\n")
    assert left(small_disk) == ["filler", "old"]
    assert (small_disk / "old").read_bytes() == OLD


def test_a_full_disk_behind_standard_output(place, unchanged):
    with open("/dev/full", "wb") as full:
        code, words = feds(*DECODE, "-o", "-", stdout=full.fileno())
        assert (code, words) == (1, "feds: standard output: the disk is full\n")
        code, words = feds("verify", "a.feds", stdout=full.fileno())
    assert (code, words) == (1, "feds: input or output: No space left on device\n")


def test_a_file_that_may_not_grow(place, unchanged):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    assert feds(*DECODE, "-o", "old", before=limit) == (1, "feds: old: File too large\n")


def test_a_disk_that_fails_at_the_end(place, unchanged):
    def break_disk():
        def fail(_):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        os.fsync = fail

    assert feds(*ENCODE, "-o", "old", before=break_disk) == (1, "feds: old: Input/output error\n")


# ── No permission ─────────────────────────────────────────────────────────────────────────────────────────


def as_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


@pytest.fixture
def others(place):
    """The working folder as another user finds it: it can be read by all, and written by root alone."""
    if os.geteuid():
        pytest.skip("only root can become somebody else")
    for folder in (place, *place.parents):
        if folder.stat().st_uid == 0 and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    place.chmod(0o755)


def test_a_folder_that_others_may_not_write_to(others, unchanged):
    expected = (1, "feds: new.feds: no permission to write there\n")
    assert feds(*ENCODE, "-o", "new.feds", before=as_nobody) == expected
    assert feds(*ENCODE, "-o", "old", before=as_nobody) == (1, "feds: old: no permission to write there\n")


def test_an_input_that_others_may_not_read(others, unchanged):
    Path("a.png").chmod(0o600)
    Path("a.feds").chmod(0o600)
    code, words = feds(*ENCODE, "-o", "-", before=as_nobody)
    assert (code, words.count("\n"), "a.png: " in words, "Permission denied" in words) == (1, 1, True, True)
    assert feds(*DECODE, "-o", "-", before=as_nobody) == (1, "feds: a.feds: cannot be read (Permission denied)\n")
    told = "a.feds: FAILED: cannot be read (Permission denied)\n"
    assert feds("verify", "a.feds", before=as_nobody) == (1, told)


def test_a_read_only_disk(place, unchanged, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    target = small_disk / "old"
    code, words = feds(*ENCODE, "-o", target)
    assert code == 1
    assert words.startswith(f"feds: {target}: no permission to write there")
    assert target.read_bytes() == OLD


# ── Wrong places ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_input_that_is_a_folder_is_a_batch_of_its_pictures(place, unchanged):
    Path("empty").mkdir()
    code, words = feds("encode", "empty", "--model", "tiny")
    assert code in (1, 2)
    assert "Traceback" not in words
    Path("empty").rmdir()


def test_an_output_that_is_a_folder_or_has_none(place, unchanged):
    Path("folder").mkdir()
    assert feds("decode", "-", "-o", "folder", stdin=Path("a.feds").read_bytes())[0] in (1, 2)
    assert left("folder") == []
    Path("folder").rmdir()
    assert feds(*ENCODE, "-o", "none/new.feds") == (1, "feds: none/new.feds: its folder does not exist\n")
    assert feds(*ENCODE, "-o", "old/new.feds") == (1, "feds: old/new.feds: its folder is a file\n")


def test_an_input_that_is_gone_or_empty_or_cut(place, unchanged):
    for name, data in (("empty", b""), ("cut", Path("a.feds").read_bytes()[:-20])):
        code, words = feds("decode", "-", "-o", "new.png", stdin=data)
        assert (code, words.count("\n")) == (1, 1), name
    code, words = feds("encode", "-", "-o", "new.feds", "--model", "tiny", stdin=Path("a.png").read_bytes()[:-5000])
    assert (code, words.count("\n"), words[:21]) == (1, 1, "feds: standard input:")


# ── Interrupted ───────────────────────────────────────────────────────────────────────────────────────────


def waiting(step, flag):
    """Let a process write a flag and stand still at a step of writing, until it is told what else."""

    def prepare():
        def wait(*_, **__):
            Path(flag).touch()
            time.sleep(60)

        setattr(os, step, wait)

    return prepare


def stopped(process, flag, sign):
    """Send a signal once the flag is there."""
    deadline = time.monotonic() + 50
    while not Path(flag).exists():
        assert time.monotonic() < deadline, "the process never came to writing"
        time.sleep(0.02)
    os.kill(process.pid, sign)
    os.unlink(flag)
    return process.end()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_ctrl_c_while_it_writes(place, unchanged, tmp_path_factory, step):
    flag = tmp_path_factory.mktemp("flags") / "now"
    process = Process(*ENCODE, "-o", "old", "--device", "cpu", before=waiting(step, flag))
    assert stopped(process, flag, signal.SIGINT) == (130, "")


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
def test_killed_half_way(place, unchanged, tmp_path_factory, sign):
    if not outputs._written_before_named(Path(tempfile.mkdtemp(dir=tmp_path_factory.mktemp("probe"))) / "a", b""):
        pytest.skip("this file system has no files without a name")
    flag = tmp_path_factory.mktemp("flags") / "now"
    process = Process(*ENCODE, "-o", "old", "--device", "cpu", before=waiting("fsync", flag))
    assert stopped(process, flag, sign) == (-sign, "")


def test_a_reader_that_has_left(place, unchanged):
    for command in ((*DECODE, "-o", "-"), ("info", "a.feds"), ("verify", "a.feds")):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            process = Process(*command, stdout=writing)
            assert process.end() == (141, "")
        finally:
            with suppress(OSError):
                os.close(writing)


# ── Batches ───────────────────────────────────────────────────────────────────────────────────────────────


def batch(*more, **options):
    return Process("encode", "in", "-o", "out", "--model", "tiny", "--device", "cpu", "--jobs", "1", *more, **options)


@pytest.fixture
def many(place):
    """A folder of six pictures, the third of which is none."""
    Path("in").mkdir()
    for number in range(6):
        shutil.copy("a.png", f"in/{number}.png")
    Path("in/2.png").write_bytes(b"no picture")
    Path("out").mkdir()


def sound(name):
    data = (Path("out") / name).read_bytes()
    return loading.load_model("tiny", "cpu").decode(data).width == 256


def test_one_bad_picture_spoils_no_batch(many):
    code, words = batch().end()
    assert code == 1
    assert "1 of 6 files failed" in words
    assert "in/2.png: " in words
    assert left("out") == ["0.feds", "1.feds", "3.feds", "4.feds", "5.feds"]
    assert all(map(sound, left("out")))


def test_ctrl_c_in_a_batch_leaves_whole_files_only(many, tmp_path_factory):
    flag = tmp_path_factory.mktemp("flags") / "now"

    def third_write_waits():
        honest, count = os.fsync, iter(range(100))

        def fsync(handle):
            if next(count) == 2:
                flag.touch()
                time.sleep(1)
            honest(handle)

        os.fsync = fsync

    process = batch("--quiet", before=third_write_waits)
    code, words = stopped(process, flag, signal.SIGINT)
    assert (code, "Traceback" in words) == (130, False)
    assert 2 <= len(left("out")) <= 4
    assert all(name.endswith(".feds") and sound(name) for name in left("out"))


def test_a_full_disk_in_a_batch(many, small_disk):
    Path("out").rmdir()
    Path("out").symlink_to(small_disk)
    code, words = batch("--quality", "7").end()
    assert code == 1
    assert "the disk is full" in words
    assert "Traceback" not in words
    names = set(left(small_disk)) - {"filler", "old"}
    assert all(name.endswith(".feds") and sound(name) for name in names)
    assert (small_disk / "old").read_bytes() == OLD
