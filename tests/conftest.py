"""What several test files share: pictures made from a seed, and tiny networks that are random but alive."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedscodec.codec.model import Model, load_model
from fedscodec.entropy.coders import RateEstimator
from fedscodec.fileformat import FedsFile, unpack
from fedscodec.images import Picture, read_picture
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import ModelSpec, Passes, paper_stages
from fedscodec.networks.twins import EntropyConv
from fedscodec.networks.walk import walk
from fedscodec.networks.weights import Weights, read_weights, write_weights

SMALL = ModelSpec(
    stages=paper_stages(0, width=8), latents=16, slices=2, shortcut="haar", hyper_latents=8, hyper_filters=8,
    slice_filters=(16, 8), scales=24, largest_scale=16.0,
)  # fmt: skip
"""What random networks are built from: every part of a student in small."""
LIGHT_SIDE: dict[str, Any] = {"latents": 24, "hyper_latents": 6, "entropy": Passes(base=4, new=0, side=12, width=16)}
"""What makes a light entropy side of it: a student's, in small."""
TAUGHT_SIDE: dict[str, Any] = {
    "latents": 32, "hyper_latents": 6, "entropy": Passes(base=4, new=8, base_streams=2, side=12, width=16),
}  # fmt: skip
"""The same of a teacher."""

CORNERS_SIDE: dict[str, Any] = {
    "latents": 24, "hyper_latents": 6, "entropy": Passes(base=4, side=12, width=16, base_passes=4),
}  # fmt: skip
"""A student's with its base in four passes."""

MakePicture = Callable[..., Picture]
MakeModel = Callable[..., FedsModel]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_picture(kind: str = "waves", width: int = 64, height: int = 48, seed: int = 0) -> Picture:
    """A picture of a kind: smooth waves with some noise, pure noise, one colour, or a checkerboard."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    if kind == "noise":
        return Picture(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    if kind == "constant":
        return Picture(np.full((height, width, 3), (200, 30, 90), dtype=np.uint8))
    if kind == "checkerboard":
        return Picture(np.repeat(((rows + columns) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2))
    phases = rng.uniform(0, 6, 3)
    waves = 128 + 80 * np.sin(rows[..., None] / 9 + columns[..., None] / 5 + phases)
    return Picture(np.clip(waves + rng.normal(0, 6, waves.shape), 0, 255).astype(np.uint8))


def make_model(seed: int = 0, **changes: Any) -> FedsModel:
    """A small network with random weights, however training would start it, with symbols of all sizes.

    Its entropy side is calibrated as in training.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = FedsModel(replace(SMALL, **changes)).eval()
        _draw(model)
        _calibrate(model)
    return model


def _draw(model: FedsModel) -> None:
    side = model.float_side
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d | EntropyConv):
            torch.nn.init.kaiming_normal_(module.weight, a=0.01)
            module.bias.uniform_(0.0, 0.2)  # so that no channel is silent
    for convolution in (model.g_a.last, *model.g_a.shortcut[-1:]):
        convolution.weight.mul_(1.5)
    if model.spec.entropy is None:
        model.h_a.down2.weight.mul_(2)
    for net in side.nets:
        if model.spec.entropy is not None:
            half = len(net.last.bias) // 2
            net.last.weight.mul_(torch.tensor([20.0, 20.0]).repeat_interleave(half)[:, None])
            net.last.bias[half:] = 0.5 * model.spec.scales / net.last.gain[half:]
            continue
        net.mean[-1].weight.mul_(1.5)
        net.index[-1].weight.mul_(0.8)
        net.index[-1].bias.fill_(0.5 * model.spec.scales / net.index[-1].gain)
    side.prior.logits.normal_()
    side.prior.means.normal_(0, 2)
    side.prior.log_scales.normal_(0.3, 0.5)


def _calibrate(model: FedsModel) -> None:
    side, spec = model.float_side, model.spec
    z = 3 * torch.randn(2, spec.hyper_latents, 4, 4)
    y = 6 * torch.randn(2, spec.latents, 16, 16)
    if spec.entropy is None:
        side.context_steps.copy_(4 * y.std((0, 2, 3)) / 127)
    side.set_mode(observing=True)
    both_ends = torch.tensor([1.0, float(len(spec.lambdas))])
    walk(side, z, y, both_ends, RateEstimator(spec.scales, spec.smallest_scale, spec.largest_scale, noise=False))
    side.calibrate()
    side.set_mode()


@pytest.fixture(scope="session")
def picture() -> MakePicture:
    """Makes pictures, see `make_picture`."""
    return make_picture


@pytest.fixture(scope="session")
def tiny() -> MakeModel:
    """Makes tiny networks, see `make_model`."""
    return make_model


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shipped weights file of a random tiny network; not to be changed."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    write_weights(path, make_model(), {"origin": "random"})
    return path


@pytest.fixture(scope="session")
def tiny_weights(tiny_file: Path) -> Weights:
    """What is in `tiny_file`."""
    return read_weights(tiny_file)


@pytest.fixture(scope="session")
def shipped_tiny() -> Model:
    """The toy in `weights/`, which has learned from pictures, at q4."""
    return load_model("tiny-q4", "cpu")


@pytest.fixture(scope="session")
def astronaut(shipped_tiny: Model) -> FedsFile:
    """The photograph in `tests/pictures`, encoded with that network."""
    return unpack(shipped_tiny.encode(read_picture(Path(__file__).parent / "pictures" / "astronaut.png")))


@pytest.fixture(scope="session")
def codec(tiny_weights: Weights) -> Model:
    """The random tiny network, ready to encode and decode on the CPU in float32."""
    return Model(tiny_weights, name="tiny", quality=4.0, device="cpu", precision=torch.float32)


def gaussian_mass(residual: float, scale: float) -> float:
    """Mass of the unit interval by math.erf."""
    return 0.5 * (math.erf((residual + 0.5) / scale / 2**0.5) - math.erf((residual - 0.5) / scale / 2**0.5))
