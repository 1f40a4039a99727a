"""What the package asks the machine for: memory and the cache folder."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedscodec import machine
from fedscodec.cli import app
from fedscodec.codec import threads


@pytest.mark.parametrize(
    ("system", "own", "expected"),
    [
        ("linux", "", "home/.cache/feds"),
        ("linux", "ABSOLUTE", "elsewhere/feds"),
        ("linux", "relative", "home/.cache/feds"),
        ("darwin", "", "home/Library/Caches/feds"),
        ("win32", "", "home/AppData/Local/feds"),
    ],
)
def test_where_the_cache_is(system, own, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere") if own == "ABSOLUTE" else own)
    assert machine.cache_folder() == tmp_path / expected


def test_a_user_without_a_home_is_told_so(tmp_path, monkeypatch):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for command in (["bench", "--dataset", "kodak"], ["install-desktop"]):
        run = CliRunner().invoke(app, command)
        assert (run.exit_code, run.stderr) == (1, "feds: this user has no home folder, expected one in HOME\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert machine.cache_folder() == tmp_path / "feds"


# ── Limits of containers and batch jobs ───────────────────────────────────────────────────────────────────

SECOND = "0::/user.slice/job\n"
FIRST = "12:memory:/slurm/job_7\n3:cpu,cpuacct:/slurm/job_7\n1:name=systemd:/\n0::/\n"


@pytest.fixture
def machine_of(monkeypatch):
    """Makes this a machine of 8 GiB and 64 cores, with the given content of the files of cgroups."""

    def make(cgroup, files):
        there = {"/proc/self/cgroup": cgroup} | {f"/sys/fs/cgroup/{name}": text for name, text in files.items()}

        def read(path):
            if (text := there.get(path.as_posix())) is None:
                raise FileNotFoundError(path)
            return text

        monkeypatch.setattr(Path, "read_text", read)
        pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**21}
        monkeypatch.setattr(machine.os, "sysconf", pages.__getitem__, raising=False)
        monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: set(range(64)), raising=False)

    return make


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        (None, {}, 2**33),
        (None, {"memory.max": "1073741824\n"}, 2**30),
        ("0::/\n", {"memory.max": "max\n"}, 2**33),
        (SECOND, {"user.slice/job/memory.max": "max\n", "user.slice/memory.max": "2147483648\n"}, 2**31),
        (SECOND, {"user.slice/job/memory.max": "12345\n", "user.slice/memory.max": "2147483648\n"}, 12345),
        (FIRST, {"memory/slurm/job_7/memory.limit_in_bytes": "4294967296\n"}, 2**32),
        (FIRST, {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 2**33),  # how the first version says none
        (FIRST, {"memory/memory.limit_in_bytes": "4294967296\n"}, 2**32),  # a container that cannot see its own place
    ],
)
def test_a_container_or_job_may_have_less_memory_than_its_machine(cgroup, files, expected, machine_of):
    machine_of(cgroup, files)
    assert machine.memory() == expected


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        (None, {}, 64),
        (None, {"cpu.max": "max 100000\n"}, 64),
        (None, {"cpu.max": "200000 100000\n"}, 2),
        (None, {"cpu.max": "50000 100000\n"}, 1),
        (SECOND, {"user.slice/job/cpu.max": "max 100000\n", "user.slice/cpu.max": "250000 100000\n"}, 3),
        (FIRST, {"cpu/slurm/job_7/cpu.cfs_quota_us": "400000\n", "cpu/slurm/job_7/cpu.cfs_period_us": "100000\n"}, 4),
        (FIRST, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64),
        (FIRST, {"cpu/cpu.cfs_quota_us": "400000\n"}, 64),
        (None, {"cpu.max": "what is this"}, 64),
    ],
)
def test_a_container_or_job_may_have_fewer_cores_than_its_machine(cgroup, files, expected, machine_of):
    machine_of(cgroup, files)
    assert machine.usable_cores() == expected
    assert machine.visible_cores() == 64


@pytest.mark.parametrize(
    ("granted", "before", "expected"),
    [("150000 100000", None, "2"), ("150000 100000", "5", "5"), ("max 1", None, None)],
)
def test_torch_gets_no_more_threads_than_cores_are_granted(granted, before, expected, machine_of, monkeypatch):
    machine_of(None, {"cpu.max": granted})
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.delenv("OMP_NUM_THREADS")
    if before is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", before)
    threads.prepare()
    assert os.environ.get("OMP_NUM_THREADS") == expected


@pytest.mark.parametrize("error", [TypeError, OSError, AttributeError])  # of Windows, of a missing library, of musl
def test_freed_memory_stays_where_the_c_library_cannot_return_it(error, monkeypatch):
    def library(name):
        assert name is None
        raise error

    monkeypatch.setattr(ctypes, "CDLL", library)
    assert machine.return_freed_memory() is None
