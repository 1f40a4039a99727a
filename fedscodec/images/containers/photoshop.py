"""Photoshop image resources in JPEG (APP13), TIFF and PSD; IPTC is one of them."""

from __future__ import annotations

from .contents import IPTC, Contents, Density

_IPTC, _DENSITY = 0x0404, 0x03ED
_OF_THE_PROGRAM = "The image resources of Photoshop"


def read_resources(block: bytes, contents: Contents) -> None:
    """Read IPTC and resolution; report the rest."""
    at = 0
    while block[at : at + 4] == b"8BIM":
        kind, name = int.from_bytes(block[at + 4 : at + 6], "big"), block[at + 6] if at + 6 < len(block) else 0
        at += 6 + (name + 2) // 2 * 2
        length = int.from_bytes(block[at : at + 4], "big")
        body = block[at + 4 : at + 4 + length]
        if kind == _IPTC:
            contents.found(IPTC, body)
        elif kind == _DENSITY and len(body) == 16:
            across, down = (int.from_bytes(body[start : start + 4], "big") / 65536 for start in (0, 8))
            contents.resolution(Density(across, down))
        else:
            contents.account.had(_OF_THE_PROGRAM, f"{_OF_THE_PROGRAM} were not kept.")
        at += 4 + length + length % 2
