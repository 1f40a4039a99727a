"""The interface of every measured codec, and feds as one of them.

A coder describes itself (`Codec`), encodes a picture to real bytes and decodes those bytes. Both halves report the
seconds of their stages and their memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..codec.decoding import decode_file
from ..codec.encoding import encode_picture
from ..codec.model import Model
from ..codec.settings import Encoding
from ..errors import FedsError
from ..fileformat import unpack
from ..images import Picture
from ..networks.metadata import counts_of
from ..version import __version__
from .memory import CUDA, PROCESS, PeakMemory
from .results import Codec

T = TypeVar("T")


@dataclass(frozen=True)
class Half(Generic[T]):
    """One half of the work: the result, seconds of each stage, peak memory in bytes, and −log₂ p if known."""

    result: T
    seconds: dict[str, float]
    peak_bytes: int | None = None
    bits: float | None = None


class MissingPeerError(FedsError):
    """A peer is not installed; the text says how to get it."""


class Coder(Protocol):
    """A codec, ready to be measured."""

    @property
    def codec(self) -> Codec:
        """The description of the codec."""

    @property
    def settings(self) -> Sequence[float]:
        """The settings to measure."""

    def encode(self, picture: Picture, setting: float) -> Half[bytes]:
        """Encode a picture to real bytes."""

    def decode(self, data: bytes) -> Half[NDArray[np.uint8]]:
        """Samples uint8 [H, W, 3] from those bytes; called right after `encode`."""


def timed(stage: str, work: Callable[[], T], *, growth: bool = False) -> Half[T]:
    """A half with a single stage."""
    memory = PeakMemory(growth=growth)
    begin = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - begin
    return Half(result, {stage: seconds}, memory.bytes())


def _role(metadata: Mapping[str, str]) -> str:
    if "teacher" in metadata:
        return "distilled"
    return "teacher" if metadata.get("network", "").startswith("teacher") else "direct"


def _training(metadata: Mapping[str, str]) -> str:
    told = (
        f"{float(metadata['minutes']):.0f} min" if "minutes" in metadata else "",
        f"{int(metadata['steps']):,} steps" if "steps" in metadata else "",
        f"from {metadata['start']}" if metadata.get("start", "fresh") != "fresh" else "",
        f"teacher {metadata['teacher']}" if "teacher" in metadata else "",
    )
    return ", ".join(part for part in told if part)


@dataclass
class FedsCoder:
    """One of our networks at an effort. Raises FedsError if its decoder reads other symbols than its encoder wrote."""

    model: Model
    settings: Sequence[float]
    effort: int = 0
    codec: Codec = field(init=False)
    _symbols: list[np.ndarray] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        for quality in self.settings:
            self.model.check_quality(quality)
        counts = counts_of(self.model.metadata, self.model.spec)
        self.codec = Codec(
            title=f"feds {self.model.name}" + (f", effort {self.effort}" if self.effort else ""),
            kind="feds",
            version=__version__,
            colour="RGB",
            options=f"transforms in {str(self.model.precision).removeprefix('torch.')}",
            memory=CUDA if self._cuda else PROCESS,
            parameters=counts.parameters,
            kmacs_per_pixel=round(counts.kmacs_per_pixel, 2),
            fingerprint=self.model.fingerprint.hex(),
            role=_role(self.model.metadata),
            training=_training(self.model.metadata),
        )

    @property
    def _cuda(self) -> bool:
        return str(self.model.device).startswith("cuda")

    def _memory(self) -> PeakMemory:
        return PeakMemory(device=self.model.device if self._cuda else None)

    def encode(self, picture: Picture, setting: float) -> Half[bytes]:
        """A .feds file; −log₂ p comes from the integer tables."""
        memory = self._memory()
        encoded = encode_picture(picture, self.model, Encoding(quality=setting, count_bits=True, effort=self.effort))
        self._symbols = encoded.symbols
        return Half(encoded.data, encoded.seconds, memory.bytes(), encoded.bits)

    def decode(self, data: bytes) -> Half[NDArray[np.uint8]]:
        """Pixels of the file just written; compares its symbols one by one."""
        memory = self._memory()
        decoded = decode_file(unpack(data, max_pixels=None), self.model)
        peak = memory.bytes()
        if any(not np.array_equal(a, b) for a, b in zip(self._symbols, decoded.symbols, strict=True)):
            raise FedsError("the decoder read other symbols than the encoder wrote")
        return Half(decoded.picture.pixels, decoded.seconds, peak)
