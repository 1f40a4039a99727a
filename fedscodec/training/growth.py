"""Grow a larger network from a smaller one, or cut a smaller one from a larger (`--init` with another network).

    new blocks and attention   change nothing at first
    new latents                the next principal components of 16×16 blocks; g_s and h_a do not listen to them yet
    base in four passes        each starts as the pass of its colour, and does not listen to what that could not see
    everything else            as it was

So a teacher grows from a student: at first its x̂, and y of the channels that both have, are the student's; with more
passes over the base it needs more bits until it has learned. Both networks have the same stages, each of one kind and
width, and the larger codes first what the smaller codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_unshuffle

from ..errors import FedsError
from ..networks.model import FedsModel
from ..networks.spec import ModelSpec
from ..networks.transforms import Transform
from .warm_start import STEP, principal


@torch.no_grad()
def grown(small: FedsModel, spec: ModelSpec, pictures: Tensor) -> FedsModel:
    """A network of a larger spec that equals `small` at first; pictures [B, 3, H, W] give the new latents.

    Raises FedsError if one does not contain the other.
    """
    require_fit(small.spec, spec, more_passes=True)
    large = FedsModel(spec)
    grow_transforms(small, large, pictures)
    _copy_side(small, large)
    return large


@torch.no_grad()
def cut(large: FedsModel, spec: ModelSpec) -> FedsModel:
    """A network of a smaller spec with the first blocks and latents of `large`, without attention if it has none.

    Raises FedsError if one does not contain the other.
    """
    require_fit(spec, large.spec)
    small, had = FedsModel(spec), large.state_dict()
    small.load_state_dict({name: _corner(had[name], value) for name, value in small.state_dict().items()})
    for own, part in zip(spec.parts(), large.spec.parts(), strict=False):  # whose streams may differ
        small.float_side.shapes[own.tables] = large.float_side.shapes[part.tables]
    return small


@torch.no_grad()
def grow_transforms(small: FedsModel, large: FedsModel, pictures: Tensor) -> None:
    """Set the float half of a fresh larger network (all but the entropy side) to that of the smaller one."""
    for old, new in (
        (small.g_a, large.g_a),
        (small.g_s, large.g_s),
        (small.h_a, large.h_a),
        (small.gains, large.gains),
    ):
        had, now = old.state_dict(), new.state_dict()
        deaf = new is not large.gains  # to inputs that were not there
        new.load_state_dict({name: _enlarged(value, had.get(name), deaf=deaf) for name, value in now.items()})
    for before, after in ((small.g_a, large.g_a), (small.g_s, large.g_s)):
        for block in _new_blocks(before, after):
            block.silence()
    if large.spec.latents > small.spec.latents:
        _begin_latents(large, small.spec.latents, pictures)


def _copy_side(small: FedsModel, large: FedsModel) -> None:
    """Copy the entropy side: nets begin as those of the smaller network; tables of channels and streams are longer."""
    origins = _origins(small.spec, large.spec)
    had, now = small.float_side.state_dict(), large.float_side.state_dict()
    for name, value in now.items():
        origin = _name_of_origin(name, origins)
        if origin is None or origin not in had:
            continue
        old = had[origin]
        longer, wider = len(old) < len(value), value.ndim > 1 and old.shape[1] < value.shape[1]
        if old.shape != value.shape and not (
            old.ndim < 4 and (old.shape[1:] == value.shape[1:] if longer else wider and len(old) == len(value))
        ):
            raise FedsError(f"the nets of the two networks differ in {name}")
        value.copy_(_enlarged(value, old, deaf=wider))
    for part, first in zip(large.spec.parts(), origins, strict=True):
        if first is not None:
            now["shapes"][part.tables] = had["shapes"][small.spec.parts()[first].tables]
    large.float_side.load_state_dict(now)


def _origins(small: ModelSpec, large: ModelSpec) -> list[int | None]:
    """For each part of the larger network, the part of the smaller one as whose net it begins."""
    ours, theirs = (1 if spec.entropy is None else spec.entropy.base_passes for spec in (small, large))
    known = len(small.parts())
    found = [i * ours // theirs if i < theirs else i - theirs + ours for i in range(len(large.parts()))]
    return [origin if origin < known else None for origin in found]


def _name_of_origin(name: str, origins: list[int | None]) -> str | None:
    """`nets.3.first.weight` as the smaller network calls it, or None if the net is new."""
    kind, _, rest = name.partition(".")
    if kind != "nets":
        return name
    number, _, rest = rest.partition(".")
    origin = origins[int(number)]
    return None if origin is None else f"nets.{origin}.{rest}"


def require_fit(small: ModelSpec, large: ModelSpec, *, more_passes: bool = False) -> None:
    """Raise FedsError unless the large network has everything that the small one has.

    more_passes: the large one may code the base in more passes.
    """
    if more_passes and small.entropy and large.entropy and small.entropy.base_passes < large.entropy.base_passes:
        large = replace(large, entropy=replace(large.entropy, base_passes=small.entropy.base_passes))
    places = [[(stage.at, stage.kind, stage.width) for stage in spec.stages] for spec in (small, large)]
    if places[0] != places[1]:
        raise FedsError("expected networks with stages of the same kinds and widths")
    for a, b in zip(small.stages, large.stages, strict=True):
        if a.blocks > b.blocks or (a.attention is not None and a.attention != b.attention):
            raise FedsError(f"the larger network has less at 1/{a.at} than the smaller")
    ours, theirs = ([(part.channels, part.seen, part.cells) for part in spec.parts()] for spec in (small, large))
    if theirs[: len(ours)] != ours or small.latents > large.latents:
        raise FedsError("the larger network does not start with the latents of the smaller")
    same = ("shortcut", "lambdas", "metric", "hyper_latents", "scales", "smallest_scale", "largest_scale")
    if differing := [name for name in same if getattr(small, name) != getattr(large, name)]:
        raise FedsError(f"expected networks with the same {differing[0]}")


def _new_blocks(before: Transform, after: Transform) -> Iterator[Any]:
    """The parts of the larger transform that the smaller one does not have: later blocks, and attention."""
    for had, has in zip((*before.groups, *before.attention), (*after.groups, *after.attention), strict=True):
        blocks = [getattr(module, "blocks", module) for module in (had, has)]
        old, new = (() if isinstance(some, nn.Identity) else tuple(some) for some in blocks)
        yield from new[len(old) :]


def _enlarged(fresh: Tensor, old: Tensor | None, *, deaf: bool) -> Tensor:
    """A tensor of the larger network: old values, zero for new inputs if `deaf`, the rest unchanged."""
    if old is None:
        return fresh
    new = fresh.clone()
    if deaf and new.ndim > 1 and new.shape[1] > old.shape[1]:
        new[: len(old)] = 0
    new[tuple(slice(0, side) for side in old.shape)] = old
    return new


def _corner(old: Tensor, fresh: Tensor) -> Tensor:
    return old[tuple(slice(0, side) for side in fresh.shape)].clone()


def _begin_latents(large: FedsModel, known: int, pictures: Tensor) -> None:
    """Set the new latents to the principal components of what the old ones leave of 16×16 blocks."""
    shortcut, last = large.g_a.shortcut[0], large.g_a.last
    last.weight[known:] = 0
    last.bias[known:] = 0
    basis, _ = torch.linalg.qr(shortcut.weight[:known].double().T)  # of the directions that are known
    squares = pixel_unshuffle(pictures, 16).double()
    rest = squares - torch.einsum("ck,dk,bdhw->bchw", basis, basis, squares)
    mean, matrix, _ = principal(rest, large.spec.latents - known, centred=True)
    shortcut.weight[known:] = matrix / STEP
    shortcut.bias[known:] = -(matrix @ mean.float()) / STEP
