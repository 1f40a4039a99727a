"""One picture, encoded or decoded as asked for: at a quality or to a target, checked and measured where that is wanted.

Every command, the library, Pillow's plugin and the batch go through `encode_one` and `decode_one`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import FormatError, TargetError
from ..fileformat import FedsFile, Salvage
from ..images import Picture
from ..metrics.psnr import psnr
from .decoding import decode_salvaged, reconstruct
from .encoding import encode_picture
from .model import Model
from .outcomes import Decoded, Encoded, Progress
from .previews import decode_preview
from .settings import Decoding, Encoding
from .targets import encode_to_target
from .verification import require_same


@dataclass(frozen=True)
class Made:
    """A file, the seconds of all that it took, what was measured (by name of the metric), and a note on its target."""

    encoded: Encoded
    seconds: float
    measured: dict[str, float]
    note: str


def encode_one(
    picture: Picture, model: Model, how: Encoding, *, name: str = "the picture", progress: Progress | None = None
) -> Made:
    """Encode as asked for, with a network at hand; TargetError names the picture and the nearest there is.

    `progress` is told of a single pass only, not of the search for a target.
    """
    measured, note = dict[str, float](), ""
    if how.target is None:
        encoded = encode_picture(picture, model, how, progress=progress)
        seconds = sum(encoded.seconds.values())
    else:
        try:
            hit = encode_to_target(picture, model, how.target, how)
        except TargetError as error:
            raise TargetError(f"{name}: {error}") from error
        encoded, seconds, note = hit.encoded, hit.seconds, hit.note
        if not how.target.is_size:
            measured[how.target.kind] = hit.value
    if how.measure and "psnr" not in measured:
        measured["psnr"] = psnr(picture.pixels, reconstruct(encoded, model).pixels)
    if how.verify:
        require_same(encoded, picture, model, name=name)
    return Made(encoded, seconds, measured, note)


def decode_one(
    found: FedsFile | Salvage,
    model: Model,
    how: Decoding,
    *,
    name: str = "the file",
    progress: Progress | None = None,
) -> Decoded:
    """Decode what `how.unpack` gave, with the network that wrote it; FormatError starts with `name`."""
    try:
        if isinstance(found, Salvage):
            return decode_salvaged(found, model, progress=progress)
        return decode_preview(found, model, size=how.size, slices=how.slices, progress=progress)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error
