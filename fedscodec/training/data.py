"""Training pictures from folders and tar shards, decoded once and kept as uint8."""

from __future__ import annotations

import io
import os
import tarfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import FedsError, ImageError
from ..images import PICTURE_SUFFIXES, read_picture


def picture_files(root: Path, skipped: list[str]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every picture under root: files found recursively, and members of .tar shards.

    A file or shard that cannot be read is left out, with a sentence in `skipped`.
    """
    for path in [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file()):
        try:
            if path.suffix == ".tar":
                yield from _members(path)
            elif path.suffix.lower() in PICTURE_SUFFIXES:
                yield str(path), path.read_bytes()
        except (tarfile.TarError, OSError) as error:
            skipped.append(f"{path}: expected a readable file, found: {error}")


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isfile() else None
            if stream and Path(member.name).suffix.lower() in PICTURE_SUFFIXES:
                yield f"{path}:{member.name}", stream.read()


@dataclass
class Tiles:
    """Pictures as uint8 tensors [H, W, 3] in memory, and the names of files that could not be read."""

    pictures: list[Tensor] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @staticmethod
    def read(
        roots: list[Path], *, smallest: int, limit: int | None = None, progress: Callable[[int], None] | None = None
    ) -> Tiles:
        """Read every picture at least `smallest` pixels on each side; unreadable and small ones are skipped by name.

        Several are decoded at a time; their order is that of the files.
        """
        tiles = Tiles()
        for found in _decoded(roots, smallest, tiles.skipped):
            if isinstance(found, str):
                tiles.skipped.append(found)
                continue
            tiles.pictures.append(found)
            if progress:
                progress(len(tiles.pictures))
            if limit is not None and len(tiles.pictures) >= limit:
                break
        if not tiles.pictures:
            raise ImageError(
                f"{', '.join(map(str, roots))}: no picture of at least {smallest}x{smallest} pixels was found"
            )
        return tiles


def _decoded(roots: list[Path], smallest: int, skipped: list[str]) -> Iterator[Tensor | str]:
    """Every picture, or why it is none, in the order of the files; threads decode while the files are read."""
    workers = os.cpu_count() or 1
    waiting: deque[Future[Tensor | str]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for name, data in _files(roots, skipped):
            waiting.append(pool.submit(_decode, name, data, smallest))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _files(roots: list[Path], skipped: list[str]) -> Iterator[tuple[str, bytes]]:
    for root in roots:
        if not root.exists():
            raise ImageError(f"{root}: no such file or folder of training pictures")
        yield from picture_files(root, skipped)


def _decode(name: str, data: bytes, smallest: int) -> Tensor | str:
    try:
        pixels = read_picture(io.BytesIO(data), name=name).pixels
    except FedsError as error:
        return str(error)
    if min(pixels.shape[:2]) < smallest:
        return f"{name}: smaller than {smallest}x{smallest} pixels"
    return torch.from_numpy(np.array(pixels))
