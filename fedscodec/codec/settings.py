"""The settings for all files of a command, as values that can be sent to other processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..arguments import require_whole
from ..errors import FedsError
from ..fileformat import DEFAULT_MAX_PIXELS, FedsFile, Salvage, salvage, unpack
from ..registry import DEFAULT_MODEL
from .effort.levels import MOST_EFFORT
from .targets import Target

if TYPE_CHECKING:
    from ..images import Window


@dataclass(frozen=True)
class Encoding:
    """How to encode. quality None: that of the model's name; target: instead of a quality; force: encode everything
    again.

    strip: leave out ICC profile, Exif and XMP; stream_checks: add a check of every stream, preview: add a small picture
    (None for either: if it is cheap); count_bits: add up −log₂ p of the symbols; effort, 0 to 9: how long to refine the
    latents before they are coded.
    """

    model: str = DEFAULT_MODEL
    quality: float | None = None
    target: Target | None = None
    device: str = "auto"
    measure: bool = False
    verify: bool = False
    max_pixels: int | None = DEFAULT_MAX_PIXELS
    force: bool = False
    strip: bool = False
    stream_checks: bool | None = None
    preview: bool | None = None
    count_bits: bool = False
    effort: int = 0
    backend: str = "auto"

    def __post_init__(self) -> None:
        """Raise FedsError for an effort that does not exist; whether the quality does, the network knows."""
        require_whole("effort", self.effort, 0, MOST_EFFORT)


@dataclass(frozen=True)
class Decoding:
    """How to decode. format: the suffix of the pictures, by default that of the output or png; force: decode everything
    again.

    size and slices ask for previews, see `previews.decode_preview`; window: decode only this part of the picture;
    best_effort: show the intact part of a damaged file; model: the network, by default the installed one that the file
    names; quality: of the picture's own format, from 1 to 100, if that has one.
    """

    format: str | None = None
    device: str = "auto"
    max_pixels: int | None = DEFAULT_MAX_PIXELS
    force: bool = False
    size: int | None = None
    slices: int | None = None
    best_effort: bool = False
    backend: str = "auto"
    window: Window | None = None
    model: str | None = None
    quality: int | None = None

    def __post_init__(self) -> None:
        """Raise FedsError for a preview or part of a damaged file, or a preview of no pixels or slices."""
        for name, value in (("size", self.size), ("slices", self.slices)):
            if value is not None:
                require_whole(name, value, 1)
        if self.best_effort and (self.size is not None or self.slices is not None):
            raise FedsError("best_effort cannot be used with size or slices")
        if self.window is not None and (self.best_effort or self.size is not None):
            raise FedsError("crop cannot be used with size or best_effort")

    def unpack(self, data: bytes, *, name: str = "the file") -> FedsFile | Salvage:
        """Unpack a file, or with best_effort the intact part of it; raises like `fileformat.unpack`."""
        return (salvage if self.best_effort else unpack)(data, name=name, max_pixels=self.max_pixels)
