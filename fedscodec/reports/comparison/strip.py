"""Comparisons as one picture: original, other codecs and feds side by side, with figures below, one row per quality."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ...errors import FedsError
from ...images import Picture, read_picture, to_pil
from .versions import Comparison, Version

_GAP, _LINE, _TEXT = 8, 21, 15  # pixels: between panels, between lines of text, height of letters
_PAPER, _INK, _FAINT = (255, 255, 255), (28, 28, 30), (107, 107, 112)


@dataclass(frozen=True)
class Window:
    """A part of a picture: its size, and the offset of its upper left corner, in pixels."""

    width: int
    height: int
    left: int
    top: int

    @classmethod
    def parse(cls, text: str) -> Window:
        """Parse `320x240+100+0`, as in ImageMagick. Raises ValueError for anything else."""
        match = re.fullmatch(r"(\d+)x(\d+)\+(\d+)\+(\d+)", text)
        if not match or "0" in match.groups()[:2]:
            raise ValueError(f"expected a window such as 320x240+100+0, found {text}")
        return cls(*map(int, match.groups()))

    def require_inside(self, picture: Picture, name: str = "the picture") -> None:
        """Raise FedsError, starting with `name`, unless the window lies inside a picture."""
        if self.left + self.width > picture.width or self.top + self.height > picture.height:
            raise FedsError(f"{name}: the window {self} is not inside {picture.width}x{picture.height} pixels")

    def of(self, picture: Picture) -> Image.Image:
        """The part of a picture. Raises FedsError unless it lies inside."""
        self.require_inside(picture)
        box = (self.left, self.top, self.left + self.width, self.top + self.height)
        return to_pil(picture).convert("RGB").crop(box)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}+{self.left}+{self.top}"


def draw_strip(comparison: Comparison, window: Window | None = None) -> Picture:
    """A row of panels for each quality: the original, the peers, feds; below each its name, bytes and PSNR."""
    part = window or Window(comparison.original.width, comparison.original.height, 0, 0)
    rows: list[list[Version | None]] = [[None, *peers, ours] for ours, *peers in comparison.rows]
    font = ImageFont.load_default(_TEXT)
    every = [words for panels in rows for version in panels for words in _words(comparison, version)]
    width = max(part.width, *(math.ceil(font.getlength(words)) for words in every))
    height = part.height + 2 * _LINE + _GAP
    size = len(rows[0]) * (width + _GAP) - _GAP, len(rows) * (height + _GAP) - _GAP
    canvas = Image.new("RGB", size, _PAPER)
    for row, panels in enumerate(rows):
        for column, version in enumerate(panels):
            corner = column * (width + _GAP), row * (height + _GAP)
            canvas.paste(part.of(version.picture if version else comparison.original), corner)
            _write(canvas, corner[0], corner[1] + part.height + 5, font, *_words(comparison, version))
    canvas.info.clear()
    return read_picture(canvas)


def _words(comparison: Comparison, version: Version | None) -> tuple[str, str]:
    if version is None:
        return "original", f"{comparison.source_bytes:,} bytes" if comparison.source_bytes else ""
    label = version.label if version.fits else f"{version.label} (no smaller)"
    return label, f"{len(version.data):,} bytes, {version.error}"


def _write(canvas: Image.Image, left: int, top: int, font: Any, first: str, second: str) -> None:
    pen = ImageDraw.Draw(canvas)
    pen.text((left, top), first, _INK, font)
    pen.text((left, top + _LINE), second, _FAINT, font)
