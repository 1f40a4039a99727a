"""Reading from a stream that may claim anything."""

from __future__ import annotations

import os
from typing import BinaryIO


def read_at_most(stream: BinaryIO, count: int) -> bytes:
    """Up to `count` bytes from where a seekable stream stands.

    Python sets all of a count aside before it reads, so no more is asked for than there is.
    """
    here = stream.tell()
    left = stream.seek(0, os.SEEK_END) - here
    stream.seek(here)
    return stream.read(max(min(count, left), 0))
