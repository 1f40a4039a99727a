"""Check whether a result still belongs to its source if the file times leave that open.

A picture that replaces another one may be older than the result of that other one. The only sign is then that the file
itself was changed later than its result (its ctime). But copying a whole folder with its times has the same effect. So
the small picture that the result shows is compared with its source.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..images import Picture, resize
from .plan import Task

if TYPE_CHECKING:
    from ..codec.model import Model
    from ..fileformat import FedsFile

_SIDE = 64
_ALIKE = 28.0
"""PSNR in decibels from which on two small pictures show the same."""


def may_have_been_replaced(task: Task) -> bool:
    """Whether the source was changed or put in place after the result was written."""
    return task.source.stat().st_ctime_ns > task.target.stat().st_mtime_ns


def resembles(picture: Picture, file: FedsFile, model: Model, longest: int | None = None) -> bool:
    """Whether a file shows a picture, as far as 64 pixels a side can show.

    longest: the longer side of a picture that was decoded at a smaller size.
    """
    from ..codec.previews import decode_preview, preview_size
    from ..metrics.psnr import psnr

    size = file.header.width, file.header.height
    if (preview_size(*size, longest) if longest else size) != (picture.width, picture.height):
        return False
    small = decode_preview(file, model, size=min(_SIDE, longest or _SIDE)).picture
    same_size = resize(picture, small.width, small.height)
    return psnr(same_size.pixels, small.pixels) >= _ALIKE


def note_that_it_is_of_now(target: Path) -> None:
    """Set the time of a result to now, so that it is not checked again."""
    with suppress(OSError):  # in a folder of somebody else
        os.utime(target)
