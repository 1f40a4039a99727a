"""Frequency tables of the stream coder: integers, shipped with the weights, never derived when decoding.

A table gives every symbol of an inclusive range `low .. high` a frequency out of TOTAL, and one more to
ESCAPE, which stands for everything outside. After an ESCAPE follow the distance to the range (1 for the
nearest value outside) as Exp-Golomb code of order 0 and a sign bit: `2 * bit_length(distance)` raw bits
together.

TOTAL is 2**24 because the stream coder works at 24 bits: its frequencies are then these, one to one, with
nothing left to round (see `rangecoder`).

Floating point occurs where tables are made (`*_tables`, `tables_from_*`), once, at export. Tables made on
another machine may differ in a last digit, which is harmless: it is the integers that are shipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedscodec.errors import WeightsError

TOTAL = 1 << 24
"""Sum of the frequencies of every table."""

LARGEST_EDGE = 32767
"""No table reaches beyond plus or minus this."""

MOST_TABLES = 4096
MOST_ENTRIES = 4097

SYMBOL_RANGE = (-32768, 32767)
"""What can be coded at all, through ESCAPE or not: int16."""

ESCAPE_SHARE = 2.0**-16
"""Least probability of ESCAPE, and the tail that a Gaussian table leaves to it.

It costs 2.2e-5 bits a symbol. Residuals have heavier tails than the Gaussian that is fitted to them: there an
ESCAPE of 16 bits is cheaper than the far end of a wider table, at up to 24.
"""

_LARGEST_RADIUS = 1023


@dataclass(frozen=True, eq=False)
class Tables:
    """Frequency tables 0 .. T-1; compared by identity, so that what is built from them can be cached.

    `low`, `high`: int32 [T], the inclusive symbol range of each table. `frequencies`: int32 [T, W]; row k
    holds the frequencies of `low[k] .. high[k]`, then the one of ESCAPE, then zeros. The first `skip`
    tables code nothing: their symbols are all 0. The arrays are read-only. Nothing is checked before
    `validate`.
    """

    low: NDArray[np.int32]
    high: NDArray[np.int32]
    frequencies: NDArray[np.int32]
    skip: int = 0

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for name in ("low", "high", "frequencies"):
            array = np.asarray(getattr(self, name)).view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        """The number of tables, T."""
        return len(self.low)

    def validate(self) -> None:
        """Raise WeightsError with one sentence on the first thing that is off."""
        for problem in self._problems():
            raise WeightsError(problem)

    def check_indexes(self, indexes: NDArray[Any]) -> None:
        """Raise ValueError unless `indexes` is a flat array of integers in 0 .. T-1."""
        if indexes.ndim != 1 or indexes.dtype.kind not in "iu":
            found = f"{indexes.dtype} {list(indexes.shape)}"
            raise ValueError(f"expected table indexes as integers [n], found {found}")
        if indexes.size and not 0 <= int(indexes.min()) <= int(indexes.max()) < len(self):
            found = f"{indexes.min()} .. {indexes.max()}"
            raise ValueError(f"expected table indexes in 0 .. {len(self) - 1}, found {found}")

    def check_symbols(self, symbols: NDArray[Any], indexes: NDArray[Any]) -> None:
        """Raise ValueError unless `symbols` fit int16, one for each of `indexes`, and are 0 where skipped."""
        self.check_indexes(indexes)
        if symbols.shape != indexes.shape or symbols.dtype.kind not in "iu":
            found = f"{symbols.dtype} {list(symbols.shape)}"
            raise ValueError(f"expected symbols as integers {list(indexes.shape)}, found {found}")
        least, most = SYMBOL_RANGE
        if symbols.size and not least <= int(symbols.min()) <= int(symbols.max()) <= most:
            raise ValueError(f"expected symbols that fit int16, found {symbols.min()} .. {symbols.max()}")
        if self.skip and np.any(symbols[indexes < self.skip]):
            raise ValueError("expected symbols of skipped tables to be 0, found others")

    def bits(self, symbols: ArrayLike, indexes: ArrayLike) -> float:
        """-log2 of the probability of `symbols` [n], each by its table in `indexes` [n], in bits.

        Escapes are counted in full, symbols of skipped tables as 0. ValueError as in `check_symbols`.
        """
        return float(self.bits_of_each(symbols, indexes).sum())

    def bits_of_each(self, symbols: ArrayLike, indexes: ArrayLike) -> NDArray[np.float64]:
        """-log2 of the probability of each of `symbols` [n], in bits; see `bits`."""
        symbols, indexes = np.asarray(symbols), np.asarray(indexes)
        self.check_symbols(symbols, indexes)
        values = symbols.astype(np.int64)
        low, high = self.low[indexes], self.high[indexes]
        distances = np.maximum(low - values, values - high)
        escaped = distances > 0
        frequencies = self.frequencies[indexes, np.where(escaped, high + 1, values) - low]
        bits = math.log2(TOTAL) - np.log2(frequencies)
        bits[escaped] += 2 * bit_lengths(distances[escaped])
        bits[indexes < self.skip] = 0.0
        return np.asarray(bits)

    def split(self, count: int) -> tuple[Tables, ...]:
        """Tables 0 .. count-1, count .. 2*count-1 and so on, each with the same `skip`; T must be their sum."""
        if len(self) == count:
            return (self,)
        if len(self) % count:
            raise ValueError(f"{len(self)} tables cannot be split into parts of {count}")
        parts = (slice(start, start + count) for start in range(0, len(self), count))
        return tuple(Tables(self.low[p], self.high[p], self.frequencies[p], self.skip) for p in parts)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The tables as named int32 arrays, `skip` among them as [1]."""
        skip = np.array([self.skip], dtype=np.int32)
        return {"low": self.low, "high": self.high, "frequencies": self.frequencies, "skip": skip}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Tables:
        """Undo `to_arrays`, and validate; raises WeightsError."""
        names = sorted(field.name for field in fields(cls))
        if sorted(arrays) != names:
            raise WeightsError(f"expected frequency tables of {names}, found {sorted(arrays)}")
        skip = np.asarray(arrays["skip"])
        if skip.shape != (1,) or skip.dtype != np.int32:
            raise WeightsError(f"expected skip as int32 [1], found {skip.dtype} {list(skip.shape)}")
        tables = cls(arrays["low"], arrays["high"], arrays["frequencies"], int(skip[0]))
        tables.validate()
        return tables

    def _problems(self) -> Iterator[str]:
        """Yield what is off, the checks that later ones rely on first."""
        yield from self._problems_of_form()
        count, width = self.frequencies.shape
        if not 0 <= self.skip <= count:
            yield f"expected skip in 0 .. {count}, found {self.skip}"
        low, high = self.low.astype(np.int64), self.high.astype(np.int64)
        used = high - low + 2
        if np.any(low > high):
            yield "expected low <= high in every table, found one with low > high"
        if min(low.min(), -high.max()) < -LARGEST_EDGE:
            found = f"{low.min()} .. {high.max()}"
            yield f"expected tables within plus or minus {LARGEST_EDGE}, found {found}"
        if used.max() > width:
            yield f"expected room for {used.max()} frequencies in the widest table, found {width}"
        in_use = np.arange(width) < used[:, None]
        if np.any(self.frequencies[in_use] < 1):
            yield "expected frequencies in use of at least 1, found one below"
        if np.any(self.frequencies[~in_use]):
            yield "expected frequencies of 0 after ESCAPE, found another"
        sums = self.frequencies.sum(axis=1, dtype=np.int64)
        if np.any(sums != TOTAL):
            found = sums[sums != TOTAL][0]
            yield f"expected frequencies of every table with the sum {TOTAL}, found {found}"

    def _problems_of_form(self) -> Iterator[str]:
        """Yield what is off about types and shapes."""
        for name in ("low", "high", "frequencies"):
            if getattr(self, name).dtype != np.int32:
                yield f"expected {name} as int32, found {getattr(self, name).dtype}"
        if self.frequencies.ndim != 2:
            yield f"expected frequencies with two dimensions, found {self.frequencies.ndim}"
        count, width = self.frequencies.shape
        if not (1 <= count <= MOST_TABLES and 2 <= width <= MOST_ENTRIES):
            limits = f"1 .. {MOST_TABLES} tables of 2 .. {MOST_ENTRIES} entries"
            yield f"expected {limits}, found {count} of {width}"
        for name in ("low", "high"):
            if getattr(self, name).shape != (count,):
                yield f"expected {name} with the shape [{count}], found {list(getattr(self, name).shape)}"


