"""Do the floats of a weights file fit the light network that its spec describes?"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from ..errors import WeightsError
from ..networks.spec import ModelSpec

Shape = tuple[int, ...]


def require_floats(spec: ModelSpec, floats: Mapping[str, np.ndarray]) -> None:
    """WeightsError unless every tensor of the transforms is there, in its shape, with numbers, and no other is."""
    expected = shapes_of(spec)
    found = {name: array for name, array in floats.items() if not name.startswith("float_side.")}
    lacking, unexpected = (sorted(a - b)[:3] for a, b in ((set(expected), set(found)), (set(found), set(expected))))
    if lacking or unexpected:
        raise WeightsError(f"tensors missing: {lacking}, not known: {unexpected}")
    for name, array in found.items():
        if array.shape != expected[name]:
            shapes = f"{list(expected[name])}, but has {list(array.shape)}"
            raise WeightsError(f"tensors do not fit the network that is described: {name} must have the shape {shapes}")
        if not np.isfinite(array).all():
            raise WeightsError(f"{name} should hold numbers, but holds one that is infinite or none at all")


def shapes_of(spec: ModelSpec) -> dict[str, Shape]:
    """Every tensor of the transforms and gains by its name, for specs that graphs are made of."""
    qualities, latents, side = len(spec.lambdas), spec.latents, spec.entropy.side if spec.entropy else 0
    stages, pixels, out = spec.stages, 3 * spec.stages[0].at ** 2, dict[str, Shape]()
    weights: dict[str, Shape] = {
        "g_a.down.0": (stages[0].width, pixels, 3, 3),
        "g_a.last": (latents, stages[-1].width),
        "g_s.up.0": (stages[-1].width, latents),
        "g_s.last": (pixels, stages[0].width, 3, 3),
        "h_a.layers.0": (side, latents), "h_a.layers.1": (side, 4 * side),
        "h_a.layers.2": (spec.hyper_latents, 4 * side),
        "h_a.around.0": (side, 1, 3, 3), "h_a.around.1": (side, 1, 3, 3),
    }  # fmt: skip
    if spec.shortcut == "principal":
        weights |= {"g_a.shortcut.0": (latents, 768), "g_s.shortcut.0": (768, latents)}
    for i, (a, b) in enumerate(pairwise(stages), start=1):
        weights[f"g_a.down.{i}"] = (b.width, 4 * a.width)
    for i, (a, b) in enumerate(pairwise(stages[::-1]), start=1):
        weights[f"g_s.up.{i}"] = (4 * b.width, a.width)
    for way, order in (("g_a", stages), ("g_s", stages[::-1])):
        for i, stage in enumerate(order):
            out[f"{way}.scales.{i}"] = (qualities, stage.width)
            for number in range(stage.blocks):
                weights |= _block(f"{way}.groups.{i}.{number}", stage.width)
    for name, shape in weights.items():
        out[f"{name}.weight"], out[f"{name}.bias"] = shape, shape[:1]
    return out | {f"gains.{name}": (qualities, latents) for name in ("log_gain", "log_inverse")}


def _block(name: str, width: int) -> dict[str, Shape]:
    return {
        f"{name}.into": (width, width), f"{name}.around": (width, 1, 3, 3), f"{name}.out": (width, width),
        f"{name}.widen": (2 * width, width), f"{name}.narrow": (width, 2 * width),
    }  # fmt: skip
