"""Codecs of Pillow as peers: JPEG, JPEG 2000, WebP, AVIF, and JPEG XL through its plugin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..images import Picture, to_pil
from .coders import Coder, Half, MissingPeerError, timed
from .memory import GROWTH
from .results import Codec


@dataclass(frozen=True)
class PillowCoder:
    """A codec of Pillow; `arguments` gives those of `save` for a setting."""

    codec: Codec
    settings: Sequence[float]
    format: str
    arguments: Callable[[float], dict[str, Any]]

    def encode(self, picture: Picture, setting: float) -> Half[bytes]:
        """A file of that format, with pixels only."""
        image, buffer = to_pil(picture), BytesIO()
        coded = timed("encode", lambda: image.save(buffer, self.format, **self.arguments(setting)), growth=True)
        return Half(buffer.getvalue(), coded.seconds, coded.peak_bytes)

    def decode(self, data: bytes) -> Half[NDArray[np.uint8]]:
        """Its pixels, as RGB."""
        return _decoded(data)


def _decoded(data: bytes) -> Half[NDArray[np.uint8]]:
    from PIL import Image

    return timed("decode", lambda: np.array(Image.open(BytesIO(data)).convert("RGB")), growth=True)


def _pillow(title: str, feature: str, library: str, colour: str, **more: Any) -> Codec:
    from PIL import features

    if not features.check(feature):
        raise MissingPeerError(
            f"this Pillow was built without it; pip install --force-reinstall pillow brings it ({feature})"
        )
    version = features.version(feature)
    if feature == "jpg" and features.check_feature("libjpeg_turbo"):
        library, version = "libjpeg-turbo", features.version_feature("libjpeg_turbo")
    return Codec(title, "peer", f"{library} {version}", colour, memory=GROWTH, **more)


def jpeg(settings: Sequence[float], threads: int) -> Coder:
    """JPEG 4:2:0 by libjpeg-turbo; settings are its qualities."""
    codec = _pillow("JPEG", "jpg", "libjpeg", "YCbCr 4:2:0", options="progressive, optimised tables")
    return PillowCoder(
        codec, settings, "JPEG",
        lambda q: {"quality": int(q), "subsampling": "4:2:0", "progressive": True, "optimize": True},
    )  # fmt: skip


def jpeg2000(settings: Sequence[float], threads: int) -> Coder:
    """JPEG 2000 by OpenJPEG; settings are ratios to 24 bits a pixel."""
    codec = _pillow(
        "JPEG 2000", "jpg_2000", "OpenJPEG", "YCbCr 4:4:4", setting="ratio", options="9/7 wavelet, no container"
    )
    return PillowCoder(
        codec, settings, "JPEG2000",
        lambda ratio: {"irreversible": True, "mct": 1, "no_jp2": True, "quality_layers": [ratio]},  # of rate
    )  # fmt: skip


def webp(settings: Sequence[float], threads: int) -> Coder:
    """WebP, lossy, by libwebp; settings are its qualities."""
    codec = _pillow("WebP", "webp", "libwebp", "YCbCr 4:2:0", options="method 6")
    return PillowCoder(codec, settings, "WEBP", lambda q: {"quality": int(q), "method": 6})


def avif(settings: Sequence[float], threads: int) -> Coder:
    """AVIF 4:4:4 by libaom; settings are its qualities."""
    codec = _pillow("AVIF (for PSNR)", "avif", "libavif", "YCbCr 4:4:4", options=f"{_aom()}, speed 4, tune psnr")
    fixed = {"codec": "aom", "speed": 4, "subsampling": "4:4:4", "max_threads": threads, "advanced": {"tune": "psnr"}}
    return PillowCoder(codec, settings, "AVIF", lambda q: {"quality": int(q), **fixed})


def avif_default(settings: Sequence[float], threads: int) -> Coder:
    """AVIF with Pillow's defaults and a quality: libavif's own tuning, for the eye since 1.4."""
    codec = _pillow(
        "AVIF (default)", "avif", "libavif", "YCbCr 4:2:0", options=f"{_aom()}, speed 6, libavif's own tuning"
    )
    return PillowCoder(codec, settings, "AVIF", lambda q: {"quality": int(q), "max_threads": threads})


def _aom() -> str:
    """The libaom inside libavif, with its version."""
    from importlib import import_module

    parts = str(import_module("PIL._avif").codec_versions()).split(", ")
    return next((f"libaom {part.partition(':')[2]}" for part in parts if part.startswith("aom [enc")), "libaom")


def jpegli(settings: Sequence[float], threads: int) -> Coder:
    """JPEG 4:2:0 by jpegli, read by libjpeg-turbo; settings are its qualities."""
    from importlib.metadata import version

    try:
        import pyjpegli
    except ImportError as error:
        raise MissingPeerError("pip install pyjpegli") from error
    codec = Codec("JPEG (jpegli)", "peer", f"pyjpegli {version('pyjpegli')}", "YCbCr 4:2:0",
                  options="sequential, as the binding has it", memory=GROWTH)  # fmt: skip
    return JpegliCoder(codec, settings, pyjpegli.encode)


@dataclass(frozen=True)
class JpegliCoder:
    """jpegli's encoder for samples; its files are read like any JPEG."""

    codec: Codec
    settings: Sequence[float]
    write: Callable[[bytes, int, int, int], bytes]

    def encode(self, picture: Picture, setting: float) -> Half[bytes]:
        """A JPEG file with pixels only."""
        given = picture.pixels.tobytes(), picture.width, picture.height, int(setting)
        return timed("encode", lambda: self.write(*given), growth=True)

    def decode(self, data: bytes) -> Half[NDArray[np.uint8]]:
        """Its pixels, as RGB."""
        return _decoded(data)


def jxl(effort: int) -> Callable[[Sequence[float], int], Coder]:
    """A function that opens JPEG XL at an effort, see `open_jxl`."""
    return lambda settings, threads: open_jxl(settings, threads, effort)


def open_jxl(settings: Sequence[float], threads: int, effort: int) -> Coder:
    """JPEG XL, lossy, by libjxl; settings are its qualities, which it maps to distances."""
    from importlib.metadata import version

    try:
        from pillow_jxl import JpegXLImagePlugin
    except ImportError as error:
        raise MissingPeerError("pip install pillow-jxl-plugin") from error
    JpegXLImagePlugin.DECODE_THREADS = threads
    codec = Codec(f"JPEG XL e{effort}", "peer", f"pillow-jxl-plugin {version('pillow-jxl-plugin')}", "XYB 4:4:4",
                  options=f"VarDCT, effort {effort}", memory=GROWTH)  # fmt: skip
    return PillowCoder(codec, settings, "JXL", lambda q: {"quality": int(q), "effort": effort, "num_threads": threads})
