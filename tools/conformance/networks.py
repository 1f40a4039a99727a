"""Networks that conformance files were written with: random, small, and unlike the student in everything that matters.

    python tools/conformance/networks.py

Weights files in `networks/` that are there already are never touched, as files of `v1` need them. What this makes anew
depends on torch's random numbers; the committed files are what counts, not this recipe. Together with `tiny`, which was
trained, they cover eight slices and one, attention of both versions and none, the transformer framework, one quality
and seven, skipped tables, tables of each slice's own, and widths that no matrix product likes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS.parent), str(TESTS)]
from conftest import CORNERS_SIDE, LIGHT_SIDE, TAUGHT_SIDE, make_model, make_picture  # noqa: E402

from fedscodec.entropy.coders import RateEstimator  # noqa: E402
from fedscodec.images import to_tensor  # noqa: E402
from fedscodec.networks.model import FedsModel  # noqa: E402
from fedscodec.networks.spec import Stage, WindowAttention, paper_stages  # noqa: E402
from fedscodec.networks.weights import write_weights  # noqa: E402

FOLDER = TESTS / "conformance" / "networks"

LIGHT_STAGES = (Stage(4, "light", 6, 1), Stage(8, "light", 8, 1), Stage(16, "light", 8, 1))
NETWORKS: dict[str, dict[str, Any]] = {  # what differs from `conftest.SMALL`
    "mini-teacher": {
        "seed": 11, "stages": paper_stages(1, WindowAttention("swin-v2", window=4, heads=2, blocks=1), width=6),
        "latents": 16, "slices": 8, "shortcut": "none", "hyper_latents": 3, "hyper_filters": 6,
        "slice_filters": (6, 5), "largest_scale": 12.0,
    },
    "mini-transformer": {
        "seed": 12, "latents": 12, "slices": 3, "stages": paper_stages(
            1, WindowAttention("swin-v1", window=4, heads=2, blocks=1), width=8, kind="mixed-v1"
        ), "hyper_latents": 5, "hyper_filters": 6,
        "slice_filters": (7, 5), "scales": 18, "largest_scale": 12.0,
    },
    "mini-odd": {
        "seed": 13, "stages": paper_stages(1, width=7), "latents": 15, "slices": 3, "shortcut": "none",
        "hyper_latents": 3, "hyper_filters": 9, "slice_filters": (11, 7, 5), "scales": 17, "largest_scale": 12.0,
        "lambdas": (0.015,),
    },
    "mini-shapes": {
        "seed": 15, "stages": paper_stages(0, width=5), "latents": 12, "slices": 4, "hyper_latents": 3,
        "hyper_filters": 7, "slice_filters": (8, 6), "scales": 21, "largest_scale": 14.0,
    },
    "mini-skip": {
        "seed": 14, "stages": paper_stages(0, width=6), "latents": 20, "slices": 1, "hyper_latents": 2,
        "hyper_filters": 5, "slice_filters": (9,), "scales": 33, "smallest_scale": 0.05, "largest_scale": 10.0,
    },
    "mini-light-student": {
        **LIGHT_SIDE, "seed": 16, "stages": LIGHT_STAGES, "shortcut": "principal", "scales": 14, "largest_scale": 2.5,
    },
    "mini-light-teacher": {
        **TAUGHT_SIDE, "seed": 17, "stages": LIGHT_STAGES, "shortcut": "none", "scales": 18, "largest_scale": 9.0,
        "lambdas": (0.003, 0.01, 0.04),
    },
    "mini-light-corners": {
        **CORNERS_SIDE, "seed": 18, "stages": LIGHT_STAGES, "shortcut": "principal", "scales": 15, "largest_scale": 3.0,
    },
}  # fmt: skip
SKIP = {"mini-skip": 3}
SHAPED = {"mini-shapes", "mini-light-student", "mini-light-corners"}  # whose slices have tables of their own


@torch.no_grad()
def spread_pixels(model: FedsModel) -> None:
    """Give g_s calm weights, and scale and shift what it puts out: pixels over 0 … 255, few at the ends."""
    spec = model.spec
    torch.manual_seed(len(spec.slice_filters))
    for module in model.g_s.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.reset_parameters()  # three inverse GDNs in a row make large activations enormous
    coder = RateEstimator(spec.scales, spec.smallest_scale, spec.largest_scale, noise=False)
    x = torch.nn.functional.pad(to_tensor(make_picture()), (0, 0, 0, 16), mode="replicate")
    x_hat = model(x, torch.tensor([1.0]), coder).x_hat
    scale = 0.2 / x_hat.std()
    for parameter in (*model.g_s.last.parameters(), *(p for m in model.g_s.shortcut[-1:] for p in m.parameters())):
        parameter.mul_(scale)
    model.g_s.last.bias.add_(0.5 - scale * x_hat.mean())


def main() -> None:
    """Make what is missing."""
    FOLDER.mkdir(exist_ok=True)
    for name, changes in NETWORKS.items():
        if not (path := FOLDER / f"{name}.safetensors").exists():
            model = make_model(**changes)
            spread_pixels(model)
            if name in SHAPED:
                shapes = torch.rand_like(model.float_side.shapes) + 0.05
                model.float_side.shapes.copy_(shapes / shapes.sum(-1, keepdim=True))
            write_weights(path, model, {"origin": "random"}, skip=SKIP.get(name, 0))


if __name__ == "__main__":
    main()
