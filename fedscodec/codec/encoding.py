"""Encode a picture into the bytes of a .feds file.

    pad → g_a │ gain → h_a → walk with a StreamWriter → pack    (in some networks g_a sees the quality, in others not)

With effort, y and z are refined between h_a and the walk (`effort.refining`), and the better of the two files is taken.

Everything between ẑ and the table indices is integers (`networks.integer_side`), so symbols do not depend on the
device, the number of threads or the precision of the transforms.
"""

from __future__ import annotations

from typing import Any

from .. import fileformat
from ..entropy.streams import StreamWriter, symbol_bytes
from ..errors import TooLargeError
from ..images import Picture
from ..networks.walk import walk
from .beside import add_preview, boxes_of
from .devices import sparing
from .effort.levels import STEPS
from .latents import TRANSFORM_SHARE, analyse, hyper_analyse, last, stream_progress
from .model import Model
from .outcomes import Analysed, Clock, Encoded, Progress, Stopped, never, separate_coder, within
from .settings import Encoding


@sparing
def encode_picture(
    picture: Picture, model: Model, how: Encoding, *, progress: Progress | None = None, stopped: Stopped = never
) -> Encoded:
    """Encode a picture at a quality from 1 to the number of the model's λs; gains are interpolated in between.

    Does not search for a target in `how`; `targets.encode_to_target` does that. Calls `stopped` during a refinement; if
    it is true, the refinement ends with the best result so far.
    """
    thousandths = _thousandths(model, how)  # before the work
    _require_fit(picture)
    clock = Clock(model.wait, progress)
    return _encode(Analysed(picture, None, clock.seconds), thousandths, model, how, clock, stopped)


@sparing
def analyse_picture(picture: Picture, model: Model) -> Analysed:
    """The part of encoding that does not depend on the quality. Raises TooLargeError for what no file can hold.

    `encode_analysed` does the rest for each quality. If g_a does not depend on the quality, it runs here and takes most
    of the time; otherwise all of it runs there.
    """
    _require_fit(picture)
    clock = Clock(model.wait)
    if model.sees_quality:
        return Analysed(picture, None, clock.seconds)
    with clock.stage("analysis"):
        latents = analyse(model, picture, 1.0, clock.progress)
    return Analysed(picture, latents, clock.seconds)


def _require_fit(picture: Picture) -> None:
    if picture.width * picture.height > fileformat.PIXELS_AT_MOST:
        raise TooLargeError(
            f"{picture.width}x{picture.height} pixels are more than the {fileformat.PIXELS_AT_MOST} a file can hold"
        )


@sparing
def encode_analysed(
    analysed: Analysed, model: Model, how: Encoding, *, progress: Progress | None = None, stopped: Stopped = never
) -> Encoded:
    """The file of an analysed picture at a quality; its seconds include those of both halves."""
    thousandths, clock = _thousandths(model, how), Clock(model.wait, progress)
    clock.seconds.update(analysed.seconds)
    return _encode(analysed, thousandths, model, how, clock, stopped)


def _thousandths(model: Model, how: Encoding) -> int:
    """The requested quality in thousandths, as in the header, so that both sides use the same value."""
    quality = model.quality if how.quality is None else how.quality
    model.check_quality(quality)
    return round(quality * 1000)


def gained(analysed: Analysed, model: Model, quality: float, progress: Progress | None = None) -> Any:
    """y [1, M, H/16, W/16] of an analysed picture at a quality: what is coded."""
    gain, _ = model.gains(quality)
    if analysed.latents is None:
        y = analyse(model, analysed.picture, quality, progress)
        y *= gain
        return y
    return model.own(analysed.latents) * gain


def _encode(
    analysed: Analysed, thousandths: int, model: Model, how: Encoding, clock: Clock, stopped: Stopped
) -> Encoded:
    """The file of an analysed picture, with its latents as they are or refined."""
    whole, steps = clock.progress, STEPS[how.effort]
    first = 1 / (1 + steps)  # a step costs about what an encoding does
    clock.progress = within(whole, 0.0, first)
    if steps:
        model = model.with_gradients()
    with clock.stage("analysis"):
        y = gained(analysed, model, thousandths / 1000, clock.progress)
    with clock.stage("hyper analysis"):
        z = hyper_analyse(model, y)
    encoded = _file(analysed, y, z, thousandths, model, how, clock)
    if not steps:
        return encoded
    from .effort.judging import cost
    from .effort.refining import Latents, refine  # which need torch

    with clock.stage("refinement"):
        progress = within(whole, first, 1.0)
        latents = refine(
            Latents(y, z), analysed.picture, model, thousandths / 1000, steps, progress=progress, stopped=stopped
        )
    del y, z
    clock.progress = None
    refined = _file(analysed, latents.y, latents.z, thousandths, model, how, clock)
    with clock.stage("refinement"):
        return min((encoded, refined), key=lambda made: cost(made, analysed.picture, model))


def _file(
    analysed: Analysed, y: Any, z: Any, thousandths: int, model: Model, how: Encoding, clock: Clock
) -> Encoded:  # fmt: skip
    """The file of latents y [1, M, H/16, W/16] and z [1, H/64, W/64, Z]."""
    picture = analysed.picture
    on_stream = stream_progress(clock.progress, model, first=TRANSFORM_SHARE, last=1.0)
    writer = StreamWriter(
        model.z_tables, model.y_tables, unit=model.spec.mean_unit, count_bits=how.count_bits, on_stream=on_stream
    )
    with clock.stage("entropy nets"):
        y_hat = walk(model.side, z, last(y), thousandths, writer)
    separate_coder(clock, writer.seconds)
    file = fileformat.assemble(
        fingerprint=model.fingerprint,
        quality=thousandths,
        width=picture.width,
        height=picture.height,
        grey=picture.grey,
        streams=writer.streams,
        symbols=symbol_bytes(writer.symbols),
        boxes=boxes_of(picture),
        stream_checks=how.stream_checks,
    )
    add_preview(file, lambda: analysed.thumbnail, how.preview)
    return Encoded(fileformat.pack(file), clock.seconds, writer.bits, writer.symbols, y_hat)
