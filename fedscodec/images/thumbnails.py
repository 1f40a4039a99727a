"""Thumbnails: a small picture that file managers and browsers can show without a network."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
from PIL import Image, features

from ..boxes import PREVIEW_AT_MOST, PREVIEW_SIDE, preview_size
from ..errors import FormatError
from .colour.profiles import stripped
from .picture import Picture
from .resizing import resize
from .writing import to_pil

_QUALITIES = ((60, 100), (40, 100), (20, 100), (0, 100), (0, 70), (0, 30), (0, 10))
"""Of colours and of alpha, which is exact at 100. Kodak takes 340 to 1000 bytes with the first, 600 in the mean."""
_ROWS = 32  # reduced at once, so that no copy of a large picture is made


def pack_thumbnail(picture: Picture) -> bytes | None:
    """A WebP with a longer side of at most 64 pixels, in sRGB; None if it takes more than 2048 bytes.

    Also None if Pillow was built without WebP.
    """
    if not features.check("webp"):
        return None
    longer = max(picture.width, picture.height)
    scale, by = min(1.0, PREVIEW_SIDE / longer), max(1, longer // (4 * PREVIEW_SIDE))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    alpha = None if picture.alpha is None else _reduced(picture.alpha, by)
    part = picture.width / by, picture.height / by
    small = stripped(resize(replace(picture, pixels=_reduced(picture.pixels, by), alpha=alpha), *size, of=part))
    for quality, of_alpha in _QUALITIES:
        buffer = BytesIO()
        to_pil(small).save(buffer, "WEBP", quality=quality, alpha_quality=of_alpha, method=6)
        if len(buffer.getvalue()) <= PREVIEW_AT_MOST:
            return buffer.getvalue()
    return None


def unpack_thumbnail(payload: bytes) -> Picture:
    """The picture in the payload of a preview box. Raises FormatError if such a box may not hold it."""
    if (size := preview_size(payload)) is None:
        raise FormatError(f"the prev box should hold a WebP of at most {PREVIEW_SIDE}x{PREVIEW_SIDE} pixels")
    try:
        image = Image.open(BytesIO(payload), formats=["WEBP"])
        if image.size != size:
            raise ValueError(f"{image.width}x{image.height} pixels where {size[0]}x{size[1]} are promised")
        samples = np.array(image.convert("RGBA"))
    except Exception as error:  # each of Pillow's readers has its own way to say no
        raise FormatError(f"the prev box should hold a valid WebP, found: {error}") from error
    alpha = samples[:, :, 3] if "A" in image.getbands() else None
    return Picture(np.ascontiguousarray(samples[:, :, :3]), alpha=alpha)


def _reduced(plane: np.ndarray, by: int) -> np.ndarray:
    """Samples [H, W] or [H, W, 3], with each side divided by an integer and rounded up."""
    if by == 1:
        return plane
    rows = by * _ROWS
    strips = (Image.fromarray(plane[top : top + rows]).reduce(by) for top in range(0, len(plane), rows))
    return np.concatenate([np.asarray(strip) for strip in strips])
