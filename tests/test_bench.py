"""`feds bench`: real files are measured, means are means, and every figure lands in the JSON file."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, replace

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from fedscodec import __version__, codec
from fedscodec.bench import run
from fedscodec.bench.run import Row, Summary, measure, pictures_in, results, summarise
from fedscodec.cli import app
from fedscodec.codec import encode_picture, psnr
from fedscodec.errors import FedsError, ImageError
from fedscodec.images import read_picture

ENCODE = {"analysis", "hyper analysis", "entropy nets", "coder"}
DECODE = {"entropy nets", "coder", "synthesis"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory, picture):
    """A folder with two small pictures and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(picture(width=64, height=48).pixels).save(folder / "b.png")
    Image.fromarray(picture(width=30, height=50, seed=1).pixels).save(folder / "a.PNG")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def rows(photos, codec):
    """Both pictures at two qualities, by the random network."""
    return list(measure(pictures_in([photos]), codec, [2.0, 6.5]))


def row(quality, *, size, bits, bpp, decibels, encode, decode):
    return Row("x.png", 8, 4, quality, size, bits, bpp, decibels, encode, decode)


# ── Which pictures ────────────────────────────────────────────────────────────────────────────────────────


def test_pictures_of_folders_are_taken_in_order_and_files_as_named(photos):
    assert pictures_in([photos]) == [photos / "a.PNG", photos / "b.png"]
    assert pictures_in([photos / "b.png", photos]) == [photos / "b.png", photos / "a.PNG", photos / "b.png"]


def test_no_picture_at_all_is_an_error(photos, tmp_path):
    suffixes = ".avif .bmp .jpeg .jpg .png .ppm .tif .tiff .webp"
    with pytest.raises(ImageError) as caught:
        pictures_in([tmp_path, photos / "notes.txt"])
    places = f"{tmp_path}, {photos / 'notes.txt'}"
    assert str(caught.value) == f"{places}: no pictures here (looked for {suffixes})"


# ── What is measured ──────────────────────────────────────────────────────────────────────────────────────


def test_a_row_for_every_picture_and_quality(rows):
    assert [(r.name, r.width, r.height, r.quality) for r in rows] == [
        ("a.PNG", 30, 50, 2.0), ("a.PNG", 30, 50, 6.5), ("b.png", 64, 48, 2.0), ("b.png", 64, 48, 6.5),
    ]  # fmt: skip


def test_figures_are_those_of_real_files(rows, photos, codec):
    for r in rows:
        original = read_picture(photos / r.name)
        encoded = encode_picture(original, codec, r.quality, count_bits=True)
        assert (r.bytes, r.estimated_bits) == (len(encoded.data), encoded.bits)
        assert r.bpp == 8 * r.bytes / (r.width * r.height)
        assert r.psnr == psnr(original, codec.decode(encoded.data))
    assert rows[1].bytes > rows[0].bytes > 100


def test_seconds_of_every_stage_are_kept(rows):
    for r in rows:
        assert r.encode.keys() == ENCODE
        assert r.decode.keys() == DECODE
        assert r.encode["analysis"] > 0
        assert r.decode["synthesis"] > 0


def test_symbols_that_differ_end_the_measurement(photos, codec, monkeypatch):
    decode_file = run.decode_file

    def wrong(file, model):
        decoded = decode_file(file, model)
        decoded.symbols[1] = decoded.symbols[1] + 1
        return decoded

    monkeypatch.setattr(run, "decode_file", wrong)
    with pytest.raises(FedsError) as caught:
        next(measure([photos / "b.png"], codec, [4.0]))
    assert str(caught.value) == f"{photos / 'b.png'}: the decoder read other symbols than the encoder wrote"


def test_a_quality_that_the_network_lacks_is_an_error(photos, codec):
    with pytest.raises(FedsError, match="^quality must lie between 1 and 7 for tiny, found 8$"):
        next(measure([photos / "b.png"], codec, [8.0]))


# ── Means ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_summaries_are_means_over_the_pictures_of_one_quality():
    a = row(1.0, size=100, bits=760.0, bpp=0.5, decibels=30.0, encode={"p": 1.0, "q": 2.0}, decode={"r": 0.5})
    b = row(1.0, size=300, bits=2440.0, bpp=1.0, decibels=33.0, encode={"p": 3.0, "q": 0.0}, decode={"r": 1.0})
    c = row(7.0, size=42, bits=320.0, bpp=2.0, decibels=40.0, encode={"p": 0.25}, decode={"r": 0.125, "s": 0.5})
    assert summarise([c, a, b]) == [
        Summary(1.0, 2, 0.75, 31.5, 3.0, 0.75, {"p": 2.0, "q": 1.0}, {"r": 0.75}, 1.0),  # 400 bytes over 3200 bits
        Summary(7.0, 1, 2.0, 40.0, 0.25, 0.625, {"p": 0.25}, {"r": 0.125, "s": 0.5}, 1.05),  # 42 bytes over 40
    ]
    assert summarise([]) == []


