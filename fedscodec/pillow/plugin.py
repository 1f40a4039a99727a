"""`.feds` in Pillow: `Image.open("x.feds")`, `im.save("x.feds", model="student-q4")`.

`import fedscodec` registers the format, at once or as soon as Pillow is imported (see `pillow.hook`). Pillow loads this
module with the first .feds file, and numpy and torch with the first pixels.

Opening reads the header, and the rest only if the file has boxes (icc_profile, exif and xmp are then in `info`, as are
`quality` and the `fingerprint` of the network). `load` decodes the pixels on the device in FEDS_DEVICE (auto, cpu,
cuda); `thumbnail` decodes a preview. Pillow checks MAX_IMAGE_PIXELS in between. A fault in a file is an OSError at the
latest when it is loaded, as with Pillow's own formats. With ImageFile.LOAD_TRUNCATED_IMAGES a damaged or cut file shows
what is intact, with a DamageWarning.

Options of `save`: model (a name, a weights file, or the result of `fedscodec.load_model`), quality or one of bpp, size,
psnr, ms_ssim, ssimulacra2 and butteraugli, stream_checks, preview and effort (see `fedscodec.encode`), device;
icc_profile, exif and xmp replace those of the image, b"" drops them. `register_feds_opener` sets their defaults. `save`
turns the picture as its Exif says, and reports everything that is not kept (more than 8 bits, HDR, further frames of
save_all, ...) with a NotKeptWarning.
"""

from __future__ import annotations

import functools
import math
import os
import warnings
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from PIL import Image, ImageFile

from .. import registry
from ..codec.devices import asked_device
from ..codec.settings import Decoding, Encoding
from ..codec.targets import FIDELITIES, SIZES, only_target
from ..errors import DamageWarning, FedsError, FormatError, NotKeptWarning
from ..fileformat import HEADER_BYTES_AT_MOST, read_header, unpack

if TYPE_CHECKING:
    from ..codec.model import Model

_LAYOUT, _BOXES_FOLLOW = 5, 0x80  # see the table in fileformat
_MODELS_KEPT = 2
_TARGETS = (*SIZES, *FIDELITIES)
_HOW_GOOD = ("quality", *_TARGETS)


class FedsImageFile(ImageFile.ImageFile):
    """A .feds file as a Pillow image of mode RGB or L, with alpha RGBA or LA."""

    format = "FEDS"
    format_description = "feds, a learned image codec"
    _preview: int | None = None

    def _open(self) -> None:
        stream = self._stream()
        self._start = stream.tell()
        data = stream.read(HEADER_BYTES_AT_MOST)
        try:
            header = read_header(data)
        except FormatError as error:
            raise SyntaxError(str(error)) from error
        self._size, self._mode = (header.width, header.height), "L" if header.grey else "RGB"
        self.info.update(quality=header.quality / 1000, fingerprint=header.fingerprint.hex())
        if data[_LAYOUT] & _BOXES_FOLLOW:
            self._read_boxes(data + stream.read())
        self.tile = [ImageFile._Tile("feds", (0, 0, *self.size), 0, self.mode)]

    def _read_boxes(self, data: bytes) -> None:
        try:
            boxes = unpack(data, max_pixels=None).boxes
        except FormatError:
            return  # for load to tell: pictures that are cut short can be opened in Pillow
        from ..images import is_for_colour, srgb_profile

        icc = srgb_profile() if b"srgb" in boxes else boxes.get(b"ICCP")
        exif = boxes.get(b"EXIF") and b"Exif\0\0" + boxes[b"EXIF"]
        beside = {"icc_profile": icc, "exif": exif, "xmp": boxes.get(b"XMP ")}
        self.info.update((key, value) for key, value in beside.items() if value)
        if icc and is_for_colour(icc):
            self._mode = "RGB"  # grey too, as the profile would not fit else
        if b"ALPH" in boxes:
            self._mode = f"{self._mode}A"

    def _stream(self) -> IO[bytes]:
        if self.fp is None:
            raise ValueError("Operation on closed image")
        return self.fp

    @property
    def _name(self) -> str:
        return os.fsdecode(self.filename) or "the file"

    def _data(self) -> bytes:
        stream = self._stream()
        stream.seek(self._start)
        return stream.read()

    def draft(self, mode: str | None, size: tuple[int, int] | None) -> tuple[str, tuple[int, int, float, float]] | None:
        """Let `load` make a preview that is at least as large as size, which is what Image.thumbnail asks for."""
        if not self.tile or size is None or min(size) < 1 or ImageFile.LOAD_TRUNCATED_IMAGES:
            return None  # what is left of a damaged file is decoded whole
        from ..codec.previews import preview_size

        scale = min(self.width / size[0], self.height / size[1])
        if scale <= 1:
            return None
        whole, self._preview = self.size, math.ceil(max(self.size) / scale)
        self._size = preview_size(*whole, self._preview)
        self.tile = [ImageFile._Tile("feds", (0, 0, *self.size), 0, self.mode)]
        return self.mode, (0, 0, float(self.width), float(self.height))

    def load_seek(self, pos: int) -> None:
        """Never called; it exists so that Pillow's Parser waits for the whole file."""

    def verify(self) -> None:
        """Check the file without decoding its streams. Raises OSError if it is damaged."""
        try:
            unpack(self._data(), name=self._name, max_pixels=None)
        except FedsError as error:
            raise OSError(str(error)) from error
        super().verify()

    def load(self) -> Any:
        """Decode the pixels once. Raises OSError if the file is damaged or its network is not installed."""
        if self.tile:
            truncated = ImageFile.LOAD_TRUNCATED_IMAGES and self._preview is None
            how = Decoding(max_pixels=None, size=self._preview, best_effort=truncated)
            try:
                image = _decode(self._data(), how, self._name)
            except FedsError as error:
                raise OSError(str(error)) from error
            self.im, self._mode, self.tile = image.im, image.mode, []
            if self._exclusive_fp:
                self._stream().close()
            self.fp = None
        return super().load()