def bit_lengths(values: NDArray[Any]) -> NDArray[np.int32]:
    """How many binary digits each of the integers 0 .. 2**31-1 has: 0 -> 0, 1 -> 1, 2 and 3 -> 2."""
    return np.frexp(values.astype(np.float64))[1].astype(np.int32)


def scale_table(count: int, smallest: float, largest: float) -> NDArray[np.float64]:
    """`count` scales from `smallest` to `largest`, both included, with equal ratios."""
    return np.geomspace(smallest, largest, count)


def upper_tail(x: ArrayLike) -> NDArray[np.float64]:
    """The mass of a standard Gaussian above each x; erfc keeps the digits of the tail."""
    x = np.asarray(x, dtype=np.float64)
    return np.array([0.5 * math.erfc(v) for v in (x / math.sqrt(2.0)).flat]).reshape(x.shape)


def gaussian_tables(count: int = 64, smallest: float = 0.11, largest: float = 128.0, skip: int = 0) -> Tables:
    """Tables of zero-mean Gaussians, integrated over unit bins, for the scales of `scale_table`.

    P(n) = Phi((n + 1/2) / s) - Phi((n - 1/2) / s). A table ends where less than 2**-16 is left outside, or at
    plus or minus 1023, which is enough for scales up to 236.
    """
    return symmetric_tables([_gaussian(float(scale)) for scale in scale_table(count, smallest, largest)], skip)


