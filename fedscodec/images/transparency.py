"""Alpha: how it comes in, how it is stored without loss, and what becomes of it where a format has none.

Colours that no one can see cost bits and bleed into those beside them, so under full transparency they are replaced by
a smooth continuation of what is visible. Everywhere else colours are straight, as PNG has them, and are coded as such.
"""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import FormatError
from .picture import Picture

_WEBP_SIDE_AT_MOST = 16383
_KINDS = {b"\x89PNG": "PNG", b"RIFF": "WEBP"}


def straight(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Colours (L or RGB) of an image with transparency, continued under what is invisible, and its alpha (L).

    The alpha is None where everything is opaque.
    """
    grey = image.mode in ("1", "L", "LA", "La")
    image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    alpha = image.getchannel("A")
    lowest, _ = alpha.getextrema()
    colours = image.convert("RGB") if lowest else _continued(image)
    return colours.getchannel("R") if grey else colours, None if lowest == 255 else alpha


def _continued(image: Image.Image) -> Image.Image:
    # From coarse to fine: each level paints what it knows over the enlarged level before.
    premultiplied, sizes = image.convert("RGBa"), [1]
    while max(image.size) > sizes[-1]:
        sizes.append(2 * sizes[-1])
    canvas = Image.new("RGB", (1, 1), "white")
    for size in reversed(sizes[1:]):
        level = premultiplied.reduce(size).convert("RGBA")
        canvas = canvas.resize(level.size, Image.Resampling.BILINEAR)
        canvas.paste(level.convert("RGB"), mask=_visible(level))
    canvas = canvas.resize(image.size, Image.Resampling.BILINEAR)
    canvas.paste(image.convert("RGB"), mask=_visible(image))
    return canvas


def _visible(image: Image.Image) -> Image.Image:
    return image.getchannel("A").point([0] + 255 * [255])


def pack_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """The plane [H, W] as PNG or as lossless WebP, whichever is smaller."""
    image, files = Image.fromarray(alpha), []
    for kind, options in (("PNG", {"optimize": True}), ("WEBP", {"lossless": True, "quality": 100})):
        if kind == "PNG" or max(image.size) <= _WEBP_SIDE_AT_MOST:
            buffer = BytesIO()
            image.save(buffer, kind, **options)
            files.append(buffer.getvalue())
    return min(files, key=len)


def unpack_alpha(payload: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """The plane uint8 [H, W] in a payload; FormatError, before it is decoded, unless it is of that size."""
    kind = _KINDS.get(payload[:4])
    if kind is None:
        raise FormatError(f"the ALPH box should hold a PNG or WebP, found the bytes {payload[:4].hex()}")
    try:
        with Image.open(BytesIO(payload), formats=[kind]) as image:
            if image.size != (width, height):
                found = f"{image.width}x{image.height}"
                raise FormatError(f"the ALPH box should hold {width}x{height} pixels, found {found}")
            if image.mode not in ("L", "1", "RGB"):
                raise FormatError(f"the ALPH box should hold one plane of 8 bits, found mode {image.mode}")
            return np.array(image.convert("RGB").getchannel("R") if image.mode == "RGB" else image.convert("L"))
    except FormatError:
        raise
    except Exception as error:  # a reader meets damage with nearly anything
        raise FormatError(f"the ALPH box should hold a sound {kind}, found: {error}") from error


def on_white(picture: Picture) -> Picture:
    """The picture without alpha, as it looks on white."""
    if picture.alpha is None:
        return picture
    canvas = Image.new("RGB", (picture.width, picture.height), "white")
    canvas.paste(Image.fromarray(picture.pixels), mask=Image.fromarray(picture.alpha))
    return replace(picture, pixels=np.array(canvas), alpha=None)
