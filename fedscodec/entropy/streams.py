"""The coders that write and read bytes: `StreamWriter` and `StreamReader`, for the walk over the parts.

They work on integers. z is channels last [B, H, W, C]; of y, mean and index they get the block of a part
(`parts.Part`). Inputs are arrays of numpy or tensors of torch, and outputs are of the same kind on the same device; the
work is done by numpy. They do not depend on how means and table indices are computed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from ..errors import FormatError, StreamError
from . import rangecoder
from .fixedpoint import MEAN_UNIT, SYMBOL_LIMIT
from .parts import Part, given
from .tables import Tables

_CHUNK = 2**18
_INT16_LIMIT = 2**15 - 1

Maps = TypeVar("Maps")
"""Arrays of numpy or tensors of torch."""

OnStream = Callable[[int], None]
"""Called after each stream with the number of streams so far."""


class StreamWriter:
    """Codes z and the parts of y into streams, byte strings; streams[0] is z.

    y_tables: the sets of tables that parts name, or one for all. unit: means and ŷ are integers in 1/unit of a step.
    symbols keeps the integers of each stream in coding order (int16), for the file's checksum; seconds is the time
    spent in the coder. With count_bits, bits sums −log₂ p by the integer tables.
    """

    def __init__(
        self, z_tables: Tables, y_tables: tuple[Tables, ...], *, unit: int = MEAN_UNIT, count_bits: bool = False,
        on_stream: OnStream | None = None,
    ) -> None:  # fmt: skip
        self.z_tables, self.y_tables, self.unit = z_tables, y_tables, unit
        self.count_bits, self.on_stream = count_bits, on_stream
        self.streams: list[bytes] = []
        self.symbols: list[np.ndarray] = []
        self.bits = 0.0
        self.seconds = 0.0
        self._waiting: list[tuple[np.ndarray, np.ndarray, Tables]] = []  # parts of a stream that is not whole

    def hyper(self, z: Maps | None, prior: object = None) -> Maps:
        """z float [1, H, W, C] → ẑ int16."""
        latents = given(z)
        symbols = _round(_array(latents))
        self._write(symbols, _channel_index(symbols.shape), self.z_tables)
        return _like(latents, symbols)

    def code(self, part: Part, y: Maps | None, mean: Maps, index: Maps) -> Maps:
        """y float, mean in 1/unit, index: blocks of one shape → ŷ integers in 1/unit, of the type of `_y_hat`."""
        means, tables = _array(mean), tables_of(self.y_tables, part.tables)
        count = means.shape[-1]
        flat_y, flat_index = (_array(x).reshape(-1, count) for x in (given(y), index))
        flat_mean = means.reshape(-1, count)
        symbols: np.ndarray = np.empty(flat_mean.shape, dtype=np.int16)
        for chunk in _chunks(len(symbols)):
            residual = np.divide(flat_mean[chunk], self.unit, dtype=np.float64)
            symbols[chunk] = _round(np.subtract(flat_y[chunk], residual, out=residual))
        if tables.skip:
            symbols[flat_index < tables.skip] = 0
        symbols = symbols.reshape(means.shape)
        self._write(symbols, flat_index, tables, ends=part.ends)
        return _like(mean, _y_hat(symbols, means, self.unit))

    def _write(self, symbols: np.ndarray, index: np.ndarray, tables: Tables, *, ends: bool = True) -> None:
        flat = symbols.reshape(-1)
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
        if self.on_stream:
            self.on_stream(len(self.streams))


class StreamReader:
    """Reads what `StreamWriter` wrote; z_shape is [1, H/64, W/64, Z]. Raises StreamError on a damaged stream.

    device: of the tensors of ẑ; None for an array of numpy. symbols are those of each stream that was read to its end.
    """

    def __init__(
        self, streams: tuple[bytes, ...], z_shape: tuple[int, ...], z_tables: Tables, y_tables: tuple[Tables, ...],
        device: Any = "cpu", *, unit: int = MEAN_UNIT, on_stream: OnStream | None = None,
    ) -> None:  # fmt: skip
        self.z_tables, self.y_tables, self.unit, self.on_stream = z_tables, y_tables, unit, on_stream
        self.streams, self.z_shape, self.device = streams, z_shape, device
        self.symbols: list[np.ndarray] = []
        self.seconds = 0.0
        self._decoder: rangecoder.StreamDecoder | None = None
        self._read_so_far: list[np.ndarray] = []  # parts of a stream that is not read to its end

    def hyper(self, z: Any, prior: object = None) -> Any:
        """ẑ int16 [1, H, W, C]; z is ignored."""
        symbols = self._read(_channel_index(self.z_shape), self.z_tables, self.z_shape)
        return symbols if self.device is None else _on(self.device, symbols)

    def code(self, part: Part, y: Maps | None, mean: Maps, index: Maps) -> Maps:
        """ŷ integers in 1/unit, of the type of `_y_hat`; y is ignored."""
        tables = tables_of(self.y_tables, part.tables)
        indexes = _array(index)
        symbols = self._read(indexes, tables, indexes.shape, ends=part.ends)
        return _like(mean, _y_hat(symbols, _array(mean), self.unit))

    def _read(self, index: np.ndarray, tables: Tables, shape: tuple[int, ...], *, ends: bool = True) -> np.ndarray:
        number, begin = len(self.symbols), time.perf_counter()
        try:
            symbols = self._next(self.streams[number], index.reshape(-1), tables, ends)
        except FormatError as error:
            which = "the z stream" if number == 0 else f"the slice {number} stream"
            raise StreamError(f"{which} is damaged: {error}", number) from None
        self.seconds += time.perf_counter() - begin
        if self.on_stream and ends:
            self.on_stream(len(self.symbols))
        return symbols.reshape(shape)

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
    """The set of tables with that number, counted from 0; the last one is used for all that follow."""
    return y_tables[min(number, len(y_tables) - 1)]


def require_long_enough(
    streams: tuple[bytes, ...],
    z_count: int,
    counts: Sequence[tuple[Part, int]],
    z_tables: Tables,
    y_tables: tuple[Tables, ...],
) -> None:
    """Raise StreamError if a stream is too short for its symbols, whatever they are: z_count, and those of parts."""
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
    """The integers of each stream as little-endian int16, in coding order: the input of a file's checksum."""
    return [np.ascontiguousarray(s, dtype="<i2").data.cast("B") for s in symbols]


