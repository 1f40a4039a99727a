"""What stands beside the pixels of a file: Exif, XMP, and the orientation, which is applied and then cut out."""

from __future__ import annotations

import re
import struct

from PIL import Image

ORIENTATION = 0x0112  # tags of TIFF and Exif
_INTEROP = 0xA005
_DIRECTORIES = (0x8769, 0x8825)  # where Exif proper and GPS hang
# What a first directory says of the picture (makers, words, dates), and not of the strips of one file.
_DESCRIPTIVE = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298, *_DIRECTORIES)
TURNS = {value: Image.Transpose(turn) for value, turn in enumerate((0, 3, 1, 5, 4, 6, 2), start=2)}
"""What makes a picture of an orientation upright."""
EXIF_PREFIX = b"Exif\0\0"
_XMP_TURN = re.compile(rb'\s*tiff:Orientation="[0-9]"|<tiff:Orientation>[0-9]</tiff:Orientation>')


def exif_and_xmp(image: Image.Image, notes: list[str]) -> tuple[bytes | None, bytes | None, int]:
    """The Exif and XMP that are kept, and the orientation, of which they no longer tell; notes get what is lost."""
    xmp, orientation = image.info.get("xmp") or None, 1
    try:
        orientation, exif = image.getexif().get(ORIENTATION, 1), _exif_bytes(image)
        if orientation != 1:  # 0 and nonsense too, as writers trip over them
            exif = exif and _without_orientation(exif)
    except Exception:  # a damaged block makes Pillow's parser raise nearly anything; the pixels are sound
        exif = None
        notes.append("Exif was damaged and was not kept.")
    return exif, _XMP_TURN.sub(b"", xmp) if xmp and orientation in TURNS else xmp, orientation


def _exif_bytes(image: Image.Image) -> bytes | None:
    raw = re.sub(rb"^(Exif\0\0)+", b"", image.info.get("exif") or b"")  # some cameras write it twice
    Image.Exif().load(raw)  # raises if it is damaged, while getexif does so only when it is first called
    # TIFF has its Exif among its own tags; old PNG files have it in a text chunk that Pillow takes apart.
    kept = None if raw else described(image.getexif())
    return kept.tobytes().removeprefix(EXIF_PREFIX) if kept else raw or None


def described(exif: Image.Exif) -> Image.Exif:
    """What an Exif block says of the picture, without what it says of the file it stood in."""
    kept = Image.Exif()
    for tag in (tag for tag in _DESCRIPTIVE if tag in exif):
        kept[tag] = exif[tag]
        if tag in _DIRECTORIES:  # of Interop there is only an offset in it, which would point nowhere
            kept[tag] = {key: value for key, value in exif.get_ifd(tag).items() if key != _INTEROP}
    return kept


def _without_orientation(exif: bytes) -> bytes | None:
    # In place, so that every offset stays true: Exif.tobytes moves maker notes, which hold absolute ones.
    # The link to the second directory is cut: that is a thumbnail, which was not turned.
    order = {b"II": "<", b"MM": ">"}[exif[:2]]
    start = struct.unpack_from(f"{order}I", exif, 4)[0]
    count = struct.unpack_from(f"{order}H", exif, start)[0]
    end = start + 2 + 12 * count
    entries = [exif[at : at + 12] for at in range(start + 2, end, 12)]
    kept = [entry for entry in entries if struct.unpack_from(f"{order}H", entry)[0] != ORIENTATION]
    table = struct.pack(f"{order}H", len(kept)) + b"".join(kept)
    return exif[:start] + table.ljust(end + 4 - start, b"\0") + exif[end + 4 :] if kept else None
