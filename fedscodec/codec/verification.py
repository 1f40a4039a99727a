"""Is a .feds file sound? Its symbols are read and compared with the checksum that it carries; no colour is made.
An alpha plane, which has no symbols, is read as a decoder reads it.

Symbols are what feds promises to be the same everywhere. Their SHA-256 is in every verdict, so that two machines can be
compared by more than the 32 bits that a file has room for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..entropy.streams import symbol_bytes
from ..errors import FedsError, FormatError, StreamError
from ..fileformat import unpack
from ..images import Picture
from .beside import alpha_of, changed_beside
from .decoding import read_symbols
from .exact import exact_picture
from .model import Model
from .outcomes import Encoded

ModelOf = Callable[[bytes, str], Model]
"""The network of a fingerprint, for the file of that name."""


@dataclass(frozen=True)
class Verdict:
    """What was found of a file; `fault` is None where it is sound, and then all other fields but `stream` are known.

    `stream` is the number, 0 for z, of the stream that is not sound, where it is one and can be told.
    """

    file: str
    fault: str | None = None
    stream: int | None = None
    model: str | None = None
    fingerprint: str | None = None
    quality: float | None = None
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    symbols_sha256: str | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong with the file."""
        return self.fault is None


def verify(data: bytes, name: str, model_of: ModelOf, *, max_pixels: int | None = None) -> Verdict:
    """The verdict on the bytes of a file; whatever `FedsError` stands in its way is its fault, without its name."""
    try:
        file = unpack(data, name=name, max_pixels=max_pixels)
        header = file.header
        model = model_of(header.fingerprint, name)
        alpha_of(file)
        symbols = read_symbols(file, model)
    except FedsError as error:
        return unsound(name, error)
    return Verdict(
        name,
        model=model.name,
        fingerprint=header.fingerprint.hex(),
        quality=header.quality / 1000,
        width=header.width,
        height=header.height,
        bytes=len(data),
        symbols_sha256=symbols_sha256(symbols),
    )


def unsound(name: str, error: FedsError) -> Verdict:
    """The verdict on a file that ended in `error`."""
    stream = error.stream if isinstance(error, StreamError) else None
    return Verdict(name, str(error).removeprefix(f"{name}: "), stream)


def symbols_sha256(symbols: list[np.ndarray]) -> str:
    """SHA-256 of symbols as little-endian int16 in coding order, z first, in hexadecimal."""
    return hashlib.sha256(b"".join(symbol_bytes(symbols))).hexdigest()


def require_same(encoded: Encoded, picture: Picture, model: Model, *, name: str = "the picture") -> None:
    """FormatError, starting with `name`, unless the bytes give back all that is to be kept of a picture.

    That is every symbol that was encoded, and beside them alpha, ICC profile, Exif and XMP.
    """
    try:
        file = unpack(encoded.data, name=name, max_pixels=None)
        found, changed = read_symbols(file, model), changed_beside(picture, file)
    except FormatError as error:
        raise FormatError(f"{name}: the encoded file does not decode ({error}); nothing was written") from error
    for number, (written, read) in enumerate(zip(encoded.symbols, found, strict=True)):
        if not np.array_equal(written, read):
            stream = f"slice {number}" if number else "z"
            raise FormatError(f"{name}: the {stream} stream decodes to other symbols; nothing was written")
    exact = exact_picture(file)
    if exact is not None and not np.array_equal(exact.pixels, picture.pixels):
        changed.append("pixels")
    if changed:
        raise FormatError(f"{name}: its {' and '.join(changed)} would come back changed; nothing was written")
