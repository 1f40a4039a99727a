"""Make a weights file of a prototype's checkpoint of the light student.

    python tools/import_prototype.py CHECKPOINT.pt OUT.safetensors [--key ema] [--picture picture.png]

The file is a training checkpoint (float twins whole), for `feds train --init` and `feds finetune`; `feds export` makes
of it what ships, once its steps are calibrated. With --picture, it prints bits and PSNR at q1, q4 and q7, as estimated
by the float twins, to be held against what the prototype says of the same picture.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from prototype_entropy import entropy_state
from torch import Tensor

from fedscodec.entropy.coders import RateEstimator
from fedscodec.errors import FedsError, WeightsError, is_lack_of_memory
from fedscodec.images import pad, read_picture, to_tensor
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import STRIDE, STUDENT, Passes
from fedscodec.networks.weights import write_weights

PROTOTYPE = replace(STUDENT, entropy=Passes())
"""The student as it was then, with its base in two passes."""
_BLOCK = {"w1": "into", "dw": "around", "w2": "out", "w3": "widen", "w4": "narrow"}


def transform_name(name: str) -> str:
    """Ours for a prototype's name of a tensor of g_a or g_s, whose stages g_s counts from the finest."""
    net, *parts = name.split(".")
    last = len(PROTOTYPE.stages) - 1
    way, turned = ("down", int) if net == "g_a" else ("up", lambda i: last - int(i))
    match parts:
        case ["scales", i]:
            return f"{net}.scales.{turned(i)}"
        case ["first", end]:
            return f"{net}.{way}.0.{end}"
        case ["down" | "up", i, end]:
            return f"{net}.{way}.{int(i) + 1 if net == 'g_a' else last - int(i)}.{end}"
        case ["stages", i, j, layer, end]:
            return f"{net}.groups.{turned(i)}.{j}.{_BLOCK[layer]}.{end}"
        case ["shortcut", end]:
            return f"{net}.shortcut.0.{end}"
    return name


def read(path: Path, key: str) -> FedsModel:
    """The student of a file of the prototype. Raises WeightsError for any other file."""
    try:
        return imported(torch.load(path, weights_only=True, map_location="cpu")[key])
    except Exception as error:  # torch fails in many ways for bytes that it did not write, and so do foreign tensors
        if is_lack_of_memory(error):
            raise
        found = f"no {error}" if isinstance(error, KeyError) else str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError(f"{path}: expected a checkpoint of the prototype, found: {found}") from None


def imported(saved: Mapping[str, Tensor]) -> FedsModel:
    """The student with the tensors of a prototype's checkpoint. Raises WeightsError if they are not its own."""
    model = FedsModel(PROTOTYPE)
    state = {transform_name(name): v.float() for name, v in saved.items() if name[:4] in ("g_a.", "g_s.")}
    state |= {name: v.float() for name, v in saved.items() if name.startswith("gains.")}
    state |= entropy_state(saved, PROTOTYPE)
    missing, unknown = model.load_state_dict(state, strict=False)
    steps = ("steps", "peak", "shift", "shapes")  # what is calibrated later
    if unknown or (lacking := [name for name in missing if not name.endswith(steps)]):
        lacking = lacking[:3] if not unknown else missing[:3]
        raise WeightsError(f"not known: {unknown[:3]}, missing: {lacking}")
    return model.eval()


@torch.no_grad()
def measured(model: FedsModel, x: Tensor, quality: float) -> tuple[float, float]:
    """Bits a pixel and PSNR of a picture [1, 3, H, W]."""
    spec = model.spec
    coder = RateEstimator(spec.scales, spec.smallest_scale, spec.largest_scale, noise=False)
    x_hat = model(x, torch.tensor([quality]), coder).x_hat
    mse = float(((x_hat.clamp(0, 1) * 255).round() / 255 - x).square().mean())
    return float(coder.bits.sum()) / x[0, 0].numel(), -10 * math.log10(mse)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--key", default="net", help="which of its networks: net, or ema for the averaged one")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    try:
        convert(args.checkpoint, args.out, args.key, args.picture)
    except (FedsError, OSError) as error:
        raise SystemExit(f"feds: {error}") from None


def convert(checkpoint: Path, out: Path, key: str, picture: Path | None) -> None:
    """Read, convert, write, and measure where a picture is given."""
    model = read(checkpoint, key)
    write_weights(out, model, {"network": "student", "start": checkpoint.name}, checkpoint=True)
    if picture:
        x = pad(to_tensor(read_picture(picture)), STRIDE)
        for quality in (1.0, 4.0, 7.0):
            bpp, psnr = measured(model, x, quality)
            print(f"q{quality:g} {bpp:.4f} bpp {psnr:.3f} dB")


if __name__ == "__main__":
    main()
