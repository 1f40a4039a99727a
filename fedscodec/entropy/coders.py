"""The coders that are handed to the walk over the parts: estimate, write, read, or look.

`RateEstimator` and `EntropyProbe` work on floats in training and analysis. `StreamWriter` and `StreamReader` work on
integers and are all that touches bytes. z is channels last [B, H, W, C]; of y, mean and index they get the block of a
part (`parts.Part`). None of them knows how means and table indices come about.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import FormatError, StreamError
from . import mixtures, rangecoder
from .fixedpoint import MEAN_UNIT, SYMBOL_LIMIT
from .parts import Part, assemble
from .tables import Tables

_CHUNK = 2**18
_INT16_LIMIT = 2**15 - 1


class Prior(Protocol):
    """What a float coder needs of the prior of z."""

    def likelihood(self, z: Tensor) -> Tensor:
        """Probability mass of the unit interval around z."""


def _bits(likelihood: Tensor) -> Tensor:
    return -torch.log2(likelihood)


class RateEstimator:
    """Differentiable rate (Eq. 1): additive uniform noise for the likelihood, straight-through rounding for ŷ.

    count, smallest, largest: the log-spaced scales that the table indices stand for. With noise=False the rate is that
    of the rounded symbols, which is what a file costs up to its tables. After a walk, `bits_z` and `bits_y` hold the
    bits of each sample [B]. shapes [sets, count, 5]: how residuals are distributed (`mixtures`), Gaussian without.
    """

    def __init__(
        self, count: int, smallest: float, largest: float, *, noise: bool = True, shapes: Tensor | None = None
    ) -> None:  # fmt: skip
        self.shapes = shapes
        self.log_smallest = math.log(smallest)
        self.log_step = math.log(largest / smallest) / (count - 1)
        self.noise = noise
        self.bits_z: Tensor | float = 0.0
        self.bits_y: Tensor | float = 0.0

    def hyper(self, z: Tensor | None, prior: Prior | None) -> Tensor:
        """z [B, C, H, W] → ẑ, rounded with a straight-through gradient."""
        if prior is None:
            raise ValueError("an estimator needs the prior of z")
        z = _given(z)
        rounded = z + (torch.round(z) - z).detach()
        noisy = z + torch.rand_like(z) - 0.5 if self.noise else rounded
        self.keep_hyper(_bits(prior.likelihood(noisy)))
        return rounded

    def code(self, part: Part, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """y, mean and (real or integer) table index of a part → ŷ."""
        residual = _given(y) - mean
        rounded = residual + (torch.round(residual) - residual).detach()
        noisy = residual + torch.rand_like(residual) - 0.5 if self.noise else rounded
        scale = torch.exp(self.log_smallest + index * self.log_step)
        if self.shapes is None:
            likelihood = gaussian_likelihood(noisy, scale)
        else:
            shapes = self.shapes[part.tables][index.detach().round().long().clamp(0, self.shapes.shape[1] - 1)]
            likelihood = mixture_likelihood(noisy, scale, shapes)
        self.keep(part, _bits(likelihood))
        return rounded + mean

    def keep_hyper(self, bits: Tensor) -> None:
        """Account for the bits of each element of z."""
        self.bits_z = bits.flatten(1).sum(1)

    def keep(self, part: Part, bits: Tensor) -> None:
        """Account for the bits of each element of a part."""
        self.bits_y = self.bits_y + bits.flatten(1).sum(1)

    @property
    def bits(self) -> Tensor:
        """Bits of each sample, z and y together [B]."""
        return torch.as_tensor(self.bits_z + self.bits_y)


class EntropyProbe(RateEstimator):
    """Keeps −log₂ p of every element (Eq. 10–11), for the heatmaps and the channel ranking of Eq. 6–7."""

    def __init__(self, count: int, smallest: float, largest: float, *, shapes: Tensor | None = None) -> None:
        super().__init__(count, smallest, largest, noise=False, shapes=shapes)
        self._parts: list[Part] = []
        self._maps: list[Tensor] = []

    def keep(self, part: Part, bits: Tensor) -> None:
        """Keep the bits of each element as well as their sum."""
        super().keep(part, bits)
        self._parts.append(part)
        self._maps.append(bits)

    @property
    def maps(self) -> Tensor:
        """Entropy maps E of all channels, in bits [B, M, H/16, W/16] (Eq. 11)."""
        channels = max(part.channels[1] for part in self._parts)
        return assemble(self._parts, self._maps, channels).permute(0, 3, 1, 2)

    @property
    def channel_entropies(self) -> Tensor:
        """Mean entropy of each channel in bits (Eq. 6, 12), [M]."""
        return self.maps.mean((0, 2, 3))


def gaussian_likelihood(residual: Tensor, scale: Tensor) -> Tensor:
    """Mass of a zero-mean Gaussian in the unit interval around residual (Eq. 10), at least 1e-9."""
    return _mass(residual.float().abs(), scale.float()).clamp_min(1e-9)


def mixture_likelihood(residual: Tensor, scale: Tensor, shapes: Tensor) -> Tensor:
    """Mass in the unit interval around residual of the mixture [..., 5] of each element, at least 1e-9."""
    distance, scale = residual.float().abs(), scale.float()
    parts = [
        shapes[..., j] * _mass(distance, relative * scale) for j, relative in enumerate(mixtures.RELATIVE_SCALES)
    ]  # fmt: skip
    return torch.stack(parts).sum(0).clamp_min(1e-9)


def _mass(distance: Tensor, scale: Tensor) -> Tensor:
    factor = math.sqrt(0.5) / scale  # erfc keeps its precision in the tail, a difference of erf does not
    return 0.5 * (torch.erfc((distance - 0.5) * factor) - torch.erfc((distance + 0.5) * factor))


def _given(x: Tensor | None) -> Tensor:
    if x is None:
        raise ValueError("an encoder or estimator needs the latents; only a reader may go without")
    return x


Told = Callable[[int], None]
"""Told, after each stream, how many there have been so far."""


class StreamWriter:
    """Turns z and the parts of y into streams, byte strings; streams[0] is z.

    y_tables: the sets of tables that parts name, or one for all. unit: means and ŷ are integers in 1/unit of a step.
    symbols keeps the integers of each stream in coding order (int16), for the file's checksum; seconds is the time
    spent in the coder. With count_bits, bits sums −log₂ p by the integer tables.
    """

    def __init__(
        self, z_tables: Tables, y_tables: tuple[Tables, ...], *, unit: int = MEAN_UNIT, count_bits: bool = False,
        told: Told | None = None,
    ) -> None:  # fmt: skip
        self.z_tables, self.y_tables, self.unit, self.count_bits, self.told = z_tables, y_tables, unit, count_bits, told
        self.streams: list[bytes] = []
        self.symbols: list[np.ndarray] = []
        self.bits = 0.0
        self.seconds = 0.0
        self._waiting: list[tuple[np.ndarray, np.ndarray, Tables]] = []  # parts of a stream that is not whole

    def hyper(self, z: Tensor | None, prior: object = None) -> Tensor:
        """z float [1, H, W, C] → ẑ int16."""
        symbols = _round(_given(z))
        self._write(symbols, _channel_index(tuple(symbols.shape)), self.z_tables)
        return symbols

    def code(self, part: Part, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """y float, mean in 1/unit, index: blocks of one shape → ŷ integers in 1/unit, of the type of `_y_hat`."""
        count, tables = mean.shape[-1], tables_of(self.y_tables, part.tables)
        flat_y, flat_mean, flat_index = (x.reshape(-1, count) for x in (_given(y), mean, index))
        symbols = torch.empty_like(flat_mean, dtype=torch.int16)
        for chunk in _chunks(len(symbols)):
            residual = _round(flat_y[chunk].to(torch.float64) - flat_mean[chunk].to(torch.float64) / self.unit)
            symbols[chunk] = torch.where(flat_index[chunk] < tables.skip, 0, residual)
        symbols = symbols.view(mean.shape)
        self._write(symbols, index.numpy(force=True), tables, ends=part.ends)
        return _y_hat(symbols, mean, self.unit)

    def _write(self, symbols: Tensor, index: np.ndarray, tables: Tables, *, ends: bool = True) -> None:
        flat = symbols.numpy(force=True).reshape(-1)
        self._waiting.append((flat, index.reshape(-1), tables))
        if self.count_bits:
            self.bits += tables.bits(flat, index.reshape(-1))
        if not ends:
            return
        begin = time.perf_counter()
        self.streams.append(rangecoder.encode_parts(self._waiting))
        self.seconds += time.perf_counter() - begin
        self.symbols.append(_joined([symbols for symbols, _, _ in self._waiting]))
        self._waiting = []
        if self.told:
            self.told(len(self.streams))


class StreamReader:
    """Reads back what `StreamWriter` wrote; z_shape is [1, H/64, W/64, Z]. Raises StreamError on a broken stream.

    symbols are those of each stream that was read to its end.
    """

    def __init__(
        self, streams: tuple[bytes, ...], z_shape: tuple[int, ...], z_tables: Tables, y_tables: tuple[Tables, ...],
        device: torch.device | str = "cpu", *, unit: int = MEAN_UNIT, told: Told | None = None,
    ) -> None:  # fmt: skip
        self.z_tables, self.y_tables, self.unit, self.told = z_tables, y_tables, unit, told
        self.streams, self.z_shape, self.device = streams, z_shape, device
        self.symbols: list[np.ndarray] = []
        self.seconds = 0.0
        self._decoder: rangecoder.StreamDecoder | None = None
        self._read_so_far: list[np.ndarray] = []  # parts of a stream that is not read to its end

    def hyper(self, z: Tensor | None, prior: object = None) -> Tensor:
        """ẑ int16 [1, H, W, C]; z is not looked at."""
        return self._read(_channel_index(self.z_shape), self.z_tables, self.z_shape)

    def code(self, part: Part, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """ŷ integers in 1/unit, of the type of `_y_hat`; y is not looked at."""
        tables = tables_of(self.y_tables, part.tables)
        symbols = self._read(index.numpy(force=True), tables, tuple(index.shape), ends=part.ends)
        return _y_hat(symbols, mean, self.unit)

    def _read(self, index: np.ndarray, tables: Tables, shape: tuple[int, ...], *, ends: bool = True) -> Tensor:
        number, begin = len(self.symbols), time.perf_counter()
        try:
            symbols = self._next(self.streams[number], index.reshape(-1), tables, ends)
        except FormatError as error:
            which = "the z stream" if number == 0 else f"the slice {number} stream"
            raise StreamError(f"{which} is damaged: {error}", number) from None
        self.seconds += time.perf_counter() - begin
        if self.told and ends:
            self.told(len(self.symbols))
        return torch.from_numpy(symbols.reshape(shape)).to(self.device)

    def _next(self, stream: bytes, index: np.ndarray, tables: Tables, ends: bool) -> np.ndarray:
        if self._decoder is None and ends:  # a stream of one part, the usual case
            symbols = rangecoder.decode(stream, index, tables)
        else:
            self._decoder = self._decoder or rangecoder.StreamDecoder(stream)
            symbols = self._decoder.part(index, tables)
            if ends:
                self._decoder.finish()
        self._read_so_far.append(symbols)
        if ends:
            self.symbols.append(_joined(self._read_so_far))
            self._decoder, self._read_so_far = None, []
        return symbols


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def tables_of(y_tables: tuple[Tables, ...], number: int) -> Tables:
    """The set of tables of that number, counted from 0; the last stands for all that follow."""
    return y_tables[min(number, len(y_tables) - 1)]


def require_long_enough(
    streams: tuple[bytes, ...],
    z_count: int,
    counts: Sequence[tuple[Part, int]],
    z_tables: Tables,
    y_tables: tuple[Tables, ...],
) -> None:
    """StreamError if a stream is too short for its symbols, whatever these are: z_count, and as many of each part."""
    expected, tables = {0: z_count}, {0: z_tables}
    for part, count in counts:
        expected[part.stream] = expected.get(part.stream, 0) + count
        tables[part.stream] = tables_of(y_tables, part.tables)
    for number, count in expected.items():
        least = rangecoder.least_bytes(count, tables[number])
        if len(streams[number]) < least:
            which = f"slice {number}" if number else "z"
            found = f"its {count} symbols take {least} bytes or more, found {len(streams[number])}"
            raise StreamError(f"the {which} stream is too short: {found}", number)


def symbol_bytes(symbols: list[np.ndarray]) -> list[memoryview]:
    """The integers of each stream as little-endian int16, in coding order: what a file's checksum is taken of."""
    return [np.ascontiguousarray(s, dtype="<i2").data.cast("B") for s in symbols]


