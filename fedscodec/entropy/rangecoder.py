"""Integers to bytes and back, by asymmetric numeral systems (rANS); the only file that knows `constriction`.

What a decoder needs, so that it can be written again without this library:

The state is a 64-bit head, at first 0, on a stack of 32-bit words, at first empty. To code a symbol of
frequency f, with c the sum of the frequencies before it: if `head >> 40 >= f`, the head's low word is moved
to the stack; then the head becomes `(head // f) * 2**24 + head % f + c`. To decode: the symbol is the one
with `c <= q < c + f`, where `q = head % 2**24`; the head becomes `(head >> 24) * f + q - c`, and if that is
below 2**32 and the stack is not empty, its top is taken back in as the low word. The bytes are the stack
from the bottom up, then the low and the high word of the head, little-endian, without the zero bytes at the
end. Last in, first out: the encoder goes through the symbols backwards.

In decoding order a stream holds
  1. the table symbols, table after table (ascending; those below `skip` have none), within a table in the
     order of the caller: one native call a table;
  2. for all ESCAPEs, in that order too, bit plane after bit plane, each bit with frequency TOTAL / 2: "is
     this the length of the distance" (1 = yes) for the lengths 1, 2, ... 16 among those that are left; the
     binary digits of the distances below the leading one, from the highest; the signs (1 = below).

In the coder's alphabet **ESCAPE comes first**, then low .. high. A stack that has run empty gives the first
symbol of every table for ever, and is still empty at the end: with an ordinary symbol in this place 40 % of
all truncated streams were accepted (measured). With ESCAPE they run into endless distances: an error, which
is foreseen as soon as no word is on the stack and the head is below the frequency of every ESCAPE.

Why every machine builds the same model: `Categorical(p, perfect=False)` starts the interval of symbol i of n
at `floor((p[0] + ... + p[i-1]) * (2**24 - n) / sum(p)) + i`. With `p = frequency - 1` the sum is `2**24 -
n`, the factor is 1, and every number is an integer below 2**53, which IEEE doubles hold exactly: nothing is
rounded, whatever the order of summation, and the intervals are the shipped frequencies. (Not so with
`frequency / TOTAL`: exact fractions too, but the factor rounds them anew, and more than half of the
intervals come out different.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import constriction
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedscodec.entropy.tables import SYMBOL_RANGE, TOTAL, Tables, bit_lengths
from fedscodec.errors import FormatError

_LONGEST_DISTANCE = 16  # binary digits: from one end of int16 to the other it is 65535
_MOST_BYTES = 7  # a symbol: 24 bits, and as ESCAPE 32 more
_FIRST_BYTES = 3  # the empty stack's way to 2**24, from where on a symbol costs what its frequency says

_Native: TypeAlias = Any  # a class of constriction, which has no type annotations
_models_of: WeakKeyDictionary[Tables, list[_Native]] = WeakKeyDictionary()


def encode(symbols: ArrayLike, indexes: ArrayLike, tables: Tables) -> bytes:
    """Return the stream of integers `symbols` [n], each coded by the table of its entry of `indexes` [n].

    Raises ValueError if a symbol is beyond int16 (of whatever type the array is), if an index is not in
    0 .. T-1, or if a symbol of a skipped table is not 0; WeightsError if the tables are not sound.
    """
    symbols, indexes = np.asarray(symbols), np.asarray(indexes)
    models = _models(tables)
    tables.check_symbols(symbols, indexes)
    order, counts = _grouped(indexes, tables)
    values = symbols[order].astype(np.int32)
    low, high = np.repeat(tables.low, counts), np.repeat(tables.high, counts)
    positions = values - low + 1
    escaped = np.flatnonzero((values < low) | (values > high))
    positions[escaped] = 0
    segments = [(positions[part], models[k]) for k, part in _parts(counts)]
    planes = _escape_planes(values[escaped], low[escaped], high[escaped])
    segments += [(plane.astype(np.int32), _BIT) for plane in planes]
    coder = constriction.stream.stack.AnsCoder()
    for chunk, model in reversed(segments):
        coder.encode_reverse(chunk, model)
    stream: bytes = coder.get_compressed().astype("<u4").tobytes()
    return stream.rstrip(b"\0")


def decode(data: bytes, indexes: ArrayLike, tables: Tables) -> NDArray[np.int32]:
    """Return the symbols, int32 [n], that `encode` made `data` of with the same `indexes` and `tables`.

    Raises FormatError unless `data` is exactly such a stream: too long or too short, a zero byte at the end,
    something left over after the last symbol, an endless escape, a value beyond int16. Damage that passes
    decodes to other symbols, never to the same: no two streams mean the same. Raises ValueError on indexes
    outside 0 .. T-1, and WeightsError if the tables are not sound.
    """
    indexes = np.asarray(indexes)
    models = _models(tables)
    tables.check_indexes(indexes)
    order, counts = _grouped(indexes, tables)
    least_escape = int(_escape_frequencies(tables).min())
    with _native_errors():
        coder = _opened(data, order.size)
        positions = np.empty(order.size, dtype=np.int32)
        for k, part in _parts(counts):
            words, head = coder.pos()
            if not words and head < least_escape:  # all the rest would be ESCAPEs without end (see the top)
                raise FormatError(f"A stream of {order.size} symbols should not end after {part.start} of them.")
            positions[part] = coder.decode(models[k], part.stop - part.start)
        values = positions + np.repeat(tables.low - 1, counts)
        escaped = np.flatnonzero(positions == 0)
        if escaped.size:
            table = indexes[order[escaped]]
            values[escaped] = _read_escapes(coder, tables.low[table], tables.high[table])
        if not coder.is_empty():
            raise FormatError(f"A stream of {order.size} symbols should end with these, but does not.")
    symbols = np.zeros(indexes.size, dtype=np.int32)
    symbols[order] = values
    return symbols


def least_bytes(count: int, tables: Tables) -> int:
    """Return how many bytes a stream of `count` symbols has at least, whatever they are and in which tables.

    Known before the tables of the symbols are, so that a stream that is too short is found before any network runs.
    Once the head is at its largest frequency f or above, each symbol multiplies it by (1 + 2**24 / f) / 2 or more,
    which is at least the square root of 2**24 / f; until then each adds the frequency of ESCAPE or more.
    """
    if count == 0 or tables.skip:
        return 0
    largest, escape = int(tables.frequencies.max()), int(_escape_frequencies(tables).min())
    grown = max(count - -(-largest // escape), 0)
    return max(1, int(grown * 0.5 * math.log2(TOTAL / largest) / 8))


def _escape_frequencies(tables: Tables) -> NDArray[np.int32]:
    frequencies: NDArray[np.int32] = tables.frequencies[np.arange(len(tables)), tables.high - tables.low + 1]
    return frequencies


@contextmanager
def _native_errors() -> Iterator[None]:
    """Turn what the native coder raises into FormatError; none of it is expected, for any bytes."""
    try:
        yield
    except (ValueError, KeyError) as error:
        raise FormatError(f"The stream coder could not go through the stream: {error}.") from error
    except BaseException as error:
        # A Rust panic arrives as a class that nobody can import and that is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise FormatError(f"The stream coder gave up on the stream: {error}.") from error


def _opened(data: bytes, count: int) -> _Native:
    """Return a coder on top of the stream `data` of `count` coded symbols."""
    if len(data) > _MOST_BYTES * count + _FIRST_BYTES * (count > 0):
        raise FormatError(f"A stream of {count} symbols should not be as long as {len(data)} bytes.")
    if data.endswith(b"\0"):
        raise FormatError("A stream should not end in a zero byte, but it does.")
    words = np.frombuffer(data + b"\0" * (-len(data) % 4), dtype="<u4")
    return constriction.stream.stack.AnsCoder(words.astype(np.uint32))


def _models(tables: Tables) -> list[_Native]:
    """Return the coder's models of the tables; the first call checks the tables and makes them."""
    if tables not in _models_of:
        tables.validate()
        used = tables.high - tables.low + 2
        _models_of[tables] = [_model(np.roll(row[:n], 1)) for row, n in zip(tables.frequencies, used, strict=True)]
    return _models_of[tables]


