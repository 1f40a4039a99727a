"""The three standard streams, which a process may be started without.

Python then has None in their place, and the next file that is opened gets their number, so messages would be written
into it. So each closed stream is opened on the null device in the wrong direction: reading from a closed standard input
and writing to a closed standard output are errors, as they should be. Standard error discards messages.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import IO, Any

from ..errors import FedsError, OutputError


def reopen_closed() -> None:
    """Open closed standard streams on the null device, and let file names that are not UTF-8 be printed."""
    ways = (("stdin", os.O_WRONLY, "r"), ("stdout", os.O_RDONLY, "w"), ("stderr", os.O_WRONLY, "w"))
    for number, (name, flags, mode) in enumerate(ways):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, flags)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if (change := getattr(stream, "reconfigure", None)) is not None:
            change(errors="backslashreplace")
            if os.name == "nt" and not stream.isatty():  # else a file gets the old code page, which has no −
                change(encoding="utf-8")


def require_input() -> None:
    """Raise FedsError if standard input is closed."""
    if _refuses(sys.stdin, lambda handle: os.read(handle, 0)):
        raise FedsError("standard input: is closed, expected a file or a pipe to read from")


def require_output() -> None:
    """Raise OutputError if standard output is closed."""
    if _refuses(sys.stdout, lambda handle: os.write(handle, b"")):
        raise OutputError("standard output: is closed, expected a file or a pipe to write to")


def _refuses(stream: IO[Any] | None, use: Any) -> bool:
    if stream is None:
        return True
    try:
        use(stream.fileno())
    except OSError as error:  # one without a number, in memory, has no errno
        return error.errno == errno.EBADF
    except ValueError:  # it was closed by its owner
        return True
    return False
