"""Images in memory, and formats without their own module: what Pillow reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image

from ..colour.encodings import by_gamma
from ..metadata.exif import DESCRIPTIVE, EXIF_PREFIX, ORIENTATION
from . import tiff
from .contents import COLOUR, EXIF, ICC, IPTC, XMP, Contents, Density, decoded

_RESOURCE_OF_IPTC = 1028
_OF_A_PROGRAM = ("Created by OpenJPEG", "Kakadu")  # comments that say nothing of the picture
_OF_THE_FILE = frozenset((
    "adobe", "adobe_transform", "aux", "background", "bbox", "bit_depth", "chroma", "comment", "compression",
    "default_image", "depth_images", "disposal", "duration", "extension", "fingerprint", "flavor", "interlace", "jfif",
    "jfif_density", "jfif_unit", "jfif_version", "loop", "metadata", "mp", "mpoffset", "original_orientation",
    "primary", "progression", "progressive", "quality", "resolution", "scale", "srgb", "timestamp", "transparency",
    "version", "xmp", "XML:com.adobe.xmp", "Raw profile type exif",
))  # fmt: skip


def inspect(image: Image.Image, beside: Mapping[str, bytes]) -> Contents:
    """Read what an image has besides its pixels from its info and tags; `beside` replaces icc_profile, exif and xmp."""
    info: dict[Any, Any] = {**image.info, **beside}
    contents = Contents(turned=image.format in ("AVIF", "HEIF"))
    _enter_transparent(image, contents)  # first, as looking for Exif may load the image
    for key, what in (("icc_profile", ICC), ("xmp", XMP)):
        value = info.get(key)
        contents.found(what, value.encode() if isinstance(value, str) else bytes(value or b""))
    _enter_exif(image, info, contents, whole="exif" not in beside)
    if image.format == "TIFF" and (tags := getattr(image, "tag_v2", None)):
        tiff.take(tags, contents)
    photoshop = info.get("photoshop")
    if isinstance(photoshop, dict):
        contents.found(IPTC, photoshop.get(_RESOURCE_OF_IPTC, b""))
    _enter_colour(info, contents)
    enter_words({} if image.format == "TIFF" else info, contents)
    for key, value in info.items():
        if isinstance(key, str) and isinstance(value, str) and key not in _OF_THE_FILE:
            contents.text(key, value)
    return contents


def enter_words(info: Mapping[Any, Any], contents: Contents) -> None:
    """Add resolution and comment from Pillow."""
    if "dpi" in info:
        across, down = info["dpi"]
        contents.resolution(Density(float(across), float(down)))
    comment = info.get("comment", "")
    text = comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)
    if not text.startswith(_OF_A_PROGRAM):
        contents.text("Comment", text)


def _enter_exif(image: Image.Image, info: dict[Any, Any], contents: Contents, *, whole: bool) -> None:
    raw = bytes(info.get("exif") or b"")
    if raw or not whole:
        contents.found(EXIF, raw)
        return
    try:
        tags = image.getexif()
        kept = Image.Exif()
        for tag in (tag for tag in (*DESCRIPTIVE, ORIENTATION) if tag in tags):
            kept[tag] = tags.get_ifd(tag) if tag in (0x8769, 0x8825) else tags[tag]
        from_xmp = contents.xmp is not None and image.format != "TIFF"  # Pillow mixes it in
        contents.found(EXIF, kept.tobytes().removeprefix(EXIF_PREFIX) if kept and not from_xmp else b"")
    except Exception:  # a damaged block makes Pillow's parser raise nearly anything; the pixels are sound
        contents.account.had(EXIF, "Exif was damaged and was not kept.")


def _enter_colour(info: dict[Any, Any], contents: Contents) -> None:
    if contents.icc is not None or "srgb" in info or not ("gamma" in info or "chromaticity" in info):
        return
    gamma = float(info["gamma"]) if "gamma" in info else None
    encoding = by_gamma(gamma, info.get("chromaticity")) if gamma is None or 0.01 <= gamma <= 10 else None
    if encoding is not None and (not encoding.is_as_coded or encoding.primaries):
        contents.encoding = encoding
        contents.account.had(COLOUR)


def _enter_transparent(image: Image.Image, contents: Contents) -> None:
    """The transparent colour, for which Pillow has the samples of the file, whatever it has made of those of pixels."""
    found = image.info.get("transparency")
    if image.mode not in ("1", "L", "I", "I;16", "RGB") or not isinstance(found, int | tuple):
        return
    samples = found if isinstance(found, tuple) else (found,)
    raw = "".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    depth = 16 if image.mode.startswith("I") or ";16" in raw else {"L;2": 2, "L;4": 4}.get(raw, 8)
    if not raw and max(samples) >= 2**depth:  # pixels of 16 bits, of which only the upper 8 are left
        contents.account.had("The transparent colour")
    else:
        contents.transparent = decoded(samples, depth)
