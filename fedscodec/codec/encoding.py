"""A picture becomes the bytes of a .feds file.

    pad → g_a │ gain → h_a → walk with a SliceWriter → pack    (what stands before │ knows no quality)

Everything between ẑ and the table indices is integers (`networks.integer_side`), so symbols do not depend on the
device, the number of threads or the precision of the transforms.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import fileformat
from ..entropy.coders import SliceWriter, symbol_bytes
from ..errors import TooLargeError
from ..images import Picture
from ..networks.slices import walk
from .beside import add_preview, boxes_of
from .devices import sparing
from .latents import TRANSFORM_SHARE, Progress, analyse, hyper_analyse, slices_told
from .model import Model
from .outcomes import Analysed, Clock, Encoded, separate_coder


@sparing
@torch.inference_mode()
def encode_picture(
    picture: Picture,
    model: Model,
    quality: float,
    *,
    count_bits: bool = False,
    stream_checks: bool | None = None,
    preview: bool | None = None,
    progress: Progress | None = None,
) -> Encoded:
    """Encode a picture at a quality from 1 to the number of the model's λs; in between, gains are interpolated.

    `stream_checks` adds a check of every stream, see `fileformat.assemble`; `preview` a small picture that is shown at
    once, see `beside.add_preview`.
    """
    gain, thousandths = _gain(model, quality)  # before the work
    analysed = _analysed(picture, model, progress)
    y = analysed.latents.mul_(gain)
    return _encode_latents(analysed, y, thousandths, model, count_bits, stream_checks, preview, progress)


@sparing
@torch.inference_mode()
def analyse_picture(picture: Picture, model: Model, *, progress: Progress | None = None) -> Analysed:
    """The half of encoding that knows no quality, and takes most of its time; TooLargeError for what no file can hold.

    `encode_analysed` does the other half, as often as there are qualities to try.
    """
    return _analysed(picture, model, progress)


def _analysed(picture: Picture, model: Model, progress: Progress | None) -> Analysed:
    if picture.width * picture.height > fileformat.PIXELS_AT_MOST:
        raise TooLargeError(
            f"{picture.width}x{picture.height} pixels are more than the {fileformat.PIXELS_AT_MOST} a file can hold"
        )
    clock = Clock(model.device)
    latents = clock.time("analysis", lambda: analyse(model, picture, progress))
    return Analysed(picture, latents, clock.seconds)


@sparing
@torch.inference_mode()
def encode_analysed(
    analysed: Analysed,
    model: Model,
    quality: float,
    *,
    count_bits: bool = False,
    stream_checks: bool | None = None,
    preview: bool | None = None,
) -> Encoded:
    """The file of an analysed picture at a quality; its seconds are those of both halves."""
    gain, thousandths = _gain(model, quality)
    y = analysed.latents.to(model.device) * gain
    return _encode_latents(analysed, y, thousandths, model, count_bits, stream_checks, preview)


def _gain(model: Model, quality: float) -> tuple[Tensor, int]:
    """The gain [1, M, 1, 1] of a quality as the header can hold it, and that, in thousandths."""
    model.check_quality(quality)
    thousandths = round(quality * 1000)  # what the header holds, and therefore what both sides use
    return model.gains(thousandths / 1000)[0], thousandths


def _encode_latents(
    analysed: Analysed,
    y: Tensor,
    thousandths: int,
    model: Model,
    count_bits: bool,
    stream_checks: bool | None,
    preview: bool | None,
    progress: Progress | None = None,
) -> Encoded:
    """The file of the gained latents y [1, M, H/16, W/16]."""
    picture, clock = analysed.picture, Clock(model.device)
    z = clock.time("hyper analysis", lambda: hyper_analyse(model, y))
    told = slices_told(progress, model, first=TRANSFORM_SHARE, last=1.0)
    writer = SliceWriter(model.z_tables, model.y_tables, count_bits=count_bits, told=told)
    y_hat = clock.time("entropy nets", lambda: walk(model.side, z, y.permute(0, 2, 3, 1), thousandths, writer))
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
        sums=stream_checks,
    )
    add_preview(file, lambda: analysed.thumbnail, preview)
    return Encoded(fileformat.pack(file), {**analysed.seconds, **clock.seconds}, writer.bits, writer.symbols, y_hat)
