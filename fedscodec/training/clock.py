"""A clock that stands still while the process is stopped: by Ctrl-Z, by SIGSTOP, or with the whole machine.

A run lasts a number of minutes, and its learning rate falls by them. A pause must not use them up.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable

TICK = 0.5
"""Seconds between two looks at the time."""
LONGEST = 5.0
"""A longer gap between two looks was a stop."""


class RunningClock:
    """Seconds in which this process could run. A thread looks at the time; what it misses does not count."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._lock = now, threading.Lock()
        self._seen, self._stopped = now(), 0.0
        threading.Thread(target=_look, args=(weakref.ref(self),), daemon=True).start()

    def __call__(self) -> float:
        """The time in seconds, of which only differences mean something."""
        with self._lock:
            now = self._now()
            if now - self._seen > LONGEST:
                self._stopped += now - self._seen
            self._seen = now
            return now - self._stopped


def _look(reference: weakref.ref[RunningClock]) -> None:
    while (clock := reference()) is not None:
        clock()
        del clock  # so that it can go while this thread sleeps
        time.sleep(TICK)
