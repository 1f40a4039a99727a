"""Is a result still that of its source, where the times of the files leave it open?

A picture that takes the place of another may be older than what was made of the other one. Then all that tells is that
the file itself was changed later than its result (its ctime), which copying a whole folder with its times does too. So
it is looked at: what the result shows in small is compared with its source.
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
"""Decibels between two small pictures from which on they show the same."""


def may_have_been_replaced(task: Task) -> bool:
    """Whether the source was changed, or put where it is, after the result was written."""
    return task.source.stat().st_ctime_ns > task.target.stat().st_mtime_ns


def resembles(picture: Picture, file: FedsFile, model: Model) -> bool:
    """Whether a file shows a picture, as far as 64 pixels a side can tell."""
    from ..codec.previews import decode_preview
    from ..metrics.psnr import psnr

    small = decode_preview(file, model, size=_SIDE).picture
    if (file.header.width, file.header.height) != (picture.width, picture.height):
        return False
    same_size = resize(picture, small.width, small.height)
    return psnr(same_size.pixels, small.pixels) >= _ALIKE


def note_that_it_is_of_now(target: Path) -> None:
    """Give a result the time of this look at it, so that it is not looked at again."""
    with suppress(OSError):  # in a folder of somebody else
        os.utime(target)
