"""feds, a learned image codec: encodes pictures into .feds files and decodes them.

    data = fedscodec.encode("photo.png", quality=3.5)      # bytes
    image = fedscodec.decode(data)                         # a Pillow image

Importing the package is cheap: Pillow, numpy and what runs the network are loaded when the first picture is coded.
Where Pillow is imported too, its Image.open and Image.save know .feds (see `pillow.plugin`).
"""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from os import PathLike, fsdecode
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from .codec import threads
from .errors import DamageWarning, FedsError, NotKeptWarning, TargetError, TooLargeError
from .fileformat import DEFAULT_MAX_PIXELS
from .files.inputs import rest_of_feds
from .pillow import hook as pillow_hook
from .pillow.hook import register_feds_opener
from .registry import DEFAULT_MODEL
from .version import __version__

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from .codec.model import Model
    from .images import Picture

__all__ = [
    "DamageWarning", "FedsError", "NotKeptWarning", "TargetError", "__version__", "decode", "encode", "load_model",
    "preview", "register_feds_opener",
]  # fmt: skip
pillow_hook.install()
threads.prepare()


def encode(
    image: str | PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | NDArray[np.uint8] | Picture,
    model: str | PathLike[str] | Model = DEFAULT_MODEL,
    *,
    quality: float | None = None,
    bpp: float | None = None,
    size: int | None = None,
    device: str = "auto",
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    strip: bool = False,
    stream_checks: bool | None = None,
    preview: bool | None = None,
    effort: int = 0,
    **metric: float | None,
) -> bytes:
    """Encode a picture; return the bytes of a .feds file.

    `image` is a path, the bytes of a picture file, an open binary file, a Pillow image, or uint8 samples [H, W], or [H,
    W, C] with 1 to 4 channels (an even number: the last one is alpha). `model` is a name, the path of a weights file,
    or the result of `load_model`, which saves loading it for every picture (its own `device` then applies). `quality`
    runs from 1 (smallest file) to 7 (best picture); its default is that of the name. Instead of a quality, one target
    can be given, for which the quality is searched: at most a number of bits per pixel (`bpp`) or bytes (`size`), or a
    `metric` by name: at least a number of decibels (`psnr=36`), an MS-SSIM (`ms_ssim=0.98`) or a SSIMULACRA2 score
    (`ssimulacra2=80`), or at most a Butteraugli distance (`butteraugli=1`). The file gets ICC profile, Exif and XMP
    unless `strip` is set. `stream_checks` let a reader find the damaged stream of a file (22 bytes for the student, by
    default if that is at most a thousandth of the file). `preview` adds a small picture that needs no network (about
    600 bytes, by default if that is at most a two-hundredth of the file). `effort` from 0 to 9 refines the picture
    before it is coded, for fewer bytes at equal fidelity; docs/effort.md has the cost and the gain of each level.
    Raises children of `FedsError`, of which TargetError names the nearest value that can be reached. Warns with one
    `NotKeptWarning` for each thing that is not kept (more than 8 bits, HDR, further frames, ...).
    """
    import numpy as np

    from . import fileformat, images
    from .codec.model import Model
    from .codec.settings import Encoding
    from .codec.single import encode_one
    from .codec.targets import FIDELITIES, only_target

    if unknown := [name for name in metric if name not in FIDELITIES]:
        raise TypeError(f"encode() has no argument {unknown[0]}; metrics are {', '.join(FIDELITIES)}")
    target = only_target({"bpp": bpp, "size": size, **metric}, quality)
    if isinstance(image, images.Picture):
        picture = image
    elif isinstance(image, np.ndarray):
        picture = images.from_array(image)
    else:
        source = bytes(image) if isinstance(image, bytearray | memoryview) else image
        picture = images.read_picture(source, max_pixels=max_pixels)
    if fault := fileformat.excess(picture.width, picture.height, max_pixels):  # of samples, which no reader has counted
        raise TooLargeError(f"the picture: {fault}")
    network = model if isinstance(model, Model) else load_model(model, device)
    how = Encoding(quality=quality, target=target, stream_checks=stream_checks, preview=preview, effort=effort)
    picture = images.stripped(picture) if strip else picture
    data = encode_one(picture, network, how).encoded.data
    for sentence in picture.warnings:
        warnings.warn(sentence, NotKeptWarning, stacklevel=2)
    return data


