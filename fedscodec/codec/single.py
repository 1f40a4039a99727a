"""One picture, encoded as asked for: at a quality or to a target, checked and measured where that is wanted."""

from __future__ import annotations

from dataclasses import dataclass

from ..codec.decoding import reconstruct
from ..codec.encoding import encode_picture
from ..errors import TargetError
from ..images import Picture
from ..metrics.fidelity import psnr
from .latents import Progress
from .model import Model
from .outcomes import Encoded
from .settings import Encoding
from .targets import Kind, encode_to_target
from .verification import require_same


@dataclass(frozen=True)
class Made:
    """A file, the seconds of all that it took, what was measured (`psnr`, `ms_ssim`), and a note on its target."""

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
        quality = model.quality if how.quality is None else how.quality
        encoded = encode_picture(
            picture, model, quality, stream_checks=how.stream_checks, preview=how.preview, progress=progress
        )
        seconds = sum(encoded.seconds.values())
    else:
        try:
            hit = encode_to_target(picture, model, how.target, stream_checks=how.stream_checks, preview=how.preview)
        except TargetError as error:
            raise TargetError(f"{name}: {error}") from error
        encoded, seconds, note = hit.encoded, hit.seconds, hit.note
        if how.target.kind in (Kind.PSNR, Kind.MS_SSIM):
            measured[how.target.kind.replace("-", "_")] = hit.value
    if how.measure and "psnr" not in measured:
        measured["psnr"] = psnr(picture, reconstruct(encoded, model))
    if how.verify:
        require_same(encoded, picture, model, name=name)
    return Made(encoded, seconds, measured, note)
