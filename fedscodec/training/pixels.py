"""Decode training pictures once into one array of pixels on disk, which every process maps into its memory.

    NAME.pixels   uint8, three a pixel, one picture after the other, rows from top to bottom
    NAME.json     sizes, what was skipped and why, and a digest of all of it; written last, so that it marks a whole one

NAME is a digest of the files and of how they are read, so that a cache is never taken for another.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import FedsError, ImageError, is_lack_of_memory
from ..files.names import shown
from ..files.outputs import errors_as_sentences, replacing, write_file
from .data import Reading, decoded, files_of


@dataclass(frozen=True)
class Pixels:
    """All training pixels: their file, the size of every picture, and what was left out."""

    path: Path
    sizes: tuple[tuple[int, int], ...]  # rows and columns of each picture
    skipped: tuple[str, ...]
    digest: str  # of sizes and pixels, 16 hexadecimal digits

    def rows(self) -> np.ndarray:
        """uint8 [pixels, 3], mapped from disk; writing to it does not change the file."""
        total = sum(height * width for height, width in self.sizes)
        return np.memmap(self.path, np.uint8, "c", shape=(total, 3))

    def __len__(self) -> int:
        return len(self.sizes)


def read_pixels(
    roots: Sequence[Path], reading: Reading, cache: Path | None = None, progress: Callable[[int], None] | None = None
) -> Pixels:
    """The pixels of all pictures under the roots, from `cache` if they are there, else decoded into it.

    Without a cache they are in a temporary folder, which is removed when the process ends. Raises OutputError if they
    cannot be written.
    """
    with errors_as_sentences(cache or tempfile.gettempdir()):
        folder = cache or _temporary_folder()
        folder.mkdir(parents=True, exist_ok=True)
    name = _key(roots, reading)
    words = folder / f"{name}.json"
    if words.exists():
        return _found(words)
    return _decode_all(roots, reading, words, progress)


_FOLDERS: list[tempfile.TemporaryDirectory[str]] = []
"""Folders to keep until the process ends."""


def _temporary_folder() -> Path:
    _FOLDERS.append(tempfile.TemporaryDirectory(prefix="feds-pixels-", ignore_cleanup_errors=True))
    return Path(_FOLDERS[-1].name)


def _key(roots: Sequence[Path], reading: Reading) -> str:
    """A digest of names, sizes and times of all files, and of how they are read."""
    digest, skipped = hashlib.sha256(repr(reading).encode()), list[str]()
    for path in files_of(roots, skipped):
        info = path.stat()
        digest.update(f"{path}\0{info.st_size}\0{info.st_mtime_ns}\n".encode(errors="surrogatepass"))
    digest.update("".join(skipped).encode(errors="surrogatepass"))  # what cannot be looked into now may be there later
    return digest.hexdigest()[:16]


def _found(words: Path) -> Pixels:
    try:
        record = json.loads(words.read_text(encoding="utf-8"))
        sizes = tuple((int(height), int(width)) for height, width in record["sizes"])
        pixels = Pixels(words.with_suffix(".pixels"), sizes, tuple(record["skipped"]), str(record["digest"]))
        if pixels.path.stat().st_size != 3 * sum(height * width for height, width in sizes):
            raise ValueError("another number of pixels than it says")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FedsError(f"{words}: expected a cache of training pictures, found {error}; delete it") from None
    return pixels


def _decode_all(
    roots: Sequence[Path], reading: Reading, words: Path, progress: Callable[[int], None] | None
) -> Pixels:  # fmt: skip
    sizes, skipped, digest = list[tuple[int, int]](), list[str](), hashlib.sha256()
    target = words.with_suffix(".pixels")
    try:
        # What cannot be read is in `skipped`, so whatever the system refuses here is to be written.
        with errors_as_sentences(target), replacing(target) as part, part.open("wb") as file:
            for found in decoded(roots, reading, skipped):
                if isinstance(found, str):
                    skipped.append(found)
                    continue
                sizes.append((found.shape[0], found.shape[1]))
                data = np.ascontiguousarray(found).data
                digest.update(data)
                file.write(data)
                if progress:
                    progress(len(sizes))
            if not sizes:
                raise ImageError(_none_of(roots, reading, skipped))
    except Exception as failure:
        if is_lack_of_memory(failure):  # never a smaller set
            raise FedsError(f"not enough memory to read the training pictures (at number {len(sizes) + 1})") from None
        raise
    digest.update(repr(sizes).encode())
    record = {"sizes": sizes, "skipped": skipped, "digest": digest.hexdigest()[:16]}
    write_file(words, json.dumps(record).encode(), force=True)
    return _found(words)


def _none_of(roots: Sequence[Path], reading: Reading, skipped: Sequence[str]) -> str:
    """That no picture was found, and why the first was left out."""
    sentence = f"no picture of at least {reading.smallest}x{reading.smallest} pixels was found"
    more = f", and {len(skipped) - 1} more" if len(skipped) > 1 else ""
    return f"{', '.join(map(shown, roots))}: {sentence}{f' ({skipped[0]}{more})' if skipped else ''}"