def _array(x: Any) -> np.ndarray:
    return x if isinstance(x, np.ndarray) else np.asarray(x.numpy(force=True))


def _like(x: Maps, found: np.ndarray) -> Maps:
    """Convert to the kind of x, on its device."""
    return found if isinstance(x, np.ndarray) else _on(x.device, found)  # type: ignore[return-value,attr-defined]


def _on(device: Any, found: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(found).to(device)


def _round(x: np.ndarray) -> np.ndarray:
    """Round to integers, halves up, in int16; NaN becomes 0."""
    whole = x + 0.5
    np.floor(whole, out=whole)
    whole[np.isnan(whole)] = 0
    return np.clip(whole, -SYMBOL_LIMIT, SYMBOL_LIMIT, out=whole).astype(np.int16)


def _y_hat(symbols: np.ndarray, mean: np.ndarray, unit: int) -> np.ndarray:
    """unit·symbol + mean as int16, or as int32 if that is too small, which happens only for pathological pictures."""
    flat, flat_mean = symbols.reshape(-1), mean.reshape(-1)
    y_hat = np.empty_like(flat)
    for chunk in _chunks(len(flat)):
        wide = flat[chunk].astype(np.int32)
        wide *= unit
        wide += flat_mean[chunk]
        if y_hat.dtype == np.int16 and max(int(wide.max()), -int(wide.min())) > _INT16_LIMIT:
            y_hat = y_hat.astype(np.int32)
        y_hat[chunk] = wide
    return y_hat.reshape(symbols.shape)


def _chunks(count: int) -> Iterator[slice]:
    """Ranges that are small enough to be widened, and large enough that an ordinary picture is one range."""
    return (slice(start, start + _CHUNK) for start in range(0, count, _CHUNK))


def _channel_index(shape: tuple[int, ...]) -> np.ndarray:
    """The table index of every element of z, which is its channel."""
    return np.broadcast_to(np.arange(shape[-1], dtype=np.int16), shape).copy()
