"""Integers to bytes and back, by asymmetric numeral systems (rANS); the only file that knows `constriction`.

What a decoder needs, so that it can be written again without this library:

The state is a 64-bit head, at first 0, on a stack of 32-bit words, at first empty. To code a symbol of
frequency f, with c the sum of the frequencies before it: if `head >> 40 >= f`, the head's low word is moved
to the stack; then the head becomes `(head // f) * 2**24 + head % f + c`. To decode: the symbol is the one
with `c <= q < c + f`, where `q = head % 2**24`; the head becomes `(head >> 24) * f + q - c`, and if that is
below 2**32 and the stack is not empty, its top is taken back in as the low word. The bytes are the stack
from the bottom up, then the low and the high word of the head, little-endian, without the zero bytes at the
end. Last in, first out: the encoder goes through the symbols backwards.

In decoding order a stream holds, for each of its parts in turn (most have one)
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
from collections.abc import Iterator, Sequence
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
_BLOCK = 2**20  # symbols that are sorted, or decoded by one call, at once: bounds the memory, whatever their number
_FIRST_BYTES = 3  # the empty stack's way to 2**24, from where on a symbol costs what its frequency says

_Native: TypeAlias = Any  # a class of constriction, which has no type annotations
_models_of: WeakKeyDictionary[Tables, list[_Native]] = WeakKeyDictionary()


def encode(symbols: ArrayLike, indexes: ArrayLike, tables: Tables) -> bytes:
    """The stream of integers `symbols` [n], each coded by the table of its entry of `indexes` [n].

    Raises ValueError if a symbol is beyond int16 (of whatever type the array is), if an index is not in
    0 .. T-1, or if a symbol of a skipped table is not 0; WeightsError if the tables are not sound.
    """
    return encode_parts([(symbols, indexes, tables)])


def encode_parts(parts: Sequence[tuple[ArrayLike, ArrayLike, Tables]]) -> bytes:
    """One stream of several parts, each (symbols, indexes, tables), which a `StreamDecoder` reads in that order.

    Raises as `encode`.
    """
    segments = [segment for part in parts for segment in _segments(*part)]
    coder = constriction.stream.stack.AnsCoder()
    for chunk, model in reversed(segments):
        coder.encode_reverse(chunk, model)
    stream: bytes = coder.get_compressed().astype("<u4").tobytes()
    return stream.rstrip(b"\0")


def _segments(symbols: ArrayLike, indexes: ArrayLike, tables: Tables) -> list[tuple[NDArray[np.int32], _Native]]:
    """What a coder is given for a part, in decoding order: places in a model's alphabet, and the model."""
    symbols, indexes = np.asarray(symbols), np.asarray(indexes)
    models = _models(tables)
    tables.check_symbols(symbols, indexes)
    counts = _counts(indexes, tables)
    positions = _grouped(symbols, indexes, tables, counts)
    escaped = _to_alphabet(positions, tables, counts)
    low, high = _ranges_at(escaped, tables, counts)
    planes = _escape_planes(positions[escaped] + (low - 1), low, high)
    positions[escaped] = 0
    segments = [(positions[part], models[k]) for k, part in _parts(counts)]
    return segments + [(plane.astype(np.int32), _BIT) for plane in planes]


def decode(data: bytes, indexes: ArrayLike, tables: Tables) -> NDArray[np.int16]:
    """The symbols, int16 [n], that `encode` made `data` of with the same `indexes` and `tables`.

    Raises FormatError unless `data` is exactly such a stream: too long or too short, a zero byte at the end,
    something left over after the last symbol, an endless escape, a value beyond int16. Damage that passes
    decodes to other symbols, never to the same: no two streams mean the same. Raises ValueError on indexes
    outside 0 .. T-1, and WeightsError if the tables are not sound.
    """
    indexes = np.asarray(indexes)
    skipped = int(np.count_nonzero(indexes < tables.skip)) if tables.skip else 0
    coder = StreamDecoder(data, indexes.size - skipped)
    symbols = coder.part(indexes, tables)
    coder.finish()
    return symbols


