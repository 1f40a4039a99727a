"""Convert samples to 8 bits per channel: at full depth, with their true white, through the curve of their colours.

Pillow gives only the upper halves of 16-bit colour. So such files are decoded twice, once for each half, with Pillow's
raw modes for either byte order. The result is then rounded from the full depth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageError
from .colour.curves import Curve
from .containers.contents import Contents
from .metadata.exif import ORIENTATION, TURNS

_ROWS = 256  # made at once
_HALVES = {"B": "L", "L": "B", "N": "B"}  # a raw mode for upper halves, and that which then gives the lower ones
_HALVED = tuple(f"{mode};16{order}" for mode in ("RGB", "RGBA", "RGBX", "RGBa", "CMYK") for order in _HALVES)


@dataclass(frozen=True)
class Scale:
    """The meaning of samples of a file: bits, the value of white, and the value of black; `kind` is for messages."""

    bits: int
    white: float
    black: float = 0.0
    kind: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether they are plain 8-bit samples."""
        return (self.white, self.black) == (255.0, 0.0)


Reopen = Callable[[], Image.Image]


def to_8_bits(
    image: Image.Image,
    contents: Contents,
    reopen: Reopen | None,
    chosen: Sequence[Curve] | None,
) -> Image.Image:
    """Load an image in a mode of 8 bits per channel.

    `chosen` has the curves for the colours, one for all channels or one for each.
    """
    scale = _scale_of(image, contents)
    if scale.bits > 8:
        kind = scale.kind or ("grey" if image.mode[:1] in "IFL" and image.mode != "LAB" else "colour")
        depth = "Floating-point" if scale.bits == 32 and image.mode == "F" else f"{scale.bits}-bit"
        contents.account.had("depth", f"{depth} {kind} was reduced to 8 bits.")
    deep = _deep(image, reopen)
    if deep is None and scale.is_plain and chosen is None and "transparency" not in image.info:
        image.load()
        return image
    if deep is None:
        image.load()
        return _eight(image, scale, chosen, contents.transparent)
    return _reduced(*deep, image, scale, contents, chosen)


def bits_of(image: Image.Image, contents: Contents) -> int:
    """Bits per sample in the file of an image that is not loaded yet."""
    return _scale_of(image, contents).bits


# ── What samples mean ─────────────────────────────────────────────────────────────────────────────────────


def _scale_of(image: Image.Image, contents: Contents) -> Scale:
    tags = getattr(image, "tag_v2", None)
    if image.format == "TIFF" and tags:
        return _scale_of_tiff(image, tags)
    if image.format == "PPM":
        return _scale_of_pnm(image)
    bits = contents.bits or 8
    if image.format == "JPEG2000":
        return _scale_of_jpeg2000(image, bits)
    if image.mode == "F":
        return Scale(32, 1.0)
    if image.mode.startswith("I"):
        return Scale(bits if 8 < bits < 16 else 16, 65535.0)
    if any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())) or (
        image.format == "SGI" and any("16" in str(tile[0]) for tile in image.tile)  # type: ignore[attr-defined]
    ):
        grey = any(str(tile[3]).startswith("LA;16") for tile in image.tile)  # type: ignore[attr-defined]
        return Scale(bits if 8 < bits < 16 else 16, 65535.0, kind="grey" if grey else "")
    return Scale(bits, 255.0) if bits > 8 else Scale(8, 255.0)  # Pillow has made 8 bits of AVIF by itself


def _scale_of_tiff(image: Image.Image, tags: Any) -> Scale:
    bits = max(tags.get(258, (1,)))
    form, white_is_zero = max(tags.get(339, (1,))), tags.get(262) == 0
    if image.mode == "F":
        return Scale(32, 0.0, 1.0) if white_is_zero else Scale(32, 1.0)
    if form == 2 and image.mode in ("L", "I"):
        return Scale(bits, 2.0 ** (bits - 1) - 1)
    if image.mode == "I":
        return Scale(bits, 2.0**bits - 1)
    if image.mode.startswith("I;16"):
        top = 2.0**bits - 1
        return Scale(bits, 0.0, top) if white_is_zero else Scale(bits, top)
    return Scale(bits, 65535.0) if bits == 16 else Scale(8, 255.0)


def _scale_of_pnm(image: Image.Image) -> Scale:
    if image.mode == "F":
        return Scale(32, 1.0)
    tiles = getattr(image, "tile", ())
    highest = max((int(tile[3][1]) for tile in tiles if isinstance(tile[3], tuple) and len(tile[3]) == 2), default=255)
    bits = 16 if image.mode == "I" and highest == 255 else max(highest.bit_length(), 8)
    return Scale(bits, 65535.0 if image.mode == "I" else 255.0)  # Pillow scales them, to one or the other


