"""Convert texts in format-specific places (comments of JPEG and GIF, chunks of PNG, IPTC) to properties of XMP.

A text gets XMP's own name for it if there is one and the packet does not have it already. Everything else, such as the
parameters of a generated picture, goes word for word into a list of keywords and texts, from which PNG gets its chunks
back.
"""

from __future__ import annotations

from html import escape  # xml.sax.saxutils loads what opens URLs
from xml.etree import ElementTree

from . import iptc, xmp

_NAMES = {
    "dc": "http://purl.org/dc/elements/1.1/", "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "xmp": "http://ns.adobe.com/xap/1.0/", "texts": "urn:feds:texts:1",
}  # fmt: skip
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_TEXTS = "{urn:feds:texts:1}"
_OF_KEYWORDS = {"title": (5,), "author": (80,), "description": (120,), "copyright": (116,), "source": (115,)}
_MOST_MARKS = 2**18
"""Tags and attributes of a packet that is looked into: a tree of them takes a thousand bytes each."""
_CUT_AT = 64
"""The shortest keyword, in bytes, that IPTC may have cut."""
_NO_XML = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF, *range(0xD800, 0xE000)])


def with_texts(packet: bytes | None, texts: list[tuple[str, str]]) -> bytes | None:
    """A packet with texts by keyword added. Raises ValueError if it cannot take any."""
    there = set(texts_in(packet))
    texts = [pair for pair in texts if pair not in there]
    if not texts:
        return packet
    items = "".join(
        f'<rdf:li rdf:parseType="Resource"><texts:keyword>{_escaped(keyword)}</texts:keyword>'
        f"<texts:text>{_escaped(text)}</texts:text></rdf:li>"
        for keyword, text in texts
    )
    listed = f"<texts:all><rdf:Seq>{items}</rdf:Seq></texts:all>"
    sets = {number: [text] for keyword, text in texts for number in _OF_KEYWORDS.get(keyword.lower(), ())}
    packet, _ = _with_sets(packet, sets)
    return xmp.with_description(packet, listed, {"rdf": _RDF[1:-1], "texts": _NAMES["texts"]})


def fits(text: str) -> bool:
    """Whether XML can hold every character of a text."""
    return text.translate(_NO_XML) == text


def with_iptc(packet: bytes | None, block: bytes) -> tuple[bytes | None, bool]:
    """A packet with missing IPTC data added, and whether all of IPTC is now in it. Raises ValueError for damage."""
    sets, others = iptc.texts_of(block)
    packet, all_in = _with_sets(packet, sets)
    return packet, all_in and not others


def texts_in(packet: bytes | None) -> list[tuple[str, str]]:
    """The texts by keyword that `with_texts` put into a packet."""
    if not packet or _NAMES["texts"].encode() not in packet or (root := _tree(packet)) is None:
        return []
    found = []
    for all_of in root.iter(f"{_TEXTS}all"):  # no element counts twice, however they are nested
        for item in all_of.iterfind(f"{_RDF}Seq/{_RDF}li"):
            keyword, text = item.findtext(f"{_TEXTS}keyword"), item.findtext(f"{_TEXTS}text")
            if keyword and text:
                found.append((keyword, text))
    return found


def _with_sets(packet: bytes | None, sets: dict[int, list[str]]) -> tuple[bytes | None, bool]:
    properties, names, all_in, tree = "", dict[str, str](), True, _tree(packet)
    for number, values in sets.items():
        prefix, name, kind = iptc.PROPERTIES[number]
        if xmp.has_property(packet, _NAMES[prefix], prefix, name):
            there = _values(tree, f"{{{_NAMES[prefix]}}}{name}")
            all_in = all_in and all(_is_in(value, there, whole=kind == "Bag") for value in values)
            continue
        all_in = all_in and bool(kind or len(values) == 1)
        properties += f"<{prefix}:{name}>{_value(values, kind)}</{prefix}:{name}>"
        names[prefix] = _NAMES[prefix]
    if not properties:
        return packet, all_in
    return xmp.with_description(packet, properties, {"rdf": _RDF[1:-1], **names}), all_in


def _tree(packet: bytes | None) -> ElementTree.Element | None:
    """A packet as a tree; None if it is not sound XML, or so long that its tree could fill the memory."""
    if not packet or packet.count(b"<") + packet.count(b"=") > _MOST_MARKS or not xmp.is_sound(packet):
        return None
    return ElementTree.fromstring(packet)


def _values(tree: ElementTree.Element | None, name: str) -> set[str]:
    """What a property has, whether it is an attribute, an element or a list."""
    if tree is None:
        return set()
    as_attributes = {element.attrib[name] for element in tree.iter() if name in element.attrib}
    return as_attributes | {text.strip() for element in tree.iter(name) for text in element.itertext()}


def _is_in(value: str, there: set[str], *, whole: bool) -> bool:
    """Whether one of the values is this one, or goes on where IPTC had to end: a date before its time, a long text."""
    value = value.translate(_NO_XML).strip()
    if whole and len(value.encode()) < _CUT_AT:
        return value in there
    return any(known.startswith(value) for known in there)


def _value(values: list[str], kind: str) -> str:
    if not kind:
        return _escaped(values[0])
    language = ' xml:lang="x-default"' if kind == "Alt" else ""
    return f"<rdf:{kind}>" + "".join(f"<rdf:li{language}>{_escaped(v)}</rdf:li>" for v in values) + f"</rdf:{kind}>"


def _escaped(text: str) -> str:
    return escape(text.translate(_NO_XML).replace("\r\n", "\n").replace("\r", "\n"), quote=False)
