"""Networks of CompressAI's zoo as peers, if their weights are in the cache of torch.hub.

Downloads nothing: a quality without weights is left out, and so is a peer without any.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images import Picture, crop, from_tensor, pad, to_tensor
from .coders import Coder, Half, MissingPeerError
from .memory import PROCESS, PeakMemory
from .results import Codec

_STRIDE = 64


@dataclass
class ZooCoder:
    """One architecture; settings are the zoo's qualities, one network each. Runs on the CPU in float32."""

    codec: Codec
    settings: Sequence[float]
    architecture: str
    _coded: tuple[int, Any, tuple[int, int], tuple[int, int]] | None = field(init=False, default=None)

    def encode(self, picture: Picture, setting: float) -> Half[bytes]:
        """The strings of CompressAI one after another; does not count the few bytes for their lengths."""
        import torch

        network, memory = _network(self.architecture, int(setting)), PeakMemory()
        begin = time.perf_counter()
        with torch.inference_mode():
            coded = network.compress(pad(to_tensor(picture), _STRIDE))
        seconds = time.perf_counter() - begin
        strings = [one for group in coded["strings"] for one in group]
        self._coded = int(setting), coded["strings"], tuple(coded["shape"]), (picture.height, picture.width)
        return Half(b"".join(strings), {"encode": seconds}, memory.bytes())

    def decode(self, data: bytes) -> Half[NDArray[np.uint8]]:
        """Pixels of the strings just written."""
        import torch

        assert self._coded is not None
        quality, strings, shape, size = self._coded
        network, memory = _network(self.architecture, quality), PeakMemory()
        begin = time.perf_counter()
        with torch.inference_mode():
            x_hat = network.decompress(strings, shape)["x_hat"]
        pixels = from_tensor(crop(x_hat, *size))
        return Half(pixels, {"decode": time.perf_counter() - begin}, memory.bytes())


@cache
def _network(architecture: str, quality: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from compressai.zoo import image_models

        network = image_models[architecture](quality, metric="mse", pretrained=True, progress=False)
    network.eval().update()
    return network


def at_hand(architecture: str, settings: Sequence[float]) -> list[float]:
    """The qualities with weights in the cache of torch.hub. Raises MissingPeerError if CompressAI is not installed."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from compressai.zoo.image import model_urls
    except ImportError as error:
        raise MissingPeerError("pip install compressai, then load each quality once with pretrained=True") from error
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    urls = model_urls[architecture]["mse"]
    return [q for q in settings if int(q) in urls and (folder / urls[int(q)].rsplit("/", 1)[-1]).is_file()]


def opener(architecture: str) -> Callable[[Sequence[float], int], Coder]:
    """A function that opens an architecture, see `open_network`."""
    return lambda settings, threads: open_network(architecture, settings)


def open_network(architecture: str, settings: Sequence[float]) -> Coder:
    """An architecture with its available qualities. Raises MissingPeerError if there is none."""
    found = at_hand(architecture, settings)
    if not found:
        raise MissingPeerError(
            "found no weights in the torch.hub cache; compressai.zoo.image_models[NAME](quality=1, "
            "pretrained=True) downloads those of a quality"
        )
    codec = Codec(f"{architecture} (CompressAI)", "peer", f"compressai {version('compressai')}", "RGB",
                  options="trained for MSE, float32 on the CPU", memory=PROCESS)  # fmt: skip
    return ZooCoder(codec, found, architecture)
