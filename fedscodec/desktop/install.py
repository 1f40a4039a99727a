"""Register .feds files on a freedesktop system, or remove the registration."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from ..errors import OutputError
from ..files.outputs import write_file
from ..machine import home
from .entries import entries

_REFRESH = (("update-mime-database", "mime"), ("update-desktop-database", "applications"))


def data_folder() -> Path:
    """The data folder of the user: $XDG_DATA_HOME, else ~/.local/share. Raises FedsError without a home folder."""
    own = os.environ.get("XDG_DATA_HOME", "")
    return Path(own) if os.path.isabs(own) else home() / ".local" / "share"


def install(folder: Path) -> tuple[list[Path], list[str]]:
    """Write the entries below a data folder and refresh its caches.

    Returns the files that were written, and a sentence for each missing program that refreshes a cache. Replaces the
    entries of an earlier installation. Raises OutputError.
    """
    written = []
    for place, text in entries(sys.executable).items():
        path = folder / place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path.parent}: cannot be made ({error.strerror})") from error
        write_file(path, text.encode(), force=True)
        written.append(path)
    return written, refresh(folder)


def remove(folder: Path) -> list[Path]:
    """Remove the entries and refresh the caches; return the files that were removed. Raises OutputError."""
    gone = []
    for place in entries(sys.executable):
        path = folder / place
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise OutputError(f"{path}: cannot be removed ({error.strerror})") from error
        gone.append(path)
    refresh(folder)
    return gone


def refresh(folder: Path, programs: Iterable[tuple[str, str]] = _REFRESH) -> list[str]:
    """Rebuild the caches of media types and programs; return a sentence for each that could not be rebuilt."""
    notes = []
    for program, part in programs:
        if not (folder / part).is_dir():
            continue
        if shutil.which(program) is None:
            notes.append(f"{program} is not installed: {folder / part} is read when it is next run")
            continue
        with suppress(subprocess.TimeoutExpired):
            run = subprocess.run([program, str(folder / part)], capture_output=True, text=True, timeout=60)
            if run.returncode:
                notes.append(f"{program} failed: {' '.join(run.stderr.split())}")
    return notes
