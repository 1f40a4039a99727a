"""`Contents`: what a file has besides its samples."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..account import Account
from ..colour.encodings import Encoding

ICC, EXIF, XMP, IPTC, TEXTS = "The ICC profile", "Exif", "XMP", "IPTC", "Text"
DENSITY, GAIN_MAP, COLOUR = "The resolution", "The gain map (HDR)", "The colour space"
THUMBNAIL = "The thumbnail"
INFLATED_AT_MOST = 2**20
"""Most bytes that a deflated chunk may inflate to; Pillow's own readers have the same limit."""


@dataclass(frozen=True)
class Density:
    """Pixels per unit, across and down; `unit` is 2 for inches, 3 for centimetres, 1 if only the ratio counts."""

    across: float
    down: float
    unit: int = 2

    @property
    def says_something(self) -> bool:
        """Whether it differs from the defaults of unknown values: 72 per inch, or square pixels."""
        sound = 0 < self.across < 1e6 and 0 < self.down < 1e6
        return sound and (self.across, self.down, self.unit) != (72, 72, 2) and not (
            self.unit == 1 and self.across == self.down
        )  # fmt: skip


def decoded(samples: tuple[int, ...], depth: int) -> tuple[int, ...]:
    """Samples of a transparent colour in a PNG as Pillow gives those of the pixels: less than 8 bits become 8.

    Bits above the depth do not count.
    """
    most = 2**depth - 1
    return tuple((sample & most) * (255 // most if depth < 8 else 1) for sample in samples)


@dataclass
class Contents:
    """What was found besides the samples of a picture; items without their own field are in the account only.

    `icc`, `exif` (from its TIFF header on), `xmp` and `iptc` are blocks as in the file, `texts` pairs of keyword and
    text. `encoding`: how colours are described other than by a profile. `bits`: per sample, if the file says so.
    `transparent`: the samples of the colour that is transparent, as `decoded` gives them. `frames`: how many, None if
    Pillow must be asked. `turned`: the container alone says how the picture is turned.
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
        """Add a block, the first of its kind; an empty one counts as none."""
        place = {ICC: "icc", EXIF: "exif", XMP: "xmp", IPTC: "iptc"}[what]
        if value and getattr(self, place) is None:
            setattr(self, place, value)
            self.account.had(what)

    def text(self, keyword: str, text: str) -> None:
        """Add a text with its keyword."""
        if text.strip():
            self.texts.append((keyword, text))
            self.account.had(TEXTS)

    def resolution(self, density: Density) -> None:
        """Add a resolution or an aspect ratio, unless it is a default."""
        if density.says_something and self.density is None:
            self.density = density
            self.account.had(DENSITY)
