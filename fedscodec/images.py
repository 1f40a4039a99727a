"""Pictures on their way in and out: Pillow, numpy and torch (imported only where it is needed), and no codec.

Whatever Pillow reads becomes a `Picture`: 8-bit RGB as it is meant to be seen (turned by its orientation, put
on white where transparent), with ICC profile, Exif and XMP beside it, and a sentence for what was not kept.
Not noticed, as Pillow is silent on it: more than 8 bits a sample in colour AVIF, PPM and JPEG 2000.
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from .errors import FedsError, ImageError, OutputError, TooLargeError
from .fileformat import DEFAULT_MAX_PIXELS

if TYPE_CHECKING:
    import torch

_ORIENTATION, _XMP_IN_TIFF, _INTEROP = 0x0112, 0x02BC, 0xA005  # tags of TIFF and Exif
_DIRECTORIES = (0x8769, 0x8825)  # where Exif proper and GPS hang
# What a first directory says of the picture (makers, words, dates), and not of the strips of one file.
_DESCRIPTIVE = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x8298, *_DIRECTORIES)
_TURNS = {value: Image.Transpose(turn) for value, turn in enumerate((0, 3, 1, 5, 4, 6, 2), start=2)}
_EXIF_PREFIX = b"Exif\0\0"
_XMP_TURN = re.compile(rb'\s*tiff:Orientation="[0-9]"|<tiff:Orientation>[0-9]</tiff:Orientation>')
_GREY = ("1", "L", "LA", "La")
_NEVER_READ = ("EPS",)  # a program, which Pillow would give to Ghostscript to run

# On kodim19, PNG level 3 takes 57 ms for 680 kB, level 6 158 ms for 678 kB; AVIF 95 gives 44.4 dB in 0.35 s
# at speed 8, 44.5 dB in 1.03 s at 6. TIFF is uncompressed: else Pillow cannot write the directories of Exif.
_WRITERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 3}),
    ".jpg": ("JPEG", {"quality": 95, "subsampling": "4:4:4"}),
    ".webp": ("WEBP", {"lossless": True, "quality": 20, "method": 1}),
    ".tif": ("TIFF", {"compression": "raw"}),
    ".avif": ("AVIF", {"quality": 95, "subsampling": "4:4:4", "speed": 8}),
    ".bmp": ("BMP", {}),
    ".ppm": ("PPM", {}),
}
_ALIASES = {".jpeg": ".jpg", ".tiff": ".tif", ".pgm": ".ppm", ".pnm": ".ppm"}
WRITABLE_SUFFIXES = tuple(sorted((*_WRITERS, *_ALIASES)))


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture and what travels with it.

    `pixels` is uint8 [H, W, 3], 0..255. `grey`: the source had one channel, which `pixels` has three times.
    `exif` starts with its TIFF header (II or MM). `warnings` are sentences on what was not kept.
    """

    pixels: NDArray[np.uint8]
    grey: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    warnings: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        """Height in pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Width in pixels."""
        return int(self.pixels.shape[1])


