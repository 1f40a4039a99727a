"""A picture as files of several codecs: feds at the requested qualities, the others at no more bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

from PIL import features

from ...codec.decoding import reconstruct
from ...codec.exact import is_exact
from ...codec.model import Model
from ...codec.settings import Encoding
from ...codec.single import encode_one
from ...errors import FedsError
from ...images import Picture, means_srgb, on_white, read_picture, to_pil
from ...metrics.psnr import psnr
from ...metrics.table import METRICS

PEERS = ("JPEG", "AVIF")
"""Pillow's codecs to compare with, in their common settings: 4:2:0, optimised Huffman tables, AVIF at speed 6."""

_OPTIONS: dict[str, dict[str, Any]] = {"JPEG": {"optimize": True}, "AVIF": {"speed": 6}}
_QUALITIES = {"JPEG": (1, 95), "AVIF": (0, 100)}


@dataclass(frozen=True)
class Version:
    """A file, its decoded picture, and its PSNR against the original in decibels.

    `codec` is "feds" or one of PEERS, `setting` its quality in the codec's own words ("without loss" for a file that
    holds the pixels themselves). `fits` is False if a peer cannot be small enough.
    """

    codec: str
    setting: str
    data: bytes = field(repr=False)
    picture: Picture = field(repr=False)
    psnr: float
    fits: bool = True

    @property
    def label(self) -> str:
        """`feds q3`, `JPEG 41`."""
        return f"{self.codec} {self.setting}"

    @property
    def error(self) -> str:
        """PSNR in words: `34.21 dB`, `no error`."""
        return METRICS["psnr"].figure(self.psnr)

    @property
    def bpp(self) -> float:
        """Bits per pixel of the file."""
        return 8 * len(self.data) / (self.picture.width * self.picture.height)


@dataclass(frozen=True)
class Comparison:
    """A picture and its versions; those of one quality form a row, feds first."""

    name: str
    original: Picture = field(repr=False)
    source_bytes: int
    rows: tuple[tuple[Version, ...], ...]

    @property
    def versions(self) -> tuple[Version, ...]:
        """All versions, row by row."""
        return tuple(version for row in self.rows for version in row)


def compare(
    picture: Picture, model: Model, qualities: Sequence[float], peers: Sequence[str] = PEERS
) -> Iterator[tuple[Version, ...]]:
    """A row of versions for every quality, in ascending order: feds, and each peer at no more bytes.

    No file has Exif and XMP. Every file has the ICC profile unless it means sRGB: that takes a .feds file no bytes, and
    the others mean it without one. A picture with alpha is compared on white. Where feds keeps all pixels, the row is
    the last one: higher qualities would give the same pixels. Raises FedsError for a quality that the model does not
    have, and for a peer that this Pillow was built without.
    """
    bare = on_white(replace(picture, exif=None, xmp=None))
    for peer in peers:
        if not features.check({"JPEG": "jpg"}.get(peer, peer.lower())):
            raise FedsError(f"this Pillow cannot write {peer}, compare without it")
    for quality in qualities:
        model.check_quality(quality)
    searches = [_Search(bare, peer) for peer in peers]
    for quality in sorted(set(qualities)):
        encoded = encode_one(bare, model, Encoding(quality=quality)).encoded
        decoded = reconstruct(encoded, model)
        setting = "without loss" if is_exact(encoded) else f"q{quality:g}"
        ours = Version("feds", setting, encoded.data, decoded, psnr(bare.pixels, decoded.pixels))
        yield (ours, *(search.at_most(len(encoded.data)) for search in searches))
        if is_exact(encoded):
            return


class _Search:
    """Files of a peer for one picture; each is made only once."""

    def __init__(self, picture: Picture, peer: str) -> None:
        self.picture, self.peer, self.files = picture, peer, dict[int, bytes]()
        self.image = to_pil(picture)
        self.icc = b"" if picture.icc is None or means_srgb(picture.icc) else picture.icc

    def at_most(self, size: int) -> Version:
        """The version of the highest quality with at most `size` bytes, or the smallest there is."""
        first, last = _QUALITIES[self.peer]
        found = highest(lambda quality: len(self.file(quality)) <= size, first, last)
        quality = first if found is None else found
        data = self.file(quality)
        decoded = read_picture(data, max_pixels=None)
        decibels = psnr(self.picture.pixels, decoded.pixels)
        return Version(self.peer, str(quality), data, decoded, decibels, fits=found is not None)

    def file(self, quality: int) -> bytes:
        """The file of a quality."""
        if quality not in self.files:
            buffer = BytesIO()
            beside = {"icc_profile": self.icc, "exif": b"", "xmp": b""}
            self.image.save(buffer, self.peer, quality=quality, **beside, **_OPTIONS[self.peer])
            self.files[quality] = buffer.getvalue()
        return self.files[quality]


def highest(holds: Callable[[int], bool], first: int, last: int) -> int | None:
    """The highest number from first to last for which a condition holds, if it holds for all below; None if it never
    holds.

    By bisection: if it does not hold for all below, finds one of the places where it stops holding.
    """
    found = None
    while first <= last:
        middle = (first + last) // 2
        if holds(middle):
            found, first = middle, middle + 1
        else:
            last = middle - 1
    return found
