"""`Model`: a network with its tables, ready to encode and decode, and how it is loaded.

A model runs on torch (`Model` itself) or on ONNX Runtime (`OnnxModel`, without torch); the symbols are the same.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import fileformat, registry
from ..arguments import require_number
from ..errors import FedsError, LackOfMemoryWarning, WeightsError, is_lack_of_memory
from ..images import Picture, from_tensor, to_tensor
from ..networks.tiles import Sighted, transform_side
from ..networks.weights_file import Weights, read_weights
from .backends import choose_backend
from .devices import asked_device, choose_device, choose_precision

if TYPE_CHECKING:
    import torch

    from ..networks.slices import FloatSide


class Model:
    """A network that is ready to encode and decode on torch. name and quality are those that the caller asked for."""

    backend = "torch"

    def __init__(
        self,
        weights: Weights,
        *,
        name: str,
        quality: float,
        device: str = "auto",
        precision: torch.dtype | None = None,
    ) -> None:
        import torch

        from ..networks.weights import float_transforms, integer_side

        self._describe(weights, name, quality)
        self.device: Any = choose_device(device)
        self.precision: Any = precision or choose_precision(self.device)
        with torch.device("cpu"):  # whatever default device a program has set
            self.transforms = float_transforms(weights)
            del self.transforms.float_side  # never leaves the meta device; the integers stand in for it
            self.transforms.to(self.device).to(memory_format=torch.channels_last)
            self.side: Any = integer_side(weights).to(self.device)
        self._weights = weights

    def _describe(self, weights: Weights, name: str, quality: float) -> None:
        """Set everything that does not depend on the backend."""
        self.name, self.quality, self.tile_shrink = name, quality, 1
        self.spec, self.fingerprint, self.metadata = weights.spec, weights.fingerprint, weights.metadata
        self.z_tables, self.y_tables = weights.z_tables, weights.table_sets

    @property
    def tile_side(self) -> int:
        """Latents that a side of a tile of g_a and g_s keeps."""
        return max(transform_side(self.device.type) // self.tile_shrink, 1)

    @property
    def sights(self) -> tuple[Sighted, Sighted]:
        """How far g_a and g_s see."""
        return self.transforms.g_a, self.transforms.g_s

    @property
    def sees_quality(self) -> bool:
        """Whether the latents that g_a gives depend on the quality."""
        return self.transforms.g_a.sees_quality

    @property
    def tensors_on(self) -> Any:
        """The device of the tensors that a coder reads."""
        return self.device

    @functools.cached_property
    def twin(self) -> FloatSide:
        """The float twin of the entropy side, made from its integers, for gradients. Raises WeightsError on failure."""
        import torch

        from ..networks.weights import trainable

        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            side = trainable(self._weights).float_side
            side.set_mode(quantised=True)  # else up to a tenth of the bits are not those of the integers
        return side.eval().requires_grad_(False).to(self.device)

    def with_gradients(self) -> Model:
        """The same network with gradients."""
        return self

    def cheaper(self) -> Iterator[tuple[str, Model]]:
        """The same network with tiles of a quarter of the side, and then on the CPU if it is not there already."""
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
        """Encode a picture into the bytes of a .feds file, by default at the model's quality."""
        from .encoding import encode_picture
        from .settings import Encoding

        return encode_picture(
            picture, self, Encoding(quality=quality, stream_checks=stream_checks, preview=preview)
        ).data

    def decode(self, data: bytes, *, max_pixels: int | None = fileformat.DEFAULT_MAX_PIXELS) -> Picture:
        """Decode the bytes of a .feds file that this network wrote."""
        from .decoding import decode_file

        return decode_file(fileformat.unpack(data, max_pixels=max_pixels), self).picture

    def autocast(self) -> AbstractContextManager[object]:
        """The precision of the transforms."""
        from ..entropy.precision import in_precision

        return in_precision(self.device, self.precision)

    def check_quality(self, quality: float) -> None:
        """Raise FedsError for a quality outside 1 … Q."""
        require_number("quality", quality)
        most = len(self.spec.lambdas)
        if not 1 <= quality <= most:  # so is nothing that is not a number
            raise FedsError(f"quality must lie between 1 and {most} for {self.name}, found {quality:g}")

    def gains(self, quality: float) -> tuple[Any, Any]:
        """Gain and inverse gain [1, M, 1, 1] of a quality in 1 … Q."""
        self.check_quality(quality)
        with _no_gradients():
            gain, inverse = self.transforms.gains(self._level(quality))
        return gain, inverse

    def _level(self, quality: float) -> torch.Tensor:
        import torch

        return torch.tensor([quality], device=self.device)

    def own(self, latents: Any) -> Any:
        """Latents in the form that this network works on."""
        return latents.to(self.device)

    def as_array(self, latents: Any) -> np.ndarray:
        """Latents as an array of numpy."""
        return np.asarray(latents.numpy(force=True))

    def wait(self) -> None:
        """Wait until the device has finished its work."""
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)

    def empty(self, channels: int, rows: int, columns: int) -> Any:
        """Uninitialised latents [1, C, H, W], channels last."""
        import torch

        return torch.empty((1, rows, columns, channels), device=self.device).permute(0, 3, 1, 2)

    def g_a(self, pixels: np.ndarray, quality: float) -> Any:
        """Latents [1, M, H/16, W/16] float32 of samples uint8 [H, W, 3], whose sides are multiples of 16."""
        import torch

        with _no_gradients():
            x = to_tensor(Picture(pixels)).to(self.device).contiguous(memory_format=torch.channels_last)
            return self.transforms.g_a(x, self._level(quality)).value.float()

    def h_a(self, y: Any) -> Any:
        """z [1, Z, H/64, W/64] of gained latents [1, M, H/16, W/16]."""
        with _no_gradients():
            return self.transforms.h_a(y)

    def g_s(self, y_hat: Any, quality: float, *, grey: bool) -> np.ndarray:
        """Samples uint8 [1, 3, H, W] of ŷ [1, H/16, W/16, M], integers in 1/unit; grey makes the channels equal."""
        import torch

        _, inverse = self.gains(quality)
        with _no_gradients():
            latents = (y_hat.permute(0, 3, 1, 2).float() / self.spec.mean_unit) * inverse
            latents = latents.contiguous(memory_format=torch.channels_last)
            pixels = from_tensor(self.transforms.g_s(latents, self._level(quality)).value.float(), grey=grey)
        return pixels.transpose(2, 0, 1)[None]