def _scale_of_jpeg2000(image: Image.Image, bits: int) -> Scale:
    if image.mode.startswith("I;16"):
        return Scale(bits, float((2**bits - 1) << (16 - bits)))  # Pillow shifts them up, to the top of 16 bits
    if bits < 8 and image.mode in ("L", "LA", "RGB", "RGBA"):
        return Scale(8, float((2**bits - 1) << (8 - bits)))
    return Scale(bits, 255.0)


# ── Samples of more than 8 bits ───────────────────────────────────────────────────────────────────────────

_Deep = tuple[NDArray[Any], NDArray[np.uint8] | None, str]


def _deep(image: Image.Image, reopen: Reopen | None) -> _Deep | None:
    """Samples [H, W, C] (or their upper and lower halves) and the target mode; None for 8 bits."""
    if image.mode == "F" or image.mode.startswith("I"):
        whole = np.asarray(_loaded(image))
        return whole[:, :, None], None, "L"
    if _is_in_planes(image):
        return _planes(image, reopen)
    raws = {_raw(tile) for tile in getattr(image, "tile", ())}
    if reopen is None or len(raws) != 1:
        return None
    raw = raws.pop()
    if raw == "LA;16B":
        four = np.asarray(_loaded(_as_raw(reopen(), "RGBA", "RGBA")))
        return four[:, :, ::2], four[:, :, 1::2], "LA"
    if raw not in _HALVED:
        return None
    mode, order = raw.split(";16")
    straight = {"RGBa": "RGBA", "RGBX": "RGB"}.get(mode, mode)
    taken = "RGBA" if mode == "RGBa" else mode
    upper, lower = (
        np.asarray(_loaded(_as_raw(reopen(), image.mode, f"{taken};16{half}"))) for half in (order, _HALVES[order])
    )
    if mode == "RGBa":
        return _unmultiplied(upper, lower), None, straight
    return upper, lower, straight


def _is_in_planes(image: Image.Image) -> bool:
    """Whether a TIFF that is not loaded yet has a plane for each channel."""
    tags = getattr(image, "tag_v2", None) or {}
    has_planes = image.format == "TIFF" and tags.get(284) == 2 and len(image.getbands()) > 1
    return has_planes and bool(getattr(image, "tile", ()))


def _planes(image: Image.Image, reopen: Reopen | None) -> _Deep | None:
    """Planes of 16 bits, which Pillow would decode to noise; None for those that Pillow decodes, to 8 bits.

    Raises ImageError for planes that Pillow mixes up.
    """
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    packed, bits, extra = tags.get(259, 1) != 1, max(tags.get(258, (8,))), tags.get(338, ())
    # Packed planes fill the first bands in memory, of which alpha is the fourth; if nothing says that the fourth is
    # alpha, Pillow divides by it. For planes that are not packed it has no other modes than these.
    sound = image.mode in ("RGB", "CMYK") or (image.mode == "RGBA" and (bool(extra) if packed else extra[:1] != (1,)))
    whole = 273 in tags and len(tags.get(258, ())) == len(image.getbands()) and reopen is not None
    if not sound or (bits == 16 and not packed and not whole):
        found = f"planes of {bits} bits in mode {image.mode}"
        raise ImageError(f"expected planes that Pillow reads, found {found}: save it with samples side by side")
    return _raw_planes(image, tags, reopen()) if reopen is not None and bits == 16 and not packed else None


def _raw_planes(image: Image.Image, tags: Any, again: Any) -> _Deep:
    stream: Any = again.fp
    channels, width, height = len(tags[258]), tags[256], tags[257]  # of which image.size may be the turned one
    found, wanted = sum(tags.get(279, ())), 2 * channels * width * height
    if found != wanted:  # before any of it is read: strips may overlap
        raise ImageError(f"expected {wanted} bytes in planes of 16 bits, found {found}")
    planes = bytearray()
    for start, size in zip(tags[273], tags[279], strict=True):
        stream.seek(start)
        planes += stream.read(size)
    order = ">" if tags._endian == ">" else "<"
    values = np.frombuffer(planes, f"{order}u2").reshape(channels, height, width).transpose(1, 2, 0)
    return _turned(values.astype(np.uint16), image.getexif().get(ORIENTATION, 1)), None, image.mode


