"""`OnnxModel`: a light network that ONNX Runtime runs on the CPU, without loading torch."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any

import numpy as np

from ..errors import FedsError
from ..graphs.fitting import require_floats
from ..graphs.sessions import Session
from ..graphs.side import GraphSide
from ..graphs.transforms import analysis, gain_of, hyper_analysis, sight_of, synthesis
from ..networks.tiles import Sighted, transform_side
from ..networks.weights_file import Weights
from .backends import TORCH_EXTRA, has_torch
from .model import Model


class OnnxModel(Model):
    """Like `Model`, with latents in arrays of numpy. Sessions are created when first needed."""

    backend = "onnx"
    tensors_on = None
    precision = "float32"
    device = "cpu"

    def __init__(self, weights: Weights, *, name: str, quality: float) -> None:
        self._describe(weights, name, quality)
        require_floats(weights.spec, weights.floats)
        self._weights, self._floats = weights, weights.floats
        self.side: Any = GraphSide(weights.spec, weights.side)
        self._syntheses: dict[bool, Session] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and deep copies, which cannot take sessions along."""
        return _made_anew, (self._weights, self.name, self.quality, self.tile_shrink)

    def __copy__(self) -> OnnxModel:
        """A shallow copy, with the same sessions."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    @property
    def tile_side(self) -> int:
        """Latents that a side of a tile of g_a and g_s keeps."""
        return max(transform_side("cpu") // self.tile_shrink, 1)

    @property
    def sights(self) -> tuple[Sighted, Sighted]:
        """How far g_a and g_s see."""
        return sight_of(self.spec, "g_a"), sight_of(self.spec, "g_s")

    @property
    def sees_quality(self) -> bool:
        """Whether the latents that g_a gives depend on the quality, as in all light networks."""
        return True

    @cached_property
    def _on_torch(self) -> Model:
        return Model(self._weights, name=self.name, quality=self.quality, device="cpu")

    def with_gradients(self) -> Model:
        """The same network on torch. Raises FedsError if torch is not installed."""
        if not has_torch():
            raise FedsError(f"effort needs torch, which is not installed: {TORCH_EXTRA}")
        return self._on_torch

    def cheaper(self) -> Iterator[tuple[str, Model]]:
        """The same network with tiles of a quarter of the side."""
        small = copy.copy(self)
        small.tile_shrink = 4 * self.tile_shrink
        yield "in smaller tiles", small

    def autocast(self) -> AbstractContextManager[object]:
        """No autocast: everything is float32."""
        return nullcontext()

    def gains(self, quality: float) -> tuple[np.ndarray, np.ndarray]:
        """Gain and inverse gain [1, M, 1, 1] of a quality in 1 … Q."""
        self.check_quality(quality)
        gain, inverse = (gain_of(self._floats[f"gains.{name}"], quality) for name in ("log_gain", "log_inverse"))
        return gain, inverse

    def own(self, latents: Any) -> np.ndarray:
        """Latents as an array of numpy; refined latents come from torch."""
        return np.asarray(latents)

    def as_array(self, latents: np.ndarray) -> np.ndarray:
        """Latents unchanged."""
        return latents

    def wait(self) -> None:
        """Do nothing: all work is already done."""

    def empty(self, channels: int, rows: int, columns: int) -> np.ndarray:
        """Uninitialised latents [1, C, H, W]."""
        return np.empty((1, channels, rows, columns), dtype=np.float32)

    @cached_property
    def _analysis(self) -> Session:
        return Session(analysis(self.spec, self._floats))

    @cached_property
    def _hyper_analysis(self) -> Session:
        return Session(hyper_analysis(self.spec, self._floats))

    def g_a(self, pixels: np.ndarray, quality: float) -> np.ndarray:
        """Latents [1, M, H/16, W/16] float32 of samples uint8 [H, W, 3], whose sides are multiples of 16."""
        return self._analysis.run(pixels, _level(quality))[0]

    def h_a(self, y: np.ndarray) -> np.ndarray:
        """z [1, Z, H/64, W/64] of gained latents [1, M, H/16, W/16]."""
        return self._hyper_analysis.run(y)[0]

    def g_s(self, y_hat: np.ndarray, quality: float, *, grey: bool) -> np.ndarray:
        """Samples uint8 [1, 3, H, W] of ŷ [1, H/16, W/16, M], integers in 1/unit; grey makes the channels equal."""
        if grey not in self._syntheses:
            self._syntheses[grey] = Session(synthesis(self.spec, self._floats, grey=grey))
        latents = y_hat.transpose(0, 3, 1, 2).astype(np.float32)
        latents /= self.spec.mean_unit
        latents *= self.gains(quality)[1]
        return self._syntheses[grey].run(latents, _level(quality))[0].transpose(2, 0, 1)[None]


def _level(quality: float) -> np.ndarray:
    return np.array([quality], dtype=np.float32)


def _made_anew(weights: Weights, name: str, quality: float, tile_shrink: int) -> OnnxModel:
    model = OnnxModel(weights, name=name, quality=quality)
    model.tile_shrink = tile_shrink
    return model
