"""The coders that are handed to the walk over the slices: estimate, write, read, or look.

`RateEstimator` and `EntropyProbe` work on float tensors [B, C, H, W] in training and analysis. `SliceWriter` and
`SliceReader` work on integers, channels last [1, H, W, C], and are all that touches bytes. None of them knows how
means and table indices come about.
"""

from __future__ import annotations

import math
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ..errors import FormatError, StreamError
from . import mixtures, rangecoder
from .fixedpoint import MEAN_UNIT, SYMBOL_LIMIT
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
    bits of each sample [B]. shapes [slices, count, 5]: how residuals are distributed (`mixtures`), Gaussian without.
    """

    def __init__(
        self, count: int, smallest: float, largest: float, *, noise: bool = True, shapes: Tensor | None = None
    ) -> None:  # fmt: skip
        self.shapes, self.walked = shapes, 0
        self.log_smallest = math.log(smallest)
        self.log_step = math.log(largest / smallest) / (count - 1)
        self.noise = noise
        self.bits_z: Tensor | float = 0.0
        self.bits_y: Tensor | float = 0.0

    def hyper(self, z: Tensor | None, prior: Prior) -> Tensor:
        """z [B, C, H, W] → ẑ, rounded with a straight-through gradient."""
        z = _given(z)
        rounded = z + (torch.round(z) - z).detach()
        noisy = z + torch.rand_like(z) - 0.5 if self.noise else rounded
        self.keep_hyper(_bits(prior.likelihood(noisy)))
        return rounded

    def slice(self, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """y, mean and (real or integer) table index [B, C, H, W] → ŷ."""
        residual = _given(y) - mean
        rounded = residual + (torch.round(residual) - residual).detach()
        noisy = residual + torch.rand_like(residual) - 0.5 if self.noise else rounded
        scale = torch.exp(self.log_smallest + index * self.log_step)
        if self.shapes is None:
            likelihood = gaussian_likelihood(noisy, scale)
        else:
            shapes = self.shapes[self.walked][index.detach().round().long().clamp(0, self.shapes.shape[1] - 1)]
            likelihood = mixture_likelihood(noisy, scale, shapes)
        self.keep_slice(_bits(likelihood))
        self.walked += 1
        return rounded + mean

    def keep_hyper(self, bits: Tensor) -> None:
        """Account for the bits of each element of z."""
        self.bits_z = bits.flatten(1).sum(1)

    def keep_slice(self, bits: Tensor) -> None:
        """Account for the bits of each element of a slice."""
        self.bits_y = self.bits_y + bits.flatten(1).sum(1)

    @property
    def bits(self) -> Tensor:
        """Bits of each sample, z and y together [B]."""
        return torch.as_tensor(self.bits_z + self.bits_y)


class EntropyProbe(RateEstimator):
    """Keeps −log₂ p of every element (Eq. 10–11), for the heatmaps and the channel ranking of Eq. 6–7."""

    def __init__(self, count: int, smallest: float, largest: float, *, shapes: Tensor | None = None) -> None:
        super().__init__(count, smallest, largest, noise=False, shapes=shapes)
        self._maps: list[Tensor] = []

    def keep_slice(self, bits: Tensor) -> None:
        """Keep the map as well as the sum."""
        super().keep_slice(bits)
        self._maps.append(bits)

    @property
    def maps(self) -> Tensor:
        """Entropy maps E of all channels, in bits [B, M, H/16, W/16] (Eq. 11)."""
        return torch.cat(self._maps, 1)

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


class SliceWriter:
    """Turns z and the slices of y into one byte string each; streams[0] is z.

    y_tables: those of each slice, the last for all that follow. symbols keeps the integers in coding order (int16), for
    the file's checksum; seconds is the time spent in the coder.
    With count_bits, bits sums −log₂ p by the integer tables.
    """

    def __init__(
        self, z_tables: Tables, y_tables: tuple[Tables, ...], *, count_bits: bool = False, told: Told | None = None
    ) -> None:  # fmt: skip
        self.z_tables, self.y_tables, self.count_bits, self.told = z_tables, y_tables, count_bits, told
        self.streams: list[bytes] = []
        self.symbols: list[np.ndarray] = []
        self.bits = 0.0
        self.seconds = 0.0

    def hyper(self, z: Tensor | None, prior: Any = None) -> Tensor:
        """z float [1, H, W, C] → ẑ int16."""
        symbols = _round(_given(z))
        self._write(symbols, _channel_index(tuple(symbols.shape)), self.z_tables)
        return symbols

    def slice(self, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """y float, mean integers in 1/16, index: [1, H, W, C] → ŷ integers in 1/16, of the type of `_y_hat`."""
        count, tables = mean.shape[-1], tables_of(self.y_tables, len(self.streams) - 1)
        flat_y, flat_mean, flat_index = (x.reshape(-1, count) for x in (_given(y), mean, index))
        symbols = torch.empty_like(flat_mean, dtype=torch.int16)
        for chunk in _chunks(len(symbols)):
            residual = _round(flat_y[chunk].to(torch.float64) - flat_mean[chunk].to(torch.float64) / MEAN_UNIT)
            symbols[chunk] = torch.where(flat_index[chunk] < tables.skip, 0, residual)
        symbols = symbols.view(mean.shape)
        self._write(symbols, index.numpy(force=True), tables)
        return _y_hat(symbols, mean)

    def _write(self, symbols: Tensor, index: np.ndarray, tables: Tables) -> None:
        flat, begin = symbols.numpy(force=True).reshape(-1), time.perf_counter()
        self.streams.append(rangecoder.encode(flat, index.reshape(-1), tables))
        self.seconds += time.perf_counter() - begin
        self.symbols.append(flat)
        if self.count_bits:
            self.bits += tables.bits(flat, index.reshape(-1))
        if self.told:
            self.told(len(self.streams))


class SliceReader:
    """Reads back what `SliceWriter` wrote; z_shape is [1, H/64, W/64, Z]. Raises StreamError on a broken stream."""

    def __init__(
        self, streams: tuple[bytes, ...], z_shape: tuple[int, ...], z_tables: Tables, y_tables: tuple[Tables, ...],
        device: torch.device | str = "cpu", *, told: Told | None = None,
    ) -> None:  # fmt: skip
        self.z_tables, self.y_tables, self.told = z_tables, y_tables, told
        self.streams, self.z_shape, self.device = streams, z_shape, device
        self.symbols: list[np.ndarray] = []
        self.seconds = 0.0

    def hyper(self, z: Tensor | None, prior: Any = None) -> Tensor:
        """ẑ int16 [1, H, W, C]; z is not looked at."""
        return self._read(_channel_index(self.z_shape), self.z_tables, self.z_shape)

    def slice(self, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """ŷ integers in 1/16 [1, H, W, C], of the type of `_y_hat`; y is not looked at."""
        tables = tables_of(self.y_tables, len(self.symbols) - 1)
        return _y_hat(self._read(index.numpy(force=True), tables, tuple(index.shape)), mean)

    def _read(self, index: np.ndarray, tables: Tables, shape: tuple[int, ...]) -> Tensor:
        number, begin = len(self.symbols), time.perf_counter()
        try:
            symbols = rangecoder.decode(self.streams[number], index.reshape(-1), tables)
        except FormatError as error:
            which = "the z stream" if number == 0 else f"the slice {number} stream"
            raise StreamError(f"{which} is damaged: {error}", number) from None
        self.seconds += time.perf_counter() - begin
        self.symbols.append(symbols)
        if self.told:
            self.told(len(self.symbols))
        return torch.from_numpy(symbols.reshape(shape)).to(self.device)


def tables_of(y_tables: tuple[Tables, ...], number: int) -> Tables:
    """The tables of a slice, counted from 0; the last are those of all that follow."""
    return y_tables[min(number, len(y_tables) - 1)]


def require_long_enough(
    streams: tuple[bytes, ...], counts: list[int], z_tables: Tables, y_tables: tuple[Tables, ...]
) -> None:  # fmt: skip
    """StreamError if a stream, z first, is too short for its count of symbols, whatever these are."""
    for number, (stream, count) in enumerate(zip(streams, counts, strict=True)):
        least = rangecoder.least_bytes(count, tables_of(y_tables, number - 1) if number else z_tables)
        if len(stream) < least:
            which = f"slice {number}" if number else "z"
            found = f"its {count} symbols take {least} bytes or more, found {len(stream)}"
            raise StreamError(f"the {which} stream is too short: {found}", number)


def symbol_bytes(symbols: list[np.ndarray]) -> list[memoryview]:
    """The integers of each stream as little-endian int16, in coding order: what a file's checksum is taken of."""
    return [np.ascontiguousarray(s, dtype="<i2").data.cast("B") for s in symbols]


def symbol_hash(symbols: list[np.ndarray]) -> str:
    """CRC-32 of all symbols of a picture, in hexadecimal, for conformance lists."""
    return f"{zlib.crc32(b''.join(symbol_bytes(symbols))):08x}"


def _round(x: Tensor) -> Tensor:
    return torch.floor(x + 0.5).nan_to_num(0.0).clamp(-SYMBOL_LIMIT, SYMBOL_LIMIT).to(torch.int16)


def _y_hat(symbols: Tensor, mean: Tensor) -> Tensor:
    """16·symbol + mean as int16, or as int32 where that is too small, which is for pathological pictures only."""
    flat, flat_mean = symbols.reshape(-1), mean.reshape(-1)
    y_hat = torch.empty_like(flat)
    for chunk in _chunks(len(flat)):
        wide = flat[chunk].to(torch.int32) * MEAN_UNIT + flat_mean[chunk]
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
