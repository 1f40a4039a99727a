"""The cost of integers: the rate of the float twin and of the integers, on real pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from ..codec.encoding import encode_picture
from ..codec.model import Model
from ..codec.settings import Encoding
from ..entropy.coders import RateEstimator
from ..files.names import shown
from ..images import pad, read_picture, to_tensor
from ..networks.spec import STRIDE
from ..networks.weights import read_weights, trainable
from ..training.stages import estimator


@dataclass(frozen=True)
class Row:
    """One picture at one quality: bits per pixel of the same latents with both entropy sides."""

    name: str
    quality: float
    float_bpp: float  # −log₂ p of the float twin, rounded symbols
    integer_bpp: float  # −log₂ p by the integer tables
    file_bpp: float  # bytes on disk

    @property
    def lost(self) -> float:
        """Rate lost to integers, as a share of the float twin's."""
        return self.integer_bpp / self.float_bpp - 1


@torch.inference_mode()
def measure(checkpoint: Path, pictures: list[Path], qualities: list[float]) -> Iterator[Row]:
    """Yield a row for every picture and quality.

    A checkpoint has its float twin. For a shipped file the twin is made from its integers, and only activations differ.
    """
    weights = read_weights(checkpoint)
    model = Model(weights, name=checkpoint.stem, quality=qualities[0], device="cpu", precision=torch.float32)
    twin = trainable(weights).eval()
    for path in pictures:
        picture = read_picture(path, name=shown(path))
        x = pad(to_tensor(picture), STRIDE)
        pixels = picture.width * picture.height
        for quality in qualities:
            coder = estimator(RateEstimator, twin, noise=False)
            twin.encode(x, torch.tensor([quality]), coder)
            encoded = encode_picture(picture, model, Encoding(quality=quality, count_bits=True))
            yield Row(
                shown(path.name),
                quality,
                float(coder.bits) / pixels,
                encoded.bits / pixels,
                len(encoded.data) * 8 / pixels,
            )