class StreamDecoder:
    """Reads the parts of a stream in order, each when its `indexes` are known, and `finish` at the end.

    data: the stream; most: how many symbols it codes, if known. Raises as `decode`.
    """

    def __init__(self, data: bytes, most: int | None = None) -> None:
        self._read = 0
        with _native_errors():
            self._coder = _opened(data, most)

    def part(self, indexes: ArrayLike, tables: Tables) -> NDArray[np.int16]:
        """The symbols of the next part, int16 [n]."""
        indexes = np.asarray(indexes)
        models, coder = _models(tables), self._coder
        tables.check_indexes(indexes)
        counts = _counts(indexes, tables)
        total = int(counts.sum())
        self._read += total
        least_escape = int(_escape_frequencies(tables).min())
        values = np.empty(total, dtype=np.int16)
        with _native_errors():
            for k, part in _parts(counts, _BLOCK):
                words, head = coder.pos()
                if not words and head < least_escape:  # all the rest would be ESCAPEs without end (see the top)
                    raise FormatError(f"expected {total} symbols, found the end after {part.start}")
                values[part] = coder.decode(models[k], part.stop - part.start)
            escaped = _from_alphabet(values, tables, counts)
            if escaped.size:
                values[escaped] = _read_escapes(coder, *_ranges_at(escaped, tables, counts))
        return _ungrouped(values, indexes, tables, counts)

    def finish(self) -> None:
        """Raise FormatError unless everything was read."""
        if not self._coder.is_empty():
            raise FormatError(f"expected the end after {self._read} symbols, found more bytes")


def least_bytes(count: int, tables: Tables) -> int:
    """How many bytes a stream of `count` symbols has at least, whatever they are and in which tables.

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
        raise FormatError(f"the stream coder failed: {error}") from error
    except BaseException as error:
        # A Rust panic arrives as a class that nobody can import and that is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        raise FormatError(f"the stream coder failed: {error}") from error


def _opened(data: bytes, count: int | None) -> _Native:
    """A coder on top of the stream `data` of `count` coded symbols, if it is known how many."""
    if count is not None and len(data) > _MOST_BYTES * count + _FIRST_BYTES * (count > 0):
        raise FormatError(f"expected fewer bytes for {count} symbols, found {len(data)}")
    if data.endswith(b"\0"):
        raise FormatError("expected a last byte other than zero, found zero")
    words = np.frombuffer(data + b"\0" * (-len(data) % 4), dtype="<u4")
    return constriction.stream.stack.AnsCoder(words.astype(np.uint32))


def _models(tables: Tables) -> list[_Native]:
    """The coder's models of the tables; the first call checks the tables and makes them."""
    if tables not in _models_of:
        tables.validate()
        used = tables.high - tables.low + 2
        _models_of[tables] = [_model(np.roll(row[:n], 1)) for row, n in zip(tables.frequencies, used, strict=True)]
    return _models_of[tables]


def _model(frequencies: NDArray[np.int32]) -> _Native:
    """The model whose intervals are exactly `frequencies`; they sum to TOTAL (see the top)."""
    return constriction.stream.model.Categorical((frequencies - 1).astype(np.float64), perfect=False)


_BIT = _model(np.array([TOTAL // 2, TOTAL // 2], dtype=np.int32))


def _counts(indexes: NDArray[Any], tables: Tables) -> NDArray[np.intp]:
    """How many symbols each table codes."""
    counts = np.zeros(len(tables), dtype=np.intp)
    for block in _blocks(indexes.size):
        counts += np.bincount(indexes[block], minlength=len(tables))
    counts[: tables.skip] = 0
    return counts


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK))


def _places(
    indexes: NDArray[Any], tables: Tables, counts: NDArray[np.intp]
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp] | slice]]:
    """Yield, block by block, where coded symbols stand, and their places when sorted by table."""
    following = np.cumsum(counts) - counts
    for block in _blocks(indexes.size):
        keys = indexes[block].astype(np.uint8 if len(tables) <= 256 else np.uint16)  # which numpy sorts by radix
        order = np.argsort(keys, kind="stable")
        if indexes.size <= _BLOCK:  # the usual case, and the sorted order itself
            yield order[indexes.size - int(counts.sum()) :], slice(None)
            return
        of_block = np.bincount(keys, minlength=len(tables))
        order = order[int(of_block[: tables.skip].sum()) :]
        of_block[: tables.skip] = 0
        sorted_places = np.arange(order.size) + np.repeat(following - (np.cumsum(of_block) - of_block), of_block)
        following += of_block
        yield block.start + order, sorted_places


