"""h_s and the network of each part of light networks, as values: their layers in order.

    ẑ, quality ─ 1×1 relu ─ dw3×3 ─ 1×1 relu ─ shuffle ─ dw3×3 ─ 1×1 relu ─ shuffle ─ dw3×3 ─ 1×1 relu ─► side
    side, known ─ 1×1 relu ─ dw5×5 ─ 1×1 relu ─ the cells and channels of the part ─ 1×1 ─► mean, index

Known is what has been coded of ŷ, zero elsewhere; every later part sees all of it that its net takes (`Part.seen`).
Nothing here computes, and torch is not needed: float twins (`light_side`), integers on torch (`light_integers`) and
graphs (`graphs.integers`) are all made of these values and of the same arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..entropy.exact_sums import ExactIntegers, ExactSpec, require_exact
from ..entropy.fixedpoint import CONTEXT_LIMIT, MOST_KNOWN_SHIFT, RELU_LIMIT, WIDE_LIMIT
from ..entropy.parts import Part
from ..errors import WeightsError
from .arrays import fitting_array
from .spec import ModelSpec, Passes

Net = dict[str, ExactSpec]
"""The layers of a network by name, in order."""
Arrays = Mapping[str, np.ndarray]


class SideNets(NamedTuple):
    """The networks of an entropy side: h_s, and one for each part."""

    h_s: Net
    parts: tuple[Net, ...]

    @property
    def channels(self) -> int:
        """Number of channels of side."""
        return list(self.h_s.values())[-1].outputs


def side_nets(spec: ModelSpec) -> SideNets:
    """The networks that a spec describes. Raises WeightsError if it describes another kind of entropy side."""
    if (passes := spec.entropy) is None:
        raise WeightsError("expected the entropy side of a light network")
    return SideNets(hyper_synthesis(spec, passes), tuple(net_of(spec, passes, part) for part in spec.parts()))


def hyper_synthesis(spec: ModelSpec, passes: Passes) -> Net:
    """h_s: ẑ and quality at 1/64 → side at 1/16."""
    side = passes.side
    relu, wide = (RELU_LIMIT,) * side, (WIDE_LIMIT,) * side
    layers = (
        ExactSpec("relu", (CONTEXT_LIMIT,) * (spec.hyper_latents + 1), side),
        ExactSpec("wide", relu, side, kernel=3),
        ExactSpec("relu", wide, side, upsample=2),
        ExactSpec("wide", relu, side, kernel=3),
        ExactSpec("relu", wide, side, upsample=2),
        ExactSpec("wide", relu, side, kernel=3),
        ExactSpec("relu", wide, side),
    )
    return {str(number): layer for number, layer in enumerate(layers)}


def net_of(spec: ModelSpec, passes: Passes, part: Part) -> Net:
    """The network of a part: side and known at 1/16 → mean and index, each half of the channels, in its cells."""
    width = passes.width
    relu, wide = (RELU_LIMIT,) * width, (WIDE_LIMIT,) * width
    return {
        "first": ExactSpec("relu", (RELU_LIMIT,) * passes.side + (WIDE_LIMIT,) * part.seen, width),
        "around": ExactSpec("wide", relu, width, kernel=5),
        "second": ExactSpec("relu", wide, width),
        "last": ExactSpec("parameters", relu, 2 * part.width, cells=part.cells, tables=spec.scales),
    }


def reach_of(net: Net) -> int:
    """How many positions a network sees beyond each of its output."""
    reach = 0
    for layer in net.values():
        reach = layer.beyond(reach)
    return reach


def integers_of(arrays: Arrays, name: str, layer: ExactSpec) -> ExactIntegers:
    """The numbers of a layer by its name. Raises WeightsError if one is missing, does not fit, or can overflow."""
    shape = layer.shape
    found = ExactIntegers(
        fitting_array(arrays, f"{name}.weight", np.int8, shape),
        *(fitting_array(arrays, f"{name}.{key}", np.int32, shape[:1]) for key in ("bias", "shift")),
    )
    require_exact(name, found, layer.limits)
    return found


def known_shift(arrays: Arrays, latents: int) -> np.ndarray:
    """The shift of each channel of ŷ before the networks see it, int16 [M]. Raises WeightsError in the same way."""
    shift = fitting_array(arrays, "known.shift", np.int32, (latents,))
    if (shift < 0).any() or (shift > MOST_KNOWN_SHIFT).any():
        found = f"{int(shift.min())}..{int(shift.max())}"
        raise WeightsError(f"expected known.shift in 0..{MOST_KNOWN_SHIFT}, found {found}")
    return shift.astype(np.int16)
