"""Measure the entropy of every latent of a picture: one walk over the slices with an `EntropyProbe`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from .. import registry
from ..bench.datasets import require_different
from ..codec.encoding import analyse_picture, encode_analysed, gained
from ..codec.latents import hyper_analyse
from ..codec.model import Model
from ..codec.settings import Encoding
from ..entropy.coders import EntropyProbe
from ..files.names import shown
from ..images import read_picture
from ..networks.walk import walk
from ..networks.weights import read_weights, trainable
from .heatmaps import Entropy


@torch.inference_mode()
def measure(paths: list[Path], network: str, quality: float | None = None, device: str = "auto") -> Iterator[Entropy]:
    """Yield the entropy of each picture with a network (a name or a weights file), at its quality or another.

    Raises ImageError if two have the same name without its suffix, because that names their maps.
    """
    require_different(paths, lambda path: path.stem)
    found = registry.resolve(network)
    weights = read_weights(found.path)
    model = Model(weights, name=found.network, quality=found.quality_of(len(weights.spec.lambdas)), device=device)
    twin = trainable(weights).eval().float_side.to(model.device)
    wanted = model.quality if quality is None else quality
    for path in paths:
        picture = read_picture(path, name=shown(path))
        analysed = analyse_picture(picture, model)
        y = gained(analysed, model, wanted)
        z = hyper_analyse(model, y).permute(0, 3, 1, 2)
        probe = EntropyProbe(
            model.spec.scales, model.spec.smallest_scale, model.spec.largest_scale, shapes=torch.as_tensor(twin.shapes)
        )  # fmt: skip
        walk(twin, z, y, torch.tensor([wanted], device=model.device), probe)
        encoded = encode_analysed(analysed, model, Encoding(quality=wanted))
        yield Entropy(
            shown(path.name), picture, model.name, model.spec.parts(), wanted, probe.maps[0].float().cpu().numpy(),
            float(torch.as_tensor(probe.bits_z).sum()), len(encoded.data),
        )  # fmt: skip
