"""PNG: read the chunks one by one, so that none of them can block the pixels.

Pillow refuses a whole picture because of one text that is too long or a profile that is packed in an unknown way. So
Pillow gets a file of critical chunks and tRNS only. This module reads the others, each inflated to at most a megabyte.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator

from ..account import listed
from ..colour.encodings import BY_SRGB, Encoding, by_code_points, by_gamma
from .contents import COLOUR, EXIF, ICC, INFLATED_AT_MOST, IPTC, XMP, Contents, Density, decoded
from .photoshop import read_resources

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ALL_INFLATED_AT_MOST = 16 * INFLATED_AT_MOST
_XMP_KEYWORD = "XML:com.adobe.xmp"
_INCH = 0.0254  # metres
_OF_ANIMATIONS = (b"fcTL", b"fdAT")


def inspect(data: bytes) -> tuple[Contents, bytes]:
    """Read what a PNG has besides its pixels; return also the file without that."""
    return _Walk(data).done()


class _Walk:
    def __init__(self, data: bytes) -> None:
        self.data, self.contents, self.kept = data, Contents(), [SIGNATURE]
        self.depth = self.inflated = 0
        self.colours: dict[bytes, Encoding] = {}
        self.exponent: float | None = None
        self.chromaticities: tuple[float, ...] | None = None
        self.others: dict[str, None] = {}

    def done(self) -> tuple[Contents, bytes]:
        for kind, body, whole, sound in self._chunks():
            if kind[:1].isupper() or kind == b"tRNS":
                self.kept.append(whole)
            if not sound and not kind[:1].isupper():
                name = _name(kind)
                self.contents.account.had(name, f"The PNG chunk {name} was damaged and was not kept.")
            elif reader := _READERS.get(kind):
                try:
                    reader(self, body)
                except (struct.error, ValueError, IndexError, zlib.error):
                    name = _name(kind)
                    self.contents.account.had(name, f"The PNG chunk {name} was damaged and was not kept.")
            elif not kind[:1].isupper() and kind not in _OF_ANIMATIONS:
                self.others[_name(kind)] = None
        self._settle()
        return self.contents, b"".join(self.kept)

    def _chunks(self) -> Iterator[tuple[bytes, bytes, bytes, bool]]:
        """Kind and body of every chunk, all its bytes, and whether its checksum is right."""
        data, at, kind = self.data, len(SIGNATURE), b""
        while kind != b"IEND":
            if at + 12 > len(data):
                self.kept.append(data[at:])
                self.contents.account.had("end", "The file is cut short: the end of the PNG is missing.")
                return
            length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
            end = at + 12 + length
            body, check = data[at + 8 : end - 4], data[end - 4 : end]
            sound = end <= len(data) and (kind == b"IDAT" or _check(kind, body) == check)  # that, Pillow looks at
            yield kind, body, data[at:end], sound
            at = end
        if at < len(data):
            self.contents.account.had("behind", f"{len(data) - at:,} bytes that follow the picture were not kept.")

    def _settle(self) -> None:
        account, contents = self.contents.account, self.contents
        if contents.icc is None or b"cICP" in self.colours:
            self._settle_colour()
        if contents.icc is not None and b"cICP" in self.colours and contents.encoding is not None:
            account.became(ICC, "The ICC profile was not kept, as cICP counts before it.")
            contents.icc = None
        if self.others:
            plural = "chunks" if len(self.others) > 1 else "chunk"
            were = "were" if len(self.others) > 1 else "was"
            account.had("chunks", f"The PNG {plural} {listed(self.others)} {were} not kept.")

    def _settle_colour(self) -> None:
        if self.exponent is not None or self.chromaticities is not None:
            self.colours[b"gAMA"] = by_gamma(self.exponent, self.chromaticities)
        first = next((self.colours[kind] for kind in (b"cICP", b"sRGB", b"gAMA") if kind in self.colours), None)
        if first is not None and first != BY_SRGB:
            self.contents.encoding = first
            self.contents.account.had(COLOUR)

    # One method for each kind of chunk.

    def header(self, body: bytes) -> None:
        self.depth, self.colour_type = body[8], body[9]

    def frames(self, body: bytes) -> None:
        self.contents.frames = int.from_bytes(body[:4], "big")

    def transparency(self, body: bytes) -> None:
        if self.colour_type in (0, 2):
            self.contents.transparent = decoded(struct.unpack(f">{1 + self.colour_type}H", body), self.depth)

    def significant_bits(self, body: bytes) -> None:
        if self.depth == 16:
            self.contents.bits = max(body[:3] if self.colour_type in (2, 6) else body[:1])

    def gamma(self, body: bytes) -> None:
        (value,) = struct.unpack(">I", body)
        if not 1000 <= value <= 1_000_000:
            raise ValueError
        self.exponent = value / 100_000

    def primaries(self, body: bytes) -> None:
        self.chromaticities = tuple(value / 100_000 for value in struct.unpack(">8I", body))

    def rendering_intent(self, body: bytes) -> None:
        if len(body) != 1:
            raise ValueError
        self.colours[b"sRGB"] = BY_SRGB

    def code_points(self, body: bytes) -> None:
        primaries, transfer, matrix, full = body[:4]
        if len(body) != 4 or matrix or full not in (0, 1):
            raise ValueError
        self.colours[b"cICP"] = by_code_points(primaries, transfer, full=bool(full)) or BY_SRGB

    def profile(self, body: bytes) -> None:
        try:
            _, _, rest = body.partition(b"\0")
            if not rest or rest[0] != 0:
                self.contents.account.had(ICC, "The ICC profile is packed in an unknown way and was not kept.")
                return
            if inflated := self._inflate(rest[1:], ICC):
                self.contents.found(ICC, inflated)
        except zlib.error:
            self.contents.account.had(ICC, "The ICC profile was damaged and was not kept.")

    def exif(self, body: bytes) -> None:
        self.contents.found(EXIF, body)

    def density(self, body: bytes) -> None:
        across, down, unit = struct.unpack(">IIB", body)
        if unit == 1:
            self.contents.resolution(Density(_an_inch(across), _an_inch(down)))
        else:
            self.contents.resolution(Density(across, down, 1))

    def text(self, body: bytes) -> None:
        keyword, _, text = body.partition(b"\0")
        self._take(keyword.decode("latin-1"), text, "latin-1")

    def deflated_text(self, body: bytes) -> None:
        keyword, _, rest = body.partition(b"\0")
        name = keyword.decode("latin-1")
        if rest[:1] != b"\0":
            raise ValueError
        text = self._inflate(rest[1:], f"The PNG text {name}")
        if text is not None:
            self._take(name, text, "latin-1")

    def international_text(self, body: bytes) -> None:
        keyword, _, rest = body.partition(b"\0")
        deflated, method, (_, _, text) = rest[0], rest[1], rest[2:].partition(b"\0")
        text, name = text.partition(b"\0")[2], keyword.decode("latin-1")
        if deflated:
            inflated = None if method else self._inflate(text, f"The PNG text {name}")
            if inflated is None:
                return
            text = inflated
        self._take(name, text, "utf-8")

    def _take(self, name: str, text: bytes, code: str) -> None:
        if name == _XMP_KEYWORD:
            self.contents.found(XMP, text)
        elif name.startswith("Raw profile type ") and text:
            self._raw_profile(name.rpartition(" ")[2].lower(), text)
        else:
            self.contents.text(name, text.decode(code))

    def _raw_profile(self, kind: str, text: bytes) -> None:
        # As ImageMagick writes them: a name, a length, and hexadecimal digits in lines.
        _, length, *digits = text.split()
        block = bytes.fromhex(b"".join(digits).decode("ascii"))
        if len(block) != int(length):
            raise ValueError
        xmp_head = b"http://ns.adobe.com/xap/1.0/\0"
        if kind in ("exif", "app1") and not block.startswith(xmp_head):
            self.contents.found(EXIF, block.removeprefix(b"Exif\0\0"))
        elif kind in ("xmp", "app1"):
            self.contents.found(XMP, block.removeprefix(xmp_head))
        elif kind in ("icc", "icm"):
            self.contents.found(ICC, block)
        elif kind in ("iptc", "8bim"):
            if block.startswith((b"8BIM", b"Photoshop 3.0\0")):
                read_resources(block.removeprefix(b"Photoshop 3.0\0"), self.contents)
            else:
                self.contents.found(IPTC, block)
        else:
            self.contents.account.had(f"The raw profile {kind}")

    def _inflate(self, stream: bytes, what: str) -> bytes | None:
        """The inflated chunk; None, and a message, if it is too long."""
        most = min(INFLATED_AT_MOST, _ALL_INFLATED_AT_MOST - self.inflated)
        coder = zlib.decompressobj()
        plain = coder.decompress(stream, most + 1) if most > 0 else b"?" * (most + 1)
        if len(plain) > most or most <= 0:
            self.contents.account.had(what, f"{what} is larger than a megabyte and was not kept.")
            return None
        if not coder.eof:
            raise zlib.error("cut short")
        self.inflated += len(plain)
        return plain


_READERS: dict[bytes, Callable[[_Walk, bytes], None]] = {
    b"IHDR": _Walk.header, b"acTL": _Walk.frames, b"tRNS": _Walk.transparency, b"sBIT": _Walk.significant_bits,
    b"gAMA": _Walk.gamma, b"cHRM": _Walk.primaries, b"sRGB": _Walk.rendering_intent, b"cICP": _Walk.code_points,
    b"iCCP": _Walk.profile, b"eXIf": _Walk.exif, b"pHYs": _Walk.density, b"tEXt": _Walk.text,
    b"zTXt": _Walk.deflated_text, b"iTXt": _Walk.international_text,
}  # fmt: skip


def _an_inch(a_metre: int) -> float:
    whole = round(a_metre * _INCH)
    return whole if round(whole / _INCH) == a_metre else round(a_metre * _INCH, 2)


def _check(kind: bytes, body: bytes) -> bytes:
    return zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big")


def _name(kind: bytes) -> str:
    return kind.decode("ascii", "backslashreplace")
