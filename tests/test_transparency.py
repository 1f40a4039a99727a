"""Alpha, ICC profiles and the depth of samples: what is kept, how compactly, and what is said where it is not."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from fedscodec import fileformat
from fedscodec.boxes import ALPHA, ICC, SRGB
from fedscodec.codec.model import Model
from fedscodec.codec.previews import decode_preview
from fedscodec.errors import FormatError
from fedscodec.images import (
    Picture,
    means_srgb,
    not_kept,
    pack_alpha,
    picture_bytes,
    read_picture,
    srgb_profile,
    stripped,
    to_pil,
    unpack_alpha,
)

RNG = np.random.default_rng(5)
COLOURS = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
ROUND = np.fromfunction(lambda i, j: np.clip(900 - (i - 20) ** 2 - (j - 30) ** 2, 0, 255), (40, 60)).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def wide_gamut() -> bytes:
    """sRGB with its red moved: a matrix profile that is not sRGB."""
    profile = bytearray(srgb_profile() or b"")
    count = struct.unpack_from(">I", profile, 128)[0]
    tags = [struct.unpack_from(">4sII", profile, 132 + 12 * i) for i in range(count)]
    start = next(offset for name, offset, _ in tags if name == b"rXYZ")
    struct.pack_into(">3i", profile, start + 8, 40000, 18000, 200)
    return bytes(profile)


# ── Alpha ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_read_and_visible_colours_stay(kind: str) -> None:
    image = Image.fromarray(np.dstack([COLOURS, ROUND]))
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    picture = read_picture(saved(image, kind, **options))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, ROUND)
    assert np.array_equal(picture.pixels[ROUND > 0], COLOURS[ROUND > 0])
    assert picture.warnings == ()


def test_what_no_one_sees_is_continued_smoothly() -> None:
    colours = np.full((64, 64, 3), (200, 30, 90), dtype=np.uint8)
    alpha = np.zeros((64, 64), dtype=np.uint8)
    alpha[:20] = 255
    colours[20:] = RNG.integers(0, 256, (44, 64, 3))
    picture = read_picture(Image.fromarray(np.dstack([colours, alpha])))
    assert np.abs(picture.pixels.astype(int) - (200, 30, 90)).max() <= 3
    nothing = read_picture(Image.new("RGBA", (5, 7), (1, 2, 3, 0)))
    assert nothing.alpha is not None
    assert (nothing.alpha.max(), nothing.pixels.std()) == (0, 0)


def test_an_opaque_alpha_is_none_and_grey_stays_grey() -> None:
    assert read_picture(Image.fromarray(COLOURS).convert("RGBA")).alpha is None
    grey = read_picture(Image.merge("LA", [Image.fromarray(COLOURS[..., 0]), Image.fromarray(ROUND)]))
    assert grey.grey
    assert to_pil(grey).mode == "LA"


def test_orientation_turns_the_alpha_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = read_picture(saved(Image.fromarray(np.dstack([COLOURS, ROUND])), "PNG", exif=exif.tobytes()))
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, np.rot90(ROUND, -1))
    assert picture.pixels.shape == (60, 40, 3)


@pytest.mark.parametrize("alpha", [ROUND, ROUND * 0, (ROUND > 9) * np.uint8(255), COLOURS[..., 0]])
def test_alpha_is_packed_without_loss(alpha: np.ndarray) -> None:
    packed = pack_alpha(alpha)
    assert np.array_equal(unpack_alpha(packed, 60, 40), alpha)
    assert len(packed) < alpha.size + 100
    if alpha.std() == 0:
        assert len(packed) < 60


def test_a_long_alpha_is_packed_as_png() -> None:
    packed = pack_alpha(np.zeros((1, 20000), dtype=np.uint8))
    assert packed[:4] == b"\x89PNG"
    assert unpack_alpha(packed, 20000, 1).shape == (1, 20000)


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (b"", "should hold a PNG or WebP, found nothing"),
        (b"GIF89a", "should hold a PNG or WebP, found the bytes 47494638"),
        (pack_alpha(ROUND[:, :50]), "should hold 60x40 pixels, found 50x40"),
        (saved(Image.fromarray(np.dstack([COLOURS, ROUND])), "PNG"), "not interlaced, found 8 bits of colour type 6"),
        (saved(Image.fromarray(COLOURS[..., 0]), "PNG")[:-200], "should hold a valid PNG, found: "),
    ],
)
def test_hostile_alpha(payload: bytes, sentence: str) -> None:
    with pytest.raises(FormatError, match=f"^the ALPH box .*{sentence}"):
        unpack_alpha(payload, 60, 40)


def test_the_size_of_hostile_alpha_is_looked_at_before_its_pixels() -> None:
    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head
    bomb += struct.pack(">I", zlib.crc32(b"IHDR" + head)) + struct.pack(">I", 9) + b"IDAT" + bytes(13)
    with pytest.raises(FormatError, match="the ALPH box should hold"):
        unpack_alpha(bomb, 60, 40)


def test_alpha_goes_through_a_file(codec: Model) -> None:
    picture = read_picture(Image.fromarray(np.dstack([COLOURS, ROUND])))
    data = codec.encode(picture)
    file = fileformat.unpack(data)
    assert len(file.boxes[ALPHA]) < 700
    back = codec.decode(data)
    assert back.alpha is not None
    assert np.array_equal(back.alpha, ROUND)
    damaged = fileformat.pack(fileformat.FedsFile(file.header, file.streams, {ALPHA: b"RIFFs"}))
    with pytest.raises(FormatError, match="the ALPH box should hold a WebP of one VP8L chunk"):
        codec.decode(damaged)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "avif", "jpg", "bmp", "ppm"])
def test_alpha_is_written_where_the_format_has_one(suffix: str) -> None:
    made = Image.Exif()
    made[0x010F] = "feds"
    picture = Picture(np.full((40, 60, 3), 50, dtype=np.uint8), alpha=ROUND, exif=made.tobytes()[6:])
    image = Image.open(io.BytesIO(picture_bytes(picture, suffix)))
    opaque = suffix in ("jpg", "bmp", "ppm")
    assert image.mode == ("RGB" if opaque else "RGBA")
    notes = not_kept(picture, suffix)
    assert any("has no transparency: the picture was put on white" in note for note in notes) == opaque
    assert any("has no place for Exif" in note for note in notes) == (suffix in ("bmp", "ppm"))
    if opaque:
        assert np.abs(np.asarray(image)[0, 0].astype(int) - 255).max() <= 3
    else:
        assert np.abs(np.asarray(image)[..., 3].astype(int) - ROUND).max() <= (6 if suffix == "avif" else 0)


# ── Profiles ──────────────────────────────────────────────────────────────────────────────────────────────


def test_profiles_that_mean_srgb() -> None:
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert means_srgb(plain)
    assert means_srgb(srgb_profile() or b"")
    assert srgb_profile() == srgb_profile()
    for other in (wide_gamut(), b"", b"no profile", plain[:200], ImageCms.ImageCmsProfile(
        ImageCms.createProfile("LAB")).tobytes()):  # fmt: skip
        assert not means_srgb(other)


def test_srgb_costs_ten_bytes_and_other_profiles_are_kept_as_they_are(codec: Model) -> None:
    pixels = COLOURS[:32, :32]
    bare = codec.encode(Picture(pixels))
    data = codec.encode(Picture(pixels, icc=srgb_profile()))
    assert len(data) == len(bare) + 10
    assert fileformat.unpack(data).boxes == {SRGB: b""}
    assert codec.decode(data).icc == srgb_profile()
    other = codec.encode(Picture(pixels, icc=wide_gamut()))
    assert fileformat.unpack(other).boxes == {ICC: wide_gamut()}
    assert codec.decode(other).icc == wide_gamut()


def test_stripping_keeps_the_look() -> None:
    beside = Picture(COLOURS, icc=srgb_profile(), exif=b"II*\0", xmp=b"<x/>")
    bare = stripped(beside)
    assert (bare.icc, bare.exif, bare.xmp, bare.warnings) == (None, None, None, ())
    assert np.array_equal(bare.pixels, COLOURS)
    converted = stripped(Picture(COLOURS, icc=wide_gamut()))
    assert (converted.icc, converted.warnings) == (None, ())
    assert np.abs(converted.pixels.astype(int) - COLOURS).max() > 10
    damaged = stripped(Picture(COLOURS, icc=bytes(16) + b"RGB " + bytes(200)))
    assert damaged.warnings == ("The ICC profile was dropped, and the colours could not be converted to sRGB before.",)


# ── Depth ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_more_than_8_bits_of_colour_are_reported() -> None:
    for most, told in ((65535, "16-bit"), (1023, "10-bit"), (255, None)):
        size = 2 if most > 255 else 1
        picture = read_picture(f"P6\n2 1\n{most}\n".encode() + bytes(6 * size))
        assert picture.warnings == ((f"{told} colour was reduced to 8 bits.",) if told else ())
    assert read_picture(saved(Image.fromarray(COLOURS), "AVIF")).warnings == ()


def test_a_preview_has_the_alpha_in_its_size(codec: Model) -> None:
    file = fileformat.unpack(codec.encode(read_picture(Image.fromarray(np.dstack([COLOURS, ROUND])))))
    small = decode_preview(file, codec, size=30).picture
    assert small.alpha is not None
    assert small.alpha.shape == small.pixels.shape[:2] == (20, 30)
    assert np.abs(small.alpha[10, 12:18].astype(int) - 255).max() == 0
