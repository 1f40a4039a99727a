"""Check a .feds file: decode its symbols and compare them with its checksum, without making colours. An alpha plane,
which has no symbols, is read as a decoder reads it.

feds promises that symbols are the same everywhere. Every verdict has their SHA-256, so that two machines can compare
more than the 32 bits in the file.
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
"""The network for a fingerprint, for the file of that name."""


@dataclass(frozen=True)
class Verdict:
    """The result for a file; `fault` is None if it is intact, and then all other fields but `stream` are known.

    `stream` is the number, 0 for z, of the damaged stream, if one is known. A file without loss has no symbols, but
    pixels: their SHA-256 is that of uint8 RGB, or of grey, row by row.
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
    lossless: bool = False
    pixels_sha256: str | None = None

    @property
    def sound(self) -> bool:
        """Whether the file is intact."""
        return self.fault is None


def verify(data: bytes, name: str, model_of: ModelOf, *, max_pixels: int | None = None) -> Verdict:
    """Check the bytes of a file; a `FedsError` becomes its fault, without the file's name."""
    try:
        file = unpack(data, name=name, max_pixels=max_pixels)
        header = file.header
        model = model_of(header.fingerprint, name)
        alpha_of(file)
        symbols, exact = read_symbols(file, model), exact_picture(file)
    except FedsError as error:
        return unsound(name, error)
    pixels = None if exact is None else exact.pixels[..., :1] if exact.grey else exact.pixels
    return Verdict(
        name,
        model=model.name,
        fingerprint=header.fingerprint.hex(),
        quality=header.quality / 1000,
        width=header.width,
        height=header.height,
        bytes=len(data),
        symbols_sha256=symbols_sha256(symbols) if pixels is None else None,
        lossless=pixels is not None,
        pixels_sha256=None if pixels is None else hashlib.sha256(pixels.tobytes()).hexdigest(),
    )


def unsound(name: str, error: FedsError) -> Verdict:
    """The result for a file that ended in `error`."""
    stream = error.stream if isinstance(error, StreamError) else None
    return Verdict(name, str(error).removeprefix(f"{name}: "), stream)


def symbols_sha256(symbols: list[np.ndarray]) -> str:
    """SHA-256 of symbols as little-endian int16 in coding order, z first, in hexadecimal."""
    return hashlib.sha256(b"".join(symbol_bytes(symbols))).hexdigest()


def require_same(encoded: Encoded, picture: Picture, model: Model, *, name: str = "the picture") -> None:
    """Raise FormatError, starting with `name`, unless the file gives back everything that is to be kept of a picture.

    That is every symbol that was encoded, and alpha, ICC profile, Exif and XMP.
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
