"""Read whatever Pillow reads into a `Picture`: 8 bits, upright, and a sentence for everything that was not kept.

bytes ─► containers: what there is beside the samples ─► an account of it
  └────► samples: 8 bits, at full depth, by their white and curve ─► colours and alpha, upright ─► Picture
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from os import PathLike, fsdecode
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import FedsError, ImageError, TooLargeError, is_lack_of_memory
from ..fileformat import DEFAULT_MAX_PIXELS, excess
from .alpha.transparency import straight
from .colour.choice import Choice
from .colour.profiles import cmyk_to_srgb
from .containers import bmff, generic, jpeg, jpeg2000, png, riff, tiff
from .containers.contents import GAIN_MAP, Contents
from .containers.identifying import identify, own_limit
from .containers.streams import read_at_most
from .metadata.exif import TURNS
from .metadata.kept import Kept, kept_of
from .picture import Picture, is_neutral
from .samples import bits_of, to_8_bits

_GREY = ("1", "L", "LA", "La")
_FILE_AT_MOST, _FILE_A_PIXEL = 2**28, 32  # bytes of a file that are looked at beside its pixels

_INSPECTORS: dict[str | None, Callable[[bytes], Contents]] = {
    "JPEG": jpeg.inspect, "MPO": jpeg.inspect, "WEBP": riff.inspect, "AVIF": bmff.inspect, "HEIF": bmff.inspect,
    "JPEG2000": jpeg2000.inspect,
}  # fmt: skip


def read_picture(
    source: str | PathLike[str] | bytes | BinaryIO | Image.Image,
    *,
    name: str | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    beside: Mapping[str, bytes] | None = None,
) -> Picture:
    """Read a picture from a file, bytes, the rest of an open binary file, or a Pillow image.

    Errors call it `name` (by default its path). `beside`: icc_profile, exif and xmp that replace those of a Pillow
    image; b"" drops one. Raises ImageError if there is no valid picture, and TooLargeError, before decoding pixels, if
    there are more than `max_pixels` (None: no limit).
    """
    own = source if isinstance(source, str | PathLike) else getattr(source, "name", None)
    name = name or ("the picture" if own is None else str(own))
    if not isinstance(source, Image.Image | str | PathLike | bytes) and not callable(getattr(source, "read", None)):
        kind = type(source).__name__
        raise ImageError(f"{name}: expected a path, bytes, an open binary file or a Pillow image, found {kind}")
    try:
        with own_limit():
            if isinstance(source, Image.Image):
                return _take(_Opened.in_memory(source, max_pixels, beside or {}))
            if isinstance(source, str | PathLike):
                with Path(fsdecode(source)).open(
                    "rb"
                ) as file:  # a pipe is read to its end first, as files are not read in order
                    return _take(_Opened.of_file(file if file.seekable() else BytesIO(file.read()), max_pixels))
            stream = BytesIO(source if isinstance(source, bytes) else source.read())
            return _take(_Opened.of_file(stream, max_pixels))
    except FedsError as error:
        raise type(error)(f"{name}: {error}") from error
    except Exception as error:  # Pillow's forty readers meet damage with anything, SyntaxError to zlib.error
        if is_lack_of_memory(error):
            raise
        found = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(f"{name}: expected a valid picture, found: {found}") from error


@dataclass(frozen=True)
class Beside:
    """The profile, Exif and XMP of a picture, as in `Picture`."""

    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None


def read_beside(path: Path) -> Beside:
    """What `read_picture` would keep besides the pixels of a file, without decoding any. Raises ImageError in the same
    way.
    """
    try:
        with own_limit(), path.open("rb") as file:
            opened = _Opened.of_file(file, None)
            colour, kept = _beside(opened.image, opened.contents)
        return Beside(colour.icc, kept.exif, kept.xmp)
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers meet damage with anything
        raise ImageError(f"{path}: expected a valid picture, found: {error}") from error


def expected_pixels(path: Path, max_pixels: int | None) -> int:
    """How many pixels `read_picture` will decode of a file, by its header; 0 if it will refuse.

    Also 0 if that cannot be known without consuming the input, as with a pipe.
    """
    with suppress(Exception), own_limit():
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(32)
                file.seek(0)
                width, height = _size_of_png(head) or identify(file, max_pixels).size
            return 0 if excess(width, height, max_pixels) else width * height
    return 0


@dataclass
class _Opened:
    """An image that is not loaded yet, what its file has besides it, and how to open it again."""

    image: Image.Image
    contents: Contents
    reopen: Callable[[], Image.Image] | None

    @classmethod
    def in_memory(cls, image: Image.Image, max_pixels: int | None, beside: Mapping[str, bytes]) -> _Opened:
        """An image that a program has opened or made."""
        _require_size(image.size, max_pixels)
        again = _once_more(image)
        opened = again() if again else image  # as looking for Exif may load it
        return cls(opened, generic.inspect(image, beside), again)

    @classmethod
    def of_file(cls, stream: BinaryIO, max_pixels: int | None) -> _Opened:
        """The content of a file, read from its first byte."""
        start = stream.read(32)
        stream.seek(0)
        if size := _size_of_png(start):
            _require_size(size, max_pixels)
            contents, bare = png.inspect(_rest_of(stream, size))
            again = partial(_identified, BytesIO(bare), max_pixels)
            return cls(again(), contents, again)
        image = identify(stream, max_pixels)
        _require_size(image.size, max_pixels)
        tiff.require_whole(getattr(image, "tag_v2", {}) if image.format == "TIFF" else {})
        at = stream.tell()
        try:
            contents = _inspected(stream, image, start)
        except (ValueError, IndexError, KeyError, TypeError, struct.error):  # the pixels may be sound all the same
            contents = Contents(turned=image.format in ("AVIF", "HEIF"))
            contents.account.had("beside", "What stands beside the pixels was damaged and was not kept.")
        stream.seek(at)
        return cls(image, contents, partial(_identified, stream, max_pixels))


def _inspected(stream: BinaryIO, image: Image.Image, start: bytes) -> Contents:
    if image.format == "TIFF" and not start.startswith(tiff.BIG):
        return tiff.inspect(stream, getattr(image, "tag_v2", {}))
    if inspect := _INSPECTORS.get(image.format):
        stream.seek(0)
        contents = inspect(_rest_of(stream, image.size))
        if image.format == "JPEG2000":
            generic.enter_words(image.info, contents)
        return contents
    return generic.inspect(image, {})


def _take(opened: _Opened) -> Picture:
    image, contents = opened.image, opened.contents
    _enter_frames(image, contents)
    colour, kept = _beside(image, contents)
    flat = to_8_bits(image, contents, opened.reopen, colour.curves)
    return _upright(flat, colour, kept, contents)


def _beside(image: Image.Image, contents: Contents) -> tuple[Choice, Kept]:
    grey = image.mode in _GREY or image.mode == "F" or image.mode.startswith("I")
    kind = "GRAY" if grey else image.mode if image.mode in ("CMYK", "LAB") else "RGB"
    colour = Choice(contents, kind, bits_of(image, contents))
    return colour, kept_of(contents, image, contents.account, colour.colour_space)


def _upright(image: Image.Image, colour: Choice, kept: Kept, contents: Contents) -> Picture:
    flat, alpha = _flattened(image, colour, contents)
    if kept.orientation in TURNS and not kept.is_turned:
        flat, alpha = flat.transpose(TURNS[kept.orientation]), alpha and alpha.transpose(TURNS[kept.orientation])
    grey = flat.mode == "L"
    pixels = np.array(flat.convert("RGB") if grey else flat)  # a copy, to which torch can write
    plane: NDArray[np.uint8] | None = None if alpha is None else np.array(alpha)
    grey = grey or is_neutral(pixels)
    return Picture(pixels, grey, colour.icc, kept.exif, kept.xmp, contents.account.sentences, plane)


def _enter_frames(image: Image.Image, contents: Contents) -> None:
    frames = _frames_of(image, contents)
    if frames > 1 and image.format != "PSD":  # whose frames are layers, and all are in what is read
        if contents.account.has(GAIN_MAP) and image.format == "MPO" and frames == 2:
            return  # that is the other frame
        told = f"more than {frames - 1}" if image.format == "TIFF" and frames > tiff.FRAMES_AT_MOST else frames
        contents.account.had("frames", f"Only frame {image.tell() + 1} of {told} was read.")


def _frames_of(image: Image.Image, contents: Contents) -> int:
    opened: Any = image
    if image.format == "TIFF":  # which keeps its file for other frames only, loaded or not
        return tiff.frames_of(opened._fp) if getattr(opened, "is_animated", False) else 1
    return int(contents.frames or getattr(image, "n_frames", None) or 1)


def _flattened(image: Image.Image, colour: Choice, contents: Contents) -> tuple[Image.Image, Image.Image | None]:
    # To mode L or RGB, and the alpha.
    account = contents.account
    if image.mode == "CMYK":
        converted = cmyk_to_srgb(image, colour.inks) if colour.inks else None
        how = "sRGB" if converted else "RGB without a profile"
        account.became("kind", f"CMYK was converted to {how}.")
        return converted or image.convert("RGB"), None
    if image.mode == "LAB":
        account.became("kind", "Lab was converted to sRGB.")
    if image.has_transparency_data:
        return straight(image)
    mode = "L" if image.mode in _GREY else "RGB"
    return (image if image.mode == mode else image.convert(mode)), None  # which would copy, mode or no mode


def _once_more(image: Image.Image) -> Callable[[], Image.Image] | None:
    """A function that opens again an image that a program has opened and not loaded; None if that is impossible."""
    stream, kind = getattr(image, "fp", None), image.format
    if not getattr(image, "tile", None) or stream is None or kind not in ("PNG", "TIFF") or image.tell():
        return None
    at = stream.tell()
    stream.seek(0)
    data = stream.read()
    stream.seek(at)
    return lambda: Image.OPEN[kind][0](BytesIO(data), "")


def _identified(stream: BinaryIO, max_pixels: int | None) -> Image.Image:
    stream.seek(0)
    return identify(stream, max_pixels)


def _rest_of(stream: BinaryIO, size: tuple[int, int]) -> bytes:
    return read_at_most(stream, _FILE_AT_MOST + _FILE_A_PIXEL * size[0] * size[1])


def _size_of_png(head: bytes) -> tuple[int, int] | None:
    if not head.startswith(png.SIGNATURE) or head[12:16] != b"IHDR" or len(head) < 24:
        return None
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _require_size(size: tuple[int, int], max_pixels: int | None) -> None:
    if 0 in size:
        raise ImageError(f"expected a picture of at least 1 x 1 pixel, found {size[0]} x {size[1]}")
    if fault := excess(*size, max_pixels):
        raise TooLargeError(fault)
