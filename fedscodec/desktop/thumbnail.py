"""Make the thumbnail of a .feds file for a file manager: `feds-thumbnail IN OUT.png SIZE`.

The preview stored in the file is enough and takes a tenth of a second. Heavy packages are imported only if there is no
preview; such files are small, and are decoded.
"""

from __future__ import annotations

import struct
import sys
import zlib
from io import BytesIO

from ..boxes import PREVIEW, preview_size
from ..errors import FedsError, TooLargeError
from ..fileformat import DEFAULT_MAX_PIXELS, FedsFile, excess, unpack

_USAGE = "usage: feds-thumbnail IN.feds OUT.png [SIZE]"
_SIZE = 256  # pixels, where nothing is said


def main() -> int:
    """Write the thumbnail for the arguments of this process; print one sentence and return 1 on failure."""
    try:
        source, target, size = sys.argv[1], sys.argv[2], int((sys.argv[3:] or [str(_SIZE)])[0])
        if len(sys.argv) > 4 or size < 1:
            raise ValueError
    except (IndexError, ValueError):
        print(_USAGE, file=sys.stderr)
        return 2
    try:
        with open(source, "rb") as stream:
            made = thumbnail(stream.read(), size, name=source)
        with open(target, "wb") as out:  # a new name that the file manager has chosen
            out.write(made)
    except (FedsError, OSError) as error:
        print(f"feds-thumbnail: {error}", file=sys.stderr)
        return 1
    return 0


def thumbnail(data: bytes, size: int, *, name: str = "the file") -> bytes:
    """A PNG of a .feds file with a longer side of at most `size` pixels. Raises FedsError for a damaged file."""
    file = unpack(data, name=name, max_pixels=None)
    payload = file.boxes.get(PREVIEW, b"")
    if (claimed := preview_size(payload)) is None:
        return _decoded(file, size, name)
    from PIL.WebPImagePlugin import WebPImageFile

    try:
        image = WebPImageFile(BytesIO(payload))  # and not Image.open, which loads all that Pillow reads
        if image.size != claimed:
            raise ValueError(f"{image.width}x{image.height} pixels where {claimed[0]}x{claimed[1]} are promised")
        image.thumbnail((size, size))
        return _png(*image.size, image.convert("RGBA").tobytes())
    except Exception as error:  # each of Pillow's readers has its own way to say no
        raise FedsError(f"{name}: the preview is damaged ({error})") from error


def _decoded(file: FedsFile, size: int, name: str) -> bytes:
    from ..codec.model import model_by_fingerprint
    from ..codec.previews import decode_preview
    from ..images import picture_bytes, stripped

    if fault := excess(file.header.width, file.header.height, DEFAULT_MAX_PIXELS):
        raise TooLargeError(f"{name}: {fault}")
    model = model_by_fingerprint(file.header.fingerprint, "cpu", name=name)
    return picture_bytes(stripped(decode_preview(file, model, size=size).picture), "png")


def _png(width: int, height: int, samples: bytes) -> bytes:
    """A PNG of samples R, G, B, A, row by row. Pillow would load three more formats, a fifth of the time."""
    rows = b"".join(b"\0" + samples[at : at + 4 * width] for at in range(0, len(samples), 4 * width))
    head = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    parts = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


if __name__ == "__main__":
    sys.exit(main())
