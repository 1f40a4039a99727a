"""Pixels ↔ bytes: the one place where pictures, networks, coder and file format meet.

    encode: pad → g_a │ gain → h_a → walk with a SliceWriter → pack    (what stands before │ knows no quality)
    decode: unpack → walk with a SliceReader → checksum → 1/gain → g_s → crop

Everything between ẑ and the table indices is integers (`networks.integer_side`), so symbols do not depend on the
device, the number of threads or the precision of the transforms.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from . import fileformat, registry
from .beside import boxes_of, with_boxes
from .devices import choose_device as choose_device
from .devices import choose_precision as choose_precision
from .devices import sparing
from .entropy.coders import SliceReader, SliceWriter, require_long_enough, symbol_bytes
from .errors import FedsError, FormatError, LackOfMemoryWarning, StreamError, TooLargeError, WeightsError
from .fileformat import FedsFile, Salvage
from .images import Picture
from .images import psnr as psnr  # from where it is looked for
from .latents import TRANSFORM_SHARE, Progress, analyse, hyper_analyse, synthesise
from .networks.slices import walk
from .networks.spec import STRIDE
from .networks.tiles import transform_side
from .networks.weights import Weights, float_transforms, integer_side, read_weights
from .outcomes import Analysed as Analysed
from .outcomes import Clock
from .outcomes import Decoded as Decoded
from .outcomes import Encoded as Encoded


class Model:
    """A network that is ready to encode and decode. name and quality are those it was asked for by."""

    def __init__(
        self,
        weights: Weights,
        *,
        name: str,
        quality: float,
        device: str = "auto",
        precision: torch.dtype | None = None,
    ) -> None:
        self.device = choose_device(device)
        self.precision = precision or choose_precision(self.device)
        self.name, self.quality = name, quality
        self.spec, self.fingerprint = weights.spec, weights.fingerprint
        self.z_tables, self.y_tables = weights.z_tables, weights.slice_tables
        self.transforms = float_transforms(weights)
        del self.transforms.float_side  # never leaves the meta device; the integers stand in for it
        self.transforms.to(self.device).to(memory_format=torch.channels_last)
        self.side = integer_side(weights).to(self.device)
        self.tile_shrink = 1
        self._weights = None if self.device.type == "cpu" else weights  # for `cheaper`

    @property
    def tile_side(self) -> int:
        """Latents that a side of a tile of g_a and g_s keeps."""
        return max(transform_side(self.device) // self.tile_shrink, 1)

    def cheaper(self) -> Iterator[tuple[str, Model]]:
        """The same network in tiles of a quarter of the side, and then on the CPU, where it is not there already."""
        small = copy.copy(self)
        small.tile_shrink = 4 * self.tile_shrink
        yield "in smaller tiles", small
        if self._weights is not None:
            yield "on the CPU", Model(self._weights, name=self.name, quality=self.quality, device="cpu")

    def encode(self, picture: Picture, quality: float | None = None, *, stream_checks: bool | None = None) -> bytes:
        """The picture as the bytes of a .feds file, at the model's quality unless another is given."""
        wanted = self.quality if quality is None else quality
        return encode_picture(picture, self, wanted, stream_checks=stream_checks).data

    def decode(self, data: bytes, *, max_pixels: int | None = fileformat.DEFAULT_MAX_PIXELS) -> Picture:
        """The picture in the bytes of a .feds file that this network wrote."""
        return decode_file(fileformat.unpack(data, max_pixels=max_pixels), self).picture

    def autocast(self) -> AbstractContextManager[object]:
        """The precision of the transforms."""
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision)

    def check_quality(self, quality: float) -> None:
        """FedsError for a quality outside 1 … Q."""
        most = len(self.spec.lambdas)
        if not 1 <= quality <= most:  # so is nothing that is not a number
            raise FedsError(f"quality must lie between 1 and {most} for {self.name}, found {quality:g}")

    def gains(self, quality: float) -> tuple[Tensor, Tensor]:
        """Gain and inverse gain [1, M, 1, 1] of a quality in 1 … Q."""
        self.check_quality(quality)
        gain, inverse = self.transforms.gains(torch.tensor([quality], device=self.device))
        return gain, inverse


def load_model(name: str = registry.DEFAULT_MODEL, device: str = "auto") -> Model:
    """The network behind a name or a path, ready to encode and decode on a device ("auto", "cpu", "cuda")."""
    return _load(registry.resolve(name), device)


