"""The number of threads for a picture: one if it is small.

With two cores that other programs use too, threads wait for each other longer than they work. Encoding and decoding
128×96 pixels took 5.3 s with two threads that spin, 0.25 s with two that sleep; 384×256 took 7.0 s and 1.7 s, and 0.9 s
with one (student, load of 8 on 2 cores). So `fedscodec` makes threads sleep (see `PASSIVE`), and small pictures get
one.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..machine import usable_cores, visible_cores

SMALL = 2**17
"""Pixels up to which one thread does a picture."""
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}
"""The setting that makes the threads of OpenMP, GNU's and LLVM's, sleep while they wait; read once, when torch is
loaded.
"""

_usual = 0
"""Threads of torch outside of blocks, as last seen; 0 before that."""


class _Here(threading.local):
    """What is known of the calling thread."""

    inside = False  # of a block
    known = False  # whether it has been seen before


_here = _Here()


def loaded_torch() -> Any | None:
    """The module torch, if it is loaded: not while another thread is still at it."""
    torch = sys.modules.get("torch")
    return None if torch is None or getattr(torch.__spec__, "_initializing", False) else torch


def _in_a_forked_process() -> None:
    """Use one thread of torch: those of the parent are gone, and OpenMP would wait for them for ever."""
    global _usual, _here
    _usual, _here = 0, _Here()
    if torch := loaded_torch():
        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_a_forked_process)


def prepare() -> None:
    """Make torch's threads sleep while they wait, and have no more than the cores that a container grants.

    Not if the environment sets it, or torch is already loaded.
    """
    if "torch" not in sys.modules:
        for name, value in PASSIVE.items():
            os.environ.setdefault(name, value)
        if (granted := usable_cores()) < visible_cores():
            os.environ.setdefault("OMP_NUM_THREADS", str(granted))


@contextmanager
def threads_for(pixels: int) -> Iterator[None]:
    """Use one thread of torch within the block if there are few pixels, and restore the number afterwards.

    Several threads may be in such blocks at once. OpenMP keeps a number for each; a new thread begins with the one that
    was set last, by whichever thread. If that was for a block, it gets the usual one here.
    """
    torch = loaded_torch()
    if torch is None or _here.inside:  # threads of ONNX Runtime sleep while they wait
        yield
        return
    number = _number_of_this_thread(torch)
    torch.set_num_threads(1 if pixels <= SMALL else number)
    _here.inside = True
    try:
        yield
    finally:
        _here.inside = False
        torch.set_num_threads(number)


def _number_of_this_thread(torch: Any) -> int:
    global _usual
    found = int(torch.get_num_threads())
    was_born_in_a_block = not _here.known and found == 1 < _usual
    _here.known = True
    if not was_born_in_a_block:
        _usual = found
    return _usual
