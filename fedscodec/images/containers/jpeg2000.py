"""JPEG 2000: read the boxes before the codestream, and the sample format in the codestream."""

from __future__ import annotations

from .contents import EXIF, ICC, IPTC, XMP, Contents

_START, _SIZE = b"\xff\x4f\xff\x51", 40
_UUIDS = {
    bytes.fromhex("be7acfcb97a942e89c71999491e3afac"): XMP,
    b"JpgTiffExif->JP2": EXIF,
    bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38"): IPTC,
}
_OF_THE_PICTURE = (b"jP  ", b"ftyp", b"jp2h", b"jp2c", b"rreq")
_ENUMERATED_GIVEN = (0, 12, 15, 16, 17, 18)  # bilevel, CMYK, sRGB, grey, sYCC: what Pillow makes colours of


def inspect(data: bytes) -> Contents:
    """Read what a JPEG 2000 file has besides its pixels."""
    contents = Contents(bits=bits_of(data))
    for kind, body in _boxes(data, 0 if data[4:8] == b"jP  " else len(data)):
        if kind == b"uuid":
            what = _UUIDS.get(body[:16])
            if what:
                contents.found(what, body[16:].removeprefix(b"Exif\0\0") if what == EXIF else body[16:])
            else:
                contents.account.had("A box of the kind uuid")
        elif kind == b"jp2h":
            for inner, colour in _boxes(body, 0):
                if inner == b"colr" and colour[:1] in (b"\2", b"\3"):
                    contents.found(ICC, colour[3:])
                elif inner == b"colr" and int.from_bytes(colour[3:7], "big") not in _ENUMERATED_GIVEN:
                    contents.account.had("The colour space", "The colour space of the file is not known to be sRGB.")
        elif kind not in _OF_THE_PICTURE:
            contents.account.had(f"A box of the kind {kind.decode('ascii', 'backslashreplace').strip()}")
    return contents


def bits_of(data: bytes) -> int:
    """Bits per sample; 8 if the file does not say."""
    start = data.find(_START)
    at = start + _SIZE + 2
    return 8 if start < 0 or at >= len(data) else 1 + (data[at] & 0x7F)


def _boxes(data: bytes, at: int) -> list[tuple[bytes, bytes]]:
    found = []
    while at + 8 <= len(data):
        length, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if length == 1:
            length, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        end = len(data) if length == 0 else at + length
        if end < at + head:
            break
        found.append((kind, data[at + head : end] if kind != b"jp2c" else b""))
        at = end
    return found
