"""Check whether a picture file is complete, by its structure, without decoding pixels.

Only a file whose end is missing is cut short. One that has more behind its end, or that is laid out as feds never does,
may be somebody's original and counts as whole.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from ...errors import ImageError
from . import jpeg, png
from .identifying import identify, own_limit

_STARTS = re.compile(rb"\x89PNG|\xff\xd8\xff|RIFF....WEBP|BM|II\*\0|MM\0\*|P[456]\s|....ftypavif", re.DOTALL)
_END_OF_PNG = b"\0\0\0\0IEND\xae\x42\x60\x82"


def size_if_whole(path: Path) -> tuple[int, int] | None:
    """Width and height of a picture that `feds decode` may have written; None if the file is cut short.

    Raises ImageError if it holds no picture.
    """
    with own_limit(), path.open("rb") as stream:
        length = stream.seek(0, os.SEEK_END)
        if length == 0:
            return None
        begins_as_one = _STARTS.match(_first(stream, 12)) is not None
        stream.seek(0)
        try:
            image = identify(stream)
            ends = _ENDS.get(image.format or "")
            return image.size if ends is None or ends(stream, length, image) else None
        except Exception as error:  # each of Pillow's readers has its own way to say no
            if begins_as_one:
                return None
            raise ImageError(f"expected a picture, found: {error}") from error


def _last(stream: BinaryIO, length: int, count: int) -> bytes:
    stream.seek(max(length - count, 0))
    return stream.read(count)


def _first(stream: BinaryIO, count: int) -> bytes:
    stream.seek(0)
    return stream.read(count)


def _png_ends(stream: BinaryIO, length: int, _: Image.Image) -> bool:
    if _last(stream, length, len(_END_OF_PNG)) == _END_OF_PNG:
        return True
    return not png.inspect(_first(stream, length))[0].account.has("end")


def _jpeg_ends(stream: BinaryIO, length: int, _: Image.Image) -> bool:
    return _last(stream, length, 2) == b"\xff\xd9" or not jpeg.inspect(_first(stream, length)).account.has("end")


def _boxes_end(stream: BinaryIO, length: int, _: Image.Image) -> bool:
    at, has_pixels = 0, False
    while at + 8 <= length:
        stream.seek(at)
        head = stream.read(16)
        size = int.from_bytes(head[:4], "big")
        size = int.from_bytes(head[8:16], "big") if size == 1 else size or length - at
        if size < 8 or at + size > length:  # something behind the boxes, or a box that is cut
            return has_pixels and head[4:8] != b"mdat"
        has_pixels |= head[4:8] == b"mdat"
        at += size
    return has_pixels


def _strips_end(_: BinaryIO, length: int, image: Image.Image) -> bool:
    tags: Any = getattr(image, "tag_v2", {})
    offsets, sizes = (273, 279) if 273 in tags else (324, 325)  # of strips, or of tiles
    return max(map(sum, zip(tags.get(offsets, ()), tags.get(sizes, ()), strict=False)), default=0) <= length


def _samples_end(_: BinaryIO, length: int, image: Any) -> bool:
    row = -(-image.width // 8) if image.mode == "1" else image.width * len(image.getbands())
    return bool(image.tile[0][2] + row * image.height <= length)


_ENDS: dict[str, Callable[[BinaryIO, int, Image.Image], bool]] = {
    "PNG": _png_ends,
    "JPEG": _jpeg_ends,
    "WEBP": lambda stream, length, _: int.from_bytes(_first(stream, 8)[4:], "little") + 8 <= length,
    "BMP": lambda stream, length, _: int.from_bytes(_first(stream, 6)[2:], "little") <= length,
    "AVIF": _boxes_end,
    "TIFF": _strips_end,
    "PPM": _samples_end,
}