def model_by_fingerprint(fingerprint: bytes, device: str = "auto", *, name: str = "the file") -> Model:
    """The installed network that wrote a file; UnknownModelError names the fingerprint that is missing."""
    return _load(registry.by_fingerprint(fingerprint, name=name), device)


def _load(found: registry.Resolved, device: str) -> Model:
    weights = read_weights(found.path)
    middle = min(registry.DEFAULT_QUALITY, len(weights.spec.lambdas))  # a network for one λ has one quality
    quality = middle if found.quality is None else found.quality
    try:
        return Model(weights, name=found.network, quality=quality, device=device)
    except WeightsError as error:
        raise WeightsError(f"{found.path}: {error}") from error
    except torch.OutOfMemoryError:
        warnings.warn("memory ran out, going on on the CPU", LackOfMemoryWarning, stacklevel=2)
    return Model(weights, name=found.network, quality=quality, device="cpu")


@sparing
@torch.inference_mode()
def encode_picture(
    picture: Picture,
    model: Model,
    quality: float,
    *,
    count_bits: bool = False,
    stream_checks: bool | None = None,
    progress: Progress | None = None,
) -> Encoded:
    """Encode a picture at a quality from 1 to the number of the model's λs; in between, gains are interpolated.

    `stream_checks` adds a check of every stream, see `fileformat.assemble`.
    """
    gain, thousandths = _gain(model, quality)  # before the work
    analysed = _analysed(picture, model, progress)
    y = analysed.latents.mul_(gain)
    return _encode_latents(analysed, y, thousandths, model, count_bits, stream_checks, progress)


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
    analysed: Analysed, model: Model, quality: float, *, count_bits: bool = False, stream_checks: bool | None = None
) -> Encoded:
    """The file of an analysed picture at a quality; its seconds are those of both halves."""
    gain, thousandths = _gain(model, quality)
    y = analysed.latents.to(model.device) * gain
    return _encode_latents(analysed, y, thousandths, model, count_bits, stream_checks)


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
    progress: Progress | None = None,
) -> Encoded:
    """The file of the gained latents y [1, M, H/16, W/16]."""
    picture, clock = analysed.picture, Clock(model.device)
    z = clock.time("hyper analysis", lambda: hyper_analyse(model, y))
    told = _slices_told(progress, model, first=TRANSFORM_SHARE, last=1.0)
    writer = SliceWriter(model.z_tables, model.y_tables, count_bits=count_bits, told=told)
    y_hat = clock.time("entropy nets", lambda: walk(model.side, z, y.permute(0, 2, 3, 1), thousandths, writer))
    _separate_coder(clock, writer.seconds)
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
    return Encoded(fileformat.pack(file), {**analysed.seconds, **clock.seconds}, writer.bits, writer.symbols, y_hat)


@sparing
@torch.inference_mode()
def decode_file(
    file: FedsFile, model: Model, *, slices: int | None = None, progress: Progress | None = None
) -> Decoded:
    """Decode an unpacked file with the network that wrote it; FormatError where its streams are damaged.

    With slices, from 1 to the network's number, only the first so many are read and the others taken as zero, which
    gives a preview. The checksum covers all symbols, so then only the streams' own checks stand against damage.
    """
    clock = Clock(model.device)
    y_hat, symbols = _read_latents(file, model, clock, slices, progress)
    picture = _picture_of(file, y_hat, model, clock, progress)
    return Decoded(picture, clock.seconds, symbols)


@sparing
@torch.inference_mode()
def decode_salvaged(found: Salvage, model: Model, *, progress: Progress | None = None) -> Decoded:
    """What the intact slices of a damaged file give; the picture's warnings say what is wrong and what is shown.

    The slices are those before the first that is known or turns out to be damaged, as each needs all before it.
    Without sound alpha the picture is opaque. FormatError where not even the first slice is intact.
    """
    faults, most = list(found.faults), model.spec.slices
    clock, slices = Clock(model.device), min(found.whole - 1, most)
    while True:
        if slices < 1:
            raise FormatError(f"nothing can be shown: {'; '.join(faults)}")
        try:
            y_hat, symbols = _read_latents(found.file, model, clock, slices, progress, checked=False)
            break
        except StreamError as error:
            slices = error.stream - 1
            faults.append(str(error))
    whole = slices == most
    if whole and fileformat.symbol_checksum(found.file.header, symbol_bytes(symbols)) != found.file.header.checksum:
        faults.append("the checksum of its symbols is wrong, and no stream tells that it is damaged")
    damaged = bool(faults)
    picture = with_boxes(_colours_of(found.file, y_hat, model, clock, progress), found.file, faults)
    told = (*picture.warnings, *faults, *([f"shown are {slices} of {most} slices"] if damaged else []))
    return Decoded(replace(picture, warnings=told), clock.seconds, symbols)


