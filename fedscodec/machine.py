"""What the machine has for this process: its cores, its memory, and the user's cache folder."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path


def usable_cores() -> int:
    """How many cores this process may use."""
    with suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int:
    """Bytes of memory of this machine, or of its container if that has less. 4 GiB if neither says so."""
    found = 4 * 2**30
    with suppress(AttributeError, ValueError, OSError):
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # of a container; there it says "max" if there is no limit
        found = min(found, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return found


def return_freed_memory() -> None:
    """Return what the process has freed to the system, where the C library can (glibc)."""
    with suppress(OSError, AttributeError, TypeError):  # the last one on Windows, which wants a name
        ctypes.CDLL(None).malloc_trim(0)


def cache_folder() -> Path:
    """The user's folder for downloads and previews: $XDG_CACHE_HOME/feds, else where the system has it."""
    own = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(own):  # the standard says to ignore any other
        return Path(own) / "feds"
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "feds"
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "feds"
