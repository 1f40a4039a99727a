"""`Contents`: what a file has beside its samples, as it stands there."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..account import Account
from ..colour.encodings import Encoding

ICC, EXIF, XMP, IPTC, TEXTS = "The ICC profile", "Exif", "XMP", "IPTC", "Text"
DENSITY, GAIN_MAP, COLOUR = "The resolution", "The gain map (HDR)", "The colour space"
THUMBNAIL = "The thumbnail"
INFLATED_AT_MOST = 2**20
"""Bytes that a deflated chunk may become: what Pillow's own readers accept, and no bomb is worth."""


@dataclass(frozen=True)
class Density:
    """Pixels a unit, across and down; `unit` is 2 for inches, 3 for centimetres, 1 where only their ratio counts."""

    across: float
    down: float
    unit: int = 2

    @property
    def says_something(self) -> bool:
        """Whether it is more than what is written where nothing is known: 72 an inch, or square pixels."""
        sound = 0 < self.across < 1e6 and 0 < self.down < 1e6
        return sound and (self.across, self.down, self.unit) != (72, 72, 2) and not (
            self.unit == 1 and self.across == self.down
        )  # fmt: skip


@dataclass
class Contents:
    """What was found beside the samples of a picture; what is not for a field of its own is in the account alone.

    `icc`, `exif` (from its TIFF header on), `xmp` and `iptc` are blocks as they stand in the file, `texts` pairs of
    keyword and text. `encoding`: how colours are told other than by a profile. `bits`: of a sample, where the file says
    so. `transparent`: the samples of what is. `frames`: how many, None where Pillow is to be asked.
    `turned`: the container says how the picture is turned, and nothing else does.
    """

    account: Account = field(default_factory=Account)
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    xmp_extension: bytes | None = None
    iptc: bytes | None = None
    texts: list[tuple[str, str]] = field(default_factory=list)
    density: Density | None = None
    encoding: Encoding | None = None
    bits: int | None = None
    transparent: tuple[int, ...] | None = None
    frames: int | None = None
    turned: bool = False

    def found(self, what: str, value: bytes) -> None:
        """Enter a block, the first of its kind; one that is empty is none."""
        place = {ICC: "icc", EXIF: "exif", XMP: "xmp", IPTC: "iptc"}[what]
        if value and getattr(self, place) is None:
            setattr(self, place, value)
            self.account.had(what)

    def text(self, keyword: str, text: str) -> None:
        """Enter a text under its keyword."""
        if text.strip():
            self.texts.append((keyword, text))
            self.account.had(TEXTS)

    def resolution(self, density: Density) -> None:
        """Enter a resolution or a ratio of sides, if it says anything."""
        if density.says_something and self.density is None:
            self.density = density
            self.account.had(DENSITY)
