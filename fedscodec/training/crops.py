"""Random crops of all training pictures, drawn where the training runs, without a loop over them."""

from __future__ import annotations

import torch
from torch import Tensor


class Crops:
    """Training pictures as one uint8 buffer, and batches of random crops of it.

    The buffer lies on the training device where it leaves half of the device's free memory free, else in the memory of
    the host; `generator` draws where the buffer lies. Nothing here waits for a GPU.
    """

    def __init__(self, pictures: list[Tensor], device: torch.device, seed: int) -> None:
        """pictures: uint8 [H, W, 3]. They are taken out of the list, so that memory need not hold them twice."""
        self.device = device
        sizes = [(p.shape[0], p.shape[1]) for p in pictures]
        total = sum(height * width for height, width in sizes)
        self.place = device if _fits(3 * total, device) else torch.device("cpu")
        self.pixels = torch.empty(total, 3, dtype=torch.uint8, device=self.place)
        end = total
        while pictures:
            flat = pictures.pop().reshape(-1, 3)
            self.pixels[end - len(flat) : end] = flat
            end -= len(flat)
        self.heights, self.widths = torch.tensor(sizes, device=self.place).unbind(1)
        self.ends = (self.heights * self.widths).cumsum(0)
        self.total = float(total)
        self.generator = self.fresh_generator(seed)

    def __len__(self) -> int:
        return len(self.heights)

    def fresh_generator(self, seed: int) -> torch.Generator:
        """A generator of random numbers where the buffer lies."""
        return torch.Generator(self.place).manual_seed(seed)

    def batch(
        self, size: int, crop: int, generator: torch.Generator | None = None, part: slice = slice(None)
    ) -> Tensor:
        """`size` crops, each of a picture drawn by its area, flipped and transposed at random: [B, 3, crop, crop].

        float32 in 0..1, channels_last. Of a batch that several processes share, each takes its `part`.
        """
        draws = torch.rand(5, size, dtype=torch.float64, device=self.place, generator=generator or self.generator)
        where, down, right, flip, turn = draws[:, part]
        chosen = torch.searchsorted(self.ends, where * self.total, right=True).clamp_max(len(self) - 1)
        height, width = self.heights[chosen], self.widths[chosen]
        top, left = (down * (height - crop + 1)).long(), (right * (width - crop + 1)).long()
        start = self.ends[chosen] - height * width + top * width + left
        rows, columns = _coordinates(crop, flip < 0.5, turn < 0.5)
        index = start[:, None, None] + rows * width[:, None, None] + columns
        taken = self.pixels[index.flatten()].unflatten(0, index.shape)
        if self.place != self.device:
            taken = taken.pin_memory().to(self.device, non_blocking=True)
        return taken.permute(0, 3, 1, 2).float().div_(255)

    def quality(self, size: int, qualities: int, part: slice = slice(None)) -> Tensor:
        """Real qualities [B] from 1 to `qualities`, drawn evenly."""
        draws = torch.rand(size, device=self.place, generator=self.generator)[part]
        return (1 + (qualities - 1) * draws).to(self.device, non_blocking=True)


def _coordinates(crop: int, flip: Tensor, turn: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and columns [B, crop, crop] within a crop, of each pixel of what becomes of it."""
    along = torch.arange(crop, device=flip.device)
    i, j, turn, flip = along[None, :, None], along[None, None, :], turn[:, None, None], flip[:, None, None]
    rows, columns = torch.where(turn, j, i), torch.where(turn, i, j)
    return rows, torch.where(flip, crop - 1 - columns, columns)


def _fits(size: int, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return size < free // 2