def symbol_hash(symbols: list[np.ndarray]) -> str:
    """CRC-32 of all symbols of a picture, in hexadecimal, for conformance lists."""
    return f"{zlib.crc32(b''.join(symbol_bytes(symbols))):08x}"


def _round(x: Tensor) -> Tensor:
    return torch.floor(x + 0.5).nan_to_num(0.0).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT).to(torch.int16)


def _y_hat(symbols: Tensor, mean: Tensor, unit: int) -> Tensor:
    """unit·symbol + mean as int16, or as int32 where that is too small, which is for pathological pictures only."""
    flat, flat_mean = symbols.reshape(-1), mean.reshape(-1)
    y_hat = torch.empty_like(flat)
    for chunk in _chunks(len(flat)):
        wide = flat[chunk].to(torch.int32) * unit + flat_mean[chunk]
        if y_hat.dtype == torch.int16 and wide.abs().amax() > _INT16_LIMIT:
            y_hat = y_hat.to(torch.int32)
        y_hat[chunk] = wide.to(y_hat.dtype)
    return y_hat.view(symbols.shape)


def _chunks(count: int) -> Iterator[slice]:
    """Stretches that are small enough to be widened, and large enough to be one for a picture of ordinary size."""
    return (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))


def _channel_index(shape: tuple[int, ...]) -> np.ndarray:
    """The table of every element of z is its channel."""
    return np.broadcast_to(np.arange(shape[-1], dtype=np.int16), shape).copy()
