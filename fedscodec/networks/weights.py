"""Convert networks to weights files (`weights_file`), and weights files to networks that torch runs or trains."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save

from ..entropy.mixtures import is_gaussian, mixture_tables
from ..entropy.tables import gaussian_tables, tables_from_probabilities
from ..errors import WeightsError
from ..files.outputs import write_file
from .arrays import Arrays
from .integer_side import IntegerSide, export, integer_nets, restore_twins, twin_steps
from .light_integers import LightIntegers
from .metadata import FORMAT, counts_of
from .model import FedsModel
from .spec import ModelSpec
from .weights_file import FLOAT_PARTS, Weights, fingerprint_of, read_weights, split, table_arrays, tables

__all__ = [
    "Weights",
    "fingerprint_of",
    "float_transforms",
    "from_model",
    "integer_side",
    "read_weights",
    "trainable",
    "write_weights",
]


def from_model(model: FedsModel, *, checkpoint: bool = False, skip: int = 0) -> Arrays:
    """All tensors of a weights file, from a trained network; a checkpoint keeps the floats whole."""
    side = model.float_side
    z_tables = tables_from_probabilities(
        side.prior.probabilities(), np.full(model.spec.hyper_latents, -127, dtype=np.int32)
    )
    spec = model.spec
    shapes = side.shapes.double().numpy(force=True)
    if is_gaussian(shapes):
        y_tables = gaussian_tables(spec.scales, spec.smallest_scale, spec.largest_scale, skip=skip)
    else:
        y_tables = mixture_tables(shapes, spec.smallest_scale, spec.largest_scale, skip=skip)
    kind = np.float32 if checkpoint else np.float16
    state = {k: v.numpy(force=True) for k, v in model.state_dict().items()}
    floats = {k: v for k, v in state.items() if k.split(".")[0] in FLOAT_PARTS}
    for name, values in floats.items():
        if not np.abs(values).max(initial=0) <= np.finfo(kind).max:  # nor is NaN
            raise WeightsError(f"{name} has values that do not fit {np.dtype(kind).name}")
    arrays = {k: v.astype(kind) for k, v in floats.items()}
    arrays |= {f"side.{k}": v for k, v in export(side).items()}
    arrays |= table_arrays(z_tables, y_tables)
    arrays |= {f"twin.{k}": v for k, v in twin_steps(side).items()}
    arrays |= {f"twin.{k.removeprefix('float_side.')}": v for k, v in state.items() if ".prior." in k}
    if checkpoint:
        arrays |= {k: v for k, v in state.items() if k.startswith("float_side.")}
    return arrays


def write_weights(
    path: Path, model: FedsModel, metadata: Mapping[str, str], *, checkpoint: bool = False, skip: int = 0
) -> None:
    """Write a weights file, completely or not at all. Raises OutputError on failure.

    metadata may be that of another file: what describes the file itself is written anew.
    """
    arrays = {k: np.ascontiguousarray(v) for k, v in from_model(model, checkpoint=checkpoint, skip=skip).items()}
    parts = split(arrays, path)
    counts = counts_of({}, model.spec)
    words = {
        **metadata,
        "parameters": str(counts.parameters),
        "kmacs_per_pixel": str(counts.kmacs_per_pixel),
        "format": FORMAT,
        "spec": json.dumps(model.spec.to_dict()),
        "fingerprint": fingerprint_of(parts["side"], *tables(parts["tables"], path), model.spec).hex(),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, save(arrays, metadata=words), force=True)


def integer_side(weights: Weights) -> IntegerSide | LightIntegers:
    """The integer networks of a weights file."""
    return integer_nets(weights.spec, weights.side)


def float_transforms(weights: Weights) -> FedsModel:
    """A network in evaluation mode with the transforms of the file; its float twin is not loaded.

    Raises WeightsError if a tensor is missing, has another shape than in the spec, or is not finite.
    """
    model = _build(weights.spec)
    state = _state({k: v for k, v in weights.floats.items() if not k.startswith("float_side.")})
    _load(model, state, partial=True)
    return model.eval().requires_grad_(False)


def trainable(weights: Weights) -> FedsModel:
    """A whole network for training: the floats of a checkpoint, or a float twin restored from shipped integers.

    Raises WeightsError if something is missing or does not fit, a number is not finite, or a step is not above 0.
    """
    state = _state(weights.floats)
    shipped = not any(k.startswith("float_side.") for k in state)
    _require_fit(_build(weights.spec), state, partial=shipped)  # on no device, so that claims cost no memory
    if shipped:
        integer_side(weights)  # checks every array before any is used
    model = _build(weights.spec, "cpu")
    _load(model, state, partial=shipped)
    if shipped:
        steps = {k: v for k, v in weights.twin.items() if not k.startswith("prior.")}
        prior = {k.removeprefix("prior."): torch.from_numpy(v) for k, v in weights.twin.items() if k[:6] == "prior."}
        try:
            restore_twins(model.float_side, weights.side, steps)
            model.float_side.prior.load_state_dict(prior)
        except (RuntimeError, WeightsError) as error:
            raise WeightsError(f"the steps or the prior of the float twin do not fit the network: {error}") from None
        _require_sound(model.state_dict())  # steps near 0 make weights that no float32 can hold
    return model


def _state(floats: Arrays) -> dict[str, torch.Tensor]:
    """Floats of a weights file in float32. Raises WeightsError unless they are sound."""
    state = {name: torch.from_numpy(values.astype(np.float32)) for name, values in floats.items()}
    _require_sound(state)
    return state


def _require_sound(state: Mapping[str, torch.Tensor]) -> None:
    """Raise WeightsError unless all numbers are finite and all steps of the float twin above 0."""

    def is_step(name: str) -> bool:
        return name.startswith("float_side.") and name.endswith("steps")

    for name in sorted(state, key=is_step, reverse=True):  # first, as they make weights
        if not torch.isfinite(state[name]).all():
            raise WeightsError(f"expected finite numbers in {name}, found others")
        if is_step(name) and not (state[name] > 0).all():
            raise WeightsError(f"expected steps above 0 in {name}, found {float(state[name].min()):g}")


def _build(spec: ModelSpec, device: str = "meta") -> FedsModel:
    try:
        with torch.device(device):
            return FedsModel(spec)
    except (TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"cannot build the network in the description: {error}") from None


def _require_fit(model: FedsModel, state: dict[str, torch.Tensor], *, partial: bool) -> None:
    """Raise WeightsError unless the tensors are exactly those of the model, with the right shapes.

    With partial, the float twin may be missing.
    """
    expected = model.state_dict()
    for name, tensor in expected.items():
        if name in state and state[name].shape != tensor.shape:
            shapes = f"{list(tensor.shape)}, found {list(state[name].shape)}"
            raise WeightsError(f"expected {name} to have the shape {shapes}")
    absent = [name for name in expected if name not in state]
    # checkpoints of before there were shapes have none
    absent = [name for name in absent if name != "float_side.shapes"]
    lacking = [name for name in absent if not (partial and name.startswith("float_side."))]
    unexpected = [name for name in state if name not in expected]
    if lacking or unexpected:
        raise WeightsError(f"missing tensors: {lacking[:3]}, unknown tensors: {unexpected[:3]}")


def _load(model: FedsModel, state: dict[str, torch.Tensor], *, partial: bool) -> None:
    _require_fit(model, state, partial=partial)
    model.load_state_dict(state, strict=False, assign=True)