def _turned(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Values [H, W, C] made upright, as Pillow turns a TIFF when it loads it."""
    if orientation not in TURNS:
        return values
    down, across = ((1, 1), (1, -1), (-1, -1), (-1, 1))[(orientation - 1) % 4]
    return (values.swapaxes(0, 1) if orientation > 4 else values)[::down, ::across]


def _raw(tile: Any) -> str:
    args = tile[3]
    return str(args[0] if isinstance(args, tuple) else args)


def _as_raw(image: Any, mode: str, raw: str) -> Image.Image:
    image._mode = mode
    image.tile = [
        tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw) for tile in image.tile
    ]
    return image  # type: ignore[no-any-return]


def _loaded(image: Image.Image) -> Image.Image:
    image.load()
    return image


def _unmultiplied(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> NDArray[np.uint16]:
    values = upper.astype(np.uint16) << 8 | lower
    alpha = values[:, :, 3:].astype(np.float64)
    colours = np.divide(65535.0 * values[:, :, :3], alpha, out=np.zeros(values[:, :, :3].shape), where=alpha > 0)
    return np.dstack([np.clip(colours + 0.5, 0, 65535).astype(np.uint16), values[:, :, 3]])


def _reduced(
    values: NDArray[Any],
    lower: NDArray[np.uint8] | None,
    mode: str,
    image: Image.Image,
    scale: Scale,
    contents: Contents,
    curves: Sequence[Curve] | None,
) -> Image.Image:
    height, width, channels = values.shape
    if values.dtype.kind != "f" and image.mode == "I" and scale.white > 2.0**31 and values.itemsize == 4:
        values = values.view(np.uint32)
    if lower is None:
        _require_range(values, image, scale)
    reduce = [_of_scale(scale, _of_channel(curves, c)) for c in range(channels)]
    if mode in ("LA", "RGBA"):
        reduce[-1] = _of_scale(scale, None)
    tables = None
    if values.dtype.kind != "f" and max(scale.white, scale.black) <= 65535:
        tables = [one(np.arange(65536)) for one in reduce]
    out = np.empty((height, width, channels), np.uint8)
    for top in range(0, height, _ROWS):
        part = values[top : top + _ROWS]
        if lower is not None:
            part = part.astype(np.uint16) << 8 | lower[top : top + _ROWS]
        for c in range(channels):
            out[top : top + _ROWS, :, c] = tables[c][part[:, :, c]] if tables else reduce[c](part[:, :, c])
    flat = _image_of(out, mode)
    if contents.transparent and len(contents.transparent) == channels:
        flat.putalpha(_seen(values if lower is None else values.astype(np.uint16) << 8 | lower, contents.transparent))
    return _with_info(flat, image)


def _seen(values: NDArray[Any], transparent: tuple[int, ...]) -> Image.Image:
    """The alpha of values [H, W, C]: 0 where all channels are those of the transparent colour, 255 elsewhere."""
    seen = np.any([values[:, :, c] != value for c, value in enumerate(transparent)], axis=0)
    return Image.fromarray(np.where(seen, 255, 0).astype(np.uint8))


def _image_of(samples: NDArray[np.uint8], mode: str) -> Image.Image:
    if mode == "CMYK":  # of which fromarray would make RGBA
        return Image.frombytes(mode, (samples.shape[1], samples.shape[0]), samples.tobytes())
    return Image.fromarray(samples[:, :, 0] if mode == "L" else samples)


def _of_channel(curves: Sequence[Curve] | None, channel: int) -> Curve | None:
    return curves[min(channel, len(curves) - 1)] if curves else None


def _of_scale(scale: Scale, curve: Curve | None) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    def reduce(values: NDArray[Any]) -> NDArray[np.uint8]:
        shares = np.clip((values.astype(np.float64) - scale.black) / (scale.white - scale.black), 0, 1)
        return np.floor(255 * (shares if curve is None else curve(shares)) + 0.5).astype(np.uint8)

    return reduce


def _require_range(values: NDArray[Any], image: Image.Image, scale: Scale) -> None:
    low, high = values.min(), values.max()
    top = max(scale.white, scale.black)
    if not (low >= 0 and high <= top):  # in this order, as NaN passes no comparison
        raise ImageError(f"expected samples from 0 to {top:.10g} in mode {image.mode}, found {low} to {high}")
    if scale.bits == 32 and values.dtype.kind != "f" and 0 < high < top / 256:  # which would be all black
        raise ImageError(f"expected 32-bit samples up to {top:.0f}, found {low} to {high}: save it with 16 bits")


# ── Samples of 8 bits ─────────────────────────────────────────────────────────────────────────────────────


def _eight(
    image: Image.Image, scale: Scale, curves: Sequence[Curve] | None, transparent: tuple[int, ...] | None
) -> Image.Image:
    """An 8-bit image with its white and curves applied; alpha does not change, and there is one if a colour is
    transparent.
    """
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    elif image.mode == "1":
        image = image.convert("L")
    bands = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "YCbCr": 0}.get(image.mode, 0)
    if not bands:
        return image
    if scale.white != 255 and image.mode == "L":
        _require_range(np.asarray(image), image, scale)
    eight = Scale(8, scale.white if scale.white < 255 else 255.0)
    tables = [_of_scale(eight, _of_channel(curves, c))(np.arange(256)).tolist() for c in range(bands)]
    if image.mode in ("LA", "RGBA"):
        tables.append(_of_scale(eight, None)(np.arange(256)).tolist())
    made = image.point([level for table in tables for level in table])
    if transparent and len(transparent) == len(image.getbands()):
        made.putalpha(_seen(np.atleast_3d(np.asarray(image)), transparent))
    return _with_info(made, image)


def _with_info(made: Image.Image, image: Image.Image) -> Image.Image:
    made.info = {key: value for key, value in image.info.items() if key != "transparency"}
    return made
