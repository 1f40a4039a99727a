"""Use ICC profiles: recognise those that mean sRGB and need not be stored, and convert the colours of others."""

from __future__ import annotations

import functools
from contextlib import suppress
from dataclasses import replace
from io import BytesIO

import numpy as np
from PIL import Image

from ..picture import Picture
from .curves import srgb_of_light
from .icc import curves_of, space_of

_CREATED = slice(24, 36)  # when a profile was made: six numbers of two bytes, the year first
_LATTICE = 17  # levels of each channel that are tried


@functools.cache
def srgb_profile() -> bytes | None:
    """A small profile that means sRGB, always the same bytes; None if Pillow has no LittleCMS."""
    with suppress(ImportError):
        from PIL import ImageCms

        profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
        profile[_CREATED] = bytes.fromhex("07d0 0001 0001 0000 0000 0000")
        return bytes(profile)
    return None


@functools.lru_cache(maxsize=8)  # that of a folder's pictures is often the same
def means_srgb(icc: bytes) -> bool:
    """Whether a profile moves no colour of a lattice by more than one level on its way to sRGB."""
    if icc[16:20] != b"RGB ":
        return False
    levels = np.linspace(0, 255, _LATTICE).round().astype(np.uint8)
    lattice = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(_LATTICE, -1, 3)
    converted = _to_srgb(Image.fromarray(lattice), icc)
    return converted is not None and int(np.abs(np.asarray(converted).astype(int) - lattice).max()) <= 1


@functools.lru_cache(maxsize=8)
def is_sound(icc: bytes) -> bool:
    """Whether a profile can be read: by its table, and by LittleCMS if available."""
    if not space_of(icc):
        return False
    try:
        from PIL import ImageCms
    except ImportError:
        return True
    with suppress(Exception):  # its readers meet damage with nearly anything
        ImageCms.ImageCmsProfile(BytesIO(icc))
        return True
    return False


def _to_srgb(image: Image.Image, icc: bytes) -> Image.Image | None:
    with suppress(Exception):  # a damaged profile, one for other channels, a Pillow without LittleCMS
        from PIL import ImageCms

        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        return ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), image.mode, image.mode).apply(image)
    return None


def cmyk_to_srgb(image: Image.Image, icc: bytes) -> Image.Image | None:
    """Convert inks to sRGB by their profile; None if there is no profile for inks, or Pillow has no LittleCMS."""
    with suppress(Exception):
        from PIL import ImageCms

        inks, srgb = ImageCms.ImageCmsProfile(BytesIO(icc)), ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(inks, srgb, "CMYK", "RGB").apply(image)
    return None


def stripped(picture: Picture) -> Picture:
    """The picture without ICC profile, Exif and XMP; its colours are converted to sRGB, so that they look the same."""
    bare = replace(picture, icc=None, exif=None, xmp=None)
    if picture.icc is None or means_srgb(picture.icc):
        return bare
    if space_of(picture.icc) == "GRAY" and (curves := curves_of(picture.icc)):
        table = np.floor(255 * srgb_of_light(curves[0](np.linspace(0, 1, 256))) + 0.5).astype(np.uint8)
        return replace(bare, pixels=table[picture.pixels])
    converted = _to_srgb(Image.fromarray(picture.pixels), picture.icc)
    if converted is None:
        lost = "The ICC profile was dropped, and the colours could not be converted to sRGB before."
        return replace(bare, warnings=(*picture.warnings, lost))
    pixels = np.array(converted)
    if picture.grey:  # a neutral colour may come out a level beside itself
        pixels = np.repeat(pixels[:, :, 1:2], 3, axis=2)
    return replace(bare, pixels=pixels)
