"""What the package asks the machine for: memory and the cache folder."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from fedscodec import machine


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


@pytest.mark.parametrize(("limit", "expected"), [("1073741824\n", 2**30), ("max\n", None), (None, None)])
def test_a_container_may_have_less_memory_than_its_machine(limit, expected, monkeypatch):
    def read(path):
        assert str(path) == "/sys/fs/cgroup/memory.max"
        if limit is None:
            raise FileNotFoundError(path)
        return limit

    monkeypatch.setattr(Path, "read_text", read)
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**21}
    monkeypatch.setattr(machine.os, "sysconf", pages.__getitem__, raising=False)
    assert machine.memory() == (expected or 2**33)


def test_a_process_may_use_a_part_of_the_cores(monkeypatch):
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: {0, 3, 5}, raising=False)
    assert machine.usable_cores() == 3


@pytest.mark.parametrize("error", [TypeError, OSError, AttributeError])  # of Windows, of a missing library, of musl
def test_freed_memory_stays_where_the_c_library_cannot_return_it(error, monkeypatch):
    def library(name):
        assert name is None
        raise error

    monkeypatch.setattr(ctypes, "CDLL", library)
    assert machine.return_freed_memory() is None