def _grouped(
    symbols: NDArray[Any], indexes: NDArray[Any], tables: Tables, counts: NDArray[np.intp]
) -> NDArray[np.int32]:
    """The symbols sorted by table, in their order within each, without those of skipped tables."""
    grouped = np.empty(int(counts.sum()), dtype=np.int32)
    for places, sorted_places in _places(indexes, tables, counts):
        grouped[sorted_places] = symbols[places]
    return grouped


def _ungrouped(
    values: NDArray[np.int16], indexes: NDArray[Any], tables: Tables, counts: NDArray[np.intp]
) -> NDArray[np.int16]:
    """Undo `_grouped`; symbols of skipped tables are 0."""
    symbols = np.zeros(indexes.size, dtype=np.int16)
    for places, sorted_places in _places(indexes, tables, counts):
        symbols[places] = values[sorted_places]
    return symbols


def _to_alphabet(values: NDArray[np.int32], tables: Tables, counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Make grouped values places in their alphabets, where low is 1, and return where they are outside of them."""
    found = [np.empty(0, dtype=np.intp)]
    for block in _blocks(values.size):
        part, sizes = values[block], _sizes(counts, block)
        part -= np.repeat(tables.low - 1, sizes)
        found.append(block.start + np.flatnonzero((part < 1) | (part > np.repeat(tables.high - tables.low + 1, sizes))))
    return np.concatenate(found)


def _from_alphabet(values: NDArray[np.int16], tables: Tables, counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Undo `_to_alphabet` where there is no ESCAPE, and return where there is one."""
    escaped = np.flatnonzero(values == 0)
    for block in _blocks(values.size):
        values[block] += np.repeat((tables.low - 1).astype(np.int16), _sizes(counts, block))
    return escaped


def _ranges_at(
    places: NDArray[np.intp], tables: Tables, counts: NDArray[np.intp]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The ends, low and high, of the ranges of the tables at these places of the sorted order."""
    k = np.searchsorted(np.cumsum(counts), places, side="right")
    return tables.low[k], tables.high[k]


def _sizes(counts: NDArray[np.intp], block: slice) -> NDArray[np.intp]:
    """How many symbols of each table lie in a block of the sorted order."""
    ends = np.clip(np.cumsum(counts), block.start, block.stop)
    return np.diff(ends, prepend=block.start)


def _parts(counts: NDArray[np.intp], most: int | None = None) -> Iterator[tuple[int, slice]]:
    """Yield (table, where its symbols lie in the sorted order), in parts of at most `most` symbols."""
    end = 0
    for k, count in enumerate(counts.tolist()):
        start, end, step = end, end + count, most or count
        if count:
            yield from ((k, slice(first, min(first + step, end))) for first in range(start, end, step))


def _escape_planes(values: NDArray[np.int32], low: NDArray[np.int32], high: NDArray[np.int32]) -> list[NDArray[Any]]:
    """The bits after the ESCAPEs of `values`, in decoding order."""
    below = values < low
    distances = np.where(below, low - values, values - high)
    lengths = bit_lengths(distances)
    longest = int(lengths.max(initial=0))
    ends = [lengths[lengths >= length] == length for length in range(1, longest + 1)]
    digits = [(distances[lengths > k + 1] >> k) & 1 for k in reversed(range(longest - 1))]
    return [*ends, *digits, below] if longest else []


def _read_escapes(coder: _Native, low: NDArray[np.int32], high: NDArray[np.int32]) -> NDArray[np.int32]:
    """The values whose ranges were left, undoing `_escape_planes`."""
    lengths = np.zeros(low.size, dtype=np.int32)
    open_ones = np.arange(low.size)
    while open_ones.size:
        if lengths[open_ones[0]] == _LONGEST_DISTANCE:
            raise FormatError("expected escaped symbols within 65535 of their tables, found one further away")
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
        raise FormatError(f"expected symbols that fit int16, found {values[np.argmax(np.abs(values))]}")
    return values
