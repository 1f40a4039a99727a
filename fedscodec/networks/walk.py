"""The one walk over the latents, shared by training, writing, reading and probing.

   ẑ, quality ─► h_s ─► side ─────────────┬──────────────────────────┬─────────── … the nets of each part, in order
                                         ▼                          ▼
        part 1:  side ─► mean, index ─► coder ─► ŷ₁ ─► known ──┐
        part 2:  side, known ─► mean, index ─► coder ─► ŷ₂ ────┴─► known ─► …

Training, writing, reading and probing differ only in the coder that is handed in, and in whether the nets are the float
twin (`FloatSide`) or the integers (`IntegerSide`). What a part is, see `entropy.parts`. A decoder gets y = None, so an
encoder cannot use what a decoder does not have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from ..entropy.parts import Part
from .spec import ModelSpec

if TYPE_CHECKING:
    from .prior import HyperPrior

Array = TypeVar("Array")
"""The type of latents: tensors of torch, or arrays of numpy."""
Quality = TypeVar("Quality", contravariant=True)
"""How the networks get the quality: real numbers [B] from 1, or thousandths as in a file's header."""
Maps = TypeVar("Maps")
"""What the networks pass on to each other: maps of floats with their steps, or of integers."""


class SymbolCoder(Protocol[Array]):
    """Spends, estimates or reads the bits of one stream after the other."""

    def hyper(self, z: Array | None, prior: HyperPrior | None) -> Array:
        """Code z under its factorised prior and return ẑ."""

    def code(self, part: Part, y: Array | None, mean: Array, index: Array) -> Array:
        """Code the block of a part of y, given its means and table indices, and return ŷ of the part."""


class SideNets(Protocol[Quality, Maps, Array]):
    """What the walk needs of the entropy side; float twin and integers both provide it."""

    @property
    def spec(self) -> ModelSpec:
        """The spec from which they are built, with the parts."""

    @property
    def prior(self) -> HyperPrior | None:
        """p(z), for a coder without its own tables."""

    def side(self, z_hat: Array, quality: Quality) -> Maps:
        """h_s of ẑ and of the quality, because the prediction must be scaled like y."""

    def unknown(self, side: Maps) -> Array:
        """The known of ŷ at the start: zeros [B, H/16, W/16, M]."""

    def parameters_of(self, part: Part, side: Maps, known: Array) -> tuple[Array, Array]:
        """Mean and table index of every latent of a part, both its block."""

    def shown(self, part: Part, y_hat: Array) -> Array:
        """ŷ of a part, its block, as later parts see it."""

    def take(self, y: Array, part: Part) -> Array:
        """The block of a part of y."""

    def join(self, blocks: list[Array]) -> Array:
        """The blocks of the first parts of ŷ as one tensor; the others are zeros."""


def walk(
    nets: SideNets[Quality, Maps, Array],
    z: Array | None,
    y: Array | None,
    quality: Quality,
    coder: SymbolCoder[Array],
    streams: int | None = None,
) -> Array:
    """Code z and then y part by part; return ŷ.

    With streams, codes only this many streams of y. The rest is zero in networks with slices of channels, and the
    networks' prediction in others.
    """
    side = nets.side(coder.hyper(z, nets.prior), quality)
    known, blocks = nets.unknown(side), list[Array]()
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
