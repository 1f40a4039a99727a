"""Encode or decode one picture: at a quality or to a target, checked and measured on request.

Everything that writes or reads files for people uses `encode_one` and `decode_one`: commands, the library, Pillow's
plugin and the batch. A benchmark measures the network alone and goes past them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..boxes import PREVIEW, PREVIEW_AT_MOST
from ..errors import FedsError, FormatError, TargetError
from ..fileformat import FedsFile, Salvage, unpack
from ..images import Picture
from ..metrics.psnr import psnr
from .decoding import decode_file, decode_salvaged, reconstruct
from .encoding import encode_picture
from .exact import LITTLE, encode_exactly, is_exact, is_rough, looks_drawn, worse_than_flat
from .model import Model
from .outcomes import Decoded, Encoded, Progress, Stopped, never
from .previews import decode_preview
from .settings import Decoding, Encoding
from .targets import FIDELITIES, encode_to_target
from .threads import threads_for
from .verification import require_same


@dataclass(frozen=True)
class Made:
    """A file, the seconds of all stages, the measured metrics by name, and a note on its target."""

    encoded: Encoded
    seconds: float
    measured: dict[str, float]
    note: str


def encode_one(
    picture: Picture,
    model: Model,
    how: Encoding,
    *,
    name: str = "the picture",
    progress: Progress | None = None,
    stopped: Stopped = never,
) -> Made:
    """Encode with a loaded network. Raises TargetError, which names the picture and the nearest reachable value.

    Reports a single pass and refinements to `progress`, but not the search for a target. If `stopped` is true, the
    refinement ends with the best result so far.
    """
    with threads_for(picture.width * picture.height):
        return _encode(picture, model, how, name, progress, stopped)


def _encode(
    picture: Picture, model: Model, how: Encoding, name: str, progress: Progress | None, stopped: Stopped
) -> Made:
    measured, note = dict[str, float](), ""
    drawn = looks_drawn(picture)
    if how.target is None:
        encoded = encode_picture(picture, model, how, progress=progress, stopped=stopped)
        seconds = sum(encoded.seconds.values())
    else:
        try:
            hit = encode_to_target(picture, model, how.target, how, progress=progress, stopped=stopped)
        except TargetError as error:
            exact = _exact(picture, model, how) if drawn else None
            if exact is None or (how.target.is_size and len(exact.data) > how.target.limit(_pixels(picture))):
                without_loss = exact and f"; without loss {how.target.formatted(len(exact.data), _pixels(picture))}"
                raise TargetError(f"{name}: {error}{without_loss or ''}") from error
            return _finished(picture, model, how, Made(exact, 0.0, {}, ""), name)
        encoded, seconds, note = hit.encoded, hit.seconds, hit.note
        if not how.target.is_size:
            measured[how.target.kind] = hit.value
    made = Made(encoded, seconds, measured, note)
    if drawn:
        exact = _exact(picture, model, how)
        most = len(encoded.data) + LITTLE
        if how.target is not None and how.target.is_size:
            most = max(len(encoded.data), min(most, int(how.target.limit(_pixels(picture)))))
        made = Made(exact, seconds, {}, "") if len(exact.data) <= most else made
    return _finished(picture, model, how, made, name)


def _pixels(picture: Picture) -> int:
    return picture.width * picture.height


def _exact(picture: Picture, model: Model, how: Encoding) -> Encoded:
    """A file of the pixels themselves, at the quality that a search for the target would end with."""
    highest = float(len(model.spec.lambdas))
    asked = model.quality if how.quality is None else how.quality
    return encode_exactly(picture, model, how, asked if how.target is None else highest if how.target.is_size else 1.0)


def _finished(picture: Picture, model: Model, how: Encoding, made: Made, name: str) -> Made:
    """Measure and check the result on request; add a note if it will look worse than one flat colour."""
    encoded, measured, note = made.encoded, dict(made.measured), made.note
    if not is_exact(encoded) and (looks_drawn(picture) or is_rough(picture)):
        note = "; ".join(filter(None, (note, worse_than_flat(picture, reconstruct(encoded, model)))))
    if how.preview and PREVIEW not in unpack(encoded.data, max_pixels=None).boxes:
        left_out = f"the preview was left out, as it does not fit into {PREVIEW_AT_MOST:,} bytes"
        note = "; ".join(filter(None, (note, left_out)))
    if is_exact(encoded) and how.target is not None and not how.target.is_size:
        measured[how.target.kind] = FIDELITIES[how.target.kind].value(0.0)
    if how.measure and "psnr" not in measured:
        measured["psnr"] = psnr(picture.pixels, reconstruct(encoded, model).pixels)
    if how.verify:
        require_same(encoded, picture, model, name=name)
    return Made(encoded, made.seconds, measured, note)


def decode_one(
    found: FedsFile | Salvage,
    model: Model,
    how: Decoding,
    *,
    name: str = "the file",
    progress: Progress | None = None,
) -> Decoded:
    """Decode the result of `how.unpack` with the network that wrote it; FormatError starts with `name`."""
    if how.window is not None:
        how.window.require_inside(found.header.width, found.header.height, name)
    try:
        with threads_for(found.header.width * found.header.height):
            if isinstance(found, Salvage):
                return decode_salvaged(found, model, progress=progress)
            if how.window is not None:
                return decode_file(found, model, slices=how.slices, window=how.window, progress=progress)
            return decode_preview(found, model, size=how.size, slices=how.slices, progress=progress)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from error
    except FedsError as error:  # more slices than there are
        raise FedsError(f"{name}: {error}") from error
