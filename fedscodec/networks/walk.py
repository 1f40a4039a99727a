"""The one walk over the latents that everything shares.

   ẑ, quality ─► h_s ─► side ─────────────┬──────────────────────────┬─────────── … the nets of each part, in order
                                         ▼                          ▼
        part 1:  side ─► mean, index ─► coder ─► ŷ₁ ─► known ──┐
        part 2:  side, known ─► mean, index ─► coder ─► ŷ₂ ────┴─► known ─► …

Training, writing, reading and probing differ only in the coder that is handed in, and in whether the nets are the float
twin (`FloatSide`) or the integers (`IntegerSide`). What a part is, see `entropy.parts`. A decoder gets y = None, so an
encoder cannot use what a decoder does not have.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from torch import Tensor

from ..entropy.parts import Part
from .prior import HyperPrior
from .spec import ModelSpec

Quality = TypeVar("Quality", contravariant=True)
"""How the nets are told the quality: real numbers [B] from 1, or thousandths as in a file's header."""
Maps = TypeVar("Maps")
"""What the nets pass on among themselves: maps of floats with their steps, or of integers."""


class SymbolCoder(Protocol):
    """Spends, estimates or reads the bits of one stream after the other."""

    def hyper(self, z: Tensor | None, prior: HyperPrior | None) -> Tensor:
        """Code z under its factorised prior and return ẑ."""

    def code(self, part: Part, y: Tensor | None, mean: Tensor, index: Tensor) -> Tensor:
        """Code the block of a part of y, given its means and table indices, and return ŷ of the part."""


class SideNets(Protocol[Quality, Maps]):
    """What the walk needs of the entropy side; float twin and integers both provide it."""

    @property
    def spec(self) -> ModelSpec:
        """What they are built from, and so the parts."""

    @property
    def prior(self) -> HyperPrior | None:
        """p(z), where a coder does not bring tables of its own."""

    def side(self, z_hat: Tensor, quality: Quality) -> Maps:
        """h_s, of ẑ and of the quality: as the gains scale y, so must what is expected of it."""

    def unknown(self, side: Maps) -> Tensor:
        """What is known of ŷ before any of it is: zeros [B, H/16, W/16, M]."""

    def parameters_of(self, part: Part, side: Maps, known: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and table index of every latent of a part, both its block."""

    def shown(self, part: Part, y_hat: Tensor) -> Tensor:
        """ŷ of a part, its block, as later parts see it."""

    def take(self, y: Tensor, part: Part) -> Tensor:
        """The block of a part of y."""

    def join(self, blocks: list[Tensor]) -> Tensor:
        """The blocks of the first parts of ŷ as one tensor; the others are zeros."""


def walk(
    nets: SideNets[Quality, Maps],
    z: Tensor | None,
    y: Tensor | None,
    quality: Quality,
    coder: SymbolCoder,
    streams: int | None = None,
) -> Tensor:
    """Code z and then y part by part; returns ŷ.

    With streams, only so many of y are coded. What is left is zero with ChARM, and elsewhere what the nets expect.
    """
    side = nets.side(coder.hyper(z, nets.prior), quality)
    known, blocks = nets.unknown(side), list[Tensor]()
    for part in nets.spec.parts():
        coded = streams is None or part.stream <= streams
        if not coded and not nets.spec.expects_the_rest:
            break
        mean, index = nets.parameters_of(part, side, known)
        y_hat = coder.code(part, None if y is None else nets.take(y, part), mean, index) if coded else mean
        part.put(nets.shown(part, y_hat), known)
        blocks.append(y_hat)
    del side, known  # of a large picture, a fifth of a gigabyte
    return nets.join(blocks)
