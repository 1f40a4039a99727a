"""Depth, white, sign and kind of samples: 8 bits are what the true white says, rounded, and the depth is told."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from made import SMOOTH, planar, png, saved, tiff
from PIL import Image

from fedscodec.errors import ImageError
from fedscodec.images import read_picture
from fedscodec.images.metadata.exif import TURNS

RAMP = np.linspace(0, 65535, 256 * 24).round().astype(np.uint16).reshape(24, 256)
DEEP = np.random.default_rng(3).integers(0, 65536, (9, 13, 4)).astype(np.uint16)


def rounded(values: np.ndarray, white: int = 65535) -> np.ndarray:
    return np.floor(255 * (values / white) + 0.5).astype(np.uint8)


def grey_of(data: bytes) -> tuple[np.ndarray, tuple[str, ...]]:
    picture = read_picture(data)
    assert picture.grey
    return picture.pixels[:, :, 0], picture.warnings


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("white_is_zero", "signed"), [(False, False), (True, False), (False, True)])
def test_16_bit_grey_of_tiff(order: str, white_is_zero: bool, signed: bool) -> None:
    if white_is_zero and order == ">":
        pytest.skip("Pillow reads no such TIFF")
    values = RAMP // 2 if signed else RAMP
    tags = {258: (16,), 262: (0 if white_is_zero else 1,), 339: (2 if signed else 1,)}
    pixels, told = grey_of(tiff(values.astype(f"{order}u2").tobytes(), 256, 24, tags, order))
    expected = rounded(values, 32767 if signed else 65535)
    assert np.array_equal(pixels, 255 - expected if white_is_zero else expected)
    assert told == ("16-bit grey was reduced to 8 bits.",)


def test_12_bit_grey_of_tiff_has_its_own_white() -> None:
    values = np.linspace(0, 4095, 64).round().astype(int)
    packed = "".join(f"{value:012b}" for value in values)
    data = int(packed, 2).to_bytes(len(packed) // 8, "big")
    pixels, told = grey_of(tiff(data, 64, 1, {258: (12,)}))
    assert np.array_equal(pixels[0], rounded(values, 4095))
    assert told == ("12-bit grey was reduced to 8 bits.",)


def test_signed_8_bits_of_tiff_end_at_127() -> None:
    pixels, told = grey_of(tiff(bytes(range(128)), 128, 1, {339: (2,)}))
    assert np.array_equal(pixels[0], rounded(np.arange(128), 127))
    assert told == ()
    with pytest.raises(ImageError, match="expected samples from 0 to 127 in mode L, found 0 to 255"):
        read_picture(tiff(bytes(range(256)), 256, 1, {339: (2,)}))


def test_32_bit_tiff_with_unknown_white_is_refused() -> None:
    full = np.linspace(0, 2**32 - 1, 64).astype("<u4")
    pixels, told = grey_of(tiff(full.tobytes(), 64, 1, {258: (32,)}))
    assert np.array_equal(pixels[0], rounded(full.astype(float), 2**32 - 1))
    assert told == ("32-bit grey was reduced to 8 bits.",)
    with pytest.raises(ImageError, match="32-bit samples up to 4294967295, found 0 to 60000: save it with 16 bits"):
        read_picture(tiff(np.array([0, 60000], "<u4").tobytes(), 2, 1, {258: (32,)}))
    with pytest.raises(ImageError, match="32-bit samples up to 2147483647, found 13 to 69996: save it with 16 bits"):
        read_picture(tiff(np.array([13, 69996], "<i4").tobytes(), 2, 1, {258: (32,), 339: (2,)}))
    with pytest.raises(ImageError, match="expected samples from 0 to 2147483647 in mode I, found -5 to 9"):
        read_picture(tiff(np.array([-5, 9], "<i4").tobytes(), 2, 1, {258: (32,), 339: (2,)}))


def test_a_tiff_that_begins_with_a_small_copy_is_refused() -> None:
    found = "found a TIFF that begins with a small copy of it, as raw photographs do: develop it first"
    with pytest.raises(ImageError, match=f"^x: expected a picture, {found}$"):
        read_picture(tiff(bytes(6), 2, 1, {254: (1,)}), name="x")
    assert read_picture(tiff(bytes(6), 2, 1, {254: (0,)})).width == 2


def test_floats_of_tiff_that_count_from_white() -> None:
    values = np.linspace(0, 1, 32).astype("<f4")
    pixels, told = grey_of(tiff(values.tobytes(), 32, 1, {258: (32,), 339: (3,), 262: (0,)}))
    assert np.abs(pixels[0].astype(int) - (255 - rounded(values, 1))).max() <= 1
    assert told == ("Floating-point grey was reduced to 8 bits.",)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("extra", "channels"), [((), 3), ((2,), 4), ((0,), 4), ((1,), 4)])
def test_16_bit_colour_of_tiff_is_rounded_and_not_cut(order: str, extra: tuple[int, ...], channels: int) -> None:
    values = DEEP[:, :, :channels].copy()
    if extra == (1,):  # colours that were multiplied by alpha
        values[:, :, 3] |= 0x8000
        values[:, :, :3] = values[:, :, :3] // 2
    tags = {258: (16,) * channels, 262: (2,)} | ({338: extra} if extra else {})
    picture = read_picture(tiff(values.astype(f"{order}u2").tobytes(), 13, 9, tags, order))
    colours = values[:, :, :3]
    if extra == (1,):
        colours = 65535.0 * colours / values[:, :, 3:]
    assert np.abs(picture.pixels.astype(int) - rounded(colours)).max() <= (1 if extra == (1,) else 0)
    assert (picture.alpha is not None) == (extra in ((1,), (2,)))
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha, rounded(values[:, :, 3]))
    assert picture.warnings == ("16-bit colour was reduced to 8 bits.",)


def test_16_bit_colour_of_compressed_tiff() -> None:
    half = Image.fromarray((DEEP[:, :, :3] >> 8).astype(np.uint8))
    picture = read_picture(saved(half, "TIFF", compression="tiff_deflate"))
    assert (picture.warnings, picture.pixels.shape) == ((), (9, 13, 3))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bit_png_is_rounded_and_grey_stays_grey(channels: int) -> None:
    values = DEEP[:, :, :channels] if channels > 1 else DEEP[:, :, 0]
    picture = read_picture(png(values))
    deep = np.atleast_3d(values)
    colours = 1 if channels < 3 else 3
    assert picture.grey == (channels < 3)
    seen = np.full((9, 13), True) if picture.alpha is None else picture.alpha > 0
    assert np.array_equal(picture.pixels[:, :, :colours][seen], rounded(deep[:, :, :colours])[seen])
    assert (picture.alpha is None) == (channels in (1, 3))
    if picture.alpha is not None:
        assert np.array_equal(picture.alpha, rounded(deep[:, :, -1]))
    kind = "grey" if channels < 3 else "colour"
    assert picture.warnings == (f"16-bit {kind} was reduced to 8 bits.",)


def test_one_transparent_sample_of_16_bits_is_compared_whole() -> None:
    values = np.array([[0x1234, 0x1235, 0xFFFF]], np.uint16)
    picture = read_picture(png(values, (b"tRNS", b"\x12\x34")))
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[0, 255, 255]]
    colours = np.stack([values, values, values], axis=2)
    colours[0, 1, 2] += 1
    clear = read_picture(png(colours, (b"tRNS", b"\x12\x35\x12\x35\x12\x35")))
    assert clear.alpha is None
    clear = read_picture(png(colours, (b"tRNS", b"\x12\x35\x12\x35\x12\x36")))
    assert clear.alpha is not None
    assert clear.alpha.tolist() == [[255, 0, 255]]


def test_significant_bits_of_png_are_reported() -> None:
    picture = read_picture(png(DEEP[:, :, :3], (b"sBIT", b"\x0a\x0c\x0a")))
    assert picture.warnings == ("12-bit colour was reduced to 8 bits.",)
    assert read_picture(png(SMOOTH, (b"sBIT", b"\5\6\5"))).warnings == ()


@pytest.mark.parametrize("most", [1, 15, 255, 511, 1023, 4095, 65535])
@pytest.mark.parametrize("kind", ["P5", "P6"])
def test_maximum_of_pnm(most: int, kind: str) -> None:
    values = np.linspace(0, most, 3 * 40).round().astype(">u2" if most > 255 else np.uint8)
    width = 120 if kind == "P5" else 40
    picture = read_picture(f"{kind}\n{width} 1\n{most}\n".encode() + values.tobytes())
    pixels = picture.pixels[0, :, 0] if kind == "P5" else picture.pixels.ravel()
    assert np.abs(pixels.astype(int) - rounded(values.astype(float), most)).max() <= 1
    assert (pixels[0], pixels[-1]) == (0, 255)
    bits, name = most.bit_length(), "grey" if kind == "P5" else "colour"
    assert picture.warnings == ((f"{bits}-bit {name} was reduced to 8 bits.",) if bits > 8 else ())


def _jpeg_2000(values: np.ndarray, bits: int) -> bytes:
    """Grey of so many bits: Pillow writes 8 or 16, and the codestream's head is what says how many count."""
    wide = values.astype(np.uint16) if bits > 8 else values.astype(np.uint8)
    data = bytearray(saved(Image.fromarray(wide), "JPEG2000", irreversible=False, no_jp2=True))
    return bytes(data)


