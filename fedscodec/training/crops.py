"""Random crops of all training pictures, drawn on the training device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import FedsError
from .pixels import Pixels

_PIECE = 2**24  # pixels that go to a GPU at a time


class Crops:
    """Training pictures as one uint8 buffer, and batches of random crops from it.

    The buffer is on the training device if it leaves half of the device's free memory free; else it is the file itself,
    mapped into the memory of the host, which several processes share. `generator` is on the device of the buffer.
    Nothing here waits for a GPU.
    """

    def __init__(self, pixels: Pixels, device: torch.device, seed: int) -> None:
        self.device, self.source = device, pixels
        rows = pixels.rows()
        self.place = device if _fits(rows.size, device) else torch.device("cpu")
        self.pixels = torch.from_numpy(rows) if self.place.type == "cpu" else _moved(rows, device)
        self.sizes = pixels.sizes
        self.heights, self.widths = torch.tensor(pixels.sizes, device=self.place).unbind(1)
        self.ends = (self.heights * self.widths).cumsum(0)
        self.generator = self.fresh_generator(seed)
        self._fit: dict[int, tuple[Tensor, Tensor, float]] = {}

    def __len__(self) -> int:
        return len(self.heights)

    def fresh_generator(self, seed: int) -> torch.Generator:
        """A random generator on the device of the buffer."""
        return torch.Generator(self.place).manual_seed(seed)

    def fitting(self, crop: int) -> tuple[Tensor, Tensor, float]:
        """The pictures that are large enough for a crop: their numbers, cumulative areas, and the total area.

        Raises FedsError if there is none.
        """
        if crop not in self._fit:
            numbers = [i for i, size in enumerate(self.sizes) if min(size) >= crop]
            if not numbers:
                raise FedsError(f"no training picture has {crop}x{crop} pixels, which --crop or --crops asks for")
            areas = torch.tensor([self.sizes[i][0] * self.sizes[i][1] for i in numbers])
            chosen = torch.tensor(numbers, device=self.place), areas.cumsum(0).to(self.place), float(areas.sum())
            self._fit[crop] = chosen
        return self._fit[crop]

    def batch(
        self, size: int, crop: int, generator: torch.Generator | None = None, part: slice = slice(None)
    ) -> Tensor:
        """`size` crops, each from a picture drawn by its area, flipped and transposed at random: [B, 3, crop, crop].

        float32 in 0..1, channels_last. If several processes share a batch, each takes its `part`.
        """
        numbers, ends, total = self.fitting(crop)
        draws = torch.rand(5, size, dtype=torch.float64, device=self.place, generator=generator or self.generator)
        where, down, right, flip, turn = draws[:, part]
        chosen = numbers[torch.searchsorted(ends, where * total, right=True).clamp_max(len(numbers) - 1)]
        height, width = self.heights[chosen], self.widths[chosen]
        top, left = (down * (height - crop + 1)).long(), (right * (width - crop + 1)).long()
        start = self.ends[chosen] - height * width + top * width + left
        take = self._copied if self.place.type == "cpu" else self._gathered
        taken = take(start, width, crop, flip < 0.5, turn < 0.5)
        if self.place != self.device:
            taken = taken.pin_memory().to(self.device, non_blocking=True)
        return taken.permute(0, 3, 1, 2).float().div_(255)

    def _gathered(self, start: Tensor, width: Tensor, crop: int, flip: Tensor, turn: Tensor) -> Tensor:
        """Crops [B, crop, crop, 3] from their start positions, all at once."""
        rows, columns = _coordinates(crop, flip, turn)
        index = start[:, None, None] + rows * width[:, None, None] + columns
        return self.pixels[index.flatten()].unflatten(0, index.shape)

    def _copied(self, start: Tensor, width: Tensor, crop: int, flip: Tensor, turn: Tensor) -> Tensor:
        """The same, one after the other, which is faster on a CPU."""
        out = torch.empty(len(start), crop, crop, 3, dtype=torch.uint8)
        for place, (begin, across, mirrored, turned) in enumerate(
            zip(start.tolist(), width.tolist(), flip.tolist(), turn.tolist(), strict=True)
        ):
            part = self.pixels.as_strided((crop, crop, 3), (3 * across, 3, 1), 3 * begin)
            part = part.flip(1) if mirrored else part
            out[place] = part.transpose(0, 1) if turned else part
        return out

    def quality(self, size: int, qualities: int, part: slice = slice(None)) -> Tensor:
        """Real qualities [B] from 1 to `qualities`, drawn evenly."""
        draws = torch.rand(size, device=self.place, generator=self.generator)[part]
        return (1 + (qualities - 1) * draws).to(self.device, non_blocking=True)


def _coordinates(crop: int, flip: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns [B, crop, crop] within a crop, for each pixel of the result."""
    along = torch.arange(crop, device=flip.device)
    i, j, turn, flip = along[None, :, None], along[None, None, :], turn[:, None, None], flip[:, None, None]
    rows, columns = torch.where(turn, j, i), torch.where(turn, i, j)
    return rows, torch.where(flip, crop - 1 - columns, columns)


def _moved(rows: np.ndarray, device: torch.device) -> Tensor:
    """Pixels in the memory of a device, copied piece by piece."""
    there = torch.empty(rows.shape, dtype=torch.uint8, device=device)
    for begin in range(0, len(rows), _PIECE):
        there[begin : begin + _PIECE] = torch.from_numpy(rows[begin : begin + _PIECE]).to(device)
    return there


def _fits(size: int, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size < free // 2
