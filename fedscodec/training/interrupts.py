"""Handle Ctrl-C between steps, so that the state of a stopped run is complete, and other ends as tidily as Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any


class Interrupts:
    """Within a `with` block, the first Ctrl-C or SIGTERM only sets `seen`; the second one interrupts as usual."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.seen = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # no other may handle signals
            self._before = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._put_back()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.seen = True
        self._put_back()

    def _put_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}


@contextmanager
def ending_tidily() -> Iterator[None]:
    """Within the block, SIGTERM and SIGHUP unwind the process as Ctrl-C does, so that what is temporary is removed."""
    ends = (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
    if threading.current_thread() is not threading.main_thread():  # no other may handle signals
        ends = ()
    # Not where another handles or ignores it, as nohup does.
    own = [number for number in set(ends) if signal.getsignal(number) is signal.SIG_DFL]
    for number in own:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in own:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as shells show the end by a signal
