"""Store pictures that are not photographs without loss, if that takes hardly more bytes than the streams would.

Networks are made for photographs. They code flat colours, text and patterns of single pixels badly and at great cost.
So a picture that looks drawn, or is thinner than the network sees, is also packed as a lossless file (the PIXL box),
which is used if it is at most 64 bytes larger. Photographs are not tried, because their lossless file would be ten
times as large.

Some pictures, such as noise, are neither small as a lossless file nor coded well by a network. If a decoder will show a
picture worse than one flat colour would be, feds says so.
"""

from __future__ import annotations

import numpy as np

from .. import fileformat
from ..boxes import PIXELS
from ..errors import FormatError
from ..fileformat import FedsFile
from ..images import Picture, pack_pixels, pack_thumbnail, unpack_pixels
from ..metrics.psnr import psnr
from .beside import add_preview, boxes_of, with_boxes
from .model import Model
from .outcomes import Encoded
from .settings import Encoding

LITTLE = 64
"""How many bytes a lossless file may be larger than one of the network: an icon should not change its colour for
them.
"""
_THIN = 16  # pixels of a side, below which most of what the network sees is padding
_ROWS = 64  # looked at
_SAME = 0.3  # of all pixels, those that are as their neighbour, from where on a picture looks drawn
_FEW_COLOURS = 64
_FINE = 30.0  # dB, from where on nobody is warned
_ROUGH = 0.5  # of the squares of differences of neighbours to twice the variance; of photographs about 0.05


def looks_drawn(picture: Picture) -> bool:
    """Whether a lossless file may be small: many pixels equal their neighbours, few colours, or a short side."""
    if min(picture.width, picture.height) < _THIN:
        return True
    rows = picture.pixels[:: max(picture.height // _ROWS, 1)]
    same = (rows[:, 1:] == rows[:, :-1]).all(axis=2).mean()
    if same > _SAME:
        return True
    packed = rows.reshape(-1, 3).astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    ordered = np.sort(packed)  # np.unique would load masked arrays, a hundredth of a second
    return bool(np.count_nonzero(ordered[1:] != ordered[:-1]) < _FEW_COLOURS)


def is_rough(picture: Picture) -> bool:
    """Whether neighbours differ so much that a network may fail on the whole picture."""
    if min(picture.width, picture.height) < 2:
        return False
    rows = picture.pixels[:: max(picture.height // _ROWS, 1)].astype(np.float32)
    spread = float(rows.var(axis=(0, 1)).sum())
    return spread > 0 and float(np.square(np.diff(rows, axis=1)).mean(axis=(0, 1)).sum()) > _ROUGH * 2 * spread


def encode_exactly(picture: Picture, model: Model, how: Encoding, quality: float) -> Encoded:
    """A file that holds the pixels themselves; quality is what its header says."""
    file = fileformat.assemble(
        fingerprint=model.fingerprint,
        quality=round(1000 * quality),
        width=picture.width,
        height=picture.height,
        grey=picture.grey,
        streams=[b""] * (1 + model.spec.streams),
        symbols=[],
        boxes=boxes_of(picture) | {PIXELS: pack_pixels(picture.pixels, grey=picture.grey)},
        stream_checks=how.stream_checks,
    )
    add_preview(file, lambda: pack_thumbnail(picture), how.preview)
    return Encoded(fileformat.pack(file), {}, 0.0, [], np.empty(0))


def is_exact(encoded: Encoded) -> bool:
    """Whether a file holds the pixels themselves."""
    return not encoded.symbols


def exact_picture(file: FedsFile) -> Picture | None:
    """The picture of a file that holds its pixels, None for other files. Raises FormatError if it is damaged."""
    if PIXELS not in file.boxes:
        return None
    header = file.header
    if any(file.streams):
        raise FormatError("has a PIXL box, expected empty streams")
    if fileformat.symbol_checksum(header, []) != header.checksum:
        raise FormatError("the checksum of its symbols is wrong: the file is damaged")
    pixels = unpack_pixels(file.boxes[PIXELS], header.width, header.height, grey=header.grey)
    return with_boxes(Picture(pixels, header.grey), file)


def worse_than_flat(original: Picture, shown: Picture) -> str:
    """A sentence if a picture is further from the original than one flat colour is; else an empty string."""
    mean = original.pixels.reshape(-1, 3).mean(axis=0)
    flat = np.broadcast_to(np.floor(mean + 0.5).astype(np.uint8), original.pixels.shape)
    reached, plain = psnr(original.pixels, shown.pixels), psnr(original.pixels, flat)
    if reached >= min(plain, _FINE):
        return ""
    return (
        f"is shown worse ({reached:.1f} dB) than one flat colour would be ({plain:.1f} dB): a higher quality may help"
    )
