"""Read alpha, and remove it for formats without it; `planes` stores it.

Invisible colours cost bits and bleed into their neighbours, so under full transparency they are replaced by a smooth
continuation of the visible ones. Everywhere else colours are straight (not premultiplied), as in PNG.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from ..picture import Picture


def straight(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours (L or RGB) of an image with transparency, with invisible ones replaced, and its alpha (L).

    The alpha is None if everything is opaque.
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


def on_white(picture: Picture) -> Picture:
    """The picture without alpha, on a white background."""
    if picture.alpha is None:
        return picture
    canvas = Image.new("RGB", (picture.width, picture.height), "white")
    canvas.paste(Image.fromarray(picture.pixels), mask=Image.fromarray(picture.alpha))
    return replace(picture, pixels=np.array(canvas), alpha=None)