def symmetric_tables(rows: Sequence[NDArray[np.float64]], skip: int = 0) -> Tables:
    """The tables of rows of probabilities of -R .. R, each with its own R; see `tables_from_probabilities`."""
    probabilities = np.zeros((len(rows), max(map(len, rows))))
    for row, values in zip(probabilities, rows, strict=True):
        row[: len(values)] = values
    return tables_from_probabilities(probabilities, np.array([-(len(row) // 2) for row in rows]), skip)


def tables_from_probabilities(probabilities: ArrayLike, low: ArrayLike, skip: int = 0) -> Tables:
    """The integer tables of `probabilities` [T, W] of the values `low[k] .. low[k] + W - 1`.

    Zeros at the end of a row are padding: its range ends before them. What a row lacks to 1 goes to ESCAPE,
    which gets 2**-16 at least before the row is scaled to the sum TOTAL. Rounded by largest remainder, every
    frequency 1 at least. ValueError if a row is negative, sums to more than 1 or is all zeros; WeightsError if
    the tables are too many or too wide.
    """
    probabilities, low = np.asarray(probabilities, dtype=np.float64), np.asarray(low)
    sums = probabilities.sum(axis=-1)
    possible = np.all(probabilities >= 0) and np.all((sums > 0) & (sums < 1 + 1e-9))
    if probabilities.ndim != 2 or not possible:
        raise ValueError("probabilities should be [T, W], none negative, with sums above 0 and at most 1")
    rows = [_frequencies(np.trim_zeros(row, "b")) for row in probabilities]
    frequencies = np.zeros((len(rows), max(map(len, rows))), dtype=np.int32)
    for row, values in zip(frequencies, rows, strict=True):
        row[: len(values)] = values
    low = np.broadcast_to(low, len(rows))
    high = low + [len(row) - 2 for row in rows]
    tables = Tables(low.astype(np.int32), high.astype(np.int32), frequencies, skip)
    tables.validate()
    return tables


def _gaussian(scale: float) -> NDArray[np.float64]:
    """The probabilities of -R .. R at this scale; erfc keeps the digits of the tail."""
    root = scale * math.sqrt(2.0)
    tails = [math.erfc((n + 0.5) / root) for n in range(_LARGEST_RADIUS + 1)]  # tails[n] = P(|x| > n)
    radius = next((n for n, tail in enumerate(tails) if tail < ESCAPE_SHARE), _LARGEST_RADIUS)
    right = [(tails[n - 1] - tails[n]) / 2 for n in range(1, radius + 1)]
    return np.array([*reversed(right), math.erf(0.5 / root), *right])


def _frequencies(probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """The frequencies of a row's values and, last, of ESCAPE; they sum to TOTAL."""
    escape = max(1.0 - float(probabilities.sum()), ESCAPE_SHARE)
    exact = np.append(probabilities, escape)
    exact *= TOTAL / exact.sum()
    frequencies: NDArray[np.int64] = np.maximum(np.floor(exact), 1.0).astype(np.int64)
    missing = TOTAL - int(frequencies.sum())
    if missing < 0:  # so many were raised to 1 that the largest has to give; it has far more than it gives
        frequencies[np.argmax(frequencies)] += missing
    else:
        frequencies[np.argsort(frequencies - exact, kind="stable")[:missing]] += 1
    return frequencies
