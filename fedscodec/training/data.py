"""Read training pictures from folders and tar shards, a few at a time in the order of the files."""

from __future__ import annotations

import io
import lzma
import os
import tarfile
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ..errors import FedsError, ImageError, is_lack_of_memory
from ..files.inputs import odd_kind
from ..files.names import shown
from ..images import from_array, picture_suffixes, read_picture, resize
from ..machine import usable_cores

SHARDS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_DAMAGE = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, OverflowError, RecursionError)
"""What reading a damaged file or shard raises; the last three are of headers with wild numbers or without end."""


@dataclass(frozen=True)
class Reading:
    """Which pictures to take, and how."""

    smallest: int  # sides that are shorter are of no use
    sharpness: float = 0.0  # pictures softer than this are left out, see `fineness`
    halves: float = 0.0  # where not 0, pictures sharper than this also come at half their size


def files_of(roots: Sequence[Path], skipped: list[str]) -> list[Path]:
    """Every file that may hold pictures: named ones, and those below folders, in order; links are followed.

    What cannot be looked into is left out, with a sentence in `skipped`. Raises ImageError for a root that does not
    exist or that is nothing to read pictures from.
    """
    found = list[Path]()
    for root in roots:
        if not root.exists():
            raise ImageError(f"{shown(root)}: no such file or folder of training pictures")
        if root.is_dir():
            found += sorted(_below(root, skipped))
        elif root.is_file() and _may_hold_pictures(root):
            found.append(root)
        else:
            kind = odd_kind(root) or "another file"
            raise ImageError(f"{shown(root)}: expected a folder, a picture or one of {', '.join(SHARDS)}, found {kind}")
    return found


def _below(root: Path, skipped: list[str]) -> Iterator[Path]:
    """The files below a folder. Each folder is read once, however many links lead to it, so that none leads in circles.

    Links to folders come last, so that a picture keeps the name that it has without them.
    """
    seen, folders, links = set[tuple[int, int]](), deque([root]), deque[Path]()
    while folders or links:
        folder = (folders or links).popleft()
        try:
            info = folder.stat()
            if (info.st_dev, info.st_ino) in seen:
                continue
            seen.add((info.st_dev, info.st_ino))
            with os.scandir(folder) as entries:
                inside = sorted(folder / entry.name for entry in entries)
        except OSError as error:
            skipped.append(f"{shown(folder)}: expected a readable folder, found: {error.strerror}")
            continue
        for path in inside:
            kind = odd_kind(path)
            if kind == "a folder":
                (links if path.is_symlink() else folders).append(path)
            elif kind is None and _may_hold_pictures(path):
                yield path
            elif kind is not None and (kind == "a dangling link" or _may_hold_pictures(path)):
                skipped.append(f"{shown(path)}: expected a readable file, found: {kind}")


_suffixes = cache(picture_suffixes)  # every file of a set needs them


def _may_hold_pictures(path: Path) -> bool:
    return _is_shard(path) or path.suffix.lower() in _suffixes()


def _is_shard(path: Path) -> bool:
    return path.name.lower().endswith(SHARDS)


def picture_files(roots: Sequence[Path], skipped: list[str]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every picture: of files, and of the members of .tar shards, compressed or not.

    A file or shard that cannot be read is left out, with a sentence in `skipped`.
    """
    for path in files_of(roots, skipped):
        try:
            if _is_shard(path):
                yield from _members(path, skipped)
            else:
                yield shown(path), path.read_bytes()
        except _DAMAGE as error:
            skipped.append(f"{shown(path)}: expected a readable file, found: {error}")


def _members(path: Path, skipped: list[str]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isdir() or Path(member.name).suffix.lower() not in _suffixes():
                continue
            name = f"{shown(path)}:{shown(member.name)}"
            stream = tar.extractfile(member) if member.isfile() else None
            if stream:
                yield name, stream.read()
            else:
                kind = f"a link to {shown(member.linkname)}" if member.issym() or member.islnk() else "no file"
                skipped.append(f"{name}: expected a picture, found {kind}")


def decoded(roots: Sequence[Path], reading: Reading, skipped: list[str]) -> Iterator[np.ndarray | str]:
    """Every picture as uint8 [H, W, 3], or why it is left out; threads decode while the files are read.

    Raises MemoryError if memory runs out, because training on a part of the pictures would be training on another set.
    """
    workers = usable_cores()
    waiting: deque[Future[list[np.ndarray | str]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for name, data in picture_files(roots, skipped):
            waiting.append(pool.submit(_decode, name, data, reading))
            if len(waiting) > 2 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def _decode(name: str, data: bytes, reading: Reading) -> list[np.ndarray | str]:
    try:
        pixels = read_picture(io.BytesIO(data), name=name).pixels
    except FedsError as error:
        if error.__cause__ is not None and is_lack_of_memory(error.__cause__):
            raise MemoryError(str(error)) from None
        return [str(error)]
    if min(pixels.shape[:2]) < reading.smallest:
        return [f"{name}: smaller than {reading.smallest}x{reading.smallest} pixels"]
    if not reading.sharpness and not reading.halves:
        return [pixels]
    fine = fineness(pixels)
    found: list[np.ndarray | str] = [pixels]
    if fine < reading.sharpness:
        found = [f"{name}: softer than {reading.sharpness:g} (found {fine:.1f})"]
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    if reading.halves and fine > reading.halves and min(height, width) >= reading.smallest:
        found.append(resize(from_array(pixels), width, height).pixels)
    return found


def fineness(pixels: np.ndarray) -> float:
    """How much fine detail a picture has: the mean absolute Laplacian of its grey values (Kodak: about 20)."""
    grey = pixels.astype(np.float32).mean(2)
    beside = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.abs(4 * grey[1:-1, 1:-1] - beside).mean())
