"""Find the Pillow reader for a file, or say what a file is that no reader takes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, BinaryIO

from PIL import Image

from ...errors import ImageError, TooLargeError
from ...fileformat import excess
from . import bmff, tiff

NEVER_READ = ("EPS",)  # a program, which Pillow would give to Ghostscript to run
_HEAD = 2**16
_LIFTED: ContextVar[bool] = ContextVar("lifted", default=False)
_OTHERS = {
    b"\xff\x0a": "a JPEG XL picture", b"\0\0\0\x0cJXL ": "a JPEG XL picture", b"%PDF": "a PDF document",
    b"<svg": "an SVG drawing", b"<?xml": "an XML document", b"FUJIFILM": "a raw photograph of Fujifilm",
    b"BPG\xfb": "a BPG picture", b"v/1\x01": "an OpenEXR picture", b"#?RADIANCE": "a Radiance HDR picture",
    b"FEDS": "a .feds file that is damaged",
    b"%!PS": "a PostScript program (EPS), which is never run",
    b"\xc5\xd0\xd3\xc6": "a PostScript program (EPS), which is never run",
}  # fmt: skip
_BIG_ENDIAN = b"MM\0+"  # BigTIFF, of which Pillow looks for the first directory where there is none
RAW_TIFF = (b"II*\0\x10\0\0\0CR", b"IIRO", b"IIU\0")


def identify(stream: BinaryIO, max_pixels: int | None = None) -> Image.Image:
    """Open an image without loading it. Raises ImageError, which names what the file is, if Pillow has no reader for
    it.

    This is Image.open without its check of Image.MAX_IMAGE_PIXELS: that limit holds for the whole process, and neither
    it nor the filter of its warning can be changed for one thread alone.
    """
    prefix = stream.read(32)
    if not prefix:
        raise ImageError("expected a picture, found an empty file")
    if bmff.kind_of(prefix) in ("HEIC", "HEIF"):
        register_heif()
    if prefix.startswith(_BIG_ENDIAN):
        raise _unreadable(prefix, stream, max_pixels)
    tried = set(NEVER_READ)
    for load_plugins in (Image.preinit, Image.init):
        load_plugins()
        for kind in [kind for kind in Image.ID if kind not in tried]:
            tried.add(kind)
            factory, accept = Image.OPEN[kind]
            # The ways in which a plugin says "not mine", after its look at the prefix:
            with suppress(SyntaxError, IndexError, TypeError, struct.error):
                verdict = accept is None or accept(prefix[:16])
                if verdict and not isinstance(verdict, str):  # a string: this Pillow was built without it
                    stream.seek(0)
                    return factory(stream, "")
    stream.seek(0)
    raise _unreadable(stream.read(_HEAD), stream, max_pixels)


def _unreadable(head: bytes, stream: BinaryIO, max_pixels: int | None) -> ImageError | TooLargeError:
    kind = bmff.kind_of(head)
    if kind in ("HEIC", "HEIF"):
        found = f"found a {kind} picture: pip install pillow-heif, and it is read"
    elif kind == "AVIF":
        size = bmff.size_of(head)
        if size and (fault := excess(*size, max_pixels)):
            return TooLargeError(fault)
        of_size = f" of {size[0]}x{size[1]} pixels" if size else ""
        found = f"found an AVIF picture{of_size} that Pillow cannot read: it is damaged, or beyond its limits"
    elif head.startswith((b"II*\0", b"MM\0*")) and not head.startswith(RAW_TIFF):
        stream.seek(0)
        description = tiff.describe(head, stream.read())
        found = f"found {description or 'a damaged TIFF'}, which Pillow does not read: save it with 8 or 16 bits"
    elif head.startswith(tiff.BIG):
        found = "found a BigTIFF that Pillow does not read: save it as a plain TIFF with 8 or 16 bits"
    elif head.startswith(RAW_TIFF):
        found = "found a raw photograph: develop it first"
    elif head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        found = f"found a damaged {'PNG' if head[:1] == bytes([0x89]) else 'JPEG'}"
    else:
        other = next((name for start, name in _OTHERS.items() if head.startswith(start)), None)
        found = f"found {other}" if other else "found a file in no format that Pillow reads"
    return ImageError(f"expected a picture, {found}")


def register_heif() -> None:
    """Register Pillow's plugin for HEIC and HEIF, if it is installed."""
    if "HEIF" not in Image.OPEN:
        with suppress(ImportError):
            from pillow_heif import register_heif_opener

            register_heif_opener()


@contextmanager
def own_limit() -> Iterator[None]:
    """Turn off Pillow's own pixel limit in this thread; the caller has checked another limit."""
    _watch()
    token = _LIFTED.set(True)
    try:
        yield
    finally:
        _LIFTED.reset(token)


def _watch() -> None:
    # A dozen readers (ICO, ICNS, MPO, GIF, tiles of TIFF, ...) ask this function by themselves.
    check: Any = getattr(Image, "_decompression_bomb_check", None)
    if check is None or getattr(check, "of_feds", False):
        return

    def checked(*args: Any, **options: Any) -> None:
        if not _LIFTED.get():
            check(*args, **options)

    checked.of_feds = True  # type: ignore[attr-defined]
    Image._decompression_bomb_check = checked
