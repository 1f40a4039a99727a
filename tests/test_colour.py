"""Colours told in other ways than by a profile, and profiles that do not fit, are damaged, or are coarse."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from made import SMOOTH, box, jpeg, png, saved, segment, xmp
from PIL import Image, ImageCms

from fedscodec.errors import OutputError, TooLargeError
from fedscodec.images import not_kept, picture_bytes, read_picture, srgb_profile, stripped
from fedscodec.images.colour.curves import srgb_of_light, to_srgb
from fedscodec.images.colour.encodings import HLG, PQ, Encoding, by_code_points, by_gamma
from fedscodec.images.colour.icc import colour_of_grey, curves_of, is_coarse, profile_of, space_of, with_curve_of_srgb
from fedscodec.images.containers import bmff
from fedscodec.images.picture import Picture

P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
RAMP = np.linspace(0, 1, 256 * 8).reshape(8, 256)
COLOURS = np.stack([RAMP, RAMP**2, RAMP[::-1]], axis=2)  # as sRGB has them, from 0 to 1


def light_of_srgb(samples: np.ndarray) -> np.ndarray:
    """The inverse of `srgb_of_light`."""
    return np.where(samples <= 0.04045, samples / 12.92, np.power((samples + 0.055) / 1.055, 2.4))


def deep(values: np.ndarray) -> np.ndarray:
    return np.floor(65535 * values + 0.5).astype(np.uint16)


def eight(values: np.ndarray) -> np.ndarray:
    return np.floor(255 * values + 0.5).astype(np.uint8)


def seen(picture: Picture) -> np.ndarray:
    """Samples as they look in sRGB."""
    return stripped(picture).pixels.astype(int)


def profile_with_curve(curve: bytes, *, grey: bool = False) -> bytes:
    """A profile of the primaries of sRGB, or for grey, with a curve."""
    made = bytearray(profile_of((0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06), "made"))
    tags = [struct.unpack_from(">4sII", made, 132 + 12 * k) for k in range(struct.unpack_from(">I", made, 128)[0])]
    names = {b"rTRC", b"gTRC", b"bTRC"}
    kept = {name: bytes(made[at : at + size]) for name, at, size in tags if name not in names}
    if grey:
        kept = {name: kept[name] for name in (b"desc", b"cprt", b"wtpt")} | {b"kTRC": curve}
        made[16:20] = b"GRAY"
    else:
        kept |= dict.fromkeys(sorted(names), curve)
    at, table, bodies = 132 + 12 * len(kept), b"", b""
    for name, body in kept.items():
        table += struct.pack(">4sII", name, at + len(bodies), len(body))
        bodies += body + b"\0" * (-len(body) % 4)
    whole = bytes(made[:128]) + struct.pack(">I", len(kept)) + table + bodies
    return struct.pack(">I", len(whole)) + whole[4:]


LINEAR = b"curv" + bytes(8)
GAMMA_22 = b"curv" + struct.pack(">4xIH", 1, round(2.2 * 256)) + b"\0\0"


def test_curves_there_and_back() -> None:
    values = np.linspace(0, 1, 1001)
    assert np.abs(light_of_srgb(srgb_of_light(values)) - values).max() < 1e-6
    for curve in (PQ, HLG):
        made = to_srgb(Encoding(curve))(values)
        assert made[0] == pytest.approx(0, abs=1e-6)
        assert (np.diff(made) >= 0).all()
        assert made[-1] <= 1
    pq_of_white = 0.5806888  # 203 candela in SMPTE ST 2084
    assert light_of_srgb(to_srgb(Encoding(PQ))(np.array([pq_of_white])))[0] == pytest.approx(1 - 0.4 / np.e, abs=1e-3)
    narrow = to_srgb(Encoding(full=False))(np.array([16, 126, 235]) / 255)
    assert narrow == pytest.approx([0, 110 / 219, 1])


@pytest.mark.parametrize("bits", [8, 16])
def test_gamma_of_png_is_undone_at_full_depth(bits: int) -> None:
    light = light_of_srgb(COLOURS)
    samples = deep(light) if bits == 16 else eight(light)
    picture = read_picture(png(samples, (b"gAMA", struct.pack(">I", 100_000))))
    error = np.abs(picture.pixels.astype(int) - eight(COLOURS))
    assert error.max() <= (1 if bits == 16 else 7)  # 8 bits of light have no more
    assert picture.icc is None
    assert picture.warnings[0] == "Colours were converted from linear light to sRGB."
    assert len(picture.warnings) == (2 if bits == 16 else 1)


@pytest.mark.parametrize(
    "chunks",
    [
        ((b"gAMA", struct.pack(">I", 45455)),),
        ((b"gAMA", struct.pack(">I", 100_000)), (b"sRGB", b"\0")),
        ((b"gAMA", struct.pack(">I", 100_000)), (b"cICP", b"\1\x0d\0\1")),
        ((b"cICP", b"\1\1\0\1"), (b"cHRM", struct.pack(">8I", *[round(v * 1e5) for v in P3]))),
    ],
)
def test_what_means_srgb_stays_as_it_is(chunks: tuple[tuple[bytes, bytes], ...]) -> None:
    picture = read_picture(png(SMOOTH, *chunks))
    assert np.array_equal(picture.pixels, SMOOTH)
    assert (picture.icc, picture.warnings) == (None, ())


@pytest.mark.parametrize(
    "chunk",
    [(b"cHRM", struct.pack(">8I", *[round(v * 1e5) for v in P3])), (b"cICP", bytes([12, 13, 0, 1]))],
)
def test_primaries_are_kept_in_a_profile(chunk: tuple[bytes, bytes]) -> None:
    picture = read_picture(png(SMOOTH, chunk))
    assert np.array_equal(picture.pixels, SMOOTH)
    assert picture.icc is not None
    assert "An ICC profile was written for the colours" in picture.warnings[0]
    image = Image.fromarray(SMOOTH)
    matrix = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])  # P3 to sRGB
    expected = 255 * srgb_of_light(np.einsum("ij,hwj->hwi", matrix, light_of_srgb(np.asarray(image) / 255)))
    assert np.abs(seen(picture) - expected).max() <= 2


def test_wide_linear_light_is_recoded_and_keeps_its_primaries() -> None:
    light = deep(light_of_srgb(COLOURS))
    picture = read_picture(png(light, (b"cICP", bytes([9, 8, 0, 1]))))
    assert np.abs(picture.pixels.astype(int) - eight(COLOURS)).max() <= 1
    assert space_of(picture.icc or b"") == "RGB"
    assert picture.warnings[0].startswith("Colours were converted from BT.2020, linear light to the curve of sRGB. An")


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_reported(transfer: int, name: str) -> None:
    picture = read_picture(png(deep(COLOURS), (b"cICP", bytes([9, transfer, 0, 1]))))
    assert picture.warnings[0].startswith(f"HDR (BT.2020, {name}) was not kept: it was brought into the range of sRGB.")


def test_unknown_code_points_are_reported() -> None:
    picture = read_picture(png(SMOOTH, (b"cICP", bytes([1, 99, 0, 1]))))
    assert picture.warnings == ("The colour space (sRGB) is not known, and was taken for sRGB.",)
    assert by_code_points(2, 2) is None
    assert by_gamma(1 / 1.8, None).curve == "gamma"


def test_nclx_of_avif() -> None:
    data = bytearray(saved(Image.fromarray(SMOOTH), "AVIF"))
    at = data.index(b"nclx") + 4
    for primaries, transfer, told in (
        (1, 13, None),
        (9, 1, "An ICC profile was written for the colours (BT.2020)."),
        (9, 16, "HDR (BT.2020, PQ) was not kept"),
        (12, 13, "An ICC profile was written for the colours (Display P3)."),
    ):
        data[at : at + 4] = struct.pack(">HH", primaries, transfer)
        picture = read_picture(bytes(data))
        assert len(picture.warnings) == (told is not None)
        assert picture.warnings == () or picture.warnings[0].startswith(told or "")
        assert (picture.icc is None) == (primaries == 1)


# ── Gain maps ─────────────────────────────────────────────────────────────────────────────────────────────


def test_gain_maps_are_reported_and_nothing_points_to_them() -> None:
    told = "The gain map (HDR) was not kept."
    iso = jpeg(segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4)))
    assert read_picture(iso).warnings == (told,)
    names = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
    directory = (
        '<Container:Directory xmlns:Container="http://ns.google.com/photos/1.0/container/">two</Container:Directory>'
    )
    google = jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(f"{directory}<dc:format>x</dc:format>", names)))
    picture = read_picture(google)
    assert picture.warnings == (told,)
    assert picture.xmp is not None
    assert b"hdrgm:Version" not in picture.xmp
    assert b"Container:Directory" not in picture.xmp
    assert b"dc:format" in picture.xmp
    frames = [Image.fromarray(SMOOTH), Image.fromarray(SMOOTH)]
    mpo = saved(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert read_picture(mpo).warnings == ("Only frame 1 of 2 was read.",)
    apple = mpo + b"urn:com:apple:photo:2020:aux:hdrgainmap"
    assert read_picture(apple).warnings == (told,)


def heif(items: dict[int, bytes], references: bytes = b"", properties: dict[int, bytes] | None = None) -> bytes:
    """The boxes of a HEIF without pixels: kinds of items, references between them, and a property for some."""
    infos = b"".join(box(b"infe", b"\2\0\0\0" + struct.pack(">HH", n, 0) + kind + b"\0") for n, kind in items.items())
    known = properties or {}
    used = b"".join(struct.pack(">HBB", n, 1, k) for k, n in enumerate(known, start=1))
    parts = box(b"ipco", b"".join(known.values())) + box(b"ipma", bytes(4) + struct.pack(">I", len(known)) + used)
    meta = box(b"pitm", bytes(4) + struct.pack(">H", 1)) + box(
        b"iinf", bytes(4) + struct.pack(">H", len(items)) + infos
    )
    meta += box(b"iref", bytes(4) + references) + box(b"iprp", parts)
    return box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + box(b"meta", bytes(4) + meta)


def test_what_heif_has_beside_its_pixels() -> None:
    def told(*args: Any) -> tuple[str, ...]:
        return bmff.inspect(heif(*args)).account.sentences

    gain = ("The gain map (HDR) was not kept.",)
    assert told({1: b"hvc1"}) == ()
    assert told({1: b"hvc1", 2: b"tmap"}) == gain
    points = box(b"auxl", struct.pack(">HHH", 2, 1, 1))
    for name, expected in (
        (b"urn:com:apple:photo:2020:aux:hdrgainmap", gain),
        (b"urn:mpeg:hevc:2015:auxid:1", ()),
        (b"urn:mpeg:hevc:2015:auxid:2", ("An auxiliary picture (2) was not kept.",)),
    ):
        auxiliary = {2: box(b"auxC", bytes(4) + name + b"\0")}
        assert told({1: b"hvc1", 2: b"hvc1"}, points, auxiliary) == expected
    thumbnail = box(b"thmb", struct.pack(">HHH", 2, 1, 1))
    assert told({1: b"hvc1", 2: b"hvc1"}, thumbnail) == ("The thumbnail was not kept.",)
    crop = {1: box(b"clap", bytes(32))}
    assert told({1: b"hvc1"}, b"", crop) == ("The clean aperture (a crop) was not kept.",)
    wide = {1: box(b"colr", b"nclx" + struct.pack(">HHHB", 9, 16, 9, 0x80))}
    assert told({1: b"hvc1"}, b"", wide) == ("The colour space was not kept.",)  # until a reader has converted it
    size = {1: box(b"ispe", bytes(4) + struct.pack(">II", 70000, 50000))}
    assert bmff.size_of(heif({1: b"hvc1"}, b"", size)) == (70000, 50000)


def test_a_huge_avif_is_named_by_its_size() -> None:
    size = {1: box(b"ispe", bytes(4) + struct.pack(">II", 70000, 50000))}
    data = heif({1: b"av01"}, b"", size).replace(b"heic", b"avif")
    limit = "are more than the limit of 67108864"
    with pytest.raises(TooLargeError, match=f"^x: 70000x50000 pixels {limit}$"):
        read_picture(data, name="x")


# ── Profiles ──────────────────────────────────────────────────────────────────────────────────────────────


def test_pgm_is_grey() -> None:
    grey = Picture(SMOOTH[:, :, :1].repeat(3, axis=2), grey=True)
    assert picture_bytes(grey, "pgm").startswith(b"P5")
    with pytest.raises(OutputError, match=r"^a\.pgm: is a picture of colours, and \.pgm holds grey only"):
        picture_bytes(Picture(SMOOTH), "pgm", name="a.pgm")


@pytest.mark.parametrize("strip", [False, True])
def test_profiles_that_cannot_be_kept_are_reported(strip: bool) -> None:
    grey = profile_with_curve(GAMMA_22, grey=True)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for image, icc, told in (
        (Image.fromarray(SMOOTH), grey, "is for GRAY, and was not kept with a picture of colour"),
        (Image.fromarray(SMOOTH[:, :, 0]), srgb_profile(), "is for RGB, and was not kept with a picture of grey"),
        (Image.fromarray(SMOOTH), lab, "was not kept with a picture of colour"),
        (Image.fromarray(SMOOTH), b"garbage" * 60, "was damaged and was not kept"),
    ):
        picture = read_picture(saved(image, "JPEG", icc_profile=icc))
        picture = stripped(picture) if strip else picture
        assert picture.icc is None
        assert [told in sentence for sentence in picture.warnings] == [True]


def test_iccp_that_cannot_be_read_leaves_the_picture() -> None:
    packed = zlib.compress(srgb_profile() or b"")
    for body, told in (
        (b"x\0\7" + packed, "The ICC profile is packed in an unknown way and was not kept."),
        (b"x\0\0" + packed[:40], "The ICC profile was damaged and was not kept."),
        (b"x\0\0no zlib", "The ICC profile was damaged and was not kept."),
        (b"x\0\0" + zlib.compress(bytes(1_600_000)), "The ICC profile is larger than a megabyte and was not kept."),
    ):
        picture = read_picture(png(SMOOTH, (b"iCCP", body)))
        assert np.array_equal(picture.pixels, SMOOTH)
        assert (picture.icc, picture.warnings) == (None, (told,))


def test_linear_light_by_a_profile_is_recoded_at_full_depth() -> None:
    dark = COLOURS * 0.2
    icc = profile_with_curve(LINEAR)
    assert is_coarse(icc)
    picture = read_picture(png(deep(light_of_srgb(dark)), (b"iCCP", b"x\0\0" + zlib.compress(icc))))
    assert np.abs(seen(picture) - eight(dark)).max() <= 1
    assert picture.warnings[0] == "Linear light was coded anew by the curve of sRGB, which the ICC profile now says."
    grey = profile_with_curve(LINEAR, grey=True)
    picture = read_picture(png(deep(light_of_srgb(RAMP)), (b"iCCP", b"x\0\0" + zlib.compress(grey))))
    assert np.abs(seen(picture)[:, :, 0] - eight(RAMP)).max() <= 1


def test_profiles_with_enough_levels_are_left_alone() -> None:
    icc = profile_with_curve(GAMMA_22)
    assert not is_coarse(icc)
    picture = read_picture(png(deep(COLOURS), (b"iCCP", b"x\0\0" + zlib.compress(icc))))
    assert picture.icc == icc
    assert not is_coarse(srgb_profile() or b"")


def test_curves_of_all_kinds() -> None:
    values = np.linspace(0, 1, 101)
    table = b"curv" + struct.pack(">4xI256H", 256, *np.linspace(0, 65535, 256).round().astype(int).tolist())
    kinds = {
        0: (2.0,), 1: (2.0, 0.5, 0.5), 2: (2.0, 0.5, 0.25, 0.1), 3: (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045),
        4: (2.0, 0.9, 0.1, 0.5, 0.1, 0.0, 0.02),
    }  # fmt: skip
    expected = {0: values**2, 1: (values + 1) ** 2 / 4, 3: light_of_srgb(values)}
    for number, numbers in kinds.items():
        curve = b"para" + struct.pack(f">4xHxx{len(numbers)}i", number, *(round(65536 * v) for v in numbers))
        found = curves_of(profile_with_curve(curve))
        assert found is not None
        if number in expected:
            assert np.abs(found[0](values) - expected[number]).max() < 1e-3
    for curve, power in ((table, 1), (LINEAR, 1), (GAMMA_22, 2.2)):
        found = curves_of(profile_with_curve(curve))
        assert found is not None
        assert np.abs(found[1](values) - values**power).max() < 1e-2
    assert curves_of(b"") is None


def test_profiles_that_are_made_can_be_read_by_littlecms() -> None:
    made = profile_of(P3, "Display P3")
    again = with_curve_of_srgb(profile_with_curve(LINEAR))
    colour = colour_of_grey(profile_with_curve(GAMMA_22, grey=True))
    for icc in (made, again, colour):
        assert icc is not None
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        assert profile.profile.xcolor_space.strip() == "RGB"
        white = Image.new("RGB", (1, 1), (255, 255, 255))
        converted = ImageCms.profileToProfile(white, profile, ImageCms.createProfile("sRGB"))
        assert converted is not None
        assert min(converted.getpixel((0, 0))) >= 254
    assert made == profile_of(P3, "Display P3")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
def test_profile_and_kind_fit_in_every_output(suffix: str) -> None:
    grey = Picture(SMOOTH[:, :, :1].repeat(3, axis=2), grey=True, icc=profile_with_curve(GAMMA_22, grey=True))
    colour = Picture(grey.pixels, grey=True, icc=profile_of(P3, "Display P3"))
    for picture in (grey, colour):
        image = Image.open(io.BytesIO(picture_bytes(picture, suffix)))
        assert (image.mode == "L") == (space_of(image.info["icc_profile"]) == "GRAY")
        assert not_kept(picture, suffix) == ()
        back = read_picture(picture_bytes(picture, suffix))
        assert np.abs(seen(back) - seen(picture)).max() <= 5
