"""The exceptions of feds, as one tree; every message is a sentence for the user.

FedsError
├── FormatError        the bytes are not a valid .feds file (or stop too early, or were changed)
│   └── StreamError    one of its streams is damaged
├── UnknownModelError  no network of that name or fingerprint is installed
├── WeightsError       a weights file is not valid
├── TooLargeError      a picture is larger than the limit
├── ImageError         a picture cannot be read, or only with a loss that was not requested
├── TargetError        no quality of the network reaches the requested size or fidelity
└── OutputError        the result cannot be written
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FedsError(Exception):
    """Any failure that feds foresees; its text names the file, what was expected and what was found."""


class FormatError(FedsError):
    """The bytes are not a valid .feds file: wrong magic, truncated, damaged, or from a later version."""


class StreamError(FormatError):
    """A stream of a .feds file is damaged: number `stream`, 0 for z."""

    def __init__(self, text: str, stream: int = 0) -> None:
        super().__init__(text)
        self.stream = stream


class DamageWarning(UserWarning):
    """A damaged file was decoded as far as it was intact, as requested."""


class UnknownModelError(FedsError):
    """No network of that name or fingerprint is registered, installed or readable."""


class WeightsError(FedsError):
    """A weights file has wrong tensors, a wrong fingerprint or a wrong description of itself."""


class TooLargeError(FedsError):
    """A picture has more pixels than the limit in force allows."""


class ImageError(FedsError):
    """A picture cannot be read as 8-bit colour or grey."""


class TargetError(FedsError):
    """Even the smallest file is too large, or the best one not good enough; the text names the nearest value."""


class OutputError(FedsError):
    """The result cannot be written: the file exists, the folder is missing, the disk is full."""


class NotKeptWarning(UserWarning):
    """Something in the picture was not kept, or was kept in another form; one warning for each."""


class DeviceWarning(UserWarning):
    """The work continues on another device than was meant, or in another way."""


class LackOfMemoryWarning(DeviceWarning):
    """Memory ran out, and the work continues in a way that needs less memory and more time."""


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Put the name of a file before a FedsError that does not begin with it."""
    try:
        yield
    except FedsError as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise type(error)(f"{path}: {error}") from error


_NO_MEMORY = (
    "can't allocate memory",  # torch on a CPU
    "CUDA error: out of memory", "_STATUS_ALLOC_FAILED",  # a GPU that is full already, its libraries
    "std::bad_alloc", "Failed to allocate memory",  # ONNX Runtime
    "Cannot allocate memory",  # the system, to whoever asks for a thread or a mapping
)  # fmt: skip


def is_lack_of_memory(failure: BaseException) -> bool:
    """Whether a failure means that memory ran out; torch and ONNX Runtime, which may not be loaded, say so in words."""
    kinds = {kind.__name__ for kind in type(failure).__mro__}
    return bool(kinds & {"MemoryError", "OutOfMemoryError"}) or any(words in str(failure) for words in _NO_MEMORY)
