"""Whatever Pillow reads becomes a `Picture`: 8 bits, upright, and a sentence for what was not kept."""

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from ..errors import FedsError, ImageError, TooLargeError
from ..fileformat import DEFAULT_MAX_PIXELS, excess
from .depth import bits_a_sample
from .metadata import TURNS, exif_and_xmp
from .picture import Picture
from .transparency import straight

_GREY = ("1", "L", "LA", "La")
_NEVER_READ = ("EPS",)  # a program, which Pillow would give to Ghostscript to run
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm"})
"""What is taken for a picture where a folder is searched; a file that is named may have any suffix."""


def read_picture(
    source: str | Path | bytes | BinaryIO | Image.Image,
    *,
    name: str | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
) -> Picture:
    """The picture in a file, in bytes, in what is left of an open binary file, or in a Pillow image.

    Errors call it `name` (by default its path). Raises ImageError if there is no sound picture, and
    TooLargeError, before any pixel is decoded, if there are more than `max_pixels` (None: no limit).
    """
    name = name or str(source if isinstance(source, str | Path) else getattr(source, "name", "the picture"))
    try:
        if isinstance(source, Image.Image):
            return _take(source, max_pixels)
        if isinstance(source, str | Path):
            with Path(source).open("rb") as file:
                return _take(_identify(file), max_pixels)
        return _take(_identify(BytesIO(source if isinstance(source, bytes) else source.read())), max_pixels)
    except FedsError as error:
        raise type(error)(f"{name}: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLargeError(f"{name}: expected a size within Pillow's limit, found: {error}") from error
    except Exception as error:  # Pillow's forty readers meet damage with anything, SyntaxError to zlib.error
        found = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(f"{name}: expected a sound picture, found: {found}") from error


def expected_pixels(path: Path, max_pixels: int | None) -> int:
    """How many pixels `read_picture` will decode of a file, by its header; 0 where it will refuse.

    And where that cannot be told without taking away what is to be read, as of a pipe.
    """
    with suppress(Exception):
        if path.is_file():
            with path.open("rb") as file:
                width, height = _identify(file).size
            return 0 if excess(width, height, max_pixels) else width * height
    return 0


def _identify(stream: BinaryIO) -> Image.Image:
    # This is Image.open without its check of Image.MAX_IMAGE_PIXELS: that limit holds for the whole process,
    # and neither it nor the filter of its warning can be changed for one thread alone.
    prefix = stream.read(16)
    if not prefix:
        raise ImageError("expected a picture, found an empty file")
    tried = set(_NEVER_READ)
    for load_plugins in (Image.preinit, Image.init):
        load_plugins()
        for kind in [kind for kind in Image.ID if kind not in tried]:
            tried.add(kind)
            factory, accept = Image.OPEN[kind]
            # The ways in which a plugin says "not mine", after its look at the prefix:
            with suppress(SyntaxError, IndexError, TypeError, struct.error):
                verdict = accept is None or accept(prefix)
                if verdict and not isinstance(verdict, str):  # a string: this Pillow was built without it
                    stream.seek(0)
                    return factory(stream, "")
    raise ImageError("expected a picture, found a file in no format that Pillow reads")


def _take(image: Image.Image, max_pixels: int | None) -> Picture:
    if 0 in image.size:
        raise ImageError(f"expected a picture of at least 1 x 1 pixel, found {image.width} x {image.height}")
    if fault := excess(image.width, image.height, max_pixels):
        raise TooLargeError(fault)
    notes = _frames_and_depth(image)
    image.load()
    exif, xmp, orientation = exif_and_xmp(image, notes)
    icc = image.info.get("icc_profile") or b""
    stays_true = image.mode not in ("CMYK", "LAB") and icc[16:20] in (b"RGB ", b"GRAY")
    flat, alpha = _flattened(image, notes)
    if orientation in TURNS:
        flat, alpha = flat.transpose(TURNS[orientation]), alpha and alpha.transpose(TURNS[orientation])
    pixels = np.array(flat.convert("RGB") if flat.mode == "L" else flat)  # a copy, to which torch can write
    plane = None if alpha is None else np.array(alpha)
    return Picture(pixels, flat.mode == "L", icc if stays_true else None, exif, xmp, tuple(notes), plane)


def _frames_and_depth(image: Image.Image) -> list[str]:
    notes, frames = [], getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "PSD":  # whose frames are layers, and all are in what is read
        notes.append(f"Only frame {image.tell() + 1} of {frames} was read.")
    if image.mode in ("RGB", "RGBA") and (bits := bits_a_sample(image)) > 8:
        notes.append(f"{bits}-bit colour was reduced to 8 bits.")
    return notes


def _flattened(image: Image.Image, notes: list[str]) -> tuple[Image.Image, Image.Image | None]:
    # To mode L or RGB, and the alpha.
    if image.mode == "F" or image.mode.startswith("I"):
        return _deep_grey_to_8_bits(image, notes), None
    if image.mode == "CMYK":
        return _cmyk_to_srgb(image, notes), None
    if image.mode == "LAB":
        notes.append("Lab was converted to sRGB.")
    if image.has_transparency_data:
        return straight(image)
    mode = "L" if image.mode in _GREY else "RGB"
    return (image if image.mode == mode else image.convert(mode)), None  # which would copy, mode or no mode


def _deep_grey_to_8_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    values, white = np.asarray(image), 1 if image.mode == "F" else 65535  # the others are I;16 and I
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= white):  # in this order, as NaN passes no comparison
        raise ImageError(f"expected samples from 0 to {white} in mode {image.mode}, found {low} to {high}")
    depth = "Floating-point" if white == 1 else "16-bit"
    lost = " and its transparency was not kept" if image.has_transparency_data else ""
    notes.append(f"{depth} grey was reduced to 8 bits{lost}.")
    return Image.fromarray(np.floor(values * (255 / white) + 0.5).astype(np.uint8))


def _cmyk_to_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    with suppress(Exception):  # no profile, a damaged one, one for other channels, a Pillow without ImageCms
        from PIL import ImageCms

        inks = ImageCms.ImageCmsProfile(BytesIO(image.info.get("icc_profile") or b""))
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.buildTransform(inks, srgb, "CMYK", "RGB").apply(image)
        notes.append("CMYK was converted to sRGB.")
        return converted
    notes.append("CMYK was converted to RGB without a profile.")
    return image.convert("RGB")
