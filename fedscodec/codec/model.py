"""`Model`: a network with its tables on a device, ready to encode and decode, and where it is loaded from."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from .. import fileformat, registry
from ..errors import FedsError, LackOfMemoryWarning, WeightsError
from ..images import Picture
from ..networks.slices import FloatSide
from ..networks.tiles import transform_side
from ..networks.weights import Weights, float_transforms, integer_side, read_weights, trainable
from .devices import choose_device, choose_precision


class Model:
    """A network that is ready to encode and decode. name and quality are those it was asked for by."""

    def __init__(
        self,
        weights: Weights,
        *,
        name: str,
        quality: float,
        device: str = "auto",
        precision: torch.dtype | None = None,
    ) -> None:
        self.device = choose_device(device)
        self.precision = precision or choose_precision(self.device)
        self.name, self.quality = name, quality
        self.spec, self.fingerprint = weights.spec, weights.fingerprint
        self.metadata = weights.metadata
        self.z_tables, self.y_tables = weights.z_tables, weights.table_sets
        self.transforms = float_transforms(weights)
        del self.transforms.float_side  # never leaves the meta device; the integers stand in for it
        self.transforms.to(self.device).to(memory_format=torch.channels_last)
        self.side = integer_side(weights).to(self.device)
        self.tile_shrink = 1
        self._weights = weights

    @property
    def tile_side(self) -> int:
        """Latents that a side of a tile of g_a and g_s keeps."""
        return max(transform_side(self.device) // self.tile_shrink, 1)

    @functools.cached_property
    def twin(self) -> FloatSide:
        """The entropy side in float, made of the integers, for gradients. WeightsError where it cannot be made."""
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            side = trainable(self._weights).float_side
            side.set_mode(quantised=True)  # else up to a tenth of the bits are not those of the integers
        return side.eval().requires_grad_(False).to(self.device)

    def cheaper(self) -> Iterator[tuple[str, Model]]:
        """The same network in tiles of a quarter of the side, and then on the CPU, where it is not there already."""
        small = copy.copy(self)
        small.tile_shrink = 4 * self.tile_shrink
        yield "in smaller tiles", small
        if self.device.type != "cpu":
            yield "on the CPU", Model(self._weights, name=self.name, quality=self.quality, device="cpu")

    def encode(
        self,
        picture: Picture,
        quality: float | None = None,
        *,
        stream_checks: bool | None = None,
        preview: bool | None = None,
    ) -> bytes:
        """The picture as the bytes of a .feds file, at the model's quality unless another is given."""
        from .encoding import encode_picture
        from .settings import Encoding

        return encode_picture(
            picture, self, Encoding(quality=quality, stream_checks=stream_checks, preview=preview)
        ).data

    def decode(self, data: bytes, *, max_pixels: int | None = fileformat.DEFAULT_MAX_PIXELS) -> Picture:
        """The picture in the bytes of a .feds file that this network wrote."""
        from .decoding import decode_file

        return decode_file(fileformat.unpack(data, max_pixels=max_pixels), self).picture

    def autocast(self) -> AbstractContextManager[object]:
        """The precision of the transforms."""
        if self.precision == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.precision)

    def check_quality(self, quality: float) -> None:
        """FedsError for a quality outside 1 … Q."""
        most = len(self.spec.lambdas)
        if not 1 <= quality <= most:  # so is nothing that is not a number
            raise FedsError(f"quality must lie between 1 and {most} for {self.name}, found {quality:g}")

    def gains(self, quality: float) -> tuple[Tensor, Tensor]:
        """Gain and inverse gain [1, M, 1, 1] of a quality in 1 … Q."""
        self.check_quality(quality)
        gain, inverse = self.transforms.gains(torch.tensor([quality], device=self.device))
        return gain, inverse


def load_model(name: str = registry.DEFAULT_MODEL, device: str = "auto") -> Model:
    """The network behind a name or a path, ready to encode and decode on a device ("auto", "cpu", "cuda")."""
    return _load(registry.resolve(name), device)


def model_by_fingerprint(fingerprint: bytes, device: str = "auto", *, name: str = "the file") -> Model:
    """The installed network that wrote a file; UnknownModelError names the fingerprint that is missing."""
    return _load(registry.by_fingerprint(fingerprint, name=name), device)


def _load(found: registry.Resolved, device: str) -> Model:
    weights = read_weights(found.path)
    middle = min(registry.DEFAULT_QUALITY, len(weights.spec.lambdas))  # a network for one λ has one quality
    quality = middle if found.quality is None else found.quality
    try:
        return Model(weights, name=found.network, quality=quality, device=device)
    except WeightsError as error:
        raise WeightsError(f"{found.path}: {error}") from error
    except torch.OutOfMemoryError:
        warnings.warn("memory ran out, going on on the CPU", LackOfMemoryWarning, stacklevel=2)
    return Model(weights, name=found.network, quality=quality, device="cpu")
