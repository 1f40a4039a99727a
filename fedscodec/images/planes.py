"""Store the alpha plane in an ALPH box, or all pixels in a PIXL box, and read untrusted ones back.

A payload is one of two files, with no other chunk in it and nothing behind it:

    PNG     the signature, IHDR (8-bit grey, of colours 8-bit RGB; not interlaced), IDAT once or more in a row, IEND;
            all checks fit, and what is deflated is exactly height x (1 + width x channels) bytes
    WebP    "RIFF", length, "WEBP", one chunk "VP8L" without alpha; of grey, red, green and blue are the same

All this but the last is looked at before Pillow sees a byte: it would read much else, show what is missing as black,
inflate what stands beside the picture, and ask for memory by sizes that it is told.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from ..errors import FormatError
from ..fileformat import DEFAULT_MAX_PIXELS

WEBP_SIDE_AT_MOST = 16383
_PNG, _RIFF = b"\x89PNG\r\n\x1a\n", b"RIFF"
_GREY_8, _RGB_8 = (8, 0, 0, 0, 0), (8, 2, 0, 0, 0)  # depth, colour type, compression, filter method, interlace
_HIGHEST_FILTER = 4
_VP8L_SIGNATURE, _VP8L_AT = 0x2F, 20
_PIECE = 2**20


class _PayloadError(Exception):
    """What a payload should hold, and what was found."""


def pack_alpha(alpha: NDArray[np.uint8]) -> bytes:
    """The plane [H, W] as PNG or lossless WebP, whichever is smaller; PNG if Pillow might not read the WebP."""
    return _packed(alpha)


def pack_pixels(pixels: NDArray[np.uint8], *, grey: bool) -> bytes:
    """All pixels [H, W, 3] in the same way; one channel for grey."""
    return _packed(np.ascontiguousarray(pixels[:, :, 0]) if grey else pixels)


def unpack_alpha(payload: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """The plane uint8 [H, W] in a payload. Raises FormatError, before decoding, for another size or kind."""
    try:
        return _unpacked(payload, width, height, grey=True)
    except _PayloadError as fault:
        raise FormatError(f"the ALPH box should hold {fault}") from fault


def unpack_pixels(payload: bytes, width: int, height: int, *, grey: bool) -> NDArray[np.uint8]:
    """The pixels uint8 [H, W, 3] in a payload. Raises FormatError in the same way."""
    try:
        found = _unpacked(payload, width, height, grey=grey)
    except _PayloadError as fault:
        raise FormatError(f"the PIXL box should hold {fault}") from fault
    return np.repeat(found[:, :, None], 3, axis=2) if grey else found


def _packed(samples: NDArray[np.uint8]) -> bytes:
    image, files = Image.fromarray(samples), []
    webp = max(image.size) <= WEBP_SIDE_AT_MOST and image.width * image.height <= DEFAULT_MAX_PIXELS
    for kind, options in (("PNG", {"optimize": True}), ("WEBP", {"lossless": True, "quality": 100})):
        if kind == "PNG" or webp:
            buffer = BytesIO()
            image.save(buffer, kind, **options)
            files.append(buffer.getvalue())
    return min(files, key=len)


def _unpacked(payload: bytes, width: int, height: int, *, grey: bool) -> NDArray[np.uint8]:
    reader: type[PngImageFile | WebPImageFile]
    if payload.startswith(_PNG):
        _require_png(payload, width, height, grey)
        kind, reader = "PNG", PngImageFile
    elif payload.startswith(_RIFF):
        _require_webp(payload, width, height)
        kind, reader = "WebP", WebPImageFile
    else:
        found = f"the bytes {payload[:4].hex()}" if payload else "nothing"
        raise _fault(f"a PNG or WebP, found {found}")
    try:
        # Not Image.open: its limit on pixels holds for the whole process, and here the header's is in force.
        with reader(BytesIO(payload), "") as image:
            plane = np.array(image if grey else image.convert("RGB"))
    except MemoryError:
        raise
    except Exception as error:  # a reader meets damage with nearly anything
        raise _unsound(kind, "pixels that cannot be decoded") from error
    if grey and plane.ndim == 3:
        red = plane[..., 0].copy()
        if not all(np.array_equal(red, plane[..., k]) for k in range(1, plane.shape[2])):
            raise _fault("grey, found colours")
        plane = red
    return plane


def _require_png(payload: bytes, width: int, height: int, grey: bool) -> None:
    chunks = _png_chunks(payload)
    kind, head = next(chunks)
    if kind != b"IHDR" or len(head) != 13:
        raise _unsound("PNG", f"the chunk {kind!r} of {len(head)} bytes where IHDR should be")
    found_width, found_height, *layout = struct.unpack(">IIBBBBB", head)
    _require_size((found_width, found_height), width, height)
    if tuple(layout) != (_GREY_8 if grey else _RGB_8):
        depth, colour, *_, interlace = layout
        found = f"{depth} bits of colour type {colour}{', interlaced' if interlace else ''}"
        wanted = "8-bit grey (colour type 0)" if grey else "8-bit RGB (colour type 2)"
        raise _fault(f"{wanted}, not interlaced, found {found}")
    deflated = []
    for kind, body in chunks:
        if kind == b"IEND" and not body:
            break
        if kind != b"IDAT":
            raise _fault(f"a PNG of pixels alone, found the chunk {kind!r}")
        deflated.append(body)
    _require_rows(b"".join(deflated), width if grey else 3 * width, height)


def _png_chunks(payload: bytes) -> Iterator[tuple[bytes, bytes]]:
    # Types and bodies, up to IEND, which must be the end. A body is a slice: no chunk costs more than it has.
    at, kind = len(_PNG), b""
    while kind != b"IEND":
        length, kind = int.from_bytes(payload[at : at + 4], "big"), payload[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(payload):
            raise _unsound("PNG", f"its end after {len(payload)} bytes, inside a chunk")
        if zlib.crc32(payload[at + 4 : end]) != int.from_bytes(payload[end : end + 4], "big"):
            raise _unsound("PNG", f"a wrong checksum in the chunk {kind!r}")
        at = end + 4
        if kind == b"IEND" and at != len(payload):
            raise _unsound("PNG", f"{len(payload) - at} bytes after it")
        yield kind, payload[end - length : end]


def _require_rows(stream: bytes, width: int, height: int) -> None:
    """Raise FormatError unless a zlib stream is exactly the filtered rows; inflates in pieces and keeps none."""
    coder, row, total = zlib.decompressobj(), width + 1, 0
    with suppress(zlib.error):  # whose words are not the same everywhere
        while not coder.eof and total <= row * height:
            piece = coder.decompress(stream, _PIECE)
            if not piece and not coder.eof:
                break
            if max(piece[-total % row :: row], default=0) > _HIGHEST_FILTER:
                raise _unsound("PNG", "a row with an unknown filter")
            stream, total = coder.unconsumed_tail, total + len(piece)
    if not coder.eof or total != row * height or coder.unused_data:
        raise _unsound("PNG", f"pixels that do not inflate to exactly {row * height} bytes")


def _require_webp(payload: bytes, width: int, height: int) -> None:
    if payload[8:16] != b"WEBPVP8L":
        raise _fault(f"a WebP of one VP8L chunk, found {payload[8:16]!r}")
    body = payload[_VP8L_AT:]
    riff, chunk = (int.from_bytes(payload[at : at + 4], "little") for at in (4, 16))
    if riff != len(payload) - 8 or chunk + chunk % 2 != len(body) or len(body) < 5:
        raise _unsound("WebP", f"{len(body)} bytes of pixels, where RIFF says {riff - 12} and VP8L {chunk}")
    bits = int.from_bytes(body[1:5], "little")
    _require_size((1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)), width, height)
    if body[0] != _VP8L_SIGNATURE or bits >> 28:
        raise _fault(f"a WebP of version 0 without alpha, found a head of {body[:5].hex()}")


def _require_size(found: tuple[int, int], width: int, height: int) -> None:
    if found != (width, height):
        raise _fault(f"{width}x{height} pixels, found {found[0]}x{found[1]}")


def _fault(text: str) -> _PayloadError:
    return _PayloadError(text)


def _unsound(kind: str, found: str) -> _PayloadError:
    return _fault(f"a valid {kind}, found: {found}")