def read_picture(
    source: str | Path | bytes | BinaryIO | Image.Image,
    *,
    name: str | None = None,
    max_pixels: int | None = DEFAULT_MAX_PIXELS,
) -> Picture:
    """The picture in a file, in bytes, in what is left of an open binary file, or in a Pillow image.

    Errors call it `name` (by default its path). Raises ImageError if there is no sound picture, and
    TooLargeError, before any pixel is decoded, if there are more than `max_pixels` (None: no limit).
    """
    name = name or str(source if isinstance(source, str | Path) else getattr(source, "name", "the picture"))
    try:
        if isinstance(source, Image.Image):
            return _take(source, max_pixels)
        if isinstance(source, str | Path):
            with Path(source).open("rb") as file:
                return _take(_identify(file), max_pixels)
        return _take(_identify(BytesIO(source if isinstance(source, bytes) else source.read())), max_pixels)
    except FedsError as error:
        raise type(error)(f"{name}: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooLargeError(f"{name}: expected a size within Pillow's limit, found: {error}") from error
    except Exception as error:  # Pillow's forty readers meet damage with anything, SyntaxError to zlib.error
        found = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(f"{name}: expected a sound picture, found: {found}") from error


def _identify(stream: BinaryIO) -> Image.Image:
    # This is Image.open without its check of Image.MAX_IMAGE_PIXELS: that limit holds for the whole process,
    # and neither it nor the filter of its warning can be changed for one thread alone.
    prefix = stream.read(16)
    if not prefix:
        raise ImageError("expected a picture, found an empty file")
    tried = set(_NEVER_READ)
    for load_plugins in (Image.preinit, Image.init):
        load_plugins()
        for kind in [kind for kind in Image.ID if kind not in tried]:
            tried.add(kind)
            factory, accept = Image.OPEN[kind]
            # The ways in which a plugin says "not mine", after its look at the prefix:
            with suppress(SyntaxError, IndexError, TypeError, struct.error):
                verdict = accept is None or accept(prefix)
                if verdict and not isinstance(verdict, str):  # a string: this Pillow was built without it
                    stream.seek(0)
                    return factory(stream, "")
    raise ImageError("expected a picture, found a file in no format that Pillow reads")


def _take(image: Image.Image, max_pixels: int | None) -> Picture:
    if 0 in image.size:
        raise ImageError(f"expected a picture of at least 1 x 1 pixel, found {image.width} x {image.height}")
    if max_pixels is not None and image.width * image.height > max_pixels:
        raise TooLargeError(f"expected at most {max_pixels} pixels, found {image.width} x {image.height}")
    notes = _frames_and_depth(image)
    image.load()
    exif, xmp, orientation = _exif_and_xmp(image, notes)
    icc = image.info.get("icc_profile") or b""
    stays_true = image.mode not in ("CMYK", "LAB") and icc[16:20] in (b"RGB ", b"GRAY")
    flat = _flattened(image, notes)
    flat = flat.transpose(_TURNS[orientation]) if orientation in _TURNS else flat
    pixels = np.array(flat.convert("RGB") if flat.mode == "L" else flat)  # a copy, to which torch can write
    return Picture(pixels, flat.mode == "L", icc if stays_true else None, exif, xmp, tuple(notes))


def _frames_and_depth(image: Image.Image) -> list[str]:
    notes, frames = [], getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "PSD":  # whose frames are layers, and all are in what is read
        notes.append(f"Only frame {image.tell() + 1} of {frames} was read.")
    # The depth of the samples in the file is told by the raw mode of its tiles, until they are decoded.
    if image.mode in ("RGB", "RGBA") and any(";16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        notes.append("16-bit colour was reduced to 8 bits.")
    return notes


def _flattened(image: Image.Image, notes: list[str]) -> Image.Image:
    # To mode L or RGB.
    if image.mode == "F" or image.mode.startswith("I"):
        return _deep_grey_to_8_bits(image, notes)
    if image.mode == "CMYK":
        return _cmyk_to_srgb(image, notes)
    if image.mode == "LAB":
        notes.append("Lab was converted to sRGB.")
    if image.has_transparency_data:
        return _over_white(image, notes)
    mode = "L" if image.mode in _GREY else "RGB"
    return image if image.mode == mode else image.convert(mode)  # which would copy, mode or no mode


def _over_white(image: Image.Image, notes: list[str]) -> Image.Image:
    straight = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    if straight.getchannel("A").getextrema() != (255, 255):  # else there is nothing to lose
        notes.append("Transparency was not kept: the picture was put on white.")
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(straight, mask=straight)
    return canvas.getchannel("R") if image.mode in _GREY else canvas


def _deep_grey_to_8_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    values, white = np.asarray(image), 1 if image.mode == "F" else 65535  # the others are I;16 and I
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= white):  # in this order, as NaN passes no comparison
        raise ImageError(f"expected samples from 0 to {white} in mode {image.mode}, found {low} to {high}")
    depth = "Floating-point" if white == 1 else "16-bit"
    lost = " and its transparency was not kept" if image.has_transparency_data else ""
    notes.append(f"{depth} grey was reduced to 8 bits{lost}.")
    return Image.fromarray(np.floor(values * (255 / white) + 0.5).astype(np.uint8))


def _cmyk_to_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    with suppress(Exception):  # no profile, a damaged one, one for other channels, a Pillow without ImageCms
        from PIL import ImageCms

        inks = ImageCms.ImageCmsProfile(BytesIO(image.info.get("icc_profile") or b""))
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.buildTransform(inks, srgb, "CMYK", "RGB").apply(image)
        notes.append("CMYK was converted to sRGB.")
        return converted
    notes.append("CMYK was converted to RGB without a profile.")
    return image.convert("RGB")


def _exif_and_xmp(image: Image.Image, notes: list[str]) -> tuple[bytes | None, bytes | None, int]:
    # What is kept, and the orientation, of which what is kept no longer tells.
    xmp, orientation = image.info.get("xmp") or None, 1
    try:
        orientation, exif = image.getexif().get(_ORIENTATION, 1), _exif_bytes(image)
        if orientation != 1:  # 0 and nonsense too, as writers trip over them
            exif = exif and _without_orientation(exif)
    except Exception:  # a damaged block makes Pillow's parser raise nearly anything; the pixels are sound
        exif = None
        notes.append("Exif was damaged and was not kept.")
    return exif, _XMP_TURN.sub(b"", xmp) if xmp and orientation in _TURNS else xmp, orientation


def _exif_bytes(image: Image.Image) -> bytes | None:
    raw = re.sub(rb"^(Exif\0\0)+", b"", image.info.get("exif") or b"")  # some cameras write it twice
    Image.Exif().load(raw)  # raises if it is damaged, while getexif does so only when it is first called
    # TIFF has its Exif among its own tags; old PNG files have it in a text chunk that Pillow takes apart.
    described = None if raw else _described(image.getexif())
    return described.tobytes().removeprefix(_EXIF_PREFIX) if described else raw or None


def _described(exif: Image.Exif) -> Image.Exif:
    kept = Image.Exif()
    for tag in (tag for tag in _DESCRIPTIVE if tag in exif):
        kept[tag] = exif[tag]
        if tag in _DIRECTORIES:  # of Interop there is only an offset in it, which would point nowhere
            kept[tag] = {key: value for key, value in exif.get_ifd(tag).items() if key != _INTEROP}
    return kept


def _without_orientation(exif: bytes) -> bytes | None:
    # In place, so that every offset stays true: Exif.tobytes moves maker notes, which hold absolute ones.
    # The link to the second directory is cut: that is a thumbnail, which was not turned.
    order = {b"II": "<", b"MM": ">"}[exif[:2]]
    start = struct.unpack_from(f"{order}I", exif, 4)[0]
    count = struct.unpack_from(f"{order}H", exif, start)[0]
    end = start + 2 + 12 * count
    entries = [exif[at : at + 12] for at in range(start + 2, end, 12)]
    kept = [entry for entry in entries if struct.unpack_from(f"{order}H", entry)[0] != _ORIENTATION]
    table = struct.pack(f"{order}H", len(kept)) + b"".join(kept)
    return exif[:start] + table.ljust(end + 4 - start, b"\0") + exif[end + 4 :] if kept else None


def to_pil(picture: Picture) -> Image.Image:
    """A Pillow image of mode L (grey) or RGB; in its info is what there is of icc_profile, exif and xmp."""
    image = Image.fromarray(picture.pixels[:, :, 0] if picture.grey else picture.pixels)
    exif = picture.exif and _EXIF_PREFIX + picture.exif
    beside = (("icc_profile", picture.icc), ("exif", exif), ("xmp", picture.xmp))
    image.info.update((key, value) for key, value in beside if value)
    return image


def encode_picture(picture: Picture, format: str = "png", *, name: str = "the picture") -> bytes:
    """The bytes of a file whose suffix would be `format`: one of WRITABLE_SUFFIXES, with or without the dot.

    ICC, Exif and XMP go along, but not into BMP and PPM. JPEG and AVIF lose a little. Raises OutputError,
    about `name`, for an unknown format and for a picture that the format cannot hold.
    """
    suffix = f".{format.lower().removeprefix('.')}"
    if suffix not in WRITABLE_SUFFIXES:
        raise OutputError(f"{name}: expected a suffix among {' '.join(WRITABLE_SUFFIXES)}, found {suffix}")
    kind, options = _WRITERS[_ALIASES.get(suffix, suffix)]
    image, buffer = to_pil(picture), BytesIO()
    try:
        image.save(buffer, kind, **options, **_beside(image, kind))
    except Exception as error:  # each of Pillow's writers has its own way to say no
        raise OutputError(f"{name}: expected a picture that {kind} can hold, found: {error}") from error
    return buffer.getvalue()


def _beside(image: Image.Image, kind: str) -> dict[str, Any]:
    # ICC, Exif and XMP as each of Pillow's writers wants to be told of them.
    if kind in ("BMP", "PPM"):
        return {}
    told: dict[str, Any] = {str(key): value for key, value in image.info.items()}
    if kind == "PNG" and "xmp" in told:
        told["pnginfo"] = PngImagePlugin.PngInfo()
        told["pnginfo"].add_itxt("XML:com.adobe.xmp", told["xmp"].decode("utf-8", "replace"))
    if kind == "TIFF":
        tags = Image.Exif()
        tags.load(told.get("exif", b""))
        kept = _described(tags)  # the rest speaks of the strips of another file
        kept.update({_XMP_IN_TIFF: told["xmp"]} if "xmp" in told else {})
        told["exif"] = kept.tobytes()
    return told


def write_picture(picture: Picture, destination: str | Path | BinaryIO, format: str | None = None) -> None:
    """Write a picture to a path or an open binary file; its suffix is the default of `format`, or else PNG.

    No file is opened before its bytes are there. Raises OutputError if `encode_picture` does, or if the
    destination cannot be written.
    """
    name = str(destination if isinstance(destination, str | Path) else getattr(destination, "name", "output"))
    data = encode_picture(picture, format or Path(name).suffix or "png", name=name)
    try:
        if isinstance(destination, str | Path):
            Path(destination).write_bytes(data)
        else:
            destination.write(data)
    except OSError as error:
        raise OutputError(f"{name}: expected a place to write, found: {error.strerror or error}") from error


def from_array(array: NDArray[np.uint8]) -> Picture:
    """A picture of uint8 samples [H, W, 3], not copied, or [H, W], which is grey; ImageError for others."""
    shape, dtype = np.shape(array), getattr(array, "dtype", type(array).__name__)
    if not isinstance(array, np.ndarray) or dtype != np.uint8:
        hint = "; floats in 0..1 become uint8 by np.floor(array * 255 + 0.5)" if "float" in str(dtype) else ""
        raise ImageError(f"the array: expected a numpy array of uint8, found {dtype}{hint}")
    if 0 in shape or len(shape) not in (2, 3) or shape[2:] not in ((), (3,)):
        raise ImageError(f"the array: expected shape [H, W, 3] or [H, W], no side 0, found {list(shape)}")
    return Picture(array if len(shape) == 3 else np.repeat(array[:, :, None], 3, axis=2), len(shape) == 2)


def to_tensor(picture: Picture) -> torch.Tensor:
    """The pixels as float32 [1, 3, H, W] in 0..1, contiguous, on the CPU."""
    import torch

    pixels = torch.from_numpy(np.require(picture.pixels, requirements=["C", "W"]))  # copied only if need be
    return pixels.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def from_tensor(x: torch.Tensor, *, grey: bool = False) -> NDArray[np.uint8]:
    """Samples uint8 [H, W, 3] of a float tensor [1, 3, H, W] in 0..1: clamped, then halves rounded up.

    `grey` puts the mean of the three channels into each. Raises ImageError for another shape, and for NaN.
    """
    import torch

    if x.ndim != 4 or x.shape[:2] != (1, 3):
        raise ImageError(f"the tensor: expected shape [1, 3, H, W], found {list(x.shape)}")
    values = x.detach()[0].to(torch.float32)
    values = values.mean(dim=0, keepdim=True) if grey else values
    if torch.isnan(values).any():
        raise ImageError("the tensor: expected numbers, found NaN")
    levels = values.clamp(0, 1).mul_(255).add_(0.5).floor_().to(torch.uint8)
    return levels.expand(3, -1, -1).permute(1, 2, 0).contiguous().cpu().numpy()


def pad(x: torch.Tensor, multiple: int = 64) -> torch.Tensor:
    """[B, C, H, W] with its last row and column repeated until both sides are multiples of `multiple`."""
    from torch.nn.functional import pad as extend

    return extend(x, (0, -x.shape[-1] % multiple, 0, -x.shape[-2] % multiple), mode="replicate")


def crop(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The upper left `height` x `width` of [B, C, H, W], a view: what `pad` added is gone."""
    return x[..., :height, :width]
