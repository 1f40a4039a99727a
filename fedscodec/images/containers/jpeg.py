"""JPEG: read the segments up to the end of the picture, and check what follows it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .contents import EXIF, GAIN_MAP, ICC, THUMBNAIL, XMP, Contents, Density
from .photoshop import read_resources

EXIF_HEAD, XMP_HEAD = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
EXTENSION_HEAD = b"http://ns.adobe.com/xmp/extension/\0"
_ICC_HEAD, _PHOTOSHOP_HEAD = b"ICC_PROFILE\0", b"Photoshop 3.0\0"
_GAIN_MAPS = (b"urn:iso:std:iso:ts:21496:-1", b"http://ns.adobe.com/hdr-gain-map/1.0/", b"aux:hdrgainmap")
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # of a run of FF its end, so that no byte is looked at twice
_END, _COMMENT, _APP0 = 0xD9, 0xFE, 0xE0
_BARE = (0x01, 0xD8, *range(0xD0, 0xD8))  # markers without a length
_OF_THE_DECODER = b"Adobe"


def inspect(data: bytes) -> Contents:
    """Read what a JPEG has besides its pixels."""
    contents, profile, extension = Contents(), dict[int, bytes](), dict[int, bytes]()
    parts = 0
    several = False
    for marker, body in _segments(data, contents):
        if marker == _COMMENT:
            contents.text("Comment", _text(body))
        elif marker == _APP0 and body.startswith(b"JFIF\0") and len(body) >= 12:
            unit, across, down = body[7], int.from_bytes(body[8:10], "big"), int.from_bytes(body[10:12], "big")
            contents.resolution(Density(across, down, {1: 2, 2: 3}.get(unit, 1)))
        elif marker == _APP0 and body.startswith(b"JFXX\0"):
            contents.account.had(THUMBNAIL)
        elif body.startswith(EXIF_HEAD):
            contents.found(EXIF, re.sub(rb"^(Exif\0\0)+", b"", body))  # some cameras write it twice
        elif body.startswith(XMP_HEAD):
            contents.found(XMP, body[len(XMP_HEAD) :])
        elif body.startswith(EXTENSION_HEAD) and len(body) > 75:
            extension[int.from_bytes(body[71:75], "big")] = body[75:]
        elif body.startswith(_ICC_HEAD) and len(body) > 14:
            profile[body[12]], parts = body[14:], body[13]
        elif body.startswith(_PHOTOSHOP_HEAD):
            read_resources(body[len(_PHOTOSHOP_HEAD) :], contents)
        elif body.startswith(b"MPF\0"):
            several = True
        elif marker != 0xEE or not body.startswith(_OF_THE_DECODER):
            _other(marker, body, contents)
    if profile and sorted(profile) == list(range(1, parts + 1)):
        contents.found(ICC, b"".join(profile[number] for number in sorted(profile)))
    elif profile:
        contents.account.had(ICC, "The ICC profile was damaged and was not kept.")
    if extension:
        contents.xmp_extension = _joined(extension)
    if any(name in data for name in _GAIN_MAPS):
        contents.account.had(GAIN_MAP)
    if several:
        contents.account.kept("behind")  # its frames are counted
    return contents


def _segments(data: bytes, contents: Contents) -> Iterator[tuple[int, bytes]]:
    """Application segments and comments; reports how the picture ends."""
    at = 2
    while (found := _MARKER.search(data, at)) is not None:
        at, marker = found.end(), data[found.end() - 1]
        if marker == _END:
            rest = data[at:].strip(b"\0")
            if rest:
                contents.account.had("behind", f"{len(rest):,} bytes that follow the picture were not kept.")
            return
        if marker in _BARE:
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        if 0xE0 <= marker <= 0xEF or marker == _COMMENT:
            yield marker, data[at + 2 : at + length]
        at += max(length, 2)
    contents.account.had("end", "The file is cut short: the end of the JPEG is missing.")


def _other(marker: int, body: bytes, contents: Contents) -> None:
    if body.startswith(_GAIN_MAPS):
        return
    name = re.sub(rb"[^ -~].*", b"", body[:24], flags=re.DOTALL).decode("ascii").strip()
    if marker == 0xEB and b"jumb" in body[:32]:
        contents.account.had("JUMBF", "The content credentials (JUMBF) were not kept.")
        return
    called = f"The JPEG segment APP{marker - _APP0}" + (f" ({name})" if name else "")
    contents.account.had(called)


def _joined(parts: dict[int, bytes]) -> bytes:
    """Join an XMP extension from its parts by their offsets; empty, which is never valid, if one is missing."""
    whole = bytearray()
    for offset in sorted(parts):
        if offset != len(whole):
            return b""
        whole += parts[offset]
    return bytes(whole)


def _text(body: bytes) -> str:
    try:
        return body.rstrip(b"\0").decode("utf-8")
    except UnicodeDecodeError:
        return body.rstrip(b"\0").decode("latin-1")