@sparing
@torch.inference_mode()
def read_symbols(file: FedsFile, model: Model) -> list[np.ndarray]:
    """The symbols of an unpacked file, z first, as `decode_file` reads and checks them; no pixel is made."""
    return _read_latents(file, model, Clock(model.device))[1]


@torch.inference_mode()
def read_latents(file: FedsFile, model: Model, slices: int) -> tuple[Tensor, dict[str, float]]:
    """ŷ in 1/16 [1, H/16, W/16, M] of the first slices, checked as `decode_file` does, and the seconds it took."""
    clock = Clock(model.device)
    return _read_latents(file, model, clock, slices)[0], clock.seconds


def _read_latents(
    file: FedsFile,
    model: Model,
    clock: Clock,
    slices: int | None = None,
    progress: Progress | None = None,
    *,
    checked: bool = True,
) -> tuple[Tensor, list[np.ndarray]]:
    """ŷ in 1/16 [1, H/16, W/16, M] and all symbols; FormatError unless they have the file's checksum."""
    header = file.header
    _require_fit(file, model)
    wanted = model.spec.slices if slices is None else slices
    if not 1 <= wanted <= model.spec.slices:
        raise FedsError(f"slices must lie between 1 and {model.spec.slices} for {model.name}, found {wanted}")
    rows, columns = -(-header.height // STRIDE), -(-header.width // STRIDE)
    z_shape = (1, rows, columns, model.spec.hyper_latents)
    counts = [math.prod(z_shape), *[16 * rows * columns * model.spec.slice_channels] * model.spec.slices]
    require_long_enough(file.streams[: 1 + wanted], counts[: 1 + wanted], model.z_tables, model.y_tables)
    told = _slices_told(progress, model, first=0.0, last=1 - TRANSFORM_SHARE)
    reader = SliceReader(file.streams, z_shape, model.z_tables, model.y_tables, model.device, told=told)
    y_hat = clock.time("entropy nets", lambda: walk(model.side, None, None, header.quality, reader, wanted))
    _separate_coder(clock, reader.seconds)
    whole = wanted == model.spec.slices
    if checked and whole and fileformat.symbol_checksum(header, symbol_bytes(reader.symbols)) != header.checksum:
        raise FormatError("the checksum of its symbols is wrong: the file is damaged")
    return y_hat, reader.symbols


def _require_fit(file: FedsFile, model: Model) -> None:
    """FormatError unless the file is of this network, and asks for what it has."""
    header = file.header
    if header.fingerprint != model.fingerprint:
        raise FormatError(
            f"was written by the network {header.fingerprint.hex()}, but {model.name} is {model.fingerprint.hex()}"
        )
    if len(file.streams) != model.spec.slices + 1:
        raise FormatError(f"holds {len(file.streams) - 1} slices, but {model.name} has {model.spec.slices}")
    if not 1000 <= header.quality <= 1000 * len(model.spec.lambdas):
        raise FormatError(f"asks for quality {header.quality / 1000:g}, which {model.name} does not have")


@sparing
@torch.inference_mode()
def reconstruct(encoded: Encoded, model: Model) -> Picture:
    """The picture that a decoder will show, without reading the file: its ŷ are at hand."""
    file = fileformat.unpack(encoded.data, max_pixels=None)
    return _picture_of(file, encoded.y_hat.to(model.device), model, Clock(model.device))


def _picture_of(file: FedsFile, y_hat: Tensor, model: Model, clock: Clock, progress: Progress | None = None) -> Picture:
    return with_boxes(_colours_of(file, y_hat, model, clock, progress), file)


def _colours_of(file: FedsFile, y_hat: Tensor, model: Model, clock: Clock, progress: Progress | None) -> Picture:
    pixels = clock.time("synthesis", lambda: synthesise(model, y_hat, file.header, progress))
    return Picture(pixels, file.header.grey)


def _slices_told(progress: Progress | None, model: Model, first: float, last: float) -> Callable[[int], None] | None:
    """What a coder tells of the streams it is done with, as progress from first to last."""
    if progress is None:
        return None
    return lambda streams: progress(first + (last - first) * streams / (1 + model.spec.slices))


def _separate_coder(clock: Clock, coder: float) -> None:
    """Move the coder's seconds out of those of the walk that called it."""
    clock.seconds["entropy nets"] -= coder
    clock.seconds["coder"] = coder