def _model(frequencies: NDArray[np.int32]) -> _Native:
    """Return the model whose intervals are exactly `frequencies`; they sum to TOTAL (see the top)."""
    return constriction.stream.model.Categorical((frequencies - 1).astype(np.float64), perfect=False)


_BIT = _model(np.array([TOTAL // 2, TOTAL // 2], dtype=np.int32))


def _grouped(indexes: NDArray[Any], tables: Tables) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the order that sorts by table, without skipped symbols, and how many of each table it has."""
    keys = indexes.astype(np.uint8 if len(tables) <= 256 else np.uint16)  # which numpy sorts by radix
    order = np.argsort(keys, kind="stable")
    counts = np.bincount(keys, minlength=len(tables))
    skipped = int(counts[: tables.skip].sum())
    counts[: tables.skip] = 0
    return order[skipped:], counts


def _parts(counts: NDArray[np.intp]) -> Iterator[tuple[int, slice]]:
    """Yield (table, where its symbols lie in the sorted order) of the tables that have any."""
    ends = np.cumsum(counts)
    for k in np.flatnonzero(counts).tolist():
        yield k, slice(int(ends[k] - counts[k]), int(ends[k]))


def _escape_planes(values: NDArray[np.int32], low: NDArray[np.int32], high: NDArray[np.int32]) -> list[NDArray[Any]]:
    """Return the bits after the ESCAPEs of `values`, in decoding order."""
    below = values < low
    distances = np.where(below, low - values, values - high)
    lengths = bit_lengths(distances)
    longest = int(lengths.max(initial=0))
    ends = [lengths[lengths >= length] == length for length in range(1, longest + 1)]
    digits = [(distances[lengths > k + 1] >> k) & 1 for k in reversed(range(longest - 1))]
    return [*ends, *digits, below] if longest else []


def _read_escapes(coder: _Native, low: NDArray[np.int32], high: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the values whose ranges were left, undoing `_escape_planes`."""
    lengths = np.zeros(low.size, dtype=np.int32)
    open_ones = np.arange(low.size)
    while open_ones.size:
        if lengths[open_ones[0]] == _LONGEST_DISTANCE:
            raise FormatError("An escaped symbol should be within 65535 of its table, but one is further.")
        lengths[open_ones] += 1
        open_ones = open_ones[coder.decode(_BIT, open_ones.size) == 0]
    distances = np.ones(low.size, dtype=np.int32)
    for k in reversed(range(int(lengths.max()) - 1)):
        longer = np.flatnonzero(lengths > k + 1)
        distances[longer] = 2 * distances[longer] + coder.decode(_BIT, longer.size)
    below = coder.decode(_BIT, low.size) == 1
    values = np.where(below, low - distances, high + distances)
    least, most = SYMBOL_RANGE
    if values.min() < least or values.max() > most:
        raise FormatError(f"Symbols should fit int16, but one is {values[np.argmax(np.abs(values))]}.")
    return values
