"""Convert Exif, XMP, IPTC and texts of a file to the two blocks of a .feds file: Exif and XMP."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image

from ..account import Account, listed
from ..containers.contents import EXIF, GAIN_MAP, IPTC, TEXTS, THUMBNAIL, XMP, Contents
from . import texts, xmp
from .exif import ORIENTATION, TURNS, ExifBlock, with_density


@dataclass(frozen=True)
class Kept:
    """The blocks of an upright picture, and how it was turned before; `is_turned`: Pillow has already turned it."""

    exif: bytes | None
    xmp: bytes | None
    orientation: int
    is_turned: bool


def kept_of(contents: Contents, image: Image.Image, account: Account, colour_space: int | None) -> Kept:
    """The blocks to keep of the contents; the rest goes to the account. `colour_space`: new value for Exif, if any."""
    block = _exif_block(contents, account)
    packet, by_xmp = _packet(contents, account)
    orientation = _orientation(contents, image, block, by_xmp)
    try:
        exif = _edited(block, orientation, colour_space, contents, account)
    except (ValueError, IndexError, OverflowError, struct.error):  # damage that only shows when it is changed
        account.became(EXIF, "Exif was damaged and was not kept.")
        exif = with_density(None, contents.density, account)
    return Kept(exif, _with_texts(packet, contents, account), orientation, image.format == "TIFF")


def _edited(
    block: ExifBlock | None, orientation: int, colour_space: int | None, contents: Contents, account: Account
) -> bytes | None:
    if block is not None:
        if block.make_upright(orientation):
            account.had(THUMBNAIL, "The thumbnail in Exif was left out, as it was not upright.")
        if colour_space is not None:
            block.set_colour_space(colour_space)
    return with_density(block, contents.density, account)


def _exif_block(contents: Contents, account: Account) -> ExifBlock | None:
    if contents.exif is None:
        return None
    try:
        block = ExifBlock(contents.exif)
    except Exception:  # Pillow's parser, which has a look at it too, raises nearly anything
        account.became(EXIF, "Exif was damaged and was not kept.")
        return None
    account.kept(EXIF)
    return block


def _packet(contents: Contents, account: Account) -> tuple[bytes | None, int]:
    """The complete packet in UTF-8 without orientation, and the orientation it had."""
    if contents.xmp is None:
        return None, 0
    try:
        packet = xmp.to_utf8(contents.xmp)
    except ValueError:
        account.became(XMP, "XMP was damaged and was not kept.")
        return None, 0
    account.kept(XMP)
    extension = contents.xmp_extension
    if extension is not None:
        try:
            packet = xmp.joined(packet, extension)
        except ValueError:
            packet = xmp.without_pointer(packet)
            account.had("extension", "The extension of XMP was damaged and was not kept.")
    if account.has(GAIN_MAP):
        packet = xmp.without_gain_map(packet)
    return xmp.upright(packet)


def _orientation(contents: Contents, image: Image.Image, block: ExifBlock | None, by_xmp: int) -> int:
    if contents.turned:  # AVIF and HEIF: what Pillow found in the container, which it tells in Exif
        found = image.info.get("exif") if image.format == "AVIF" else None
        with suppress(Exception):
            exif = Image.Exif()
            exif.load(found or b"")
            return int(exif.get(ORIENTATION, 1))
        return 1
    by_exif = block.orientation if block is not None else None
    orientation = by_xmp if by_exif is None else by_exif
    return orientation if orientation in TURNS else 1


def _with_texts(packet: bytes | None, contents: Contents, account: Account) -> bytes | None:
    if contents.iptc is not None:
        with suppress(ValueError, struct.error, IndexError):
            packet, all_in = texts.with_iptc(packet, contents.iptc)
            if all_in:
                account.kept(IPTC)
            else:
                account.became(IPTC, "Of IPTC only what XMP has a name for, and no value yet, was kept, in XMP.")
    if contents.texts:
        try:
            packet = texts.with_texts(packet, contents.texts)
            account.kept(TEXTS)
            if changed := dict.fromkeys(keyword for keyword, text in contents.texts if not texts.fits(text)):
                account.became(TEXTS, f"The control characters in the text of {listed(changed)} were not kept.")
        except ValueError:
            keywords = listed(dict.fromkeys(keyword for keyword, _ in contents.texts))
            account.became(TEXTS, f"The text of {keywords} was not kept.")
    return packet
