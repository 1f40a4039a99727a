"""What the commands print, word for word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import make_picture

from fedscodec.bench.rounding import Row
from fedscodec.boxes import PIXELS
from fedscodec.commands import printing
from fedscodec.fileformat import assemble, pack
from fedscodec.networks.spec import TINY
from fedscodec.registry import WeightsInfo


def a_file(*, grey=False, quality=3500, boxes=None):
    streams = (bytes(1000), bytes(2000), bytes(969))
    return assemble(
        fingerprint=bytes.fromhex("0123456789abcdef"),
        quality=quality,
        width=200,
        height=100,
        grey=grey,
        streams=streams,
        symbols=(),
        boxes=boxes,
    )


def test_only_files_that_became_larger_are_reported():
    assert printing.larger_line("a.png", 1000, 1000) is None
    assert printing.larger_line("a.png", 1000, 1001) == "feds: a.png: became larger, 1,001 bytes from 1,000"


def test_encoded_line():
    data = pack(a_file())  # 31 bytes of header and 3,969 of streams, for 20,000 pixels of 24 bits
    line = "4,000 bytes, 1.600 bpp, 15.0:1, q3.5 of student, 0.61 s"
    assert printing.encoded_line(data, "student", 0.6149) == line
    assert printing.encoded_line(data, "student", 0.6149, {"psnr": 34.206}) == line + ", 34.21 dB"
    both = printing.encoded_line(data, "student", 0.6149, {"ms_ssim": 0.97996, "psnr": 34.206})
    assert both == line + ", MS-SSIM 0.9800, 34.21 dB"


def test_a_grey_picture_is_compared_with_eight_bits_a_pixel():
    line = printing.encoded_line(pack(a_file(grey=True, quality=3000)), "tiny", 0)
    assert line == "4,000 bytes, 1.600 bpp, 5.0:1, q3 of tiny, 0.00 s"


def test_decoded_line():
    file, whole, small = a_file(), make_picture(width=200, height=100), make_picture(width=50, height=25)
    assert printing.decoded_line(file, whole, "tiny", 1.5) == "200x100 pixels, q3.5 of tiny, 1.50 s"
    assert printing.decoded_line(file, small, "tiny", 1.5) == "50x25 of 200x100 pixels, q3.5 of tiny, 1.50 s"
    exact = a_file(boxes={PIXELS: b""})
    assert printing.decoded_line(exact, whole, "tiny", 1.5) == "200x100 pixels, without loss, 1.50 s"


def test_info_lines():
    file = a_file(boxes={b"XMP ": bytes(range(100))})  # 10 bytes more: count, type, length and check
    assert list(printing.info_lines(file, len(pack(file)), ["student", "mine"])) == [
        "size     4,110 bytes, 1.644 bpp, 14.6:1",
        "picture  200x100 pixels, colour",
        "model    student, mine, fingerprint 0123456789abcdef",
        "quality  q3.5",
        "header          41 bytes   1.0%",
        "z            1,000 bytes  24.3%",
        "slice 1      2,000 bytes  48.7%",
        "slice 2        969 bytes  23.6%",
        "box XMP        100 bytes   2.4%",
    ]


def test_info_lines_of_an_unknown_model_and_a_grey_picture():
    lines = list(printing.info_lines(a_file(grey=True), 4000, []))
    assert lines[1:3] == [
        "picture  200x100 pixels, grey",
        "model    not installed, fingerprint 0123456789abcdef",
    ]


def printed(table, capsys):
    printing.print_table(table)
    lines = capsys.readouterr().out.splitlines()
    return [line.split() for line in lines if line.strip() and "─" not in line]


@pytest.fixture
def two_networks():
    one = replace(TINY, lambdas=(0.0075,))
    where = Path("/a folder [red]/with a long name that no terminal of 80 columns could hold/one.safetensors")
    return [
        WeightsInfo(name, where, spec, "ab", 21345, metadata)
        for name, spec, metadata in (
            ("tiny", TINY, {}),
            ("one", one, {"parameters": "1230000", "kmacs_per_pixel": "45.6"}),
        )
    ]


def test_models_table(two_networks, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")  # of a terminal, which wraps lines by itself
    header, tiny, one = printed(printing.models_table(two_networks), capsys)
    assert header == ["name", "qualities", "lambda", "parameters", "kMAC/px", "bytes", "fingerprint", "file"]
    assert tiny[:8] == ["tiny", "q1", "...", "q7", "0.0016", "...", "0.06", "0.04"]
    assert one[:6] == ["one", "q1", "0.0075", "1.23", "M", "46"]  # as the file says
    assert one[-16:] == ["21,345", "ab", *str(two_networks[0].path).split()]


def test_variants_table(capsys):
    header, row = printed(printing.variants_table({"tiny": TINY}), capsys)
    assert header == ["variant", "latents", "slices", "parameters", "kMAC/px"]
    assert row[:5] == ["tiny", "12", "2", "0.04", "M"]


def test_rounding_table(capsys):
    rows = [Row("a.png", 1.0, 0.1, 0.101, 0.11), Row("b.png", 4.5, 2.0, 1.99, 2.0)]
    assert printed(printing.rounding_table(rows), capsys) == [
        ["picture", "quality", "float", "bpp", "integer", "bpp", "file", "bpp", "cost"],
        ["a.png", "q1", "0.1000", "0.1010", "0.1100", "+1.00%"],
        ["b.png", "q4.5", "2.0000", "1.9900", "2.0000", "-0.50%"],
        ["mean", "+0.25%"],
    ]
    assert len(printed(printing.rounding_table([]), capsys)) == 1