def _no_gradients() -> AbstractContextManager[object]:
    import torch

    return torch.no_grad()


def load_model(
    name: str | PathLike[str] = registry.DEFAULT_MODEL, device: str = "auto", backend: str = "auto"
) -> Model:
    """Load the network for a name or a path.

    device: "auto", "cpu" or "cuda"; backend: "auto", "onnx" or "torch", see `backends.choose_backend`.
    """
    return _load(registry.resolve(name), device, backend)


def model_by_fingerprint(
    fingerprint: bytes, device: str = "auto", *, backend: str = "auto", name: str = "the file"
) -> Model:  # fmt: skip
    """Load the installed network that wrote a file. Raises UnknownModelError, which names the missing fingerprint."""
    return _load(registry.by_fingerprint(fingerprint, name=name), device, backend)


def model_of_file(
    fingerprint: bytes, given: str | PathLike[str] | None, device: str = "auto", *, backend: str = "auto",
    name: str = "the file",
) -> Model:  # fmt: skip
    """Load the network `given` by a name or path; without one, the installed network that wrote a file."""
    if given is None:
        return model_by_fingerprint(fingerprint, device, backend=backend, name=name)
    return load_model(given, device, backend)


def _load(found: registry.Resolved, device: str, backend: str) -> Model:
    weights = read_weights(found.path)
    quality, device = found.quality_of(len(weights.spec.lambdas)), asked_device(device)
    try:
        if choose_backend(backend, device, weights.spec, found.network) == "onnx":
            from .onnx_model import OnnxModel

            return OnnxModel(weights, name=found.network, quality=quality)
        return Model(weights, name=found.network, quality=quality, device=device)
    except WeightsError as error:
        raise WeightsError(f"{found.path}: {error}") from error
    except Exception as error:
        if not is_lack_of_memory(error) or device == "cpu":
            raise
        warnings.warn("out of memory, continuing on the CPU", LackOfMemoryWarning, stacklevel=2)
    return Model(weights, name=found.network, quality=quality, device="cpu")
