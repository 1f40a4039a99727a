"""Choose the better of two files of a picture, by real bytes and by the picture that decoders will show."""

from __future__ import annotations

from ... import fileformat
from ...images import Picture
from ...metrics.table import lost
from ..decoding import reconstruct
from ..model import Model
from ..outcomes import Encoded
from .refining import lambda_of


def cost(encoded: Encoded, picture: Picture, model: Model) -> float:
    """R + λ·D of a file in bits: the size of all streams, and D of the decoded pixels."""
    file = fileformat.unpack(encoded.data, max_pixels=None)
    bits = 8 * sum(len(stream) for stream in file.streams)
    weight = lambda_of(model, file.header.quality / 1000) * picture.width * picture.height
    return bits + weight * distortion(encoded, picture, model)


def distortion(encoded: Encoded, picture: Picture, model: Model) -> float:
    """D of the pixels that a decoder will show, in the measure of the network's training: 255²·MSE, 1 − MS-SSIM, ..."""
    return lost(model.spec.metric, picture.pixels, reconstruct(encoded, model).pixels)
