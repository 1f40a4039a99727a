"""`GraphSide`: the entropy side of a light network for `networks.walk`, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from ..entropy.fixedpoint import CONTEXT_LIMIT, WIDE_LIMIT, quality_level
from ..entropy.parts import Part, assemble
from ..networks.exact_nets import known_shift, reach_of, side_nets
from ..networks.spec import STRIDE, ModelSpec
from ..networks.tiles import HYPER_SIDE, SLICE_SIDE, Box, each_last, run_in_tiles, tiles
from .building import Graph
from .integers import side_graphs
from .sessions import Session

_UP = STRIDE // 16


class GraphSide:
    """The same interface as `LightIntegers`, in arrays of numpy [1, H, W, C], with the same integers.

    Inner maps are [1, C, H, W]. Large maps run tile by tile. Raises WeightsError if an array is missing or does not fit
    the spec. With `files`, ONNX files by the names of their graphs, runs these.
    """

    prior = None  # the coders bring the tables of z themselves

    def __init__(
        self, spec: ModelSpec, arrays: Mapping[str, np.ndarray], files: Mapping[str, bytes] | None = None
    ) -> None:  # fmt: skip
        described, (h_s, *nets) = side_nets(spec), side_graphs(spec, arrays)
        self.spec, self.channels = spec, described.channels
        self._reach = reach_of(described.h_s), [reach_of(net) for net in described.parts]
        self._known_shift = known_shift(arrays, spec.latents)
        self._h_s: Graph | bytes = files[h_s.name] if files else h_s
        self._nets: list[Graph | bytes] = [files[net.name] if files else net for net in nets]

    @cached_property
    def _hyper(self) -> Session:
        return Session(self._h_s)

    @cached_property
    def _sessions(self) -> list[Session]:
        return [Session(net) for net in self._nets]

    def side(self, z_hat: np.ndarray, quality: int) -> np.ndarray:
        """ẑ int16 [1, H/64, W/64, Z] and quality in thousandths → side int16 [1, S, H/16, W/16]."""
        z = z_hat.transpose(0, 3, 1, 2).clip(-CONTEXT_LIMIT, CONTEXT_LIMIT).astype(np.int16)
        level = np.full_like(z[:, :1], quality_level(quality, len(self.spec.lambdas)))
        given, (height, width) = np.concatenate([z, level], 1), z.shape[2:]
        out = np.empty((1, self.channels, height * _UP, width * _UP), dtype=np.int16)

        def write(box: Box, found: np.ndarray) -> None:
            box.of(out)[...] = found

        grid = tiles(height, width, HYPER_SIDE, -(-self._reach[0] // _UP))
        run_in_tiles(lambda x: self._hyper.run(x)[0], lambda box: box.of(given), write, grid, _UP)
        return out

    def unknown(self, side: np.ndarray) -> np.ndarray:
        """Zeros int16 [1, H/16, W/16, M], a view of [1, M, H/16, W/16]."""
        return np.zeros((1, self.spec.latents, *side.shape[2:]), dtype=np.int16).transpose(0, 2, 3, 1)

    def parameters_of(self, part: Part, side: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean int16 in 1/64 and table index int8 of every latent of a part, both its block."""
        rows, columns = side.shape[2:]
        shape = part.shape(1, rows, columns)
        blocks: tuple[np.ndarray, np.ndarray] = np.empty(shape, np.int16), np.empty(shape, np.int8)
        seen_of, session = known.transpose(0, 3, 1, 2)[:, : part.seen], self._sessions[part.number]

        def read(box: Box) -> tuple[np.ndarray, ...]:
            whole = box.scaled(2)
            return (whole.of(side), whole.of(seen_of)) if part.seen else (whole.of(side),)

        def write(box: Box, found: list[np.ndarray]) -> None:
            for block, tile in zip(blocks, found, strict=True):
                box.of_last(block[0])[...] = tile

        grid = tiles(rows // 2, columns // 2, SLICE_SIDE // 2, -(-self._reach[1][part.number] // 2))  # in squares
        run_in_tiles(lambda maps: session.run(*maps), read, write, grid, cut=each_last)
        return blocks

    def shown(self, part: Part, y_hat: np.ndarray) -> np.ndarray:
        """ŷ of a part (integers in 1/64) as later parts see it, in 12 bits, int16."""
        shift: np.ndarray = part.of(self._known_shift)
        if part.cells is not None:
            shift = shift.reshape(-1, len(part.cells.groups)).T.repeat(part.cells.corners, 0)[:, None, None]
        up = (y_hat >> np.maximum(shift - 1, 0)) & (shift > 0)  # halves go up; int16 has no room to add them first
        found: np.ndarray = ((y_hat >> shift) + up).clip(-WIDE_LIMIT, WIDE_LIMIT)
        return found.astype(np.int16)

    def take(self, y: np.ndarray, part: Part) -> np.ndarray:
        """The block of a part of y [1, H/16, W/16, M]."""
        return part.take(y)

    def join(self, blocks: list[np.ndarray]) -> np.ndarray:
        """Blocks back to [1, H/16, W/16, M]."""
        found: np.ndarray = assemble(self.spec.parts(), blocks, self.spec.latents)
        return found