def decode(
    data: bytes | bytearray | memoryview | str | PathLike[str] | BinaryIO,
    *,
    model: str | PathLike[str] | Model | None = None,
    size: int | None = None,
    slices: int | None = None,
    crop: tuple[int, int, int, int] | None = None,
    device: str = "auto",
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
    best_effort: bool = False,
) -> Image.Image:
    """Decode a .feds file, given as bytes, path or open binary file; return a Pillow image: RGB or L, with alpha
    RGBA or LA.

    Its info has icc_profile, exif and xmp if the file has them; `numpy.asarray` gives its samples. `model`, a name, a
    path, or from `load_model`, saves finding the network that the file names (the latter also loading it; its own
    `device` then applies). `size` asks for a preview with this many pixels on its longer side, `slices` for one from
    this many first slices, `crop` for a part, given as Pillow's `crop` takes it: (left, upper, right, lower), in
    pixels, inside the picture. With `best_effort`, a damaged or cut file gives what its intact slices show, and a
    `DamageWarning`. Raises children of `FedsError`.
    """
    from . import images
    from .codec.model import Model, model_of_file
    from .codec.settings import Decoding
    from .codec.single import decode_one

    raw, name = _bytes_of(data)
    window = None if crop is None else images.Window.of_box(crop)
    how = Decoding(max_pixels=max_pixels, size=size, slices=slices, best_effort=best_effort, window=window)
    found = how.unpack(raw, name=name)
    wrote = found.header.fingerprint
    network = model if isinstance(model, Model) else model_of_file(wrote, model, device, name=name)
    picture = decode_one(found, network, how, name=name).picture
    if picture.warnings:
        warnings.warn(f"{name}: {'; '.join(picture.warnings)}", DamageWarning, stacklevel=2)
    return images.to_pil(picture)


def preview(data: bytes | bytearray | memoryview | str | PathLike[str] | BinaryIO) -> Image.Image | None:
    """The preview stored in a .feds file (at most 64x64 pixels, sRGB), or None if there is none.

    Loads no network. Raises FormatError for a damaged file; `decode(data, size=64)` always gives a preview.
    """
    from . import fileformat, images
    from .boxes import PREVIEW
    from .codec.beside import preview_of

    raw, name = _bytes_of(data)
    file = fileformat.unpack(raw, name=name, max_pixels=None)
    return images.to_pil(preview_of(file, name=name)) if PREVIEW in file.boxes else None


def _bytes_of(data: bytes | bytearray | memoryview | str | PathLike[str] | BinaryIO) -> tuple[bytes, str]:
    """The bytes of a file given in any of the allowed ways, and its name in messages."""
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data), "the file"
    path = Path(fsdecode(data)) if isinstance(data, str | PathLike) else None
    if path is None and not callable(getattr(data, "read", None)):
        raise FedsError(f"expected bytes, a path or an open binary file, found {type(data).__name__}")
    name = str(getattr(data, "name", "the file") if path is None else path)
    try:
        with path.open("rb") if path else nullcontext(data) as stream:
            return rest_of_feds(stream, name), name  # type: ignore[arg-type]
    except FedsError:
        raise
    except Exception as error:  # of a closed file, a path with a zero byte, or a reader of somebody's own
        raise FedsError(f"{name}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def load_model(name: str | PathLike[str] = DEFAULT_MODEL, device: str = "auto", backend: str = "auto") -> Model:
    """Load the network of a name (student, student-q3, student-msssim-q4.5) or of a weights file.

    `device` is "cpu", "cuda", or "auto": a GPU if there is one. `backend` is "onnx", "torch", or "auto", which
    $FEDS_BACKEND may set: ONNX Runtime on a CPU if the network allows it and torch is not loaded, else torch. Both give
    files with the same symbols. Its `encode` and `decode` work on `fedscodec.images.Picture`. Raises UnknownModelError
    or WeightsError.
    """
    from .codec import model

    return model.load_model(name, device, backend)
