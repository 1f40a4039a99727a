"""What the runs of a table come from: training pictures, weights to start from, a teacher."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import FedsError
from ..registry import resolve
from ..training.data import Reading
from ..training.pixels import read_pixels


@dataclass(frozen=True)
class Given:
    """A weights file that is given, and a digest of its bytes, 16 hexadecimal digits."""

    path: Path
    digest: str

    @staticmethod
    def named(name: str) -> Given:
        """The weights of a name or a path; FedsError where there are none."""
        path = resolve(name).path
        try:
            return Given(path, hashlib.sha256(path.read_bytes()).hexdigest()[:16])
        except OSError as error:
            raise FedsError(f"{path}: cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class Sources:
    """Where runs come from, and how they are run."""

    data: list[Path]  # folders or .tar of pictures
    student: Given | None = None  # what variants start from
    teacher: Given | None = None
    cache: Path | None = None  # keeps the decoded pictures
    sharpness: float = 0.0  # see `training.data.Reading`
    halves: float = 0.0
    workers: int = 1
    device: str = "auto"
    pixels: str = ""  # digest of the decoded pictures, once they are read

    def digest(self, crop: int, progress: Callable[[int], None] | None = None) -> str:
        """The digest of the pictures of at least that side, which are decoded where the cache has them not."""
        return read_pixels(self.data, Reading(crop, self.sharpness, self.halves), self.cache, progress).digest
