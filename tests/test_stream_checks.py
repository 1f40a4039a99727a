"""Checks of single streams: written by default where they take at most a thousandth of the file, whoever writes it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import fedscodec
from fedscodec.bench.coders import FedsCoder
from fedscodec.boxes import SRGB, STREAM_CHECKS
from fedscodec.cli import app
from fedscodec.codec import model as loading
from fedscodec.codec.model import Model
from fedscodec.codec.settings import Encoding
from fedscodec.codec.targets import Target, encode_to_target
from fedscodec.errors import FormatError
from fedscodec.fileformat import assemble, pack, unpack
from fedscodec.images import Picture, from_array

BOX_OF_STUDENT = 1 + 4 + 1 + 2 * 6 + 4  # the number of boxes, type, length, stream checks, check


def packed(size: int, checks: bool | None, slices: int = 5, boxes: dict[bytes, bytes] | None = None) -> bytes:
    """A file that has so many bytes without stream checks; its z stream is as long as that takes."""

    def of(z: int, checks: bool | None) -> bytes:
        streams = [b"z" * z, *[b"s"] * slices]
        return pack(
            assemble(
                fingerprint=b"12345678", quality=3000, width=70, height=50, grey=False, streams=streams, symbols=[],
                boxes=boxes, stream_checks=checks,
            )
        )  # fmt: skip

    z = size - (len(of(20_000, False)) - 20_000)
    assert len(of(z, False)) == size
    return of(z, checks)


@pytest.mark.parametrize(
    ("size", "slices", "boxes", "written"),
    [
        (21_999, 5, {}, 21_999),
        (22_000, 5, {}, 22_022),
        (22_001, 5, {}, 22_023),
        (20_999, 5, {SRGB: b""}, 20_999),  # beside other boxes it takes a byte less
        (21_000, 5, {SRGB: b""}, 21_021),
        (27_999, 8, {}, 27_999),  # the teacher's eight slices
        (28_000, 8, {}, 28_028),
    ],
)
def test_they_are_there_from_a_thousandth_on(size: int, slices: int, boxes: dict[bytes, bytes], written: int) -> None:
    data = packed(size, None, slices, boxes)
    assert len(data) == written
    assert (STREAM_CHECKS in unpack(data).boxes) == (written > size)
    assert 1000 * (written - size) <= size


@pytest.mark.parametrize("size", [20_100, 22_000, 90_000])
def test_who_asks_gets_them_or_does_not(size: int) -> None:
    assert len(packed(size, True)) == size + BOX_OF_STUDENT == size + 22
    assert len(packed(size, False)) == size


# ── Whoever writes ────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def tiny() -> Model:
    return loading.load_model("tiny", "cpu")


@pytest.fixture(scope="module")
def large() -> np.ndarray:
    """Squares of which `tiny` makes more than the 16,000 bytes of which checks of its streams are a thousandth."""
    colours = np.random.default_rng(3).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    return np.kron(colours, np.ones((8, 8, 1), dtype=np.uint8))


def by_encode(image: np.ndarray, model: Model, **options: bool | None) -> bytes:
    return fedscodec.encode(image, model, quality=7, **options)


def by_pillow(image: np.ndarray, model: Model, **options: bool | None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "FEDS", model=model, quality=7, **options)
    return buffer.getvalue()


def by_bench(image: np.ndarray, model: Model) -> bytes:
    return FedsCoder(model, (7.0,)).encode(from_array(image), 7.0).result


@pytest.mark.parametrize("write", [by_encode, by_pillow, by_bench])
def test_every_way_to_encode_has_the_rule(write: Callable[..., bytes], large: np.ndarray, tiny: Model) -> None:
    data = write(large, tiny)
    assert len(data) > 16_016
    assert STREAM_CHECKS in unpack(data).boxes
    assert STREAM_CHECKS not in unpack(write(large[:64, :64], tiny)).boxes
    if write is not by_bench:
        assert len(write(large, tiny, stream_checks=False)) == len(data) - 16
        assert STREAM_CHECKS in unpack(write(large[:64, :64], tiny, stream_checks=True)).boxes
    damaged = data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]
    with pytest.raises(FormatError, match="the slice 2 stream is damaged"):
        tiny.decode(damaged)


def test_the_command_line_has_it_for_one_and_for_many(large: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, pixels in (("large", large), ("small", large[:40, :40])):
        Image.fromarray(pixels).save(tmp_path / "in" / f"{name}.png", compress_level=1)

    def checked(*words: str) -> list[bool]:
        command = ["encode", *words, "--model", "tiny-q7", "--device", "cpu", "--force", "--quiet"]
        assert CliRunner().invoke(app, command).exit_code == 0
        return [STREAM_CHECKS in unpack(path.read_bytes()).boxes for path in sorted(tmp_path.glob("*/*.feds"))]

    many, out = str(tmp_path / "in"), str(tmp_path / "out")
    assert checked(many, "-o", out) == [True, False]
    assert checked(many, "-o", out, "--stream-checks") == [True, True]
    assert checked(many, "-o", out, "--no-stream-checks") == [False, False]
    assert checked(str(tmp_path / "in" / "large.png"), "-o", str(tmp_path / "out" / "large.feds")) == [True, False]


def test_the_help_names_both_ways() -> None:
    words = " ".join(CliRunner().invoke(app, ["encode", "--help"], env={"COLUMNS": "200"}).output.split())
    assert "--stream-checks" in words
    assert "--no-stream-checks" in words
    assert "0.1 %" in words


def test_a_size_is_kept_with_them(tiny: Model, picture: Callable[..., Picture]) -> None:
    original = picture("noise", 90, 70)
    limit = len(tiny.encode(original, 4.0))
    hit = encode_to_target(original, tiny, Target("size", limit), Encoding(stream_checks=True))
    assert STREAM_CHECKS in unpack(hit.encoded.data).boxes
    assert len(hit.encoded.data) <= limit
