"""What the machine has for this process: its cores, its memory, and the user's cache folder."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from .errors import FedsError

_CGROUPS = "/sys/fs/cgroup"


def visible_cores() -> int:
    """How many cores this process may run on."""
    with suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def usable_cores() -> int:
    """How many cores this process may keep busy: those it may run on, or fewer if its container grants less time."""
    return min([visible_cores(), *_granted_cores()])


def memory() -> int:
    """Bytes of memory of this machine, or of its container or batch job if that has less. 4 GiB if neither says so."""
    found = 4 * 2**30
    with suppress(AttributeError, ValueError, OSError):
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = (limit for (limit,) in _limits("memory", ["memory.max"], ["memory.limit_in_bytes"]))
    return min([found, *(int(limit) for limit in limits if limit.isdecimal())])  # "max" is none


def _granted_cores() -> Iterator[int]:
    """The limits on processor time, in cores, rounded up."""
    for limit in _limits("cpu", ["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
        match " ".join(limit).split():
            case [quota, period] if quota.isdecimal() and period.isdecimal() and int(period):  # else "max", or -1
                yield max(1, math.ceil(int(quota) / int(period)))


def _limits(controller: str, second: list[str], first: list[str]) -> Iterator[list[str]]:
    """What the cgroups of this process say in files of these names, by version of cgroups; those around them too."""
    for folder, version in _cgroups(controller):
        with suppress(OSError, UnicodeError):
            yield [(folder / name).read_text().strip() for name in (second if version == 2 else first)]


def _cgroups(controller: str) -> Iterator[tuple[Path, int]]:
    """Folders of the cgroups of this process and of all around them, with their version of cgroups, 1 or 2."""
    lines = ["0::/", f"1:{controller}:/"]  # the roots are all that a container sees of its own
    with suppress(OSError, UnicodeError):
        lines += Path("/proc/self/cgroup").read_text().splitlines()
    for line in dict.fromkeys(lines):
        _, controllers, place = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = Path(_CGROUPS, controller if controllers else "")
        for around in (PurePosixPath(place), *PurePosixPath(place).parents):
            yield root / around.relative_to("/"), 1 if controllers else 2


def return_freed_memory() -> None:
    """Return what the process has freed to the system, where the C library can (glibc)."""
    with suppress(OSError, AttributeError, TypeError):  # the last one on Windows, which wants a name
        ctypes.CDLL(None).malloc_trim(0)


def home() -> Path:
    """The user's home folder. Raises FedsError if there is none, as for a number without a name in a container."""
    try:
        return Path.home()
    except RuntimeError:
        raise FedsError("this user has no home folder, expected one in HOME") from None


def cache_folder() -> Path:
    """The user's folder for downloads and previews: $XDG_CACHE_HOME/feds, else where the system has it.

    Raises FedsError if neither is known.
    """
    own = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(own):  # the standard says to ignore any other
        return Path(own) / "feds"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home() / "AppData" / "Local") / "feds"
    return home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "feds"
