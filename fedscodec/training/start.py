"""Create the network to train: fresh or from weights, for the requested λ and metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..errors import FedsError, named
from ..metrics.table import LOSSES
from ..networks.blocks.layers import interpolated
from ..networks.model import FedsModel
from ..networks.spec import LEAST_LAMBDA, MOST_LAMBDA, VARIANTS, ModelSpec
from ..networks.weights import read_weights, trainable
from .growth import cut, grown
from .losses import quality_of_lambda

_BY_QUALITY = ("gains.", "g_a.scales.", "g_s.scales.")
"""Parameters with a row of logarithms for each quality."""


def start(
    network: str | None, init: Path | None, lam: float | None = None, metric: str | None = None
) -> tuple[FedsModel, dict[str, str]]:
    """A network to train, and its origin for the metadata.

    Fresh networks are variants by name. With `init`, a weights file (shipped or checkpoint) is used as it is; `lam`
    turns a network for many qualities into one for this λ, `metric` into one for another distortion. Raises FedsError
    for what is impossible.
    """
    if init is not None:
        weights = read_weights(init)
        with named(init):
            model = trainable(weights)
        words = {"network": weights.metadata.get("network", network or "unknown"), "start": init.name}
        words["parent"] = weights.fingerprint.hex()
        return retargeted(model, lam, metric), words
    network = network or "student"
    if network not in VARIANTS:
        raise FedsError(f"{network}: no such network; known are {', '.join(VARIANTS)}")
    return FedsModel(_spec_for(VARIANTS[network], lam, metric)), {"network": network, "start": "fresh"}


def resized(model: FedsModel, network: str, pictures: Callable[[], Tensor]) -> FedsModel:
    """The network of that name that starts from `model`: grown if it is larger, cut if it is smaller.

    pictures: [B, 3, H, W], needed if it has new latents. Raises FedsError if neither contains the other.
    """
    spec = replace(VARIANTS[network], lambdas=model.spec.lambdas, metric=model.spec.metric)
    if spec == model.spec:
        return model
    larger = spec.latents >= model.spec.latents and all(
        new.blocks >= old.blocks for new, old in zip(spec.stages, model.spec.stages, strict=False)
    )
    return grown(model, spec, pictures()) if larger else cut(model, spec)


def _spec_for(spec: ModelSpec, lam: float | None, metric: str | None) -> ModelSpec:
    if metric is not None and metric != spec.metric:
        spec = replace(spec, metric=metric, lambdas=LOSSES[metric].lambdas)
    if lam is None:
        return spec
    if not LEAST_LAMBDA <= lam <= MOST_LAMBDA:
        raise FedsError(f"λ must lie in {LEAST_LAMBDA:g} to {MOST_LAMBDA:g}, found {lam:g}")
    return replace(spec, lambdas=(lam,))


@torch.no_grad()
def retargeted(model: FedsModel, lam: float | None, metric: str | None) -> FedsModel:
    """The same network for one λ, or for another metric; gains and scales for one λ are those that it had there.

    Raises FedsError if a network for one λ should become one for another metric without a λ for it.
    """
    old, new = model.spec, _spec_for(model.spec, lam, metric)
    if new == old:
        return model
    if new.metric != old.metric and len(old.lambdas) != len(LOSSES[new.metric].lambdas):
        raise FedsError(f"weights for {len(old.lambdas)} λ of {old.metric} cannot start a network for {new.metric}")
    table = _spec_for(old, None, metric).lambdas
    wanted = quality_of_lambda(torch.tensor(new.lambdas), torch.tensor(table))
    state = model.state_dict()
    for name, logarithms in state.items():
        if name.startswith(_BY_QUALITY):
            state[name] = interpolated(logarithms, wanted)[:, :, 0, 0].log()
    fresh = FedsModel(new)
    fresh.load_state_dict(state)
    return fresh
