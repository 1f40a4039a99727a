"""AVIF and HEIF: the items of a file (ISO/IEC 23008-12) and the properties of the first picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..colour.encodings import by_code_points
from .contents import COLOUR, EXIF, GAIN_MAP, ICC, THUMBNAIL, XMP, Contents

_GAIN_MAP_OF_APPLE = b"urn:com:apple:photo:2020:aux:hdrgainmap"
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_XMP_TYPE = b"application/rdf+xml"
_KEPT_OR_NEEDED = ("av01", "hvc1", "grid", "iden", "iovl", "hvt1", "avc1", "j2k1", "unci", "tmap")
_BRANDS_OF_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


@dataclass
class _Item:
    kind: str
    mime: bytes = b""
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)
    extents: list[tuple[int, int, int]] = field(default_factory=list)  # construction, offset, length
    points_at: list[tuple[bytes, int]] = field(default_factory=list)


@dataclass
class _Meta:
    primary: int = 0
    items: dict[int, _Item] = field(default_factory=dict)
    idat: bytes = b""


def inspect(data: bytes) -> Contents:
    """Read what an AVIF or HEIF has besides its pixels; skip what cannot be parsed."""
    contents = Contents(turned=True, bits=bits_of(data))
    meta = _meta(data)
    if meta is None:
        return contents
    of_picture = meta.items.get(meta.primary, _Item("")).properties
    blocks = {what: item for item in reversed(meta.items.values()) if (what := _block_in(item))}  # the first of each
    for what, item in blocks.items():
        block = _content(item, meta, data)
        start = 4 + int.from_bytes(block[:4], "big") if what == EXIF else 0  # where the TIFF header stands
        contents.found(what, block[start:])
    for item in meta.items.values():
        if _block_in(item) is None:
            _account_for(item, contents)
    _enter_colour(of_picture, contents)
    for kind, name in ((b"clap", "The clean aperture (a crop)"), (b"pasp", "The pixel aspect")):
        body = next((body for own, body in of_picture if own == kind), None)
        if body is not None and not (kind == b"pasp" and body[:4] == body[4:8]):
            contents.account.had(name)
    return contents


def bits_of(data: bytes) -> int:
    """Bits per sample of the first picture; 8 if the file does not say."""
    meta = _meta(data)
    tiles = [] if meta is None else [p for item in meta.items.values() for p in item.properties]
    bits = 8
    for kind, body in tiles:
        if kind == b"av1C" and len(body) >= 3 and body[2] & 0x40:
            bits = max(bits, 12 if body[2] & 0x20 else 10)
        elif kind == b"hvcC" and len(body) > 17:
            bits = max(bits, 8 + (body[17] & 7))
    return bits


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height from the file."""
    meta = _meta(data)
    found = [] if meta is None else meta.items.get(meta.primary, _Item("")).properties
    body = next((body for kind, body in found if kind == b"ispe" and len(body) >= 12), None)
    return None if body is None else (int.from_bytes(body[4:8], "big"), int.from_bytes(body[8:12], "big"))


def kind_of(prefix: bytes) -> str | None:
    """`AVIF`, `HEIC` or `HEIF` by the first bytes of a file; None for others."""
    if prefix[4:8] != b"ftyp":
        return None
    brands = [prefix[8:12], *(prefix[at : at + 4] for at in range(16, min(len(prefix), 64), 4))]
    if any(brand in (b"avif", b"avis") for brand in brands):
        return "AVIF"
    if any(brand in _BRANDS_OF_HEIC[:6] for brand in brands):
        return "HEIC"
    return "HEIF" if any(brand in _BRANDS_OF_HEIC for brand in brands) else None


def _block_in(item: _Item) -> str | None:
    """The block that an item holds, as `Contents` names it."""
    if item.kind == "mime" and item.mime.startswith(_XMP_TYPE):
        return XMP
    return EXIF if item.kind == "Exif" else None


def _account_for(item: _Item, contents: Contents) -> None:
    if item.kind == "tmap":
        contents.account.had(GAIN_MAP)
    elif any(kind == b"thmb" for kind, _ in item.points_at):
        contents.account.had(THUMBNAIL)
    elif any(kind == b"auxl" for kind, _ in item.points_at):
        about = next((body[4:].split(b"\0")[0] for kind, body in item.properties if kind == b"auxC"), b"")
        if about == _GAIN_MAP_OF_APPLE:
            contents.account.had(GAIN_MAP)
        elif about not in _ALPHA:
            name = about.rpartition(b":")[2].decode("ascii", "replace") or "unnamed"
            contents.account.had(f"An auxiliary picture ({name})")
    elif item.kind not in _KEPT_OR_NEEDED:
        contents.account.had(f"The item {item.kind} of the file")


def _enter_colour(properties: list[tuple[bytes, bytes]], contents: Contents) -> None:
    for kind, body in properties:
        if kind != b"colr":
            continue
        if body[:4] in (b"prof", b"rICC"):
            contents.found(ICC, body[4:])
        elif body[:4] == b"nclx" and len(body) >= 10 and contents.encoding is None:
            primaries, transfer, _ = struct.unpack(">HHH", body[4:10])
            contents.encoding = by_code_points(primaries, transfer)
    if contents.icc is not None:
        contents.encoding = None  # a profile counts before
    elif contents.encoding is not None:
        contents.account.had(COLOUR)


