"""The stream coder, read from docs/format.md alone: one symbol at a time, in Python's integers."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

import numpy as np
from container import RefusedError

HALF = 2**23  # the frequency of each value of a raw bit


class Tables:
    """Frequencies of `low[k] .. high[k]` and then of ESCAPE; int32 [T], [T], [T, W]. Symbols of the first `skip` are 0.

    `starts[k]` are where the intervals of ESCAPE, low, low + 1, ... begin, and 2**24 at their end.
    """

    def __init__(self, low: np.ndarray, high: np.ndarray, frequencies: np.ndarray, skip: int) -> None:
        self.low, self.high, self.skip = low, high, skip
        self.starts: list[list[int]] = []
        for k, row in enumerate(frequencies.tolist()):
            used = int(high[k]) - int(low[k]) + 1
            self.starts.append([0, *accumulate([row[used], *row[:used]])])
            if self.starts[-1][-1] != 2**24 or min(row[: used + 1]) < 1:
                raise RefusedError(f"the frequencies of table {k} are not 1 or more with the sum 2**24")

    def part(self, first: int, count: int) -> Tables:
        """Tables first .. first + count - 1."""
        part = object.__new__(Tables)
        part.low, part.high = self.low[first : first + count], self.high[first : first + count]
        part.skip, part.starts = self.skip, self.starts[first : first + count]
        return part


class _Stack:
    def __init__(self, data: bytes) -> None:
        if data.endswith(b"\0"):
            raise RefusedError("a stream ends in a zero byte")
        self.words = np.frombuffer(data + b"\0" * (-len(data) % 4), "<u4").tolist()
        self.head = self.words.pop() if self.words else 0
        if self.words:
            self.head = self.head << 32 | self.words.pop()

    def symbol(self, starts: list[int]) -> int:
        """The number of the interval that the head points into."""
        at = self.head & 0xFFFFFF
        found = bisect_right(starts, at) - 1
        self.head = (self.head >> 24) * (starts[found + 1] - starts[found]) + at - starts[found]
        if self.head < 2**32 and self.words:
            self.head = self.head << 32 | self.words.pop()
        return found

    def bits(self, count: int) -> list[int]:
        return [self.symbol([0, HALF, 2 * HALF]) for _ in range(count)]


def decode(data: bytes, indexes: np.ndarray, tables: Tables) -> np.ndarray:
    """The symbols, int16 of the shape of `indexes`, of a stream; RefusedError where it is not exactly theirs."""
    stream = Stream(data, indexes.size)
    symbols = stream.part(indexes, tables)
    stream.finish()
    return symbols


class Stream:
    """A stream of `count` symbols, read part by part; RefusedError where it is not exactly theirs."""

    def __init__(self, data: bytes, count: int) -> None:
        if len(data) > 7 * count + 3:
            raise RefusedError(f"{len(data)} bytes are too many for {count} symbols")
        self.stack = _Stack(data)

    def part(self, indexes: np.ndarray, tables: Tables) -> np.ndarray:
        """The symbols of the next part, int16 of the shape of `indexes`."""
        flat, stack = indexes.reshape(-1), self.stack
        values, escaped = np.zeros(flat.size, dtype=np.int64), list[int]()
        for k in range(tables.skip, len(tables.starts)):
            starts, before = tables.starts[k], int(tables.low[k]) - 1
            for place in np.flatnonzero(flat == k).tolist():
                if not stack.words and stack.head < starts[1]:
                    raise RefusedError("a stream runs empty before its last symbol")  # all to come would be ESCAPEs
                if found := stack.symbol(starts):
                    values[place] = before + found
                else:
                    escaped.append(place)
        for place, value in zip(escaped, _escapes(stack, [int(flat[p]) for p in escaped], tables), strict=True):
            values[place] = value
        return values.astype(np.int16).reshape(indexes.shape)

    def finish(self) -> None:
        """RefusedError unless nothing is left."""
        if self.stack.words or self.stack.head:
            raise RefusedError("a stream goes on behind its last symbol")


def _escapes(stack: _Stack, indexes: list[int], tables: Tables) -> list[int]:
    count = len(indexes)
    lengths, still = [0] * count, list(range(count))
    for length in range(1, 17):
        ends = stack.bits(len(still))
        for number, end in zip(still, ends, strict=True):
            lengths[number] = length if end else 0
        still = [number for number, end in zip(still, ends, strict=True) if not end]
    if still:
        raise RefusedError("an escaped symbol is further than 65535 from its table")
    distances = [1] * count
    for k in reversed(range(15)):
        longer = [number for number in range(count) if lengths[number] > k + 1]
        for number, bit in zip(longer, stack.bits(len(longer)), strict=True):
            distances[number] = 2 * distances[number] + bit
    values = [
        int(tables.low[k]) - distance if below else int(tables.high[k]) + distance
        for k, distance, below in zip(indexes, distances, stack.bits(count), strict=True)
    ]
    if any(not -(2**15) <= value < 2**15 for value in values):
        raise RefusedError("an escaped symbol does not fit 16 bits")
    return values
