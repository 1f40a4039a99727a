"""The small picture that lies ready in a file: when it is written, what it costs, who shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image
from typer.testing import CliRunner

import fedscodec
from fedscodec import boxes, images
from fedscodec.boxes import PREVIEW, preview_size
from fedscodec.cli import app
from fedscodec.codec.beside import PREVIEW_SHARE, add_preview
from fedscodec.codec.decoding import decode_file
from fedscodec.codec.model import load_model
from fedscodec.errors import FormatError
from fedscodec.fileformat import assemble, pack, unpack
from fedscodec.images import Picture, pack_thumbnail, unpack_thumbnail


def a_file(stream_bytes):
    return assemble(
        fingerprint=bytes(8), quality=1000, width=640, height=480, grey=False, streams=[b"", b"x" * stream_bytes],
        symbols=[],
    )  # fmt: skip


@pytest.mark.parametrize(("streams", "cost", "there"), [(40_000, 200, False), (40_100, 189, True), (10**6, 2000, True)])
def test_by_default_it_takes_at_most_a_two_hundredth(streams, cost, there):
    file = a_file(streams)
    add_preview(file, lambda: b"w" * cost, None)
    assert (PREVIEW in file.boxes) == there
    if there:
        assert (len(pack(file)) - len(pack(a_file(streams)))) * PREVIEW_SHARE <= len(pack(a_file(streams)))


def test_it_is_not_even_made_where_it_cannot_fit_or_is_not_wanted():
    for streams, wanted in ((10_000, None), (10**6, False)):
        file = a_file(streams)
        add_preview(file, lambda: pytest.fail("was made"), wanted)
        assert file.boxes == {}


def test_it_comes_and_goes_without_a_change_to_anything_else():
    file = a_file(10)
    before = file.header.checksum
    add_preview(file, lambda: b"w" * 300, True)
    assert unpack(pack(file)).boxes == {PREVIEW: b"w" * 300}
    assert unpack(pack(file)).header.checksum == before


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(640, 480, (64, 48)), (33, 2000, (1, 64)), (1, 1, (1, 1)), (50, 20, (50, 20)), (259, 257, (64, 64))],
)
def test_a_thumbnail_has_at_most_64_pixels_on_a_side(width, height, expected):
    payload = pack_thumbnail(make_picture(width=width, height=height))
    assert preview_size(payload) == expected
    found = unpack_thumbnail(payload)
    assert (found.width, found.height) == expected
    assert len(payload) <= boxes.PREVIEW_AT_MOST


def test_a_thumbnail_shows_the_picture():
    rows, columns = np.mgrid[:1500, :2000]
    pixels = np.stack([rows / 1500 * 255, columns / 2000 * 255, 0 * rows + 90], -1).astype(np.uint8)
    found = unpack_thumbnail(pack_thumbnail(Picture(pixels))).pixels
    expected = np.array(Image.fromarray(pixels).resize((64, 48), Image.Resampling.LANCZOS))
    assert np.abs(found.astype(int) - expected).mean() < 4


def test_noise_and_alpha_fit_too():
    noise = make_picture("noise", 640, 640)
    alpha = np.zeros((640, 640), dtype=np.uint8)
    alpha[:, 320:] = 255
    payload = pack_thumbnail(replace(noise, alpha=alpha))
    assert len(payload) <= boxes.PREVIEW_AT_MOST
    found = unpack_thumbnail(payload)
    assert found.alpha is not None
    assert found.alpha[:, :29].max() < 8
    assert found.alpha[:, 35:].min() > 247


def test_noise_in_alpha_fits_less_exactly():
    noise = make_picture("noise", 64, 64)
    payload = pack_thumbnail(replace(noise, alpha=noise.pixels[:, :, 0].copy()))
    assert 1024 < len(payload) <= boxes.PREVIEW_AT_MOST
    assert np.abs(unpack_thumbnail(payload).alpha.astype(int) - noise.pixels[:, :, 0]).mean() < 12


def test_colours_of_another_profile_become_srgb():
    picture = Image.new("RGB", (64, 64), (200, 30, 30))
    from PIL import ImageCms

    lab_like = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    plain = pack_thumbnail(images.read_picture(picture))
    assert pack_thumbnail(replace(images.read_picture(picture), icc=lab_like)) == plain


def webp(width, height, **options):
    buffer = BytesIO()
    Image.new("RGB", (width, height), (1, 2, 3)).save(buffer, "WEBP", **options)
    return buffer.getvalue()


ANIMATED = BytesIO()
Image.new("RGB", (8, 8)).save(ANIMATED, "WEBP", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")])


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"RIFF", webp(65, 8), webp(8, 65, lossless=True), webp(200, 8, lossless=True, exif=b"Exif\0\0MM\0*"),
        ANIMATED.getvalue(), webp(8, 8)[:-6], webp(8, 8) + b"\0" * 2048, b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
    ],
    ids=["empty", "cut", "wide", "high", "extended", "animated", "pixels-cut", "long", "png"],
)  # fmt: skip
def test_anything_but_a_small_webp_is_refused_and_never_decoded(payload):
    with pytest.raises(FormatError, match=r"^the prev box should hold"):
        unpack_thumbnail(payload)


# ── Written and shown ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny", "cpu")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(make_picture(width=200, height=120).pixels).save(path)
    return path


def feds(*words):
    return CliRunner().invoke(app, list(map(str, words)), prog_name="feds")


def test_files_from_the_command_line_have_one_if_asked(photo, tmp_path):
    out = tmp_path / "photo.feds"
    sizes = {}
    for option in ("--preview", "--no-preview", None):
        words = [option] if option else []
        assert feds("encode", photo, "-o", out, "--model", "tiny", "--force", *words).exit_code == 0
        sizes[option] = out.stat().st_size
        assert (PREVIEW in unpack(out.read_bytes()).boxes) == (option == "--preview")
    assert sizes["--no-preview"] == sizes[None] < sizes["--preview"] <= sizes[None] + 2048 + 11


def test_the_picture_is_the_same_with_it(tiny):
    picture = make_picture(width=100, height=90)
    files = [unpack(tiny.encode(picture, 3, preview=wanted)) for wanted in (True, False)]
    assert files[0].streams == files[1].streams
    assert np.array_equal(*(decode_file(file, tiny).picture.pixels for file in files))


def test_info_and_decode_show_it(photo, tmp_path):
    out, small = tmp_path / "photo.feds", tmp_path / "small.png"
    feds("encode", photo, "-o", out, "--model", "tiny", "--preview")
    assert "preview  64x38 pixels, WebP\n" in feds("info", out).stdout
    told = json.loads(feds("info", out, "--json").stdout)
    assert told["preview"] == {"width": 64, "height": 38}
    assert told["parts"]["box prev"] == len(unpack(out.read_bytes()).boxes[PREVIEW])
    run = feds("decode", out, "--preview", "-o", small)
    assert run.stderr == f"{small}: 64x38 of 200x120 pixels, the preview in the file\n"
    with Image.open(small) as image, Image.open(photo) as whole:
        expected = np.asarray(whole.resize((64, 38), Image.Resampling.LANCZOS)).astype(int)
        assert np.abs(np.asarray(image) - expected).mean() < 16  # waves finer than its chroma
    assert fedscodec.preview(out).size == (64, 38)


def test_a_file_without_one_says_so(photo, tmp_path):
    out = tmp_path / "photo.feds"
    feds("encode", photo, "-o", out, "--model", "tiny")
    run = feds("decode", out, "--preview", "-o", tmp_path / "small.png")
    assert run.stderr == f"feds: {out}: has no preview (use --size 64 to make one from its streams)\n"
    assert run.exit_code == 1
    assert fedscodec.preview(out) is None
    assert json.loads(feds("info", out, "--json").stdout)["preview"] is None


def test_it_stands_alone(photo, tmp_path):
    for words in (["--size", "9"], ["--slices", "1"], ["--best-effort"], ["--json"]):
        assert feds("decode", photo, "--preview", *words, "-o", tmp_path / "x").exit_code == 2


def test_a_size_counts_its_bytes(photo):
    data = fedscodec.encode(photo, "tiny", size=2600, preview=True)
    assert len(data) <= 2600
    assert PREVIEW in unpack(data).boxes
