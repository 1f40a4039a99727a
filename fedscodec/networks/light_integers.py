"""The entropy side of light networks in integers, exact on every float32 engine (`entropy.exact32`).

The structure is that of `light_side`, with integer layers. The networks see ŷ in 12 bits: the array known.shift has the
shift of each channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..entropy.exact32 import kept
from ..entropy.exact_sums import ExactIntegers
from ..entropy.fixedpoint import CONTEXT_LIMIT, WIDE_LIMIT, quality_level
from ..entropy.parts import Part, assemble
from .arrays import Arrays
from .exact_nets import known_shift
from .exact_twins import ExactTwin
from .integer_layers import as_integers, fill
from .light_side import LightSide, means_and_indexes
from .spec import STRIDE, ModelSpec, Passes
from .tiles import HYPER_SIDE, SLICE_SIDE, Box, run_in_tiles, tiles
from .twins import through

UP = STRIDE // 16
"""How many latents of y lie along each of z."""


def export_light(side: LightSide) -> Arrays:
    """All integers of the entropy side: weight, bias and shift of each layer, and known.shift."""
    side.trace()
    arrays: Arrays = {}
    for name, twin in light_twins(side).items():
        arrays |= {f"{name}.{key}": array for key, array in twin.integers()._asdict().items()}
    arrays["known.shift"] = side.known_shift.numpy(force=True).astype(np.int32)
    return arrays


def light_twins(side: LightSide) -> dict[str, ExactTwin]:
    """Every layer that becomes integers, by its name in a weights file."""
    return {name: m for name, m in side.named_modules() if isinstance(m, ExactTwin)}


def restore_light(side: LightSide, arrays: Mapping[str, np.ndarray], steps: Mapping[str, np.ndarray]) -> None:
    """Restore a float twin from shipped integers; steps as from `light_steps`. Raises like `restore_twins`."""
    twins = light_twins(side)
    with torch.no_grad():
        for name, twin in twins.items():
            fill(twin.steps, steps, f"{name}.steps")
        side.known_shift.copy_(torch.from_numpy(arrays["known.shift"]))
        fill(side.shapes, steps, "shapes")
    side.trace()
    for name, twin in twins.items():
        twin.restore(ExactIntegers(*(arrays[f"{name}.{key}"] for key in ExactIntegers._fields)))


def light_steps(side: LightSide) -> Arrays:
    """The steps and shapes that `restore_light` needs."""
    steps = {f"{name}.steps": twin.steps.numpy(force=True) for name, twin in light_twins(side).items()}
    return {**steps, "shapes": side.shapes.numpy(force=True)}


class LightIntegers(nn.Module):
    """The same interface as `LightSide`, in exact integers; tensors are [1, H, W, C].

    Large maps run tile by tile, which changes no integer and limits the memory. Raises WeightsError if an array is
    missing or does not fit the spec.
    """

    prior = None  # the coders bring the tables of z themselves

    def __init__(self, spec: ModelSpec, passes: Passes, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.spec = spec
        with torch.device("meta"):
            twins = LightSide(spec, passes)
        self.reach, self.channels = twins.trace(steps=False), passes.side
        self.h_s, self.nets = (
            as_integers(part, arrays, name) for part, name in ((twins.h_s, "h_s"), (twins.nets, "nets"))
        )
        self.register_buffer("known_shift", torch.from_numpy(known_shift(arrays, spec.latents)))

    def side(self, z_hat: Tensor, quality: int) -> Tensor:
        """ẑ int16 [1, H/64, W/64, Z] and quality in thousandths → all inputs of the networks, [_, H/16, W/16, S + M].

        First the side, and then the known of ŷ, so that no pass has to join them; in the form of `kept`.
        """
        level = float(quality_level(quality, len(self.spec.lambdas)))
        height, width = z_hat.shape[1:3]
        like = kept(z_hat[:, :0, :0])
        out = like.new_zeros((len(like), height * UP, width * UP, self.channels + self.spec.latents))

        def write(box: Box, found: Tensor) -> None:
            box.of_last(out)[..., : self.channels].copy_(kept(found))

        side_in_tiles(self.h_s, z_hat, level, torch.float32, self.reach.side, write)
        return out

    def unknown(self, side: Tensor) -> Tensor:
        """Zeros [_, H/16, W/16, M]: the last part of the networks' inputs."""
        return side[..., self.channels :]

    def parameters_of(self, part: Part, side: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Mean int16 in 1/64 and table index int8 of every latent of a part, both its block; side ends with known."""
        rows, columns = side.shape[1:3]
        means = side.new_empty(part.shape(1, rows, columns), dtype=torch.int16)
        indexes = torch.empty_like(means, dtype=torch.int8)

        def work(shown: Tensor) -> tuple[Tensor, Tensor]:
            return means_and_indexes(self.nets[part.number](shown), part.cells)

        def read(box: Box) -> Tensor:
            return box.scaled(2).of_last(side)[..., : self.channels + part.seen]

        def write(box: Box, found: list[Tensor]) -> None:
            for block, tile in zip((means, indexes), found, strict=True):
                block[_of_block(part, box)].copy_(tile)

        def cut(box: Box, found: tuple[Tensor, Tensor]) -> list[Tensor]:
            return [tile[_of_block(part, box)] for tile in found]

        grid = tiles(rows // 2, columns // 2, SLICE_SIDE // 2, -(-self.reach.parts[part.number] // 2))  # in squares
        run_in_tiles(work, read, write, grid, cut=cut)
        return means, indexes

    def shown(self, part: Part, y_hat: Tensor) -> Tensor:
        """ŷ of a part (integers in 1/64) as later parts see it, in 12 bits, `kept`."""
        shift = part.of(self.known_shift)
        if part.cells is not None:
            groups = len(part.cells.groups)
            shift = shift.view(-1, groups).t().repeat_interleave(part.cells.corners, 0)[:, None, None]
        up = (y_hat >> (shift - 1).clamp_min(0)) & (shift > 0)  # halves go up; int16 has no room to add them first
        return kept(((y_hat >> shift) + up).clamp_(-WIDE_LIMIT, WIDE_LIMIT))

    def take(self, y: Tensor, part: Part) -> Tensor:
        """The block of a part of y [1, H/16, W/16, M]."""
        return part.take(y)

    def join(self, blocks: list[Tensor]) -> Tensor:
        """Blocks back to [1, H/16, W/16, M]."""
        return assemble(self.spec.parts(), blocks, self.spec.latents)


def side_in_tiles(
    h_s: Iterable[Callable[[Tensor], Tensor]], z_hat: Tensor, level: float, kind: torch.dtype, reach: int,
    write: Callable[[Box, Tensor], None],
) -> None:  # fmt: skip
    """Run h_s over ẑ [1, H/64, W/64, Z] and the quality, in the type of its inputs; `write` gets tiles of side."""

    def read(box: Box) -> Tensor:
        part = box.of_last(z_hat).clamp(-CONTEXT_LIMIT, CONTEXT_LIMIT).to(kind)
        return F.pad(part, (0, 1), value=level)

    grid = tiles(z_hat.shape[1], z_hat.shape[2], HYPER_SIDE, -(-reach // UP))
    run_in_tiles(lambda x: through(h_s, x), read, write, grid, UP, Box.of_last)


def _of_block(part: Part, squares: Box) -> tuple[slice, ...]:
    """The position of a rectangle of squares in a block of the part."""
    box = squares if part.cells is not None else squares.scaled(2)
    inside = slice(box.top, box.bottom), slice(box.left, box.right)
    return (slice(None), slice(None), *inside) if part.cells is not None else (slice(None), *inside)
