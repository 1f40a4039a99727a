"""Alpha, ICC profile, Exif and XMP of a picture as boxes of a file, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..boxes import ALPHA, EXIF, ICC, OPAQUE, PREVIEW, PREVIEW_AT_MOST, SRGB, STREAM_CHECKS, XMP, pack_boxes
from ..errors import FormatError
from ..fileformat import FedsFile, pack
from ..images import Beside, Picture, means_srgb, pack_alpha, srgb_profile, unpack_alpha, unpack_thumbnail

PREVIEW_SHARE = 200  # of a file, what a preview may take where nobody asked for it: few files below 70 kB have one
_SMALLEST_PREVIEW = 100  # bytes, of a picture of one colour


def boxes_of(picture: Picture) -> dict[bytes, bytes]:
    """The boxes for what a picture has besides its colours."""
    is_srgb = bool(picture.icc) and means_srgb(picture.icc or b"")
    alpha = None if picture.alpha is None else pack_alpha(picture.alpha)
    boxes = {ICC: None if is_srgb else picture.icc, EXIF: picture.exif, XMP: picture.xmp, ALPHA: alpha}
    return {kind: payload for kind, payload in boxes.items() if payload} | ({SRGB: b""} if is_srgb else {})


def is_as_asked(file: FedsFile, wanted: Beside, *, stream_checks: bool | None, preview: bool | None) -> bool:
    """Whether a file has exactly the profile, Exif and XMP of a picture, and the requested boxes."""
    boxes = boxes_of(Picture(np.zeros((1, 1, 3), np.uint8), icc=wanted.icc, exif=wanted.exif, xmp=wanted.xmp))
    same = all(file.boxes.get(kind) == boxes.get(kind) for kind in (ICC, SRGB, EXIF, XMP))
    asked = ((STREAM_CHECKS, stream_checks), (PREVIEW, preview))
    return same and all(there is None or there == (kind in file.boxes) for kind, there in asked)


def with_boxes(
    colours: Picture,
    file: FedsFile,
    faults: list[str] | None = None,
    *,
    to_fit: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Picture:
    """The picture with the alpha and metadata of a file. Raises FormatError if its alpha is damaged.

    With `faults`, it is opaque instead, and a sentence about that is added to them. `to_fit` makes the alpha of the
    whole picture fit colours of a part of it or of another size.
    """
    icc, exif, xmp = (file.boxes.get(kind) for kind in (ICC, EXIF, XMP))
    icc = srgb_profile() if SRGB in file.boxes else icc
    try:
        alpha = alpha_of(file)
    except FormatError as error:
        if faults is None:
            raise
        faults.append(f"{error}; {OPAQUE}")
        alpha = None
    alpha = to_fit(alpha) if to_fit and alpha is not None else alpha
    return replace(colours, icc=icc, exif=exif, xmp=xmp, alpha=alpha)


def alpha_of(file: FedsFile) -> np.ndarray | None:
    """The alpha plane uint8 [H, W] of a file, or None if all is opaque. Raises FormatError if it is damaged."""
    packed = file.boxes.get(ALPHA)
    return None if packed is None else unpack_alpha(packed, file.header.width, file.header.height)


def add_preview(file: FedsFile, make: Callable[[], bytes | None], wanted: bool | None) -> None:
    """Add the preview from `make` to a file; with None, only if it takes at most 1/PREVIEW_SHARE of the file.

    `make` is not called if the preview could not fit.
    """
    most = PREVIEW_AT_MOST if wanted else len(pack(file)) // PREVIEW_SHARE
    if wanted is False or most < _SMALLEST_PREVIEW or (payload := make()) is None:
        return
    if wanted or len(pack_boxes({PREVIEW: payload})) <= most:
        file.boxes[PREVIEW] = payload


def preview_of(file: FedsFile, *, name: str = "the file") -> Picture:
    """The preview stored in a file. Raises FormatError if there is none, or a damaged one."""
    if PREVIEW not in file.boxes:
        raise FormatError(f"{name}: has no preview (use --size 64 to make one from its streams)")
    try:
        return unpack_thumbnail(file.boxes[PREVIEW])
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error


def changed_beside(picture: Picture, file: FedsFile) -> list[str]:
    """Which of a picture's size, grey, alpha, ICC profile, Exif and XMP do not come back from its file.

    Raises FormatError if its alpha is damaged. A profile that means sRGB may come back as an equivalent one.
    """
    header = file.header
    nothing = np.broadcast_to(np.uint8(0), (header.height, header.width, 3))  # which takes no memory
    found = with_boxes(Picture(nothing, header.grey), file)
    icc = srgb_profile() if picture.icc and means_srgb(picture.icc) else picture.icc
    same = {
        "size": (header.width, header.height) == (picture.width, picture.height),
        "kind (grey or colour)": found.grey == picture.grey,
        "alpha": _same_plane(picture.alpha, found.alpha),
        "ICC profile": (icc or None) == found.icc,
        "Exif": (picture.exif or None) == found.exif,
        "XMP": (picture.xmp or None) == found.xmp,
    }
    return [what for what, is_same in same.items() if not is_same]


def _same_plane(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return (a is None) == (b is None) and (a is None or b is None or np.array_equal(a, b))
