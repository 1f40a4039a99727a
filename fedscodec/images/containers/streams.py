"""Read safely from a stream with untrusted lengths."""

from __future__ import annotations

import os
from typing import BinaryIO


def read_at_most(stream: BinaryIO, count: int) -> bytes:
    """Up to `count` bytes from the position of a seekable stream.

    Python allocates all of a count before it reads, so this asks for no more than there is.
    """
    here = stream.tell()
    left = stream.seek(0, os.SEEK_END) - here
    stream.seek(here)
    return stream.read(max(min(count, left), 0))
