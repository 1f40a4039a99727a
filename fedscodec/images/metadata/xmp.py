"""XMP packets: convert to UTF-8, remove orientation, join the parts of JPEG, and split into them again.

A packet is edited as text, because a parser would invent its own names for namespaces. A parser without entities (so
that none can be a bomb) checks that it is valid XML before and after. No pattern here looks further than a few letters
ahead, so no packet takes long.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from html import escape
from xml.parsers import expat

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_TIFF, _GAIN_MAP = "http://ns.adobe.com/tiff/1.0/", "http://ns.adobe.com/hdr-gain-map/1.0/"
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
         (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))  # fmt: skip
_NULS = ((b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be"), (b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_DECLARED = re.compile(r"^\s*<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"'][^>]*\?>")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_PACKET = re.compile(r"<\?xpacket[^>]{0,200}\?>")
_RDF_OPEN = re.compile(r"<(?P<prefix>[\w.-]+):RDF\b(?P<names>[^<>]{0,20000}?)(?P<empty>/?)>")
_NAMES = re.compile(r"\sxmlns:([\w.-]+)\s*=\s*(\"[^\"]*\"|'[^']*')")
_EXTENDED = re.compile(
    r"\s[\w.-]+:HasExtendedXMP\s*=\s*(?:\"[^\"]{0,99}\"|'[^']{0,99}')"
    r"|<([\w.-]+):HasExtendedXMP>[^<]{0,99}</\1:HasExtendedXMP>"
)
_EMPTY = ('<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="' + _RDF + '">', "</rdf:RDF></x:xmpmeta>")
_SEGMENT = 65_400  # bytes of an extension in one segment of JPEG


def to_utf8(packet: bytes) -> bytes:
    """A packet in UTF-8, from any Unicode encoding or Latin-1. Raises ValueError for other encodings."""
    code = next((code for bom, code in _BOMS if packet.startswith(bom)), None)
    code = code or next((code for start, code in _NULS if packet.startswith(start)), None)
    packet = packet.rstrip(b"\0") if code is None else packet
    declared = _DECLARED.match(packet[:200].decode("latin-1")) if code is None else None
    tried = [code] if code else ["utf-8", declared[1] if declared else "cp1252", "cp1252", "latin-1"]
    for one in tried:
        try:
            text = packet.decode(one)
            break
        except (UnicodeDecodeError, LookupError):
            continue
    else:
        raise ValueError("XMP in an unknown text encoding")
    text = text.removeprefix("\ufeff")
    if (head := _DECLARATION.match(text)) and "encoding" in head[0]:  # which would now be wrong
        text = text[head.end() :]
    return text.encode()


def is_sound(packet: bytes) -> bool:
    """Whether a packet is XML without a document type, which could hide entities."""
    parser = expat.ParserCreate(namespace_separator=" ")

    def refuse(*_: object) -> None:
        raise ValueError

    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(packet, True)
    except (expat.ExpatError, ValueError, LookupError):
        return False
    return True


def upright(packet: bytes) -> tuple[bytes, int]:
    """A packet without orientation, and the orientation it had; 0 for none."""
    text, turned = packet.decode(), 0
    for prefix in _prefixes(text, _TIFF, "tiff"):
        name = re.escape(f"{prefix}:Orientation")
        written = re.compile(
            rf"(?<!\s)\s++{name}\s*=\s*(?:\"(?P<a>[^\"]{{0,99}})\"|'(?P<b>[^']{{0,99}})')"
            rf"|<{name}(?:\s[^<>]{{0,99}})?>(?P<c>[^<]{{0,99}})</{name}\s*>|<{name}\s*/>"
        )
        for match in written.finditer(text):
            value = (match["a"] or match["b"] or match["c"] or "").strip()
            turned = int(value) if value.isdecimal() and len(value) < 4 else turned
        text = written.sub("", text)
    return text.encode(), turned


def without_gain_map(packet: bytes) -> bytes:
    """A packet that no longer promises a gain map after the picture."""
    text = packet.decode()
    for prefix in _prefixes(text, _GAIN_MAP, "hdrgm"):
        name = rf"{re.escape(prefix)}:[\w.-]+"
        text = re.sub(rf"(?<!\s)\s++{name}\s*=\s*(?:\"[^\"]{{0,99}}\"|'[^']{{0,99}}')", "", text)
    for prefix in _prefixes(text, "http://ns.google.com/photos/1.0/container/", "Container"):
        start, end = text.find(f"<{prefix}:Directory"), text.rfind(f"</{prefix}:Directory>")
        text = text[:start] + text[end + len(f"</{prefix}:Directory>") :] if 0 <= start < end else text
    return text.encode() if is_sound(text.encode()) else packet


def joined(packet: bytes, extension: bytes) -> bytes:
    """A packet and its extension as one. Raises ValueError if they cannot be joined."""
    text, more = _EXTENDED.sub("", packet.decode()), to_utf8(extension).decode()
    ours, theirs = _RDF_OPEN.search(text), _RDF_OPEN.search(more)
    if ours is None or theirs is None or not is_sound(more.encode()) or ours["prefix"] != theirs["prefix"]:
        raise ValueError("an extension that is not XMP")
    inner = more[theirs.end() : more.rindex(f"</{theirs['prefix']}:RDF")]
    known = dict(_NAMES.findall(text[: ours.end()]))
    added = {name: uri for name, uri in _NAMES.findall(more[: theirs.end()]) if name not in known}
    if any(known.get(name, uri)[1:-1] != uri[1:-1] for name, uri in _NAMES.findall(more[: theirs.end()])):
        raise ValueError("an extension with other names")
    return _with(text, inner, added)


def without_pointer(packet: bytes) -> bytes:
    """A packet that no longer points to an extension."""
    return _EXTENDED.sub("", packet.decode()).encode()


def with_description(packet: bytes | None, properties: str, names: dict[str, str]) -> bytes:
    """A packet, or a new one, with one more description; `names` are the namespaces of its properties by prefix."""
    text = packet.decode() if packet else "".join(_EMPTY)
    ours = _RDF_OPEN.search(text)
    if ours is None:
        raise ValueError("a packet without RDF")
    declared = "".join(f' xmlns:{prefix}="{escape(uri)}"' for prefix, uri in names.items())
    prefix = ours["prefix"]
    made = _with(text, f'<{prefix}:Description {prefix}:about=""{declared}>{properties}</{prefix}:Description>', {})
    if not is_sound(made):
        raise ValueError("properties that are not XML")
    return made


def has_property(packet: bytes | None, uri: str, usual: str, name: str) -> bool:
    """Whether a packet has a property of that name."""
    text = packet.decode() if packet else ""
    return any(re.search(rf"[<\s]{re.escape(prefix)}:{name}\b", text) for prefix in _prefixes(text, uri, usual))


def parted(packet: bytes) -> tuple[bytes, list[bytes]]:
    """A short packet that points to a longer one, and the longer one in JPEG segments (XMP specification, part 3)."""
    body = _PACKET.sub("", packet.decode()).strip().encode()
    name = hashlib.md5(body, usedforsecurity=False).hexdigest().upper()
    properties = f"<xmpNote:HasExtendedXMP>{name}</xmpNote:HasExtendedXMP>"
    short = with_description(None, properties, {"xmpNote": "http://ns.adobe.com/xmp/note/"})
    head = name.encode() + len(body).to_bytes(4, "big")
    starts = range(0, len(body), _SEGMENT)
    return short, [head + start.to_bytes(4, "big") + body[start : start + _SEGMENT] for start in starts]


def _with(text: str, inner: str, names: dict[str, str]) -> bytes:
    """The text with more content at the end of its RDF, and more namespaces in its head."""
    ours = _RDF_OPEN.search(text)
    if ours is None:
        raise ValueError("a packet without RDF")
    prefix = ours["prefix"]
    head = ours[0].removesuffix(">").removesuffix("/") + "".join(f" xmlns:{k}={v}" for k, v in names.items()) + ">"
    if ours["empty"]:
        made = f"{text[: ours.start()]}{head}{inner}</{prefix}:RDF>{text[ours.end() :]}"
    else:
        end = text.rindex(f"</{prefix}:RDF")
        made = f"{text[: ours.start()]}{head}{text[ours.end() : end]}{inner}{text[end:]}"
    if not is_sound(made.encode()):
        raise ValueError("parts that are not valid XML")
    return made.encode()


def _prefixes(text: str, uri: str, usual: str) -> set[str]:
    found = re.findall(rf"xmlns:([\w.-]+)\s*=\s*[\"']{re.escape(uri)}[\"']", text)
    return {usual, *found[:8]}
