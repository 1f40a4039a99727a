"""WebP: read the chunks of a RIFF file."""

from __future__ import annotations

from .contents import EXIF, ICC, XMP, Contents

_OF_THE_PICTURE = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF")


def inspect(data: bytes) -> Contents:
    """Read what a WebP has besides its pixels."""
    contents, at = Contents(), 12
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data) + 1:
        contents.account.had("end", "The file is cut short: the end of the WebP is missing.")
    while at + 8 <= min(end, len(data)):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + length]
        if kind == b"ICCP":
            contents.found(ICC, body)
        elif kind == b"EXIF":
            contents.found(EXIF, body.removeprefix(b"Exif\0\0"))
        elif kind == b"XMP ":
            contents.found(XMP, body)
        elif kind not in _OF_THE_PICTURE:
            contents.account.had(f"The WebP chunk {kind.decode('ascii', 'backslashreplace')}")
        at += 8 + length + length % 2
    if rest := len(data[end:].strip(b"\0")):
        contents.account.had("behind", f"{rest:,} bytes that follow the picture were not kept.")
    return contents
