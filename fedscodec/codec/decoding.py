"""Decode the bytes of a .feds file: unpack → walk with a StreamReader → checksum → 1/gain → g_s → crop."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from .. import fileformat
from ..entropy.streams import StreamReader, require_long_enough, symbol_bytes
from ..errors import FedsError, FormatError, StreamError
from ..fileformat import FedsFile, Salvage
from ..images import Picture, Window
from ..networks.spec import STRIDE
from ..networks.walk import walk
from .beside import with_boxes
from .devices import sparing
from .exact import exact_picture
from .latents import TRANSFORM_SHARE, stream_progress, synthesise
from .model import Model
from .outcomes import Clock, Decoded, Encoded, Progress, separate_coder


@sparing
def decode_file(
    file: FedsFile, model: Model, *, slices: int | None = None, window: Window | None = None,
    progress: Progress | None = None,
) -> Decoded:  # fmt: skip
    """Decode an unpacked file with the network that wrote it. Raises FormatError if its streams are damaged.

    With slices, from 1 to the network's number, it reads only that many slices and takes the others as zero, which
    gives a preview. The checksum covers all symbols, so only the checks of the streams then protect against damage.
    With a window, it makes only the pixels of that part of the picture; FedsError if it does not lie inside.
    """
    if window:
        window.require_inside(file.header.width, file.header.height)
    if (exact := exact_picture(file)) is not None:
        require_fit(file, model, slices)
        return Decoded(window.of(exact) if window else exact, {}, [])
    clock = Clock(model.wait, progress)
    y_hat, symbols = _read_latents(file, model, clock, slices)
    picture = _picture_of(file, y_hat, model, clock, window)
    return Decoded(picture, clock.seconds, symbols)


@sparing
def decode_salvaged(found: Salvage, model: Model, *, progress: Progress | None = None) -> Decoded:
    """Decode the intact slices of a damaged file; the picture's warnings say what is damaged and what is shown.

    These are the slices before the first damaged one, because each needs all before it. With damaged alpha the picture
    is opaque. Raises FormatError if not even the first slice is intact.
    """
    faults, most = list(found.faults), model.spec.streams
    if (exact := exact_picture(found.file)) is not None:
        require_fit(found.file, model)
        return Decoded(replace(exact, warnings=(*exact.warnings, *faults)), {}, [])
    clock, slices = Clock(model.wait, progress), min(found.whole - 1, most)
    while True:
        if slices < 1:
            raise FormatError(f"nothing can be shown: {'; '.join(faults)}")
        try:
            y_hat, symbols = _read_latents(found.file, model, clock, slices, checked=False)
            break
        except StreamError as error:
            slices = error.stream - 1
            faults.append(str(error))
    whole = slices == most
    if whole and fileformat.symbol_checksum(found.file.header, symbol_bytes(symbols)) != found.file.header.checksum:
        faults.append("the checksum of its symbols is wrong, and no stream tells that it is damaged")
    damaged = bool(faults)
    picture = with_boxes(_colours_of(found.file, y_hat, model, clock), found.file, faults)
    warnings = (*picture.warnings, *faults, *([f"shown are {slices} of {most} slices"] if damaged else []))
    return Decoded(replace(picture, warnings=warnings), clock.seconds, symbols)


@sparing
def read_symbols(file: FedsFile, model: Model) -> list[np.ndarray]:
    """The symbols of an unpacked file, z first, read and checked as in `decode_file`; makes no pixels."""
    if exact_picture(file) is not None:
        require_fit(file, model)
        return []
    return _read_latents(file, model, Clock(model.wait))[1]


def read_latents(file: FedsFile, model: Model, slices: int, clock: Clock) -> Any:
    """ŷ [1, H/16, W/16, M] of the first slices, integers in 1/unit (`spec.mean_unit`); checked as in `decode_file`."""
    return _read_latents(file, model, clock, slices)[0]


def _read_latents(
    file: FedsFile, model: Model, clock: Clock, slices: int | None = None, *, checked: bool = True
) -> tuple[Any, list[np.ndarray]]:
    """ŷ [1, H/16, W/16, M], integers in 1/unit, and all symbols.

    Raises FormatError unless the symbols match the file's checksum.
    """
    header = file.header
    require_fit(file, model, slices)
    most = model.spec.streams
    wanted = most if slices is None else slices
    rows, columns = -(-header.height // STRIDE), -(-header.width // STRIDE)
    z_shape = (1, rows, columns, model.spec.hyper_latents)
    counts = [(part, part.count(4 * rows, 4 * columns)) for part in model.spec.parts() if part.stream <= wanted]
    require_long_enough(file.streams, math.prod(z_shape), counts, model.z_tables, model.y_tables)
    on_stream = stream_progress(clock.progress, model, first=0.0, last=1 - TRANSFORM_SHARE)
    reader = StreamReader(
        file.streams, z_shape, model.z_tables, model.y_tables, model.tensors_on,
        unit=model.spec.mean_unit, on_stream=on_stream,
    )  # fmt: skip
    with clock.stage("entropy nets"):
        y_hat = walk(model.side, None, None, header.quality, reader, wanted)
    separate_coder(clock, reader.seconds)
    whole = wanted == most
    if checked and whole and fileformat.symbol_checksum(header, symbol_bytes(reader.symbols)) != header.checksum:
        raise FormatError("the checksum of its symbols is wrong: the file is damaged")
    return y_hat, reader.symbols


def require_fit(file: FedsFile, model: Model, slices: int | None = None) -> None:
    """Raise FormatError unless the file belongs to this network and asks only for what it has.

    Raises FedsError for a number of slices to decode that it does not have (None: all).
    """
    header = file.header
    if header.fingerprint != model.fingerprint:
        raise FormatError(
            f"was written by the network {header.fingerprint.hex()}, but {model.name} is {model.fingerprint.hex()}"
        )
    if len(file.streams) != model.spec.streams + 1:
        raise FormatError(f"holds {len(file.streams) - 1} slices, but {model.name} has {model.spec.streams}")
    if not 1000 <= header.quality <= 1000 * len(model.spec.lambdas):
        raise FormatError(f"asks for quality {header.quality / 1000:g}, which {model.name} does not have")
    if slices is not None and not 1 <= slices <= model.spec.streams:
        raise FedsError(f"slices must lie between 1 and {model.spec.streams} for {model.name}, found {slices}")


@sparing
def reconstruct(encoded: Encoded, model: Model) -> Picture:
    """The picture that a decoder will show, made from ŷ without reading the file."""
    file = fileformat.unpack(encoded.data, max_pixels=None)
    if (exact := exact_picture(file)) is not None:
        return exact
    return _picture_of(file, model.own(encoded.y_hat), model, Clock(model.wait))


def _picture_of(file: FedsFile, y_hat: Any, model: Model, clock: Clock, window: Window | None = None) -> Picture:
    colours = _colours_of(file, y_hat, model, clock, window)
    return with_boxes(colours, file, to_fit=window.cut if window else None)


def _colours_of(file: FedsFile, y_hat: Any, model: Model, clock: Clock, window: Window | None = None) -> Picture:
    with clock.stage("synthesis"):
        pixels = synthesise(model, y_hat, file.header, clock.progress, window)
    return Picture(pixels, file.header.grey)