def _content(item: _Item, meta: _Meta, data: bytes) -> bytes:
    """The bytes of an item; none if its extents together are longer than the file, and so overlap."""
    parts, left = [], len(data)
    for construction, offset, length in item.extents:
        source = meta.idat if construction == 1 else data
        part = source[offset : offset + length] if length else source[offset:]
        left -= len(part)
        if left < 0:
            return b""
        parts.append(part)
    return b"".join(parts)


# ── Boxes ─────────────────────────────────────────────────────────────────────────────────────────────────


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, first byte and end of every box in a range."""
    while at + 8 <= end:
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        start = at + 8
        if length == 1:
            length, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        last = end if length == 0 else at + length
        if last < start or last > end:
            return
        yield kind, start, last
        at = last


def _meta(data: bytes) -> _Meta | None:
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"meta":
            meta = _Meta()
            try:
                for inner, first, last in _boxes(data, start + 4, end):
                    if reader := _READERS.get(inner):
                        reader(meta, data[first:last])
            except (struct.error, IndexError, KeyError):
                return None
            return meta
    return None


def _primary(meta: _Meta, body: bytes) -> None:
    meta.primary = int.from_bytes(body[4:8] if body[0] else body[4:6], "big")


def _infos(meta: _Meta, body: bytes) -> None:
    for kind, start, end in _boxes(body, 6 if body[0] == 0 else 8, len(body)):
        entry = body[start:end]
        if kind == b"infe" and entry[0] >= 2:
            wide = entry[0] > 2
            number, at = int.from_bytes(entry[4 : 8 if wide else 6], "big"), 10 if wide else 8
            what, rest = entry[at : at + 4].decode("latin-1"), entry[at + 4 :].split(b"\0")
            item = meta.items.setdefault(number, _Item(what))
            item.kind, item.mime = what, rest[1] if what == "mime" and len(rest) > 1 else b""


def _locations(meta: _Meta, body: bytes) -> None:
    version, sizes = body[0], struct.unpack(">BB", body[4:6])
    offset_size, length_size, base_size = sizes[0] >> 4, sizes[0] & 15, sizes[1] >> 4
    index_size = sizes[1] & 15 if version else 0
    at = 6

    def number(size: int) -> int:
        nonlocal at
        at += size
        if at > len(body):
            raise IndexError
        return int.from_bytes(body[at - size : at], "big")

    for _ in range(number(4 if version == 2 else 2)):
        item = meta.items.setdefault(number(4 if version == 2 else 2), _Item(""))
        construction = number(2) & 15 if version else 0
        number(2)
        base = number(base_size)
        extents = number(2)
        if extents > 1 and not length_size:  # each would be the whole file
            raise IndexError
        for _ in range(extents):
            number(index_size)
            offset = number(offset_size)
            item.extents.append((construction, base + offset, number(length_size)))


def _references(meta: _Meta, body: bytes) -> None:
    size = 4 if body[0] else 2
    for kind, start, end in _boxes(body, 4, len(body)):
        entry = body[start:end]
        source = int.from_bytes(entry[:size], "big")
        for number in range(int.from_bytes(entry[size : size + 2], "big")):
            first = size + 2 + number * size
            if first + size > len(entry):
                raise IndexError
            target = int.from_bytes(entry[first : first + size], "big")
            meta.items.setdefault(source, _Item("")).points_at.append((kind, target))


def _properties(meta: _Meta, body: bytes) -> None:
    known: list[tuple[bytes, bytes]] = []
    for kind, start, end in _boxes(body, 0, len(body)):
        if kind == b"ipco":
            known = [(inner, body[first:last]) for inner, first, last in _boxes(body, start, end)]
    for kind, start, end in _boxes(body, 0, len(body)):
        if kind == b"ipma":
            _associate(meta, body[start:end], known)


def _associate(meta: _Meta, body: bytes, known: list[tuple[bytes, bytes]]) -> None:
    wide_item, wide_index, at = 4 if body[0] else 2, 2 if body[3] & 1 else 1, 8
    for _ in range(int.from_bytes(body[4:8], "big")):
        if at + wide_item >= len(body):
            return
        item = meta.items.setdefault(int.from_bytes(body[at : at + wide_item], "big"), _Item(""))
        count, at = body[at + wide_item], at + wide_item + 1
        for _ in range(count):
            index = int.from_bytes(body[at : at + wide_index], "big") & (0x7FFF if wide_index == 2 else 0x7F)
            at += wide_index
            if 1 <= index <= len(known):
                item.properties.append(known[index - 1])


def _inline(meta: _Meta, body: bytes) -> None:
    meta.idat = body


_READERS = {
    b"pitm": _primary, b"iinf": _infos, b"iloc": _locations, b"iref": _references, b"iprp": _properties,
    b"idat": _inline,
}  # fmt: skip
