"""The three standard streams, of which a process may have been started without any.

Python then has None in their place, and the next file that is opened gets their number: what was meant for people
would land in it. So each is opened on the null device, in the direction that refuses to be used: to read from a
closed standard input and to write to a closed standard output are errors, as they should be. Standard error swallows
what is said.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import IO, Any

from ..errors import FedsError, OutputError


def reopen_closed() -> None:
    """Open what is closed of standard input, output and error; let names of files that are not UTF-8 be printed."""
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


def require_input() -> None:
    """FedsError if nothing can be read from standard input because it is closed."""
    if _refuses(sys.stdin, lambda handle: os.read(handle, 0)):
        raise FedsError("standard input: is closed, expected a file or a pipe to read from")


def require_output() -> None:
    """OutputError if nothing can be written to standard output because it is closed."""
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