def _decode(data: bytes, how: Decoding, name: str) -> Image.Image:
    from ..codec.single import decode_one
    from ..images import to_pil

    found = how.unpack(data, name=name)
    picture = decode_one(found, _reader(found.header.fingerprint, asked_device()), how, name=name).picture
    if picture.warnings:
        warnings.warn(f"{name}: {'; '.join(picture.warnings)}", DamageWarning, stacklevel=3)
    return to_pil(picture)


def save(image: Image.Image, stream: IO[bytes], filename: str | bytes, defaults: Mapping[str, Any]) -> None:
    """Encode an image into a stream, by its encoderinfo and else the defaults. Raises OSError on failure."""
    from ..codec.model import Model
    from ..codec.single import encode_one
    from ..images import read_picture

    options = _with_defaults(image.encoderinfo, defaults)
    model = options.get("model") or registry.DEFAULT_MODEL
    beside: dict[str, bytes] = {key: _bytes(options[key]) for key in ("icc_profile", "exif", "xmp") if key in options}
    try:
        target = only_target({key: options.get(key) for key in _TARGETS}, options.get("quality"))
        name = os.fsdecode(filename) or "the picture"
        picture = read_picture(image, name=name, max_pixels=None, beside=beside)
        network = model if isinstance(model, Model) else _writer(model, options.get("device") or asked_device())
        how = Encoding(
            quality=options.get("quality"),
            target=target,
            stream_checks=options.get("stream_checks"),
            preview=options.get("preview"),
            effort=options.get("effort") or 0,
        )
        data = encode_one(picture, network, how).encoded.data
    except FedsError as error:
        raise OSError(str(error)) from error
    others = len(list(options.get("append_images") or ()))
    frames = (f"A .feds file holds one picture: {others} more were not kept.",) if others else ()
    for sentence in (*picture.warnings, *frames):
        warnings.warn(sentence, NotKeptWarning, stacklevel=4)  # of whoever called Image.save
    stream.write(data)


def _with_defaults(options: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `save`, and the defaults for the rest; a single target is enough."""
    asked = any(options.get(key) is not None for key in _HOW_GOOD)
    return {k: v for k, v in defaults.items() if not (asked and k in _HOW_GOOD)} | dict(options)


def _bytes(value: Any) -> bytes:
    if isinstance(value, Image.Exif):
        return value.tobytes()
    return value.encode() if isinstance(value, str) else bytes(value or b"")


@functools.lru_cache(_MODELS_KEPT)
def _reader(fingerprint: bytes, device: str) -> Model:
    from ..codec.model import model_by_fingerprint

    return model_by_fingerprint(fingerprint, device)


def _writer(name: str, device: str) -> Model:
    """The network of a name or path, loaded again if its file is another now: retrained, or of another folder."""
    path = registry.resolve(name).path
    found = path.stat()
    return _loaded(name, device, (str(path.absolute()), found.st_size, found.st_mtime_ns))


@functools.lru_cache(_MODELS_KEPT)
def _loaded(name: str, device: str, stamp: tuple[str, int, int]) -> Model:
    from ..codec.model import load_model

    return load_model(name, device)
