"""Read .feds files from paths and standard input. A file that is not a .feds file is not read to its end."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import FedsError
from ..fileformat import HEADER_BYTES_AT_MOST, read_header
from .names import STANDARD, name_of
from .standard import require_input

_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a dangling link",
    stat.S_IFDIR: "a folder",
}


def odd_kind(path: Path) -> str | None:
    """What a path is if it is not a regular file: `a named pipe`, `a dangling link`; None if it is one."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return "a dangling link" if os.path.islink(path) else "nothing"  # is_symlink raises where nobody may look
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no file")


def is_pattern(path: Path) -> bool:
    """Whether a path has wildcards, and is not the name of a file."""
    return glob.has_magic(str(path)) and not os.path.lexists(path)


def expanded(paths: Iterable[Path]) -> list[Path]:
    """The paths, on Windows with the files that patterns match in their place: shells there leave that to programs."""
    if os.name != "nt":
        return list(paths)
    found = ((path, sorted(glob.glob(str(path))) if is_pattern(path) else []) for path in paths)
    return [path for given, matches in found for path in (map(Path, matches) if matches else [given])]


def feds_files(paths: Iterable[Path]) -> list[Path]:
    """The paths, with every .feds file below a folder in its place. Hidden files and links to folders are left out.

    Raises FedsError for a folder that cannot be read or holds none.
    """
    return [file for path in expanded(paths) for file in (_below(path) if path.is_dir() else [path])]


def _below(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise FedsError(f"{name_of(Path(os.fsdecode(error.filename)))}: cannot be read ({error.strerror})") from error

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        seen = (name for name in sorted(names) if name.lower().endswith(".feds") and not name.startswith("."))
        found += [Path(place, name) for name in seen]
    if not found:
        raise FedsError(f"{name_of(folder)}: expected a file or a folder with .feds files, found a folder without")
    return found


def is_stream(path: Path) -> bool:
    """Whether no result can be written beside a path: -, a pipe (<(command), /dev/stdin), a device."""
    if path == STANDARD:
        return True
    with suppress(OSError, ValueError):
        mode = path.stat().st_mode
        return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode) or _is_descriptor(path)
    return False


def _is_descriptor(path: Path) -> bool:
    return path.parts[:2] == ("/", "dev") and path.parts[2:3] in (("stdin",), ("fd",))


def rest_of_feds(stream: BinaryIO, name: str) -> bytes:
    """What a stream still has, which is a .feds file. The header is checked before the rest is read, so that a film is
    never read whole. Raises FormatError, which begins with `name`, and FedsError for a stream of texts.
    """
    head = bytearray()
    while len(head) < HEADER_BYTES_AT_MOST:
        more: object = stream.read(HEADER_BYTES_AT_MOST - len(head))
        if not isinstance(more, bytes | bytearray):
            given = type(more).__name__
            raise FedsError(f"{name}: expected a file that is open for bytes, found one that gives {given}")
        if not more:
            break
        head += more
    read_header(bytes(head), name=name)
    return bytes(head) + stream.read()


def read_feds(source: Path) -> bytes:
    """The bytes of a .feds file."""
    if source == STANDARD:
        require_input()
    try:
        with nullcontext(sys.stdin.buffer) if source == STANDARD else source.open("rb") as stream:
            return rest_of_feds(stream, name_of(source))
    except OSError as error:
        raise FedsError(f"{name_of(source)}: cannot be read ({error.strerror})") from error
