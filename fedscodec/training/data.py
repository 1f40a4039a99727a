"""Read training pictures from folders and tar shards, a few at a time in the order of the files."""

from __future__ import annotations

import io
import tarfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FedsError, ImageError, is_lack_of_memory
from ..images import from_array, picture_suffixes, read_picture, resize
from ..machine import usable_cores


@dataclass(frozen=True)
class Reading:
    """Which pictures to take, and how."""

    smallest: int  # sides that are shorter are of no use
    sharpness: float = 0.0  # pictures softer than this are left out, see `fineness`
    halves: float = 0.0  # where not 0, pictures sharper than this also come at half their size


def files_of(roots: Sequence[Path]) -> list[Path]:
    """Every file that may hold pictures: named ones, and those below folders, in order. Raises ImageError if there is
    none.
    """
    found, wanted = list[Path](), picture_suffixes()
    for root in roots:
        if not root.exists():
            raise ImageError(f"{root}: no such file or folder of training pictures")
        inside = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
        found += [p for p in inside if p.suffix == ".tar" or p.suffix.lower() in wanted]
    return found


def picture_files(roots: Sequence[Path], skipped: list[str]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every picture: of files, and of the members of .tar shards.

    A file or shard that cannot be read is left out, with a sentence in `skipped`.
    """
    wanted = picture_suffixes()
    for path in files_of(roots):
        try:
            if path.suffix == ".tar":
                yield from _members(path, wanted)
            else:
                yield str(path), path.read_bytes()
        except (tarfile.TarError, OSError) as error:
            skipped.append(f"{path}: expected a readable file, found: {error}")


def _members(path: Path, wanted: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(path) as tar:
        for member in tar:
            stream = tar.extractfile(member) if member.isfile() else None
            if stream and Path(member.name).suffix.lower() in wanted:
                yield f"{path}:{member.name}", stream.read()


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
