"""Write pictures as Pillow images and as files of Pillow's formats, and report what a format cannot hold."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from ..errors import OutputError
from .account import Account
from .alpha.transparency import on_white
from .colour.icc import colour_of_grey, is_for_colour, space_of
from .containers.contents import Density
from .containers.jpeg import EXTENSION_HEAD
from .metadata import xmp as packets
from .metadata.exif import EXIF_PREFIX, ExifBlock
from .metadata.texts import texts_in
from .picture import Picture
from .writers.tiff_file import tiff_bytes

# On kodim19, PNG level 3 takes 57 ms for 680 kB, level 6 158 ms for 678 kB; AVIF 95 gives 44.4 dB in 0.35 s
# at speed 8, 44.5 dB in 1.03 s at 6. TIFF is uncompressed.
_WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 3}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".webp": ("WEBP", {"lossless": True, "quality": 20, "method": 1, "exact": True}),
    ".tif": ("TIFF", {}),
    ".avif": ("AVIF", {"quality": 95, "subsampling": "4:4:4", "speed": 8}),
    ".bmp": ("BMP", {}),
    ".ppm": ("PPM", {}),
}
_ALIASES = {".jpeg": ".jpg", ".tiff": ".tif", ".pgm": ".ppm", ".pnm": ".ppm"}
_OPAQUE, _BARE = ("JPEG", "BMP", "PPM"), ("BMP", "PPM")  # formats without alpha, and without anything beside pixels
_WITHOUT_GREY = ("WEBP", "AVIF")  # for whoever reads them, of AVIF
_WITH_RESOLUTION = ("PNG", "JPEG", "BMP")
_SEGMENT = 65533  # bytes in a segment of JPEG
_MOST_DPI_OF_JPEG = 2**16
_HEAD_OF_PNG = 33  # bytes of the signature and IHDR
_TEXT_OF_PNG = 2**20  # what readers of PNG take
WRITABLE_SUFFIXES = tuple(sorted((*_WRITERS, *_ALIASES)))
LOSSY_SUFFIXES = (".jpg", ".jpeg", ".webp", ".avif")
"""Those of formats that a quality can be given for."""
_AT_A_QUALITY: dict[str, dict[str, Any]] = {"JPEG": {}, "WEBP": {"method": 4}, "AVIF": {"speed": 6}}


def to_pil(picture: Picture) -> Image.Image:
    """A Pillow image of mode L (grey) or RGB, with alpha LA or RGBA; its info has icc_profile, exif and xmp if present.
    Grey with a colour profile becomes RGB, because the profile would not fit otherwise.
    """
    image = Image.fromarray(picture.pixels[:, :, 0] if is_written_grey(picture) else picture.pixels)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    exif = picture.exif and EXIF_PREFIX + picture.exif
    beside = (("icc_profile", picture.icc), ("exif", exif), ("xmp", picture.xmp))
    image.info.update((key, value) for key, value in beside if value)
    return image


def is_written_grey(picture: Picture) -> bool:
    """Whether the picture is written with one channel of colour."""
    return picture.grey and not (picture.icc and is_for_colour(picture.icc))


def picture_bytes(
    picture: Picture, format: str = "png", *, quality: int | None = None, name: str = "the picture"
) -> bytes:
    """Encode a picture as a file of `format`: one of WRITABLE_SUFFIXES, with or without the dot.

    Includes ICC, Exif, XMP and alpha if the format has them (see `not_kept`). JPEG and AVIF are lossy, at quality 95;
    with `quality` from 1 to 100 WebP is, too. Raises OutputError, about `name`, for an unknown format, for a quality of
    another format, and for a picture that the format cannot hold.
    """
    suffix = f".{format.lower().removeprefix('.')}"
    if suffix not in WRITABLE_SUFFIXES:
        raise OutputError(f"{name}: expected a suffix among {' '.join(WRITABLE_SUFFIXES)}, found {suffix}")
    kind, options = _WRITERS[_ALIASES.get(suffix, suffix)]
    if quality is not None:
        if suffix not in LOSSY_SUFFIXES:
            expected = " ".join(LOSSY_SUFFIXES)
            raise OutputError(f"{name}: {suffix} is without loss, expected one of {expected} for a quality")
        options = {**_AT_A_QUALITY[kind], "quality": quality}
    if suffix == ".pgm" and not picture.grey:
        raise OutputError(f"{name}: is a picture of colours, and .pgm holds grey only; expected .ppm")
    fitted, buffer = _fitted(picture, kind, Account()), BytesIO()
    image = to_pil(fitted)
    try:
        if kind == "TIFF":
            return tiff_bytes(np.atleast_3d(np.asarray(image)), fitted.exif, fitted.icc, fitted.xmp)
        image.save(buffer, kind, **options, **_beside(fitted, image, kind))
    except Exception as error:  # each of Pillow's writers has its own way to say no
        raise OutputError(f"{name}: expected a picture that {kind} can hold, found: {error}") from error
    return _with_ratio(buffer.getvalue(), _density_of(fitted)) if kind == "PNG" else buffer.getvalue()


def not_kept(picture: Picture, format: str) -> tuple[str, ...]:
    """Sentences about what a format, named as in `picture_bytes`, cannot hold of the picture."""
    suffix = f".{format.lower().removeprefix('.')}"
    kind, _ = _WRITERS.get(_ALIASES.get(suffix, suffix), ("", {}))
    account = Account()
    _fitted(picture, kind, account)
    return account.sentences


def _fitted(picture: Picture, kind: str, account: Account) -> Picture:
    """What a format can hold of a picture; the rest goes to the account."""
    return _with_what_fits(_without_damaged(picture, kind, account), kind, account)


def _without_damaged(picture: Picture, kind: str, account: Account) -> Picture:
    """The picture without damaged Exif and XMP, which would make a format's writer fail."""
    if kind == "AVIF" and picture.exif and not _is_exif(picture.exif):
        account.had("exif", "Its Exif is damaged: it was left out.")
        picture = replace(picture, exif=None)
    if kind == "JPEG" and picture.xmp and len(picture.xmp) > _SEGMENT // 2 and not _is_utf_8(picture.xmp):
        account.had("xmp", "Its XMP is damaged: it was left out.")
        picture = replace(picture, xmp=None)
    return picture


