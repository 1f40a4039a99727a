"""What counts as up to date is what the same command would write now: whole, of this picture, with these options."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from conftest import make_model
from PIL import Image
from test_cli import feds, told

import fedscodec
from fedscodec.fileformat import read_header
from fedscodec.images import size_if_whole
from fedscodec.images.containers import whole
from fedscodec.networks.weights import write_weights

STUDENT = ("--model", "student-q3", "--device", "cpu")
TINY = ("--model", "tiny-q3", "--device", "cpu")
EARLY = 1_000_000_000


def photograph(path, hue, width=96, height=64):
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([(rows * 3 + hue) % 256, (columns * 2) % 256, (rows + columns + 2 * hue) % 256], axis=2)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    photograph("photos/a.png", 0)
    return Path("photos")


def counts(*arguments):
    """How many were done, up to date, failed; and all that was said."""
    _, _, words = told(feds(*arguments))
    line = next(line for line in words.splitlines() if "up to date" in line)
    return [int(part.split()[0]) for part in line.split(":")[0].split(", ")], words


def encode(*more, model=TINY):
    return counts("encode", "photos", "-o", "out", *model, *more)[0]


def decode(*more):
    return counts("decode", "out", "-o", "back", "--device", "cpu", *more)


def test_a_network_for_one_lambda_has_one_quality_in_every_command(photos):
    write_weights(Path("one.safetensors"), make_model(lambdas=(0.015,)), {})
    one = ("--model", "one.safetensors")
    assert encode("--device", "cpu", model=one) == [1, 0, 0]
    assert encode("--device", "cpu", model=one) == [0, 1, 0]
    assert read_header(Path("out/a.feds").read_bytes()).quality == 1000
    assert told(feds("encode", "photos/a.png", "-o", "a.feds", "--device", "cpu", *one))[0] == 0
    assert Path("a.feds").read_bytes() == Path("out/a.feds").read_bytes()
    assert told(feds("entropy", "photos/a.png", "-o", "entropy", "--device", "cpu", *one))[0] == 0


@pytest.mark.parametrize("length", [0, 3, 20, 60, -1])
def test_a_truncated_result_is_encoded_again(photos, length):
    assert encode() == [1, 0, 0]
    whole = Path("out/a.feds").read_bytes()
    Path("out/a.feds").write_bytes(whole[:length])
    assert encode() == [1, 0, 0]
    assert Path("out/a.feds").read_bytes() == whole
    assert encode() == [0, 1, 0]


def replace_with_an_older_one(hue, **size):
    """A picture of another time takes the place of a.png, with its time, as cp -p and mv leave it."""
    photograph("new.png", hue, **size)
    os.utime("new.png", (EARLY, EARLY))
    os.replace("new.png", "photos/a.png")


@pytest.mark.parametrize("model", [STUDENT, TINY], ids=["student", "tiny"])
@pytest.mark.parametrize("size", [{}, {"width": 64, "height": 96}, {"width": 80}])
def test_an_older_picture_in_the_place_of_another(photos, model, size):
    assert encode(model=model) == [1, 0, 0]
    replace_with_an_older_one(120, **size)
    assert encode(model=model) == [1, 0, 0]
    assert Path("out/a.feds").read_bytes() == fedscodec.encode("photos/a.png", model[1], device="cpu")
    assert encode(model=model) == [0, 1, 0]


def test_a_damaged_result_is_made_anew_when_a_picture_may_have_been_replaced(photos):
    assert encode("--stream-checks") == [1, 0, 0]
    whole = Path("out/a.feds").read_bytes()
    middle = len(whole) // 2
    Path("out/a.feds").write_bytes(whole[:middle] + bytes([whole[middle] ^ 8]) + whole[middle + 1 :])
    os.chmod("photos/a.png", 0o600)  # so that the result is looked at
    assert encode("--stream-checks") == [1, 0, 0]
    assert Path("out/a.feds").read_bytes() == whole


@pytest.mark.parametrize("model", [STUDENT, TINY], ids=["student", "tiny"])
def test_a_copy_with_its_times_is_up_to_date(photos, tmp_path, monkeypatch, model):
    assert encode(model=model) == [1, 0, 0]
    subprocess.run(["cp", "-a", ".", "../copy"], check=True)
    monkeypatch.chdir("../copy")
    before = Path("out/a.feds").stat()
    assert encode(model=model) == [0, 1, 0]
    after = Path("out/a.feds").stat()
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    os.chmod("photos/a.png", 0o600)  # changes the file, but not the picture
    assert encode(model=model) == [0, 1, 0]
    monkeypatch.setattr("fedscodec.batch.encoder.resembles", None)  # it was looked at, and is not again
    assert encode(model=model) == [0, 1, 0]
    shutil.rmtree("../copy")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], ["--strip"]),
        (["--strip"], []),
        (["--quality", "2"], ["--quality", "2.5"]),
        (["--stream-checks"], ["--no-stream-checks"]),
    ],
)
def test_other_options(photos, first, second):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    Image.open("photos/a.png").save("photos/a.png", exif=exif)
    assert encode(*first)[:2] == [1, 0]
    assert encode(*first)[:2] == [0, 1]
    assert encode(*second)[:2] == [1, 0]
    assert encode(*second)[:2] == [0, 1]


# ── Decoding ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.filterwarnings("ignore")  # Pillow's, of the cut ones
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "avif", "tif", "bmp", "ppm"])
def test_a_truncated_picture_is_decoded_again(photos, suffix):
    encode(model=STUDENT)
    assert decode("--format", suffix)[0] == [1, 0, 0]
    path = Path(f"back/a.{suffix}")
    whole = path.read_bytes()
    assert size_if_whole(path) == (96, 64)
    assert decode("--format", suffix)[0] == [0, 1, 0]
    for length in (0, 30, 300, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert size_if_whole(path) is None, length
    assert decode("--format", suffix)[0] == [1, 0, 0]
    assert path.read_bytes() == whole


def test_whatever_a_reader_raises_stops_no_other_file(photos, monkeypatch):
    photograph("photos/b.png", 90)
    encode(model=STUDENT)
    assert decode("--format", "png")[0] == [2, 0, 0]
    identify = whole.identify

    def broken(stream):
        if stream.name.endswith("a.png"):
            raise RuntimeError("Failed to decode image: Not implemented")  # as Pillow's reader of AVIF does
        return identify(stream)

    monkeypatch.setattr(whole, "identify", broken)
    assert decode("--format", "png")[0] == [1, 1, 0]  # it begins as a PNG does, so it is made again
    Path("back/a.png").write_bytes(b"DDS |, of somebody")
    outcome, words = decode("--format", "png")
    assert (outcome, "back/a.png: already exists and is not a picture" in words) == ([0, 1, 1], True)


def _tiled(pixels):
    """A TIFF in one tile of 96×64, as feds writes none."""
    tags = ((256, 3, 96), (257, 3, 64), (258, 3, 8), (259, 3, 1), (262, 3, 1), (277, 3, 1), (322, 3, 96), (323, 3, 64))
    places = ((324, 4, 8 + 2 + 12 * 10 + 4), (325, 4, 96 * 64))
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in (*tags, *places))
    return b"II*\0" + struct.pack("<IH", 8, 10) + entries + bytes(4) + pixels.tobytes()


def _bits(pixels):
    return b"P4\n96 64\n" + np.packbits(pixels > 128, axis=1).tobytes()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "avif", "tif", "bmp", "pnm"])
def test_somebodys_original_stays_whatever_it_has_at_its_end(photos, suffix):
    encode(model=STUDENT)
    os.utime("out/a.feds", (1, 1))
    pixels = np.random.default_rng(1).integers(0, 256, (64, 96), np.uint8)
    path = Path(f"back/a.{suffix}")
    path.parent.mkdir()
    if suffix == "tif":
        data = _tiled(pixels)
    elif suffix == "pnm":
        data = _bits(pixels)
    else:
        Image.fromarray(pixels).convert("RGB").save(path)
        data = path.read_bytes() + bytes(range(1, 256)) * 20  # as of a photograph that moves
    path.write_bytes(data)
    assert size_if_whole(path) == (96, 64)
    assert decode("--format", suffix)[0] == [0, 1, 0]
    assert path.read_bytes() == data


def test_a_picture_of_another_size_or_kind_stays(photos):
    encode(model=STUDENT)
    assert decode("--size", "40")[0] == [1, 0, 0]
    assert decode("--size", "40")[0] == [0, 1, 0]
    there = Path("back/a.png").read_bytes()
    outcome, words = decode()
    sizes = "has 40x27 pixels, expected 96x64 of out/a.feds"
    assert (outcome, f"back/a.png: already exists and {sizes}; use --force to overwrite it\n" in words) == (
        [0, 0, 1],
        True,
    )
    assert Path("back/a.png").read_bytes() == there
    assert decode("--force")[0] == [1, 0, 0]
    Path("back/a.png").write_bytes(b"no picture at all, but somebody's")
    outcome, words = decode()
    assert (outcome, "back/a.png: already exists and is not a picture, use --force to overwrite it\n" in words) == (
        [0, 0, 1],
        True,
    )
    Path("back/a.png").unlink()
    os.mkfifo("back/a.png")
    outcome, words = decode()
    assert (outcome, "back/a.png: is a named pipe, expected a file\n" in words) == ([0, 0, 1], True)


def test_an_older_file_in_the_place_of_another(photos):
    encode(model=STUDENT)
    assert decode()[0] == [1, 0, 0]
    os.chmod("out/a.feds", 0o600)
    assert decode()[0] == [0, 1, 0]
    there = Path("back/a.png").read_bytes()
    photograph("new.png", 120)
    Path("new.feds").write_bytes(fedscodec.encode("new.png", "student-q3", device="cpu"))
    os.utime("new.feds", (EARLY, EARLY))
    os.replace("new.feds", "out/a.feds")
    outcome, words = decode()
    told_of = "back/a.png: already exists and does not show out/a.feds, use --force to overwrite it\n"
    assert (outcome, told_of in words, Path("back/a.png").read_bytes()) == ([0, 0, 1], True, there)
    assert decode("--size", "40", "--force")[0] == [1, 0, 0]
    os.chmod("out/a.feds", 0o644)
    assert decode("--size", "40")[0] == [0, 1, 0]  # a small picture of it shows it, too
    photograph("back/a.png", 60, 40, 27)
    os.utime("back/a.png", (EARLY, EARLY))
    os.utime("out/a.feds", (EARLY, EARLY))
    outcome, words = decode("--size", "40")
    assert (outcome, told_of in words) == ([0, 0, 1], True)
