"""Check whether a picture file is complete, by its structure, without decoding pixels."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image

from ...errors import ImageError
from .identifying import identify, own_limit

_STARTS = re.compile(rb"\x89PNG|\xff\xd8\xff|RIFF....WEBP|BM|II\*\0|MM\0\*|P[456]\s|....ftyp", re.DOTALL)
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
        except (ImageError, OSError, IndexError, KeyError, ValueError) as error:
            if begins_as_one:
                return None
            raise ImageError(f"expected a picture, found: {error}") from error


def _last(stream: BinaryIO, length: int, count: int) -> bytes:
    stream.seek(max(length - count, 0))
    return stream.read(count)


def _first(stream: BinaryIO, count: int) -> bytes:
    stream.seek(0)
    return stream.read(count)


def _boxes_end(stream: BinaryIO, length: int, _: Image.Image) -> bool:
    at = 0
    while at + 8 <= length:
        stream.seek(at)
        head = stream.read(16)
        size = int.from_bytes(head[:4], "big")
        size = int.from_bytes(head[8:16], "big") if size == 1 else size or length - at
        if size < 8:
            return False
        at += size
    return at == length


def _strips_end(_: BinaryIO, length: int, image: Image.Image) -> bool:
    tags: Any = getattr(image, "tag_v2", {})
    return max(map(sum, zip(tags[273], tags[279], strict=True))) <= length


def _samples_end(_: BinaryIO, length: int, image: Any) -> bool:
    return bool(image.tile[0][2] + image.width * image.height * len(image.getbands()) <= length)


_ENDS: dict[str, Callable[[BinaryIO, int, Image.Image], bool]] = {
    "PNG": lambda stream, length, _: _last(stream, length, len(_END_OF_PNG)) == _END_OF_PNG,
    "JPEG": lambda stream, length, _: _last(stream, length, 2) == b"\xff\xd9",
    "WEBP": lambda stream, length, _: int.from_bytes(_first(stream, 8)[4:], "little") + 8 <= length,
    "BMP": lambda stream, length, _: int.from_bytes(_first(stream, 6)[2:], "little") <= length,
    "AVIF": _boxes_end,
    "TIFF": _strips_end,
    "PPM": _samples_end,
}