def _is_exif(exif: bytes) -> bool:
    try:
        Image.Exif().load(EXIF_PREFIX + exif)
    except Exception:  # Pillow meets damage with SyntaxError, struct.error and more
        return False
    return True


def _is_utf_8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _with_what_fits(picture: Picture, kind: str, account: Account) -> Picture:
    if kind in _OPAQUE and picture.alpha is not None:
        account.had("alpha", f"{kind} has no transparency: the picture was put on white.")
        picture = on_white(picture)
    if kind in _BARE:
        beside = (("ICC profile", picture.icc), ("Exif", picture.exif), ("XMP", picture.xmp))
        if bare := [name for name, there in beside if there]:
            account.had("beside", f"{kind} has no place for {', '.join(bare)}.")
        return picture if kind == "BMP" else replace(picture, icc=None, exif=None, xmp=None)
    if picture.icc and not (picture.grey and kind not in _WITHOUT_GREY):
        picture = _with_fitting_profile(picture, account)
    if picture.exif and kind == "JPEG" and len(picture.exif) + len(EXIF_PREFIX) + 2 > _SEGMENT:
        account.had("exif", f"JPEG holds 64 kB of Exif: its {len(picture.exif):,} bytes were left out.")
        return replace(picture, exif=None)
    if picture.exif and kind == "TIFF":
        return _with_exif_for_tiff(picture, account)
    return picture


def _with_fitting_profile(picture: Picture, account: Account) -> Picture:
    """Replace a grey profile for a colour file: by the same curve for colour, or by none."""
    if picture.icc is None or space_of(picture.icc) != "GRAY":
        return picture
    made = colour_of_grey(picture.icc) if picture.grey else None
    if made is None:
        account.had("icc", "The ICC profile is for grey, and was left out of a file of colours.")
    return replace(picture, icc=made)


def _with_exif_for_tiff(picture: Picture, account: Account) -> Picture:
    try:
        block = ExifBlock(picture.exif or b"")
    except Exception:  # Pillow's parser raises nearly anything
        account.had("exif", "Exif is damaged and was left out.")
        return replace(picture, exif=None)
    if block.without_thumbnail():
        account.had("thumbnail", "The thumbnail in Exif was left out, as TIFF would take it for a page.")
    return replace(picture, exif=bytes(block.data))


def _beside(picture: Picture, image: Image.Image, kind: str) -> dict[str, Any]:
    # ICC, Exif, XMP, texts and resolution as each of Pillow's writers wants to be told of them.
    density = _density_of(picture)
    arguments: dict[str, Any] = {}
    if density is not None and density.unit != 1 and kind in _WITH_RESOLUTION:
        inches = 2.54 if density.unit == 3 else 1
        across, down = density.across * inches, density.down * inches
        if kind != "JPEG" or max(across, down) < _MOST_DPI_OF_JPEG:  # more is in Exif
            arguments["dpi"] = (across, down)
    if kind in _BARE:
        return arguments
    arguments |= {str(key): value for key, value in image.info.items()}
    if kind == "PNG":
        arguments["pnginfo"] = _png_texts(picture.xmp)
    if kind == "JPEG":
        comment = next((text.encode() for keyword, text in texts_in(picture.xmp) if keyword == "Comment"), b"")
        arguments |= {"comment": comment} if 0 < len(comment) < _SEGMENT else {}
        arguments |= _long_xmp(arguments.pop("xmp", b""))
    return arguments


def _png_texts(xmp: bytes | None) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    if xmp:
        chunks.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
    for keyword, text in texts_in(xmp):
        if 1 <= len(keyword) <= 79 and keyword.isascii() and keyword.isprintable() and len(text) < _TEXT_OF_PNG:
            chunks.add_text(keyword, text) if text.isascii() else chunks.add_itxt(keyword, text)
    return chunks


def _with_ratio(png: bytes, density: Density | None) -> bytes:
    """Add the aspect ratio of the pixels to a PNG, which Pillow cannot write."""
    if density is None or density.unit != 1:
        return png
    ratio = density.across / density.down
    sides = (round(ratio * 10000), 10000) if ratio < 1 else (10000, round(10000 / ratio))
    body = b"pHYs" + struct.pack(">IIB", *sides, 0)
    return png[:_HEAD_OF_PNG] + struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body)) + png[_HEAD_OF_PNG:]


def _long_xmp(xmp: bytes) -> dict[str, Any]:
    """XMP for JPEG: in one segment, or in a short one and an extension."""
    if not xmp:
        return {}
    if len(xmp) + 29 + 2 <= _SEGMENT:
        return {"xmp": xmp}
    short, parts = packets.parted(xmp)
    bodies = [EXTENSION_HEAD + part for part in parts]
    return {"xmp": short, "extra": b"".join(b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body for body in bodies)}


def _density_of(picture: Picture) -> Density | None:
    if not picture.exif:
        return None
    try:
        density = ExifBlock(picture.exif).density
    except Exception:  # Pillow's parser raises nearly anything
        return None
    return density if density is not None and density.says_something else None
