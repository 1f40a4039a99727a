"""What `feds compare` compares, and the page and the strip that show it."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFont, features
from typer.testing import CliRunner

from fedscodec.cli import app
from fedscodec.codec.settings import Encoding
from fedscodec.codec.single import encode_one
from fedscodec.commands.printing import version_line
from fedscodec.errors import FedsError
from fedscodec.images import Picture, Window, read_picture, srgb_profile
from fedscodec.images.colour.icc import profile_of
from fedscodec.metrics.psnr import psnr
from fedscodec.reports.comparison import Comparison, Version, compare, comparison_page, draw_strip
from fedscodec.reports.comparison.versions import highest

P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
AVIF = pytest.mark.skipif(not features.check("avif"), reason="this Pillow cannot write AVIF")


@pytest.fixture(scope="module")
def photo(picture):
    return replace(picture("waves", width=96, height=64), exif=b"II*\0\x08\0\0\0\0\0\0\0\0\0", icc=None)


@pytest.fixture(scope="module")
def found(photo, codec):
    return Comparison("photo.png", photo, 12_345, tuple(compare(photo, codec, [7, 2.5], ["JPEG"])))


def test_rows_are_files_of_their_own_and_peers_are_no_larger(found, photo, codec):
    assert [[version.label.split()[0] for version in row] for row in found.rows] == [["feds", "JPEG"]] * 2
    assert [row[0].label for row in found.rows] == ["feds q2.5", "feds q7"]
    bare = replace(photo, exif=None)
    for (ours, jpeg), quality in zip(found.rows, (2.5, 7), strict=True):
        assert ours.data == codec.encode(bare, quality)
        np.testing.assert_array_equal(ours.picture.pixels, codec.decode(ours.data).pixels)
        assert ours.psnr == psnr(photo.pixels, ours.picture.pixels)
        assert ours.bpp == 8 * len(ours.data) / (96 * 64)
        assert jpeg.data[:2] == b"\xff\xd8"
        np.testing.assert_array_equal(jpeg.picture.pixels, read_picture(jpeg.data).pixels)
        assert jpeg.psnr == psnr(photo.pixels, jpeg.picture.pixels)
        assert jpeg.fits == (len(jpeg.data) <= len(ours.data))
        if jpeg.fits and int(jpeg.setting) < 95:
            again = BytesIO()
            Image.fromarray(photo.pixels).save(again, "JPEG", quality=int(jpeg.setting) + 1, optimize=True)
            assert len(again.getvalue()) > len(ours.data)


@AVIF
def test_avif_is_compared_too(photo, codec):
    ((ours, avif),) = compare(photo, codec, [7], ["AVIF"])
    assert avif.data[4:12] == b"ftypavif"
    assert avif.fits == (len(avif.data) <= len(ours.data))


@AVIF
def test_every_file_has_the_profile_unless_it_means_srgb(photo, codec):
    plain, srgb, wide = (
        next(iter(compare(replace(photo, icc=icc), codec, [7])))
        for icc in (None, srgb_profile(), profile_of(P3, "Display P3"))
    )
    assert [version.data for version in srgb[1:]] == [version.data for version in plain[1:]]
    assert [version.picture.icc for version in wide] == [profile_of(P3, "Display P3")] * 3


def test_a_peer_that_cannot_be_as_small_says_so(codec, picture):
    ((ours, jpeg),) = compare(picture("constant", width=8, height=8), codec, [1], ["JPEG"])
    assert (jpeg.setting, jpeg.fits) == ("1", False)
    assert len(jpeg.data) > len(ours.data)


def test_a_drawing_is_compared_as_it_is_written_without_loss(codec):
    drawing = Picture(
        np.kron(np.arange(48).reshape(6, 8) % 2, np.ones((16, 16)))[..., None].repeat(3, 2).astype(np.uint8)
    )
    made = encode_one(drawing, codec, Encoding(quality=3.0)).encoded.data
    rows = list(compare(drawing, codec, [3, 7], ["JPEG"]))
    assert [[version.label for version in row][0] for row in rows] == ["feds without loss"]
    assert rows[0][0].data == made
    assert (rows[0][0].error, math.isinf(rows[0][0].psnr)) == ("no error", True)
    assert version_line(rows[0][0]).endswith(" bpp, no error")


def test_a_picture_with_alpha_is_compared_on_white(codec, picture):
    photo = picture("waves", width=48, height=32)
    alpha = np.zeros((32, 48), np.uint8)
    alpha[:, 24:] = 255
    ((ours, jpeg),) = compare(replace(photo, alpha=alpha), codec, [3], ["JPEG"])
    on_white = photo.pixels.copy()
    on_white[:, :24] = 255
    assert ours.data == codec.encode(Picture(on_white), 3)
    assert jpeg.psnr == psnr(on_white, jpeg.picture.pixels)


def test_the_command_names_a_picture_with_alpha_and_one_that_a_window_leaves(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGBA", (48, 32), (200, 30, 9, 128)).save("a.png")
    how = ["--model", "tiny", "--quality", "3", "--device", "cpu", "-o", "c.png"]
    result = CliRunner().invoke(app, ["compare", "a.png", *how])
    assert (result.exit_code, result.stderr.splitlines()[0]) == (0, "feds: a.png: is compared on white.")
    result = CliRunner().invoke(app, ["compare", "a.png", *how, "--force", "--crop", "9x9+40+0"])
    assert result.exit_code == 1
    assert result.stderr == "feds: a.png: the window 9x9+40+0 is not inside 48x32 pixels\n"


def test_what_cannot_be_compared(photo, codec, monkeypatch):
    with pytest.raises(FedsError, match="quality must lie between 1 and 7 for tiny, found 8"):
        next(compare(photo, codec, [8]))
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    with pytest.raises(FedsError, match=r"^this Pillow cannot write AVIF, compare without it$"):
        next(compare(photo, codec, [1], ["JPEG", "AVIF"]))


@pytest.mark.parametrize("limit", [0, 1, 49, 99, 100, 101])
def test_the_highest_that_holds(limit):
    tried = []
    assert highest(lambda n: tried.append(n) or n <= limit, 1, 100) == (min(limit, 100) or None)
    assert len(tried) <= 7
    assert len(set(tried)) == len(tried)


def test_the_page_shows_every_version_and_the_very_pixels(found):
    html = comparison_page([found])
    (scene,) = json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1])
    labels = [version.label for version in found.versions]
    assert [shot["label"] for shot in scene["shots"]] == ["original", *labels]
    assert scene["shots"][0]["facts"] == {"bytes": "12,345"}
    ours = found.rows[0][0]
    facts = {"bytes": f"{len(ours.data):,}", "bpp": f"{ours.bpp:.3f}", "PSNR": f"{ours.psnr:.2f} dB"}
    assert scene["shots"][1]["facts"] == facts
    for shot, picture in zip(scene["shots"], [found.original, *(v.picture for v in found.versions)], strict=True):
        data = base64.b64decode(shot["source"].partition(",")[2])
        np.testing.assert_array_equal(read_picture(data).pixels, picture.pixels)


def flat(level):
    return Picture(np.full((30, 120, 3), level, dtype=np.uint8))


def test_a_strip_has_a_row_a_quality_and_feds_at_the_right():
    rows = [
        (Version("feds", f"q{q}", b"12", flat(60 + q), 30.0), Version("JPEG", "9", b"123", flat(90 + q), 29.5, False))
        for q in (1, 2)
    ]
    strip = draw_strip(Comparison("a", flat(10), 7, tuple(rows))).pixels
    wide = math.ceil(ImageFont.load_default(15).getlength("JPEG 9 (no smaller)"))  # the widest words, above 120
    assert strip.shape == (2 * (30 + 50) + 8, 3 * wide + 2 * 8, 3)
    lefts = (0, wide + 8, 2 * (wide + 8))
    for top, q in ((0, 1), (88, 2)):
        panels = [strip[top : top + 30, left : left + 120] for left in lefts]
        assert [set(panel.ravel()) for panel in panels] == [{10}, {90 + q}, {60 + q}]
        assert all((strip[top + 30 : top + 80, left : left + wide] < 128).sum() > 100 for left in lefts)
        assert {int(strip[top : top + 80, left - 7 : left - 1].min()) for left in lefts[1:]} == {255}  # no words there


def test_a_window_is_a_part_and_lies_inside():
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    part = Window.parse("3x2+1+2")
    assert str(part) == "3x2+1+2"
    np.testing.assert_array_equal(part.of(Picture(pixels)).pixels, pixels[2:4, 1:4])
    with pytest.raises(FedsError, match=r"^the picture: the window 3x2\+4\+2 is not inside 6x4 pixels$"):
        Window.parse("3x2+4+2").of(Picture(pixels))
    for wrong in ("3x2", "0x2+1+1", "3x2-1+1", "3 x 2+1+1"):
        with pytest.raises(ValueError, match="expected a window such as"):
            Window.parse(wrong)


# ── The command ───────────────────────────────────────────────────────────────────────────────────────────


def feds_compare(*arguments):
    return CliRunner().invoke(app, ["compare", *arguments, "--model", "tiny"], prog_name="feds")


@pytest.fixture
def here(tmp_path, monkeypatch, photo):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo.pixels).save("photo.png")
    Image.fromarray(photo.pixels[:, :, 0]).save("grey.png")


def test_the_command_writes_a_page_and_reports_it(here):
    result = feds_compare("photo.png", "grey.png", "--quality", "2", "--no-peers")
    assert (result.exit_code, result.stdout) == (0, "")
    told = r"photo\.png: feds q2: \d+ bytes, \d\.\d+ bpp, \d+\.\d\d dB\ngrey\.png: feds q2: .* dB\n"
    assert re.fullmatch(told + r"photo-compare\.html: 2 versions\n", result.stderr)
    page = Path("photo-compare.html").read_text(encoding="utf-8")
    scenes = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)[1])
    assert [scene["name"] for scene in scenes] == ["photo.png", "grey.png"]
    refused = feds_compare("photo.png", "--no-peers")
    assert (refused.exit_code, refused.stderr) == (
        1,
        "feds: photo-compare.html: already exists, use --force to overwrite it\n",
    )


def test_the_command_writes_a_strip(here):
    result = feds_compare("photo.png", "--quality", "2", "--no-peers", "-o", "a.png", "--crop", "40x30+5+5", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    with Image.open("a.png") as strip:
        assert strip.size[1] == 30 + 50
        assert strip.size[0] > 2 * 40 + 8  # the words are wider


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["photo.png", "--crop", "4x4+0+0"], "--crop needs a picture as OUT"),
        (["photo.png", "--crop", "4x4", "-o", "a.png"], "expected a window such as 320x240+100+0, found 4x4"),
        (["photo.png", "grey.png", "-o", "a.png"], "for several pictures, OUT must end in .html"),
        (["photo.png", "-o", "a.xyz"], "expected a picture format ("),
    ],
)
def test_wrong_usage(here, arguments, complaint):
    result = feds_compare(*arguments)
    assert result.exit_code == 2
    assert complaint in " ".join(result.stderr.replace("│", " ").split())
