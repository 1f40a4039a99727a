"""Pictures in and out: every mode, orientation and error, with pixels that are known beforehand."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from fedscodec import images
from fedscodec.errors import ImageError, OutputError, TooLargeError
from fedscodec.images import Picture, from_array, from_tensor, picture_bytes, read_picture, to_pil

DEEP_GREY, DEEP_COLOUR = "16-bit grey was reduced to 8 bits.", "16-bit colour was reduced to 8 bits."
TWO_COLOURS = (b"PLTE", bytes([10, 20, 30, 40, 50, 60]))
SIX = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8)
SIX_TURNED = ["123/456", "321/654", "654/321", "456/123", "14/25/36", "41/52/63", "63/52/41", "36/25/14"]
NOISE = np.random.default_rng(7).integers(0, 256, (9, 13, 3), dtype=np.uint8)
SMOOTH = np.fromfunction(lambda i, j, c: 40 + 2 * i + j + 20 * c, (32, 48, 3)).astype(np.uint8)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:Description tiff:Make="feds"/></x:xmpmeta>'


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def row_of(mode: str, *pixels: Any) -> Image.Image:
    image = Image.new(mode, (len(pixels), 1))
    image.putdata(pixels)
    return image


def png(width: int, height: int, depth: int, colour: int, data: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), *extra, (b"IDAT", zlib.compress(data)), (b"IEND", b""))
    packed = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


WHOLE_PNG, WHOLE_JPEG = saved(Image.fromarray(NOISE), "PNG"), saved(Image.fromarray(NOISE), "JPEG")


def exif_of(orientation: int, order: str = "<") -> bytes:
    """ImageWidth, Make ("Canon!", which stands at 50), Orientation; then an empty second directory at 58."""
    table = struct.pack(f"{order}HHHIHH", 3, 0x0100, 3, 1, 640, 0)
    table += struct.pack(f"{order}HHII", 0x010F, 2, 7, 50)
    table += struct.pack(f"{order}HHIHHI", 0x0112, 3, 1, orientation, 0, 58)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    return head + table + b"Canon!\0\0" + bytes(6)


UPRIGHT = exif_of(1)[:8] + b"\2\0" + exif_of(1)[10:34] + struct.pack("<I", 58) + bytes(12) + exif_of(1)[50:]
"""What is left of `exif_of(1)` without its orientation."""
_CANON = struct.pack("<HHI", 0x010F, 2, 7)
OF_TIFF = b"II*\0\x08\0\0\0\1\0" + _CANON + struct.pack("<I", 26) + bytes(4) + b"Canon!\0\0"
"""The same from a TIFF, whose width is that of its own samples."""
OF_AVIF = (
    b"II*\0\x08\0\0\0\2\0" + struct.pack("<HHII", 0x0100, 4, 1, 640) + _CANON + struct.pack("<I", 38) + bytes(4)
) + b"Canon!\0\0"
"""The same from an AVIF, for which Pillow packs the entries anew."""


def cmyk_profile() -> bytes:
    """A printer with L* = 100 for paper, 0 for whatever has black ink in it, 128 / 2.55 for other inks."""
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lab = b"".join(bytes([0 if inks & 1 else 128 if inks else 255, 128, 128]) for inks in range(16))
    table = b"mft1" + bytes([0, 0, 0, 0, 4, 3, 2, 0]) + matrix + ramp * 4 + lab + ramp * 3
    header = struct.pack(">I4xI", 144 + len(table), 0x02400000) + b"prtrCMYKLab " + bytes(12) + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)  # D50
    return header.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table


@pytest.mark.parametrize(
    ("image", "expected", "grey", "warnings"),
    [
        (row_of("1", 0, 255), [0, 255], True, ()),
        (row_of("L", 7, 200), [7, 200], True, ()),
        (row_of("RGB", (1, 2, 3), (250, 0, 9)), [(1, 2, 3), (250, 0, 9)], False, ()),
        (row_of("RGBA", (1, 2, 3, 255)), [(1, 2, 3)], False, ()),
        (row_of("I;16", 0, 128, 129, 25828, 25829, 65535), [0, 0, 1, 100, 101, 255], True, (DEEP_GREY,)),
        (row_of("I", 0, 129, 65535), [0, 1, 255], True, (DEEP_GREY,)),
        (row_of("F", 0, 0.5, 1), [0, 128, 255], True, ("Floating-point grey was reduced to 8 bits.",)),
        (row_of("YCbCr", (77, 128, 128)), [77], True, ()),
    ],
)
def test_modes(image: Image.Image, expected: list[Any], grey: bool, warnings: tuple[str, ...]) -> None:
    picture = read_picture(image)
    assert picture.pixels.tolist() == [[list(v) if isinstance(v, tuple) else [v] * 3 for v in expected]]
    assert picture.pixels.dtype == np.uint8
    assert (picture.width, picture.height) == (len(expected), 1)
    assert (picture.grey, picture.warnings) == (grey, warnings)


@pytest.mark.parametrize(
    ("depth", "colour", "data", "extra", "expected", "warnings"),
    [
        (8, 3, "00 01", (TWO_COLOURS,), [[10, 20, 30], [40, 50, 60]], ()),
        (8, 3, "00 01", (TWO_COLOURS, (b"tRNS", b"\xff\0")), [[10, 20, 30], [9, 19, 29]], ()),
        (8, 2, "090807 060504", ((b"tRNS", b"\0\6\0\5\0\4"),), [[9, 8, 7], [9, 7, 7]], ()),
        (16, 0, "0080 0081", (), [[0] * 3, [1] * 3], (DEEP_GREY,)),
        (16, 2, "01000200ffff 000003000400", (), [[1, 2, 255], [0, 3, 4]], (DEEP_COLOUR,)),
        (16, 6, "010002000300ffff 010002000300ffff", (), [[1, 2, 3], [1, 2, 3]], (DEEP_COLOUR,)),
    ],
)
def test_png(depth: int, colour: int, data: str, extra: Any, expected: list[Any], warnings: Any) -> None:
    picture = read_picture(png(2, 1, depth, colour, b"\0" + bytes.fromhex(data), *extra))
    assert (picture.pixels.tolist(), picture.warnings) == ([expected], warnings)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("curve", [(), ((b"gAMA", struct.pack(">I", 100_000)),)])
def test_a_transparent_grey_of_png(depth: int, opened: bool, curve: tuple[tuple[bytes, bytes], ...]) -> None:
    greys = np.arange(2**depth)
    packed = int("".join(f"{grey:0{depth}b}" for grey in greys).ljust(8, "0"), 2).to_bytes(-(-depth * 2**depth // 8))
    above = 0 if opened or depth == 8 else 0x0100  # bits that do not count
    shown = greys / greys.max()
    if curve:
        shown = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * np.maximum(shown, 1e-9) ** (1 / 2.4) - 0.055)
    for clear in {0, 1, 2**depth - 1}:
        trns = (b"tRNS", struct.pack(">H", clear | above))
        data = png(2**depth, 1, depth, 0, b"\0" + packed, *curve, trns)
        picture = read_picture(Image.open(io.BytesIO(data)) if opened else data)
        assert picture.alpha is not None
        assert picture.alpha[0].tolist() == [0 if grey == clear else 255 for grey in greys]
        seen = greys != clear
        assert np.array_equal(picture.pixels[0, seen, 0], np.floor(255 * shown + 0.5)[seen])
        assert picture.grey


@pytest.mark.parametrize("loaded", [False, True])
def test_a_transparent_colour_of_16_bits_in_an_opened_png(loaded: bool) -> None:
    def opened(colour: int, samples: list[int], clear: list[int]) -> Image.Image:
        data = b"\0" + struct.pack(f">{len(samples)}H", *samples)
        trns = (b"tRNS", struct.pack(f">{len(clear)}H", *clear))
        image = Image.open(io.BytesIO(png(len(samples) // len(clear), 1, 16, colour, data, trns)))
        if loaded:
            image.load()
        return image

    grey = read_picture(opened(0, [1000, 1001, 65535], [1000])).alpha
    assert grey is not None
    assert grey.tolist() == [[0, 255, 255]]
    picture = read_picture(opened(2, [1, 2, 3000, 1, 2, 3001, 9, 9, 9], [1, 2, 3001]))
    if loaded:  # of which Pillow has kept the upper 8 bits
        assert (picture.alpha, picture.warnings) == (None, ("The transparent colour was not kept.",))
    else:
        assert picture.alpha is not None
        assert picture.alpha.tolist() == [[255, 0, 255]]


@pytest.mark.parametrize(("mode", "values"), [("F", [0.0, 2.0]), ("F", [float("nan")]), ("I", [-1, 70000])])
def test_samples_of_unknown_scale_are_refused(mode: str, values: list[Any]) -> None:
    white = {"F": 1, "I": 65535}[mode]
    found = f"x: expected samples from 0 to {white} in mode {mode}, found {values[0]} to {values[-1]}"
    with pytest.raises(ImageError, match=f"^{found}$"):
        read_picture(row_of(mode, *values), name="x")


def test_conversion_by_profile() -> None:
    lab = row_of("LAB", (255, 128, 128), (0, 128, 128))
    cmyk = row_of("CMYK", (0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255))
    profile = {"icc_profile": cmyk_profile()}
    for image, expected, name, beside in ((lab, [255, 0], "Lab", {}), (cmyk, [255, 119, 0], "CMYK", profile)):
        picture = read_picture(saved(image, "TIFF", **beside))
        assert np.abs(picture.pixels[0].astype(int) - np.array(expected)[:, None]).max() <= 2
        assert (picture.icc, picture.warnings) == (None, (f"{name} was converted to sRGB.",))


@pytest.mark.parametrize(
    ("icc", "told"),
    [
        ({}, ()),
        ({"icc_profile": ICC}, ("The ICC profile is for RGB, and was not kept with a picture of CMYK.",)),
        ({"icc_profile": b"damaged"}, ("The ICC profile was damaged and was not kept.",)),
    ],
)
def test_cmyk_without_a_profile(icc: dict[str, bytes], told: tuple[str, ...]) -> None:
    picture = read_picture(saved(row_of("CMYK", (0, 0, 0, 0), (255, 0, 0, 0), (0, 0, 0, 255)), "TIFF", **icc))
    assert picture.pixels.tolist() == [[[255] * 3, [0, 255, 255], [0] * 3]]
    assert (picture.icc, picture.warnings) == (None, (*told, "CMYK was converted to RGB without a profile."))


@pytest.mark.parametrize(("format", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(orientation: int, format: str, options: dict[str, Any]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = [[int(level) for level in row] for row in SIX_TURNED[orientation - 1].split("/")]
    picture = read_picture(saved(Image.fromarray(SIX), format, exif=exif.tobytes(), **options))
    assert picture.pixels[:, :, 1].tolist() == expected
    again = read_picture(picture_bytes(picture, format))
    assert again.pixels[:, :, 1].tolist() == expected
    assert to_pil(again).getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_cut_out_of_exif_and_nothing_else_moves(order: str) -> None:
    picture = read_picture(saved(Image.fromarray(SIX), "PNG", exif=exif_of(6, order)))
    after = bytearray(exif_of(6, order))
    after[8:10] = struct.pack(f"{order}H", 2)
    after[34:50] = bytes(16)  # the third entry and the link to the second directory
    assert picture.exif == bytes(after)
    upright = read_picture(saved(Image.fromarray(SIX), "PNG", exif=exif_of(1, order)))
    after[34:38] = struct.pack(f"{order}I", 58)  # which stays, as it is upright too
    assert upright.exif == bytes(after)


def test_exif_of_nothing_but_orientation_and_damaged_exif() -> None:
    exif = b"Exif\0\0MM\0\x2a" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 3, 0, 0)
    xmp = b'<r:Description tiff:Make="feds" tiff:Orientation="3"/>'
    turned = read_picture(saved(Image.fromarray(SIX), "JPEG", exif=exif, xmp=xmp))
    assert (turned.exif, turned.xmp) == (None, b'<r:Description tiff:Make="feds"/>')
    for format, options in (("PNG", {}), ("JPEG", {"dpi": (72, 72)})):
        damaged = read_picture(saved(Image.fromarray(SIX), format, exif=b"Exif\0\0no", **options))
        assert (damaged.exif, damaged.warnings) == (None, ("Exif was damaged and was not kept.",))


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
def test_icc_exif_and_xmp_pass_through(suffix: str) -> None:
    picture = read_picture(picture_bytes(Picture(SMOOTH, icc=ICC, exif=exif_of(1), xmp=XMP), suffix))
    assert (picture.icc, picture.xmp, picture.warnings) == (ICC, XMP, ())
    tags = to_pil(picture).getexif()
    assert tags[0x010F] == "Canon!"
    assert tags.get(0x0100) == (None if suffix == "tif" else 640)  # a TIFF's width is its own
    assert picture.exif == {"tif": OF_TIFF, "avif": OF_AVIF}.get(suffix, UPRIGHT)


def test_exif_and_gps_directories_pass_through_tiff() -> None:
    exif = Image.Exif()
    exif[0x8769] = {0x9003: "2024:05:06 07:08:09"}
    exif[0x8825] = {1: "N"}
    picture = read_picture(picture_bytes(Picture(SMOOTH, exif=exif.tobytes()[6:]), "tiff"))
    tags = to_pil(picture).getexif()
    assert (tags.get_ifd(0x8769)[0x9003], tags.get_ifd(0x8825)[1]) == ("2024:05:06 07:08:09", "N")


@pytest.mark.parametrize("format", ["GIF", "TIFF", "WEBP"])
def test_only_the_first_frame_is_read_with_a_warning(format: str) -> None:
    frames = [Image.new("L", (2, 2), level) for level in (10, 20, 30)]
    picture = read_picture(saved(frames[0], format, save_all=True, append_images=frames[1:], lossless=True))
    assert picture.pixels.tolist() == [[[10] * 3] * 2] * 2
    assert picture.warnings == ("Only frame 1 of 3 was read.",)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (WHOLE_PNG[:-60], "expected a valid picture, found: .*truncated"),
        (WHOLE_JPEG[: len(WHOLE_JPEG) // 2], "expected a valid picture, found: .*[Tt]runcated"),
        (WHOLE_PNG[:20], "expected a"),
        (b"A shopping list, and no picture.", "expected a picture, found a file in no format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "expected a picture, found a PostScript"),
        (b"", "expected a picture, found an empty file"),
        (png(0, 5, 8, 2, b""), "expected a"),
    ],
)
def test_unsound_bytes(data: bytes, found: str) -> None:
    with pytest.raises(ImageError, match=f"^x[.]png: {found}"):
        read_picture(data, name="x.png")


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "noise.dat"
    path.write_bytes(WHOLE_PNG)
    for source in (WHOLE_PNG, io.BytesIO(WHOLE_PNG), path, str(path)):
        assert np.array_equal(read_picture(source).pixels, NOISE)
    with pytest.raises(ImageError, match="none.png: expected .*, found: No such file or directory$"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(ImageError, match="found: Is a directory$"):
        read_picture(tmp_path)
    monkeypatch.setattr(Path, "open", Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(ImageError, match="locked.png: expected .*, found: Permission denied$"):
        read_picture("locked.png")


def test_size_is_checked_before_decoding() -> None:
    with pytest.raises(
        TooLargeError,
        match="^big: 60000x60000 pixels are more than the limit of 67108864$",
    ):
        read_picture(png(60000, 60000, 8, 2, b""), name="big")
    with pytest.raises(TooLargeError):
        read_picture(Image.new("L", (3, 2)), max_pixels=5)
    with pytest.raises(TooLargeError, match="1x2000000 pixels, as much work as 128000000, are more than"):
        read_picture(png(1, 2_000_000, 8, 2, b""))
    assert read_picture(Image.new("L", (3, 2)), max_pixels=6).width == 3
    with pytest.raises(ImageError, match="at least 1 x 1 pixel, found 0 x 5"):
        read_picture(Image.new("RGB", (0, 5)))


@pytest.mark.filterwarnings("error")
def test_limit_of_pillow_neither_counts_nor_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    assert read_picture(WHOLE_PNG, max_pixels=None).width == 13
    assert Image.MAX_IMAGE_PIXELS == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("format", ["ICO", "ICNS", "MPO", "GIF", "WEBP", "TIFF", "DCX", "SPIDER"])
def test_limit_of_pillow_counts_in_no_format(format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.fromarray(NOISE).resize((64, 64))
    data = b"\xb1\x68\xde\x3a" + struct.pack("<II", 12, 0) + saved(image, "PCX") if format == "DCX" else None
    image = image.convert("F").point(lambda level: level / 256) if format == "SPIDER" else image
    data = data or saved(image, format, **({"save_all": True} if format == "MPO" else {}))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    assert read_picture(data).width in (64, 1024)
    with pytest.raises((Image.DecompressionBombError, Image.DecompressionBombWarning)):
        Image.open(io.BytesIO(data))  # for others it holds as before


@pytest.mark.parametrize("suffix", ["png", ".PNG", "webp", "tif", "bmp", "ppm", "jpg", "avif"])
def test_formats_are_exact_or_close(suffix: str) -> None:
    lossy = suffix in ("jpg", "avif")
    pixels = SMOOTH if lossy else NOISE
    difference = read_picture(picture_bytes(Picture(pixels), suffix)).pixels.astype(int) - pixels
    assert np.abs(difference).max() <= (4 if lossy else 0)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp", "ppm"])
def test_grey_is_written_with_one_channel(suffix: str) -> None:
    data = picture_bytes(from_array(SMOOTH[:, :, 0]), suffix)
    assert Image.open(io.BytesIO(data)).mode == "L"
    assert read_picture(data).grey


def test_what_cannot_be_written() -> None:
    known = " ".join(images.WRITABLE_SUFFIXES)
    with pytest.raises(OutputError, match=f"a.xyz: expected a suffix among {known}, found .xyz$"):
        picture_bytes(Picture(NOISE), "xyz", name="a.xyz")
    with pytest.raises(OutputError, match="a.webp: expected a picture that WEBP can hold, found: .*16383"):
        picture_bytes(Picture(np.zeros((1, 70000, 3), dtype=np.uint8)), "webp", name="a.webp")


@pytest.mark.parametrize(
    ("pixels", "alpha", "sentence"),
    [
        (NOISE / 255, None, r"pixels: expected uint8 samples \[H, W, 3\], no side 0, found float64 \[9, 13, 3\]"),
        (NOISE[:, :, 0], None, r"pixels: expected uint8 samples \[H, W, 3\], no side 0, found uint8 \[9, 13\]"),
        (NOISE[:, :0], None, r"pixels: expected uint8 samples \[H, W, 3\], no side 0, found uint8 \[9, 0, 3\]"),
        ([[[1, 2, 3]]], None, r"pixels: expected uint8 samples \[H, W, 3\], no side 0, found list \[\]"),
        (NOISE, NOISE[:4, :, 0], r"alpha: expected uint8 samples \[9, 13\], no side 0, found uint8 \[4, 13\]"),
        (NOISE, NOISE[:, :, 0] / 255, r"alpha: expected uint8 samples \[9, 13\], no side 0, found float64 \[9, 13\]"),
    ],
)
def test_a_picture_refuses_other_samples(pixels: Any, alpha: Any, sentence: str) -> None:
    with pytest.raises(ImageError, match=f"^{sentence}$"):
        Picture(pixels, alpha=alpha)


def test_alpha_is_resized_as_the_colours_are() -> None:
    picture = Picture(np.repeat(NOISE[:, :, :1], 3, axis=2), alpha=NOISE[:, :, 0])
    for of in (None, (12.5, 8.5)):
        small = images.resize(picture, 5, 4, of=of)
        assert small.pixels.shape == (4, 5, 3)
        assert np.array_equal(small.alpha, small.pixels[:, :, 0])


def test_to_pil_and_from_array() -> None:
    image = to_pil(Picture(NOISE, icc=ICC, exif=exif_of(1)))
    assert (image.mode, image.size) == ("RGB", (13, 9))
    assert image.info == {"icc_profile": ICC, "exif": b"Exif\0\0" + exif_of(1)}
    assert to_pil(from_array(SIX)).mode == "L"
    assert from_array(SIX).pixels.tolist() == [[[v] * 3 for v in row] for row in SIX.tolist()]
    assert from_array(NOISE).pixels is NOISE


def test_the_last_of_an_even_number_of_channels_is_alpha() -> None:
    alpha = NOISE[:, :, 0] | 1  # nowhere 0
    made = from_array(np.dstack([NOISE, alpha]))
    assert np.array_equal(made.pixels, NOISE)
    assert np.array_equal(made.alpha, alpha)
    assert from_array(np.dstack([NOISE, 0 * alpha + 255])).alpha is None
    grey = from_array(np.dstack([SIX, SIX | 1]))
    assert grey.grey
    assert grey.pixels.tolist() == from_array(SIX).pixels.tolist() == from_array(SIX[:, :, None]).pixels.tolist()
    assert np.array_equal(grey.alpha, SIX | 1)
    unseen = from_array(np.dstack([NOISE, 0 * alpha]))
    assert np.array_equal(unseen.pixels, read_picture(Image.fromarray(np.dstack([NOISE, 0 * alpha]))).pixels)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((2, 2, 3), np.float32), "numpy array of uint8, found float32; floats in 0..1 become uint8"),
        (np.zeros((2, 2), np.int64), "numpy array of uint8, found int64$"),
        ([[1, 2]], "numpy array of uint8, found list$"),
        (np.zeros((2, 2, 5), np.uint8), r"found \[2, 2, 5\]$"),
        (np.zeros((3, 9, 8), np.uint8), r"found \[3, 9, 8\]; np.moveaxis\(array, 0, -1\) puts channels last$"),
        (np.zeros((0, 2, 3), np.uint8), r"found \[0, 2, 3\]"),
    ],
)
def test_from_array_refuses(array: Any, found: str) -> None:
    with pytest.raises(ImageError, match=f"^the array: expected .*{found}"):
        from_array(array)


def test_tensor_and_back() -> None:
    x = images.to_tensor(Picture(NOISE[:, ::-1]))
    assert (x.shape, x.dtype, x.is_contiguous()) == ((1, 3, 9, 13), torch.float32, True)
    assert x[0, 2, 4, 0].item() == np.float32(NOISE[4, 12, 2]) / np.float32(255)
    assert np.array_equal(from_tensor(x), NOISE[:, ::-1])


def test_from_tensor_clamps_and_rounds_halves_up() -> None:
    values = torch.tensor([-3.0, 0.0, 0.5 / 255, 0.49 / 255, 0.5, 1.0, 9.0, torch.inf])
    assert from_tensor(values.double().repeat(1, 3, 1, 1))[0, :, 0].tolist() == [
        0,
        0,
        1,
        0,
        128,
        255,
        255,
        255,
    ]
    assert from_tensor(torch.full((1, 3, 1, 1), 0.5, dtype=torch.bfloat16)).tolist() == [[[128] * 3]]
    for wrong in (torch.zeros(3, 2, 2), torch.zeros(2, 3, 2, 2), torch.full((1, 3, 1, 1), torch.nan)):
        with pytest.raises(ImageError, match="^the tensor: expected"):
            from_tensor(wrong)
    colours = torch.tensor([0.0, 0.25, 1.1]).reshape(1, 3, 1, 1)  # mean 0.45 -> 114.75
    assert from_tensor(colours, grey=True).tolist() == [[[115] * 3]]


@pytest.mark.parametrize("size", [(1, 1), (1, 65), (64, 64), (63, 128), (3, 200)])
def test_pad_and_crop(size: tuple[int, int]) -> None:
    x = torch.arange(3.0 * size[0] * size[1]).reshape(1, 3, *size)
    extra = [(0, 0), (0, 0), (0, -size[0] % 64), (0, -size[1] % 64)]
    assert np.array_equal(images.pad(x).numpy(), np.pad(x.numpy(), extra, mode="edge"))
    assert torch.equal(images.crop(images.pad(x), *size), x)
    six = images.pad(torch.from_numpy(SIX).float()[None, None], 4)
    assert six[0, 0].tolist() == [[1, 2, 3, 3], [4, 5, 6, 6], [4, 5, 6, 6], [4, 5, 6, 6]]


def test_import_is_light() -> None:
    code = "import sys, fedscodec.images; sys.exit('torch' in sys.modules)"
    assert subprocess.call([sys.executable, "-c", code], cwd=Path(__file__).parents[1]) == 0