def test_16_bits_of_jpeg_2000() -> None:
    data = _jpeg_2000(RAMP, 16)
    pixels, told = grey_of(data)
    assert np.array_equal(pixels, rounded(RAMP))
    assert told == ("16-bit grey was reduced to 8 bits.",)


def test_an_image_that_a_program_opened_is_as_deep_as_its_file() -> None:
    data = png(DEEP[:, :, :3])
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(read_picture(image).pixels, rounded(DEEP[:, :, :3]))
    values = np.array([[0, 4095, 2048, 77]])
    packed = "".join(f"{value:012b}" for value in values[0])
    with Image.open(io.BytesIO(tiff(int(packed, 2).to_bytes(6, "big"), 4, 1, {258: (12,)}))) as image:
        image.load()
        assert read_picture(image).pixels[0, :, 0].tolist() == [0, 255, 128, 5]


def test_16_bit_inks_are_rounded() -> None:
    values = DEEP.copy()
    picture = read_picture(tiff(values.astype("<u2").tobytes(), 13, 9, {258: (16,) * 4, 262: (5,)}))
    eight = Image.frombytes("CMYK", (13, 9), rounded(values).tobytes()).convert("RGB")
    assert np.array_equal(picture.pixels, np.asarray(eight))
    told = ("16-bit colour was reduced to 8 bits.", "CMYK was converted to RGB without a profile.")
    assert picture.warnings == told


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P"])
def test_no_colour_is_grey_however_it_is_stored(mode: str) -> None:
    grey = Image.fromarray(SMOOTH[:, :, 0])
    picture = read_picture(saved(grey.convert(mode), "PNG"))
    assert picture.grey
    assert np.array_equal(picture.pixels[:, :, 2], SMOOTH[:, :, 0])
    almost = SMOOTH[:, :, :1].repeat(3, axis=2)
    almost[17, 5, 1] ^= 1  # not among the rows that are looked at first
    assert not read_picture(Image.fromarray(almost)).grey


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (tiff(bytes(96), 2, 4, {258: (32, 32, 32), 262: (2,), 339: (3, 3, 3)}),
         "a TIFF of 3 floating-point samples of 32 bits (RGB), which Pillow does not read: save it with 8 or 16 bits"),
        (tiff(bytes(10), 8, 1, {258: (10,)}), "a TIFF of 1 sample of 10 bits (grey), which Pillow does not read"),
        (tiff(bytes(64), 4, 4, {258: (16, 16), 338: (2,)}), "a TIFF of 2 samples of 16 bits (grey), which Pillow"),
        (b"MM\0+\0\x08" + bytes(30), "a BigTIFF that Pillow does not read: save it as a plain TIFF with 8 or 16 bits"),
        (b"II+\0\x08\0" + bytes(30), "a BigTIFF that Pillow does not read: save it as a plain TIFF with 8 or 16 bits"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40), "a HEIC picture: pip install pillow-heif, and it is read"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(40), "an AVIF picture that Pillow cannot read"),
        (b"\xff\x0a" + bytes(30), "a JPEG XL picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(30), "a PostScript program (EPS), which is never run"),
        (b"\xc5\xd0\xd3\xc6" + bytes(30), "a PostScript program (EPS), which is never run"),
        (b"%PDF-1.7" + bytes(30), "a PDF document"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(30), "a raw photograph: develop it first"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_named(data: bytes, found: str) -> None:
    with pytest.raises(ImageError) as told:
        read_picture(data, name="x")
    assert str(told.value).startswith(f"x: expected a picture, found {found}")


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("orientation", range(9))
@pytest.mark.parametrize("packed", [False, True])
def test_planes_of_16_bits_are_turned(orientation: int, channels: int, packed: bool) -> None:
    values = DEEP[:, :, :channels]
    picture = read_picture(planar(values, {262: (2,), 274: (orientation,), 338: (2,) * (channels - 3)}, packed=packed))
    upright = Image.fromarray((values >> 8).astype(np.uint8) if packed else rounded(values))
    if orientation in TURNS:
        upright = upright.transpose(TURNS[orientation])
    assert np.array_equal(picture.pixels, np.asarray(upright)[:, :, :3])
    if channels > 3:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, np.asarray(upright)[:, :, 3])
    assert picture.warnings == ("16-bit colour was reduced to 8 bits.",)


def test_colours_in_planes_are_divided_by_alpha_once() -> None:
    values = DEEP | np.array([0, 0, 0, 0x8000], np.uint16)
    values[:, :, :3] //= 2
    picture = read_picture(planar(values, {262: (2,), 338: (1,)}, packed=True))
    assert np.abs(picture.pixels.astype(int) - rounded(65535.0 * values[:, :, :3] / values[:, :, 3:])).max() <= 2
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, values[:, :, 3] >> 8)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("mode", "channels", "tags"),
    [("LA", 2, {338: (2,)}), ("La", 2, {338: (1,)}), ("LAB", 3, {262: (8,)}), ("RGBA", 4, {262: (2,)})],
)
def test_planes_that_pillow_mixes_up_are_refused(
    mode: str, channels: int, tags: dict[int, tuple[int, ...]], packed: bool
) -> None:
    values = rounded(DEEP[:, :, :channels])
    data = planar(values, tags, packed=packed)
    if mode == "RGBA" and not packed:
        alpha = read_picture(data).alpha
        assert alpha is not None
        assert np.array_equal(alpha, values[:, :, 3])
        return
    found = f"^x: expected planes that Pillow reads, found planes of 8 bits in mode {mode}: save it with samples "
    with pytest.raises(ImageError, match=found):
        read_picture(data, name="x")


def test_planes_of_16_bits_and_big_tiff() -> None:
    values = DEEP[:, :, :3]
    planes = values.transpose(2, 0, 1).astype("<u2").tobytes()
    size = len(planes) // 3
    starts = {273: (8, 8 + size, 8 + 2 * size), 279: (size, size, size)}
    data = tiff(planes, 13, 9, {258: (16,) * 3, 262: (2,), 284: (2,)} | starts)
    picture = read_picture(data)
    assert np.array_equal(picture.pixels, rounded(values))
    entries = b"".join(
        struct.pack("<HHQQ", tag, kind, 1, value)
        for tag, kind, value in ((256, 3, 2), (257, 3, 1), (258, 3, 8), (262, 3, 1), (273, 4, 16), (279, 4, 2))
    )
    big = (
        b"II+\0\x08\0\0\0" + struct.pack("<Q", 24) + b"\x09\xf0" + bytes(6) + struct.pack("<Q", 6) + entries + bytes(8)
    )
    picture = read_picture(big)
    assert (picture.pixels[0, :, 0].tolist(), picture.warnings) == ([9, 240], ())
