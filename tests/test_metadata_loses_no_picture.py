"""Decoding writes a picture whatever stands beside its pixels; what has no place in a format is left out and told."""

from __future__ import annotations

import numpy as np
import pytest

from fedscodec.codec.model import Model
from fedscodec.fileformat import pack, unpack
from fedscodec.images import WRITABLE_SUFFIXES, Picture, not_kept, picture_bytes, read_picture, srgb_profile

TIFF = b"II*\0\x08\0\0\0"
ODD = {
    "Exif of 200 kB": {"exif": TIFF + b"\x01\0\x0f\x01\x02\0\x40\x0d\x03\0\x1a\0\0\0\0\0\0\0" + b"x" * 200_000},
    "Exif that is none": {"exif": b"\xff" * 300},
    "Exif that is cut": {"exif": TIFF + b"\x09\0"},
    "no Exif at all": {"exif": b""},
    "XMP of 300 kB": {"xmp": b"<x:xmpmeta>" + b"y" * 300_000 + b"</x:xmpmeta>"},
    "XMP that is no UTF-8": {"xmp": b"\xff\xfe\0\0\xd8" * 20},
    "a profile of 300 kB": {"icc": srgb_profile()[:128] + bytes(300_000)},
    "a profile that is none": {"icc": b"no profile"},
    "all at once": {"exif": b"\xff" * 70_000, "xmp": b"\xff" * 70_000, "icc": b"\xff" * 70_000},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", WRITABLE_SUFFIXES)
@pytest.mark.parametrize("what", ODD)
def test_every_format_gets_the_picture(codec: Model, what: str, suffix: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (16, 24, 3), np.uint8)
    pixels = pixels[:, :, :1].repeat(3, axis=2) if suffix == ".pgm" else pixels
    data = codec.encode(Picture(pixels, grey=suffix == ".pgm", **ODD[what]))
    assert pack(unpack(data)) == data
    picture = codec.decode(data)
    written = read_picture(picture_bytes(picture, suffix), name=what)
    assert written.pixels.shape[:2] == (16, 24)
    told = " ".join(not_kept(picture, suffix))
    if what == "Exif that is none" and suffix == ".avif":
        assert told == "Its Exif is damaged: it was left out."
    if what == "all at once" and suffix == ".jpg":
        assert "Its XMP is damaged: it was left out." in told
