"""Comparisons as one picture: original, other codecs and feds side by side, with figures below, one row per quality."""

from __future__ import annotations

import math
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ...images import Picture, Window, read_picture, to_pil
from .versions import Comparison, Version

_GAP, _LINE, _TEXT = 8, 21, 15  # pixels: between panels, between lines of text, height of letters
_PAPER, _INK, _FAINT = (255, 255, 255), (28, 28, 30), (107, 107, 112)


def draw_strip(comparison: Comparison, window: Window | None = None) -> Picture:
    """A row of panels for each quality: the original, the peers, feds; below each its name, bytes and PSNR."""
    part = window or Window(comparison.original.width, comparison.original.height)
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
            shown = part.of(version.picture if version else comparison.original)
            canvas.paste(to_pil(shown).convert("RGB"), corner)
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
