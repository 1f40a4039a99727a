"""Check that the floats of a weights file fit the light network in its spec."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..errors import WeightsError
from ..networks.light_layers import KINDS, layers_of, plans
from ..networks.spec import ModelSpec

Shape = tuple[int, ...]


def require_floats(spec: ModelSpec, floats: Mapping[str, np.ndarray]) -> None:
    """Raise WeightsError unless the tensors are exactly those of the transforms, with the right shapes and finite."""
    expected = shapes_of(spec)
    found = {name: array for name, array in floats.items() if not name.startswith("float_side.")}
    lacking, unexpected = (sorted(a - b)[:3] for a, b in ((set(expected), set(found)), (set(found), set(expected))))
    if lacking or unexpected:
        raise WeightsError(f"missing tensors: {lacking}, unknown tensors: {unexpected}")
    for name, array in found.items():
        if array.shape != expected[name]:
            shapes = f"{list(expected[name])}, found {list(array.shape)}"
            raise WeightsError(f"expected {name} to have the shape {shapes}")
        if not np.isfinite(array).all():
            raise WeightsError(f"expected finite numbers in {name}, found others")


def shapes_of(spec: ModelSpec) -> dict[str, Shape]:
    """The shape of every tensor of the transforms and gains by its name, for specs that graphs support."""
    out, qualities = dict[str, Shape](), len(spec.lambdas)
    for name, layer in layers_of(spec).items():
        out[f"{name}.weight"], out[f"{name}.bias"] = layer.shape, layer.shape[:1]
    for way, plan in plans(spec).items():
        out |= {
            f"{way}.scales.{i}": (qualities, stage.width)
            for i, stage in enumerate(plan.stages) if KINDS[stage.kind].scaled
        }  # fmt: skip
    return out | {f"gains.{name}": (qualities, spec.latents) for name in ("log_gain", "log_inverse")}
