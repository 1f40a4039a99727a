"""One picture, encoded as asked for: at a quality or to a target, measured where that is wanted."""

from __future__ import annotations

from dataclasses import dataclass

from .. import codec
from ..codec import Encoded, Model
from ..errors import TargetError
from ..images import Picture
from ..targets import Target, encode_to_target


@dataclass(frozen=True)
class Made:
    """A file, the seconds of all that it took, what was measured of it in words, and a note on its target if any."""

    encoded: Encoded
    seconds: float
    fidelity: str
    note: str


def encode_one(
    picture: Picture, model: Model, quality: float | None, target: Target | None, *, measure: bool, name: str
) -> Made:
    """Encode to a target, or else at a quality (None: the model's own); `measure` tells the PSNR.

    TargetError names the picture, what was asked for and the nearest there is.
    """
    words, note = [], ""
    if target is None:
        encoded = codec.encode_picture(picture, model, model.quality if quality is None else quality)
        seconds = sum(encoded.seconds.values())
    else:
        try:
            hit = encode_to_target(picture, model, target)
        except TargetError as error:
            raise TargetError(f"{name}: {error}") from error
        encoded, seconds, note = hit.encoded, hit.seconds, hit.note
        words += [] if target.is_size else [hit.reached]
    if measure and not words:
        words.append(f"{codec.psnr(picture, codec.reconstruct(encoded, model)):.2f} dB")
    return Made(encoded, seconds, ", ".join(words), note)
