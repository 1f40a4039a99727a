"""Where the bits go (Sec. 8): the entropy of every latent, the ranking of the channels, and heatmaps of both.

The maps are those of Eq. 10 and 11 by the float twin of the entropy side, the ranking is that of Eq. 12. Their sum
stands beside the size of the real file, which shows how far the float twin is from what was coded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..entropy.parts import Part
from ..errors import FedsError
from ..images import Picture

RANKS = (1, 40, 80, 120, 160)
"""The channels in the paper (Fig. 11), by rank."""
_INFERNO = (
    "000004 040312 0b0724 150b37 210c4a 2f0a5b 3d0965 4a0c6b 57106e 64156e 71196e "
    "7d1e6d 8a226a 972766 a32c61 b0315b bc3754 c63d4d d04545 da4e3c e35933 eb6429 "
    "f1711f f67e14 f98c0a fb9b06 fcaa0f fbba1f f9c932 f5d949 f2e865 f3f586 fcffa4"
)
"""Colours of matplotlib's inferno (Nathaniel Smith and Stéfan van der Walt, CC0), evenly over its range."""
DOWN = 16
"""Pixels of a picture, each way, for one latent."""


@dataclass(frozen=True, eq=False)
class Entropy:
    """One picture at one quality: maps [M, rows, columns] in bits per latent, as coded, including padding."""

    name: str
    picture: Picture = field(repr=False)
    model: str
    parts: tuple[Part, ...]
    quality: float
    maps: NDArray[np.float32] = field(repr=False)
    z_bits: float
    file_bytes: int

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """Ē of every channel: its mean bits per latent (Eq. 12), [M]."""
        return np.asarray(self.maps.mean(axis=(1, 2), dtype=np.float64))

    @cached_property
    def ranking(self) -> NDArray[np.intp]:
        """Channels by their mean entropy, the highest first, [M]; of equal ones the first channel first."""
        return np.argsort(-self.means, kind="stable")

    @cached_property
    def cumulative(self) -> NDArray[np.float64]:
        """Share of the bits of y in the first 1, 2, … M channels of the ranking, [M]."""
        sums = self.means[self.ranking].cumsum()
        return np.asarray(sums / max(sums[-1], 1e-12))

    @property
    def bits(self) -> float:
        """Bits of z and y together, by the float twin."""
        return self.z_bits + float(self.maps.sum(dtype=np.float64))

    def channels_for(self, share: float) -> int:
        """How many channels of the ranking hold this share of the bits of y."""
        return int(np.searchsorted(self.cumulative, share - 1e-9) + 1)

    def slice_of(self, channel: int) -> int:
        """The first slice stream that holds symbols of a channel, counted from 1."""
        return next(part.stream for part in self.parts if part.channels[0] <= channel < part.channels[1])

    def seen(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """A map [rows, columns] without padding."""
        return values[: -(-self.picture.height // DOWN), : -(-self.picture.width // DOWN)]

    @property
    def total(self) -> NDArray[np.float32]:
        """Bits of all channels at each place, [rows, columns]."""
        return np.asarray(self.maps.sum(axis=0))


def require_ranks(ranks: tuple[int, ...], channels: int) -> tuple[int, ...]:
    """The ranks that a network has. Raises FedsError for those below 1, and if none is left."""
    if any(rank < 1 for rank in ranks):
        raise FedsError(f"expected ranks from 1 on, found {min(ranks)}")
    there = tuple(rank for rank in ranks if rank <= channels)
    if not there:
        raise FedsError(f"ranks must lie between 1 and {channels}, found {', '.join(map(str, ranks))}")
    return there


def palette() -> NDArray[np.uint8]:
    """The 256 colours of a heatmap, from no bits to most, [256, 3]."""
    known = np.array([list(bytes.fromhex(colour)) for colour in _INFERNO.split()])
    at, places = np.arange(256), np.linspace(0, 255, len(known)).round()
    return np.stack([np.interp(at, places, channel) + 0.5 for channel in known.T], 1).astype(np.uint8)


def levels(values: NDArray[np.float32], top: float) -> NDArray[np.uint8]:
    """Bits as levels 0 … 255 of a palette; the last stands for `top` bits and more."""
    scaled: NDArray[np.float32] = np.clip(values / max(top, 1e-9) * 255 + 0.5, 0, 255)
    return scaled.astype(np.uint8)


def heatmap(values: NDArray[np.float32], top: float, scale: int = 1) -> Picture:
    """A map as a picture, each latent a square of `scale` pixels."""
    return Picture(palette()[levels(values, top)].repeat(scale, axis=0).repeat(scale, axis=1))
