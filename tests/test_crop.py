"""Decoding a part of a picture: it shows what the whole one shows there, and g_s sees no more than it needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_cli import feds, told

import fedscodec
from fedscodec.codec.decoding import decode_file
from fedscodec.errors import FedsError
from fedscodec.images import Picture, Window, read_picture
from fedscodec.networks.tiles import Box, margin, tiles

HERE = Path(__file__).parent
FILES, NETWORKS = HERE / "conformance" / "v1", HERE / "conformance" / "networks"
ASTRONAUT = HERE / "pictures" / "astronaut.png"


def test_a_window_of_a_box():
    assert Window.of_box((1, 2, 4, 8)) == Window(3, 6, 1, 2)
    assert (Window(3, 6, 1, 2).right, Window(3, 6, 1, 2).bottom) == (4, 8)
    assert Window.of_box([np.int64(0), 0, 1, 1]) == Window(1, 1)
    with pytest.raises(FedsError, match=r"^crop: right: expected a whole number of at least 256, found "):
        Window.of_box([np.uint8(255), np.uint8(0), np.uint8(10), np.uint8(5)])
    for wrong, sentence in (
        ((0, 0, 0, 1), "crop: right: expected a whole number of at least 1, found 0"),
        ((0, 5, 1, 5), "crop: lower: expected a whole number of at least 6, found 5"),
        ((-1, 0, 1, 1), "crop: left: expected a whole number of at least 0, found -1"),
        ((0, "0", 1, 1), "crop: upper: expected a whole number of at least 0, found '0'"),
        ((0, 0, 1.5, 1), "crop: right: expected a whole number of at least 1, found 1.5"),
        ((0, 0, 1), r"crop: expected (left, upper, right, lower), found (0, 0, 1)"),
        (7, "crop: expected (left, upper, right, lower), found 7"),
    ):
        with pytest.raises(FedsError) as error:
            Window.of_box(wrong)
        assert str(error.value) == sentence


def test_a_part_of_a_picture_keeps_what_is_beside_its_colours():
    pixels, alpha = np.arange(72, dtype=np.uint8).reshape(4, 6, 3), np.arange(24, dtype=np.uint8).reshape(4, 6)
    part = Window(3, 2, 1, 2).of(Picture(pixels, icc=b"profile", exif=b"II", alpha=alpha))
    assert (part.icc, part.exif, part.pixels.shape) == (b"profile", b"II", (2, 3, 3))
    np.testing.assert_array_equal(part.alpha, alpha[2:4, 1:4])


@pytest.mark.parametrize(
    ("box", "scaled"),
    [((0, 1, 0, 1), (0, 1, 0, 1)), ((15, 17, 16, 32), (0, 2, 1, 2)), ((32, 48, 31, 33), (2, 3, 1, 3))],
)
def test_a_box_of_pixels_covers_these_latents(box, scaled):
    assert Box(*box).shrunk(16) == scaled


@pytest.mark.parametrize(
    ("box", "common"),
    [
        ((0, 4, 0, 4), (2, 4, 1, 4)),
        ((3, 9, 0, 9), (3, 6, 1, 5)),
        ((6, 9, 2, 4), (6, 6, 2, 4)),
        ((2, 5, 8, 9), (2, 5, 8, 8)),
    ],
)
def test_what_two_boxes_cover(box, common):
    assert Box(*box).common(Box(2, 6, 1, 5)) == common


def test_tiles_cover_a_part_of_a_map_once():
    times = np.zeros((50, 40), dtype=int)
    for seen, kept in tiles(50, 40, 8, 3, 2, Box(11, 44, 2, 9)):
        times[kept.top : kept.bottom, kept.left : kept.right] += 1
        assert (seen.top, seen.bottom) == ((kept.top - 3) // 2 * 2, min(-(-(kept.bottom + 3) // 2) * 2, 50))
        assert (seen.left, seen.right) == (0, 12)
    assert (times[11:44, 2:9] == 1).all()
    assert times.sum() == 33 * 7


@pytest.mark.parametrize("window", ["1x1+0+0", "1x1+511+511", "100x37+201+333", "16x16+32+48", "512x1+0+200"])
def test_a_part_shows_what_the_whole_picture_shows(astronaut, shipped_tiny, window):
    part = Window.parse(window)
    whole = part.cut(decode_file(astronaut, shipped_tiny).picture.pixels).astype(int)
    decoded = decode_file(astronaut, shipped_tiny, window=part)
    assert np.abs(decoded.picture.pixels - whole).max() <= 1
    assert len(decoded.symbols) == 3  # all are read, so that the checksum counts


def test_a_part_in_several_tiles(astronaut, shipped_tiny, monkeypatch):
    part = Window(300, 200, 77, 130)
    whole = part.cut(decode_file(astronaut, shipped_tiny).picture.pixels).astype(int)
    monkeypatch.setattr(type(shipped_tiny), "tile_side", 5)
    assert np.abs(decode_file(astronaut, shipped_tiny, window=part).picture.pixels - whole).max() <= 1


def test_g_s_sees_only_what_the_part_needs(astronaut, shipped_tiny, monkeypatch):
    seen = []
    real = shipped_tiny.transforms.g_s.forward
    monkeypatch.setattr(
        shipped_tiny.transforms.g_s, "forward", lambda y, q: seen.append(tuple(y.shape[2:])) or real(y, q)
    )
    decode_file(astronaut, shipped_tiny, window=Window(20, 10, 200, 300))
    beyond = 2 * margin(shipped_tiny.transforms.g_s)
    assert seen == [(2 + beyond, 2 + beyond)]  # 200 … 219 and 300 … 309 lie in two columns and two rows of latents


@pytest.mark.parametrize(
    "name",
    [
        "tiny-alpha-disc-q4", "mini-teacher-face-65x64-q4", "mini-light-teacher-face-65x64-q3",
        "mini-light-student-suit-63x33-q4", "grey-q3", "flat-q4",
    ],
)  # fmt: skip
def test_a_part_of_every_kind_of_file(name, monkeypatch):
    """Transparent pictures, attention (whose windows count from the corner), light networks, grey, and colours."""
    monkeypatch.setenv("FEDS_WEIGHTS", str(NETWORKS))
    path = FILES / f"{name}.feds"
    whole = fedscodec.decode(path, device="cpu")
    box = (whole.width // 3, whole.height // 2, whole.width, whole.height - 1)
    part = fedscodec.decode(path, device="cpu", crop=box)
    assert (part.mode, part.size) == (whole.mode, whole.crop(box).size)
    assert np.abs(np.asarray(part).astype(int) - np.asarray(whole.crop(box))).max() <= 1


def test_a_part_of_a_picture_without_loss(tmp_path):
    drawn = Image.new("RGBA", (90, 70), (200, 0, 0, 255))
    drawn.paste((0, 90, 255, 90), (30, 20, 60, 50))
    data = fedscodec.encode(drawn, "tiny", device="cpu")
    part = fedscodec.decode(data, device="cpu", crop=(25, 15, 40, 30))
    np.testing.assert_array_equal(np.asarray(part), np.asarray(drawn.crop((25, 15, 40, 30))))


def test_a_damaged_file_shows_no_part(shipped_tiny):
    data = bytearray(shipped_tiny.encode(read_picture(ASTRONAUT)))
    data[-100] ^= 1
    with pytest.raises(FedsError, match="damaged"):
        fedscodec.decode(bytes(data), model=shipped_tiny, crop=(0, 0, 9, 9))


def test_a_part_beyond_the_picture(astronaut, shipped_tiny):
    data = shipped_tiny.encode(read_picture(ASTRONAUT))
    with pytest.raises(FedsError) as error:
        fedscodec.decode(data, model=shipped_tiny, crop=(500, 0, 513, 9))
    assert str(error.value) == "the file: the window 13x9+500+0 is not inside 512x512 pixels"
    with pytest.raises(FedsError, match="the window 13x9"):
        decode_file(astronaut, shipped_tiny, window=Window(13, 9, 500, 0))
    with pytest.raises(FedsError, match="crop cannot be used with size or best_effort"):
        fedscodec.decode(data, model=shipped_tiny, crop=(0, 0, 9, 9), size=9)


# ── The command ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.feds").write_bytes((FILES / "photo-200x200-q7.feds").read_bytes())
    code, out, err = told(feds("decode", "a.feds", "--crop", "50x41+100+33", "-o", "part.png", "--device", "cpu"))
    assert (code, out) == (0, b"")
    assert err.startswith("part.png: 50x41 of 200x200 pixels, q7 of tiny, ")
    assert read_picture(Path("part.png")).pixels.shape == (41, 50, 3)
    found = told(feds("decode", "a.feds", "--crop", "50x41+151+33", "-o", "new.png", "--device", "cpu"))
    assert found == (1, b"", "feds: a.feds: the window 50x41+151+33 is not inside 200x200 pixels\n")
    for wrong, sentence in (
        (["--crop", "50x41"], "--crop: expected a window such as 320x240+100+0, found 50x41"),
        (["--crop", "1x1+0+0", "--size", "9"], "--crop cannot be used with --size, --preview or --best-effort"),
        (["b.feds", "--crop", "1x1+0+0"], "--crop takes one file at a time, without --json and --ray"),
    ):
        code, out, err = told(feds("decode", "a.feds", *wrong, "-o", "new.png"))
        assert (code, out, err.splitlines()[-1]) == (2, b"", f"Error: Invalid value: {sentence}")
    assert not Path("new.png").exists()
