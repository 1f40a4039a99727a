"""Peers at nearly our bytes, for the viewer of a report: between two measured settings the nearest is searched for.

Its rows stand apart from those that were planned, as no mean is taken over them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from .results import Row

TRIES = 4
CLOSE = 0.02
"""A file so near to ours, as a share of it, is near enough."""
LEVELS = 3
"""Settings of ours that a viewer shows of a picture, when so many were measured."""


def levels(rows: Sequence[Row]) -> list[Row]:
    """Which of our rows of one picture are shown: the middle one by bytes first, then those at the ends."""
    rows = sorted(rows, key=lambda row: row.bytes)
    if len(rows) > LEVELS:
        last = len(rows) - 1
        rows = [rows[round(last * step / (LEVELS - 1))] for step in range(LEVELS)]
    middle = len(rows) // 2
    return rows[middle : middle + 1] + rows[:middle] + rows[middle + 1 :]


def nearest(rows: Sequence[Row], size: int) -> Row:
    """The row whose file comes nearest to so many bytes."""
    return min(rows, key=lambda row: abs(row.bytes - size))


def search(rows: Sequence[Row], size: int, measure: Callable[[int], Row | None]) -> Iterator[Row]:
    """Yield rows of one codec on one picture at whole settings ever nearer to `size` bytes.

    rows: what is known of it. measure: a row at a setting, or None where the codec fails, which ends the search. So
    does a file near enough, and there being no whole setting left between the two around `size`.
    """
    known = list(rows)
    for _ in range(TRIES):
        below = max((row for row in known if row.bytes <= size), key=lambda row: row.bytes, default=None)
        above = min((row for row in known if row.bytes > size), key=lambda row: row.bytes, default=None)
        if below is None or above is None or _is_close(nearest(known, size), size):
            return
        setting = _between(below, above, size)
        if setting is None or (row := measure(setting)) is None:
            return
        known.append(row)
        yield row


def _is_close(row: Row, size: int) -> bool:
    return abs(row.bytes - size) <= CLOSE * size


def _between(below: Row, above: Row, size: int) -> int | None:
    """The whole setting strictly between two at which `size` is expected, the logarithm of the bytes being a line."""
    low, high = sorted((below.setting, above.setting))
    first, last = math.floor(low) + 1, math.ceil(high) - 1
    if first > last:
        return None
    share = math.log(size / below.bytes) / math.log(above.bytes / below.bytes)
    return min(max(round(below.setting + share * (above.setting - below.setting)), first), last)
