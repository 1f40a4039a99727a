"""Convert IPTC (IIM 4.2) to properties of XMP, as the IPTC Photo Metadata standard maps them."""

from __future__ import annotations

from collections.abc import Iterator

DC, PHOTOSHOP = "dc", "photoshop"
_UTF8 = b"\x1b%G"
_TEXT, _LIST, _ONE = "Alt", "Bag", ""
_ORDERED = "Seq"
PROPERTIES = {  # data set of record 2: namespace, property, kind
    5: (DC, "title", _TEXT), 25: (DC, "subject", _LIST), 40: (PHOTOSHOP, "Instructions", _ONE),
    55: (PHOTOSHOP, "DateCreated", _ONE), 80: (DC, "creator", _ORDERED), 85: (PHOTOSHOP, "AuthorsPosition", _ONE),
    90: (PHOTOSHOP, "City", _ONE), 95: (PHOTOSHOP, "State", _ONE), 101: (PHOTOSHOP, "Country", _ONE),
    103: (PHOTOSHOP, "TransmissionReference", _ONE), 105: (PHOTOSHOP, "Headline", _ONE),
    110: (PHOTOSHOP, "Credit", _ONE), 115: (PHOTOSHOP, "Source", _ONE), 116: (DC, "rights", _TEXT),
    120: (DC, "description", _TEXT), 122: (PHOTOSHOP, "CaptionWriter", _ONE), 15: (PHOTOSHOP, "Category", _ONE),
    20: (PHOTOSHOP, "SupplementalCategories", _LIST), 10: (PHOTOSHOP, "Urgency", _ONE),
}  # fmt: skip
_DATE = 55
_OF_THE_RECORD = (0,)  # its version


def texts_of(block: bytes) -> tuple[dict[int, list[str]], bool]:
    """Texts by data set of record 2, and whether there is anything else. Raises ValueError for a damaged block."""
    found, others, code = dict[int, list[str]](), False, "latin-1"
    for record, number, body in _sets(block):
        if (record, number) == (1, 90):
            code = "utf-8" if body == _UTF8 else "latin-1"
        elif record == 2 and number in PROPERTIES:
            found.setdefault(number, []).append(_as_in_xmp(number, _decoded(body, code)))
        elif record != 1 and not (record == 2 and number in _OF_THE_RECORD):
            others = True
    return found, others


def _as_in_xmp(number: int, text: str) -> str:
    """A date of eight digits becomes one of XMP."""
    is_date = number == _DATE and len(text) == 8 and text.isascii() and text.isdecimal()
    return f"{text[:4]}-{text[4:6]}-{text[6:]}" if is_date else text


def _decoded(body: bytes, code: str) -> str:
    try:
        return body.decode("utf-8" if code == "utf-8" or not body.isascii() else code).strip("\0 ")
    except UnicodeDecodeError:
        return body.decode("latin-1").strip("\0 ")


def _sets(block: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while at + 5 <= len(block) and block[at] == 0x1C:
        record, number, length = block[at + 1], block[at + 2], int.from_bytes(block[at + 3 : at + 5], "big")
        at += 5
        if length & 0x8000:
            size = length & 0x7FFF
            length, at = int.from_bytes(block[at : at + size], "big"), at + size
        if at + length > len(block):
            raise ValueError("a data set that is cut")
        yield record, number, block[at : at + length]
        at += length
    if block[at:].strip(b"\0"):
        raise ValueError("no data sets")
