"""Training pictures: folders and tar shards, decoded once, kept as uint8, cropped and flipped in batches."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
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
    """Pictures as uint8 tensors [3, H, W] on one device, and the names of files that could not be read."""

    pictures: list[Tensor] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @staticmethod
    def read(
        roots: list[Path], *, smallest: int, device: torch.device | str = "cpu", limit: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Tiles:  # fmt: skip
        """Read every picture at least `smallest` pixels on each side; unreadable and small ones are skipped by name."""
        tiles = Tiles()
        for root in roots:
            if not root.exists():
                raise ImageError(f"{root}: no such file or folder of training pictures")
            for name, data in picture_files(root, tiles.skipped):
                if limit is not None and len(tiles.pictures) >= limit:
                    return tiles
                tiles._add(name, data, smallest, device)
                if progress:
                    progress(len(tiles.pictures))
        if not tiles.pictures:
            raise ImageError(
                f"{', '.join(map(str, roots))}: no picture of at least {smallest}x{smallest} pixels was found"
            )
        return tiles

    def _add(self, name: str, data: bytes, smallest: int, device: torch.device | str) -> None:
        try:
            pixels = read_picture(io.BytesIO(data), name=name).pixels
        except FedsError as error:
            self.skipped.append(str(error))
            return
        if min(pixels.shape[:2]) < smallest:
            self.skipped.append(f"{name}: smaller than {smallest}x{smallest} pixels")
            return
        self.pictures.append(torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).to(device))

    def batch(self, size: int, crop: int, generator: torch.Generator) -> Tensor:
        """`size` random crops, each picture drawn by its area, flipped and transposed at random; [B, 3, crop, crop]."""
        weights = torch.tensor([p.shape[1] * p.shape[2] for p in self.pictures], dtype=torch.float64)
        chosen = torch.multinomial(weights, size, replacement=True, generator=generator).tolist()
        crops = [_crop(self.pictures[i], crop, generator) for i in chosen]
        return torch.stack(crops).float().div_(255)


def _crop(picture: Tensor, size: int, generator: torch.Generator) -> Tensor:
    def draw(n: int) -> int:
        return int(torch.randint(n, (), generator=generator))

    top, left = draw(picture.shape[1] - size + 1), draw(picture.shape[2] - size + 1)
    out = picture[:, top : top + size, left : left + size]
    if draw(2):
        out = out.flip(2)
    return out.transpose(1, 2) if draw(2) else out
