"""Where .feds files come from: paths and standard input, and no more of them than is one."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path

from ..errors import FedsError
from ..fileformat import HEADER_BYTES_AT_MOST, read_header
from .outputs import STANDARD


def name_of(path: Path, stream: str = "input") -> str:
    """What messages call a path: itself, or the standard stream that - stands for."""
    return f"standard {stream}" if path == STANDARD else str(path)


def read_feds(source: Path) -> bytes:
    """The bytes of a .feds file; its header is checked before the rest is read, so that no film ever is."""
    try:
        with nullcontext(sys.stdin.buffer) if source == STANDARD else source.open("rb") as stream:
            head = stream.read(HEADER_BYTES_AT_MOST)
            read_header(head, name=name_of(source))
            return head + stream.read()
    except OSError as error:
        raise FedsError(f"{name_of(source)}: cannot be read ({error.strerror})") from error
