"""A part of a picture, by its size and place in pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..arguments import require_whole
from ..errors import FedsError
from .picture import Picture


@dataclass(frozen=True)
class Window:
    """A part of a picture: its size, and the offset of its upper left corner, in pixels."""

    width: int
    height: int
    left: int = 0
    top: int = 0

    @classmethod
    def parse(cls, text: str) -> Window:
        """Parse `320x240+100+0`, as in ImageMagick. Raises ValueError for anything else."""
        match = re.fullmatch(r"([0-9]{1,9})x([0-9]{1,9})\+([0-9]{1,9})\+([0-9]{1,9})", text)
        if not match or 0 in map(int, match.groups()[:2]):
            raise ValueError(f"expected a window such as 320x240+100+0, found {text}")
        return cls(*map(int, match.groups()))

    @classmethod
    def of_box(cls, box: Sequence[int]) -> Window:
        """The window of Pillow's (left, upper, right, lower). Raises FedsError if these span no pixel."""
        if not isinstance(box, Sequence) or len(box) != 4:
            raise FedsError(f"crop: expected (left, upper, right, lower), found {box!r}")
        for side, value in zip(("left", "upper"), box, strict=False):
            require_whole(f"crop: {side}", value, 0)
        left, top = int(box[0]), int(box[1])  # before anything is added: integers of numpy overflow
        require_whole("crop: right", box[2], left + 1)
        require_whole("crop: lower", box[3], top + 1)
        return cls(int(box[2]) - left, int(box[3]) - top, left, top)

    @property
    def right(self) -> int:
        """The column after its last."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The row after its last."""
        return self.top + self.height

    def require_inside(self, width: int, height: int, name: str = "the picture") -> None:
        """Raise FedsError, starting with `name`, unless the window lies inside a picture of this size."""
        if self.right > width or self.bottom > height:
            raise FedsError(f"{name}: the window {self} is not inside {width}x{height} pixels")

    def of(self, picture: Picture) -> Picture:
        """The part of a picture, with its metadata. Raises FedsError unless it lies inside."""
        self.require_inside(picture.width, picture.height)
        alpha = None if picture.alpha is None else self.cut(picture.alpha)
        return replace(picture, pixels=self.cut(picture.pixels), alpha=alpha)

    def cut(self, samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part of samples [H, W, ...], a view."""
        return samples[self.top : self.bottom, self.left : self.right]

    def __str__(self) -> str:
        return f"{self.width}x{self.height}+{self.left}+{self.top}"
