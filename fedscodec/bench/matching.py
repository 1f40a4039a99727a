"""Search for peers' files with nearly as many bytes as ours, between two measured settings, for a report's viewer.

These rows are kept apart from the planned ones, because no mean is taken over them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from .results import Row

TRIES = 4
CLOSE = 0.02
"""A file that differs from ours by at most this share of its size is near enough."""
LEVELS = 3
"""Settings of ours that a viewer shows of a picture, if that many were measured."""


def levels(rows: Sequence[Row]) -> list[Row]:
    """Which of our rows of one picture are shown: the middle one by bytes first, then the ends."""
    rows = sorted(rows, key=lambda row: row.bytes)
    if len(rows) > LEVELS:
        last = len(rows) - 1
        rows = [rows[round(last * step / (LEVELS - 1))] for step in range(LEVELS)]
    middle = len(rows) // 2
    return rows[middle : middle + 1] + rows[:middle] + rows[middle + 1 :]


def nearest(rows: Sequence[Row], size: int) -> Row:
    """The row whose file size is nearest to a size."""
    return min(rows, key=lambda row: abs(row.bytes - size))


def search(rows: Sequence[Row], size: int, measure: Callable[[int], Row | None]) -> Iterator[Row]:
    """Yield rows of one codec on one picture at whole settings, each nearer to `size` bytes.

    rows: the known ones. measure: a row at a setting, or None if the codec fails, which ends the search. The search
    also ends at a file that is near enough, and when no whole setting is left between the two around `size`.
    """
    known = list(rows)
    for _ in range(TRIES):
        below = max((row for row in known if row.bytes <= size), key=lambda row: row.bytes, default=None)
        above = min((row for row in known if row.bytes > size), key=lambda row: row.bytes, default=None)
        if below is None or above is None or _is_close(nearest(known, size), size):
            return
        setting = _between(below, above, size)
        if setting is None or setting in {row.setting for row in known} or (row := measure(setting)) is None:
            return
        known.append(row)
        yield row


def _is_close(row: Row, size: int) -> bool:
    return abs(row.bytes - size) <= CLOSE * size


def _between(below: Row, above: Row, size: int) -> int | None:
    """The whole setting strictly between two that should give `size`, with the logarithm of the bytes as a line."""
    low, high = sorted((below.setting, above.setting))
    first, last = math.floor(low) + 1, math.ceil(high) - 1
    if first > last:
        return None
    share = math.log(size / below.bytes) / math.log(above.bytes / below.bytes)
    return min(max(round(below.setting + share * (above.setting - below.setting)), first), last)
