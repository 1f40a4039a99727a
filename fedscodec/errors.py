"""What can go wrong, as one tree of exceptions; every message is a sentence for the person at the other end.

FedsError
├── FormatError        the bytes are not a sound .feds file (or stop too early, or were changed)
│   └── StreamError    it is one of its streams that is not sound
├── UnknownModelError  no network of that name or fingerprint is at hand
├── WeightsError       a weights file is not what it claims to be
├── TooLargeError      a picture is larger than the limit in force
├── ImageError         a picture cannot be read, or not without loss that was not asked for
├── TargetError        no quality of the network reaches the size or fidelity that was asked for
└── OutputError        the result cannot be put where it was asked for
"""

from __future__ import annotations


class FedsError(Exception):
    """Any failure that feds foresees; its text names the file, what was expected and what was found."""


class FormatError(FedsError):
    """The bytes are not a sound .feds file: wrong magic, truncated, damaged, or from a later version."""


class StreamError(FormatError):
    """A stream of a .feds file is not sound: number `stream`, 0 for z."""

    def __init__(self, text: str, stream: int = 0) -> None:
        super().__init__(text)
        self.stream = stream


class DamageWarning(UserWarning):
    """A damaged file was decoded as far as it was intact, as was asked for."""


class UnknownModelError(FedsError):
    """No network of that name or fingerprint is registered, installed or readable."""


class WeightsError(FedsError):
    """A weights file has wrong tensors, a wrong fingerprint or a wrong description of itself."""


class TooLargeError(FedsError):
    """A picture has more pixels than the limit in force allows."""


class ImageError(FedsError):
    """A picture cannot be read as 8-bit colour or grey."""


class TargetError(FedsError):
    """Even the smallest file is too large, or the best one not good enough; the text names the nearest there is."""


class OutputError(FedsError):
    """The result cannot be written: the file exists, the folder is missing, the disk is full."""


class NotKeptWarning(UserWarning):
    """Something that a picture had is not in what was made of it, or is there in another form; one warning for each."""


class LackOfMemoryWarning(UserWarning):
    """Memory ran out, and the work goes on in a way that needs less of it and takes longer."""


def is_lack_of_memory(failure: BaseException) -> bool:
    """Whether that is what a failure tells of; torch, which need not be loaded, has two ways of its own to say it."""
    kinds = {kind.__name__ for kind in type(failure).__mro__}
    return bool(kinds & {"MemoryError", "OutOfMemoryError"}) or "can't allocate memory" in str(failure)
