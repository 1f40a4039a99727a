"""Training pixels from pictures in memory."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from fedscodec.training.pixels import Pixels


def pixels_of(*pictures: Tensor) -> Pixels:
    """Pictures uint8 [H, W, 3] as the one array that training reads."""
    with tempfile.NamedTemporaryFile(prefix="feds-test-", delete=False) as file:
        for picture in pictures:
            file.write(picture.contiguous().numpy().tobytes())
    sizes = tuple((p.shape[0], p.shape[1]) for p in pictures)
    return _Unlinked(Path(file.name), sizes, (), "")


@dataclass(frozen=True)
class _Unlinked(Pixels):
    def rows(self) -> np.ndarray:
        rows = super().rows()
        self.path.unlink()  # the mapping keeps what it maps
        return rows
