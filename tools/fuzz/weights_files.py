"""Targets that read weights files: byte by byte, and with what is wrong put where the structure is.

All start from networks so small that a file of theirs has some kilobytes and is read in milliseconds.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

TESTS = Path(__file__).parents[2] / "tests"
sys.path.insert(0, str(TESTS))

from conftest import make_model  # noqa: E402
from safetensors_edits import edited  # noqa: E402

from fedscodec import fileformat, images, registry  # noqa: E402
from fedscodec.codec.decoding import decode_file, read_symbols  # noqa: E402
from fedscodec.codec.encoding import encode_picture  # noqa: E402
from fedscodec.codec.model import Model  # noqa: E402
from fedscodec.codec.onnx_model import OnnxModel  # noqa: E402
from fedscodec.codec.settings import Encoding  # noqa: E402
from fedscodec.errors import FedsError  # noqa: E402
from fedscodec.graphs.transforms import can_be_exported  # noqa: E402
from fedscodec.networks import metadata, weights  # noqa: E402
from fedscodec.networks.spec import Passes, Stage, WindowAttention, paper_stages  # noqa: E402

_NANO = {
    "stages": paper_stages(0, width=2), "latents": 2, "slices": 1, "shortcut": "none", "hyper_latents": 1,
    "hyper_filters": 1, "slice_filters": (1,), "scales": 2, "largest_scale": 1.0,
}  # fmt: skip
SMALLEST = {  # networks that together have every part there is
    "nano": _NANO,
    "nano-wavelet": {
        **_NANO, "latents": 4, "slices": 2, "shortcut": "haar", "slice_filters": (2, 1),
        "stages": paper_stages(1, width=2),
    },
    "nano-attention": {
        **_NANO, "stages": paper_stages(0, WindowAttention("swin-v2", window=2, heads=2, blocks=1), width=4),
    },
    "nano-transformer": {
        **_NANO, "lambdas": (0.01,),
        "stages": paper_stages(1, WindowAttention("swin-v1", window=2, heads=1, blocks=1), width=4, kind="mixed-v1"),
    },
    "nano-passes": {
        **_NANO, "latents": 6, "entropy": Passes(base=1, new=1, side=2, width=2), "lambdas": (0.01, 0.02),
    },
    "nano-light": {
        **_NANO, "latents": 5, "entropy": Passes(base=1, side=2, width=2), "lambdas": (0.01, 0.02),
        "stages": (Stage(8, "light", 2, 1), Stage(16, "light", 2, 1)),
    },
}  # fmt: skip


def write_smallest(folder: Path) -> list[Path]:
    """The weights files of `SMALLEST`; one of them is a checkpoint, which has its float twin."""
    paths = []
    for name, changes in SMALLEST.items():
        path = folder / f"{name}.safetensors"
        weights.write_weights(path, make_model(3, **changes), {"origin": "random"}, checkpoint=name == "nano-wavelet")
        paths.append(path)
    return paths


def loads(work: Callable[[], object]) -> bool:
    """Whether weights are taken."""
    try:
        work()
    except FedsError:
        return False
    return True


def train_on(found: weights.Weights) -> None:
    """Make a network for training of what was read, if it is taken; AssertionError if it is not finite then."""
    with suppress(FedsError):
        state = weights.trainable(found).state_dict()
        if odd := [name for name, values in state.items() if not torch.isfinite(values).all()]:
            raise AssertionError(f"training would begin with numbers that are not finite, in {odd[0]}")


class Weights:
    """A weights file byte by byte, read as a decoder reads it, and as training does that starts from it."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.path = Path(tempfile.mkdtemp()) / "fuzz.safetensors"

    def __call__(self, data: bytes) -> None:
        """Read the bytes as a weights file, and code a picture with what loads."""
        found = self.read(data)
        train_on(found)
        loads_on_torch = loads(lambda: (weights.float_transforms(found), weights.integer_side(found)))
        if can_be_exported(found.spec) and loads_on_torch != loads(lambda: OnnxModel(found, name="fuzz", quality=1.0)):
            raise AssertionError("torch and ONNX Runtime do not load the same weights")

    def read(self, data: bytes) -> weights.Weights:
        """What is in these bytes; children of FedsError from the readers that it passes through."""
        self.path.write_bytes(data)
        with suppress(FedsError):
            registry.describe(self.path)
        return weights.read_weights(self.path)


class Tensors(Weights):
    """A weights file that was changed where its structure is, see `safetensors_edits`.

    What loads has to code a picture, and to read back what it has written, with ONNX Runtime too where that has all
    parts. Every eighth is trained on from.
    """

    def __init__(self) -> None:
        super().__init__()
        paths = write_smallest(self.path.parent)
        self.networks = [(load_file(path), metadata.read_metadata(path)) for path in paths]
        self.picture = images.Picture(np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8))

    def __call__(self, data: bytes) -> None:
        """The same with the file of a script."""
        found = self.read(edited(data, self.networks))
        if sum(data) % 8 == 0:
            train_on(found)
        model = Model(found, name="fuzz", quality=1.0, device="cpu")
        encoded = encode_picture(self.picture, model, Encoding(quality=1.0))
        readers = [model, *([OnnxModel(found, name="fuzz", quality=1.0)] if can_be_exported(found.spec) else [])]
        for reader in readers:
            symbols = read_symbols(fileformat.unpack(encoded.data), reader)
            if not all(np.array_equal(a, b) for a, b in zip(encoded.symbols, symbols, strict=True)):
                raise AssertionError(f"symbols differ, read with {reader.backend}")
        for reader in readers:
            decode_file(fileformat.unpack(encoded.data), reader)