def test_summaries_of_what_was_measured(rows):
    low, high = summarise(rows)
    assert (low.quality, low.pictures, high.quality, high.pictures) == (2.0, 2, 6.5, 2)
    assert low.bpp == pytest.approx((rows[0].bpp + rows[2].bpp) / 2)
    assert high.bytes_over_estimate == pytest.approx(
        8 * (rows[1].bytes + rows[3].bytes) / (rows[1].estimated_bits + rows[3].estimated_bits)
    )
    assert 1.0 < high.bytes_over_estimate < 1.2  # headers weigh much in files this small


def test_results_are_json_with_every_figure(rows, codec):
    text = results(rows, codec)
    assert text.endswith("}\n")
    document = json.loads(text)
    assert list(document) == ["where", "summaries", "rows"]
    assert document["rows"] == [asdict(r) for r in rows]
    assert document["summaries"] == [asdict(s) for s in summarise(rows)]
    where = document["where"]
    assert (where["feds"], where["torch"]) == (__version__, torch.__version__)
    assert (where["device"], where["precision"], where["model"]) == ("cpu", "float32", "tiny")
    assert where["fingerprint"] == codec.fingerprint.hex()
    assert where["threads"] == torch.get_num_threads()


def test_a_picture_without_any_error_has_null_decibels(rows, codec):
    perfect = replace(rows[0], psnr=math.inf)
    assert summarise([perfect, rows[2]])[0].psnr == math.inf
    document = json.loads(results([perfect, rows[2]], codec), parse_constant=pytest.fail)  # Infinity is no JSON
    assert [r["psnr"] for r in document["rows"]] == [None, rows[2].psnr]
    assert document["summaries"][0]["psnr"] is None


# ── The command ───────────────────────────────────────────────────────────────────────────────────────────


def feds(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="feds")


def test_the_command_prints_a_table_and_writes_json(photos, tmp_path):
    out = tmp_path / "results.json"
    arguments = ["--model", "tiny", "--device", "cpu", "--quality", 2, "--quality", 6.5, "-o", out]
    result = feds("bench", photos, *arguments)
    assert result.exit_code == 0
    document = json.loads(out.read_text())
    assert [(r["name"], r["quality"]) for r in document["rows"]] == [
        ("a.PNG", 2.0), ("a.PNG", 6.5), ("b.png", 2.0), ("b.png", 6.5),
    ]  # fmt: skip
    model = codec.load_model("tiny", "cpu")
    assert document["rows"][3]["bytes"] == len(model.encode(read_picture(photos / "b.png"), 6.5))
    assert document["where"]["fingerprint"] == model.fingerprint.hex()
    told = result.stderr.splitlines()
    assert len(told) == 4
    size, bpp = document["rows"][3]["bytes"], document["rows"][3]["bpp"]
    pattern = rf"b\.png q6\.5: {size:,} bytes, {bpp:.3f} bpp, \d+\.\d\d dB, \d+\.\d\d s / \d+\.\d\d s"
    assert re.fullmatch(pattern, told[3])
    table = [line.split() for line in result.stdout.splitlines()]
    mean = document["summaries"][1]
    expected = ["q6.5", "2", f"{mean['bpp']:.4f}", f"{mean['psnr']:.2f}", "dB", f"{mean['bytes_over_estimate']:.4f}"]
    assert expected in [line[:6] for line in table]


def test_qualities_are_1_4_and_7_unless_given(photos, monkeypatch):
    asked = []
    monkeypatch.setattr(run, "measure", lambda places, model, qualities: iter(asked.append((places, qualities)) or []))
    assert feds("bench", photos / "b.png", "--model", "tiny").exit_code == 0
    assert feds("bench", photos / "b.png", "--model", "tiny", "--quality", "3.5").exit_code == 0
    assert asked == [([photos / "b.png"], [1.0, 4.0, 7.0]), ([photos / "b.png"], [3.5])]


def test_a_folder_without_pictures_is_told_before_a_network_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(codec, "load_model", None)
    result = feds("bench", tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"feds: {tmp_path}: no pictures here (looked for .avif .bmp ")


def test_an_output_that_exists_is_kept(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(codec, "load_model", None)
    out = tmp_path / "results.json"
    out.write_text("old")
    result = feds("bench", photos, "-o", out)
    assert (result.exit_code, result.stderr) == (1, f"feds: {out}: exists already, --force overwrites it\n")
    assert out.read_text() == "old"
