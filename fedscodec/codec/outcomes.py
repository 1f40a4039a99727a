"""The results of encoding and decoding, and the clock of their stages."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..images import Picture, pack_thumbnail

Progress = Callable[[float], None]
"""Called during the work with the share that is done, 0 to 1."""
Stopped = Callable[[], bool]
"""Called during long work; true means: end with the result so far."""


def never() -> bool:
    """Never stop early."""
    return False


def within(progress: Progress | None, first: float, last: float) -> Progress | None:
    """Scale the progress of a part of the work, from first to last, to that of the whole."""
    if progress is None:
        return None
    return lambda done: progress(first + (last - first) * done)


@dataclass(frozen=True)
class Analysed:
    """A picture and its latents g_a(x) [1, M, H/16, W/16] before any gain, shared by all qualities.

    latents is None if g_a depends on the quality.
    """

    picture: Picture
    latents: Any = field(repr=False)
    seconds: dict[str, float]

    @cached_property
    def thumbnail(self) -> bytes | None:
        """The payload of a preview box, made once for all qualities."""
        return pack_thumbnail(self.picture)


@dataclass
class Encoded:
    """An encoded picture: the bytes, seconds of each stage, −log₂ p of its symbols (if counted), and the symbols.

    y_hat are the latents that a decoder gets from the file, integers in 1/unit (`spec.mean_unit`) [1, H/16, W/16, M].
    """

    data: bytes
    seconds: dict[str, float]
    bits: float
    symbols: list[np.ndarray] = field(repr=False)
    y_hat: Any = field(repr=False)


@dataclass
class Decoded:
    """A decoded picture, the seconds of each stage, and the symbols."""

    picture: Picture
    seconds: dict[str, float]
    symbols: list[np.ndarray] = field(repr=False)


class Clock:
    """Seconds of each stage, and the function for progress. `wait` waits for the GPU."""

    def __init__(self, wait: Callable[[], None], progress: Progress | None = None) -> None:
        self.wait, self.progress, self.seconds = wait, progress, dict[str, float]()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the seconds of the block to those of a stage."""
        begin = time.perf_counter()
        yield
        self.wait()
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin


def separate_coder(clock: Clock, coder: float) -> None:
    """Subtract the coder's seconds from those of the walk that called it."""
    clock.seconds["entropy nets"] -= coder
    clock.seconds["coder"] = clock.seconds.get("coder", 0.0) + coder
