"""results.json: what goes in comes back, means are means, and nothing else is taken for results."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from fedscodec.bench.results import (
    Codec,
    Dataset,
    Results,
    Row,
    Where,
    decoded_path,
    from_json,
    read_results,
    summarise,
    to_json,
)
from fedscodec.errors import FedsError
from fedscodec.metrics.decibels import of_ms_ssim

WHERE = Where("0.1.0", "2.14", "cpu", "float32", 2, "a CPU", "AVX2", "x86_64", "3.12.1", "2026-01-02T03:04:05+00:00")
ROW = Row(
    "ours",
    "a.png",
    8,
    4,
    4.0,
    100,
    25.0,
    {"psnr": 30.0, "ms_ssim": 0.9},
    1.5,
    0.5,
    {"x": 1.0, "y": 0.5},
    {"x": 0.5},
    790.0,
    10,
)
LOSSLESS = {"psnr": math.inf, "ms_ssim": 1.0}
PEER = Row("jpeg", "a.png", 8, 4, 75, 80, 20.0, LOSSLESS, 0.1, 0.1, {"encode": 0.1}, {"decode": 0.1})


@pytest.fixture
def results():
    codecs = {"ours": Codec("ours", "feds", "0.1.0", "RGB", fingerprint="ab"), "jpeg": Codec("JPEG", "peer", "", "RGB")}
    rows = [
        ROW,
        PEER,
        replace(ROW, picture="b.png", bytes=300, bpp=75.0, quality={"psnr": 30.0, "ms_ssim": 0.99}, peak_bytes=30),
    ]
    return Results(WHERE, Dataset("some", 2, 64), codecs, rows)


def test_what_goes_in_comes_back(results):
    again = from_json(to_json(results))
    assert again == replace(results, summaries=summarise(results.rows))
    assert again.rows[1].quality["psnr"] == math.inf


def test_json_is_strict_and_says_what_it_is(results):
    document = json.loads(to_json(results), parse_constant=pytest.fail)
    assert list(document) == ["format", "where", "dataset", "codecs", "rows", "summaries", "matched"]
    assert document["format"] == "feds-results-2"
    assert document["rows"][1]["quality"] == document["summaries"][1]["quality"] == {"psnr": None, "ms_ssim": 1.0}


def test_summaries_are_means_over_the_pictures_of_a_setting(results):
    ours, jpeg = summarise(results.rows)
    assert (ours.codec, ours.setting, ours.pictures, ours.bpp) == ("ours", 4.0, 2, 50.0)
    assert ours.quality == {"psnr": 30.0, "ms_ssim": pytest.approx(0.945)}
    assert (ours.encode, ours.decode_seconds, ours.peak_bytes) == ({"x": 1.0, "y": 0.5}, 0.5, 30)
    assert ours.bytes_over_estimate == 8 * 400 / 1580
    assert (jpeg.quality, jpeg.bytes_over_estimate, jpeg.peak_bytes) == (LOSSLESS, None, None)


def test_summaries_stand_in_order_of_rate_within_a_codec():
    rows = [replace(PEER, setting=s, bpp=b) for s, b in ((20, 3.0), (30, 1.0))] + [ROW, replace(PEER, setting=25)]
    rows[-1] = replace(rows[-1], bpp=2.0)
    assert [(s.codec, s.setting) for s in summarise(rows)] == [("jpeg", 30), ("jpeg", 25), ("jpeg", 20), ("ours", 4.0)]


def test_decibels_of_ms_ssim():
    assert (of_ms_ssim(0.9), of_ms_ssim(0.0), of_ms_ssim(1.0)) == (pytest.approx(10.0), 0.0, math.inf)


def test_a_picture_without_error_among_others_counts_100_decibels():
    rows = [replace(ROW, quality={"psnr": value}) for value in (math.inf, 30.0)]
    assert summarise(rows)[0].quality == {"psnr": 65.0}


def test_a_metric_that_some_rows_lack_has_no_mean():
    rows = [ROW, replace(ROW, quality={"psnr": 32.0})]
    assert summarise(rows)[0].quality == {"psnr": 31.0}


def test_the_earlier_format_is_read(results):
    document = json.loads(to_json(results))
    document["format"] = "feds-results-1"
    for row in document["rows"]:
        row |= row.pop("quality")
    assert from_json(json.dumps(document)).rows == results.rows


def test_fields_of_later_versions_are_ignored(results):
    document = json.loads(to_json(results))
    document["rows"][0]["new"] = 1
    assert from_json(json.dumps(document)).rows[0] == ROW


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda d: d.update(format="feds-results-3"), "expected format feds-results-2, found feds-results-3"),
        (lambda d: d.pop("dataset"), "expected the fields of feds-results-2, found: 'dataset'"),
        (lambda d: d["codecs"].pop("jpeg"), "expected codecs for every row, found none for jpeg"),
        (lambda d: d["rows"][0].pop("bpp"), "expected the fields of feds-results-2, found: .*'bpp'"),
    ],
)
def test_an_invalid_results_file_is_reported(results, change, found):
    document = json.loads(to_json(results))
    change(document)
    with pytest.raises(FedsError, match=f"^x: {found}$"):
        from_json(json.dumps(document), name="x")


def test_a_file_or_its_folder_is_read(results, tmp_path):
    (tmp_path / "results.json").write_text(to_json(results))
    assert read_results(tmp_path) == read_results(tmp_path / "results.json") == from_json(to_json(results))
    with pytest.raises(FedsError, match=r"none\.json: cannot be read \(No such file or directory\)$"):
        read_results(tmp_path / "none.json")
    (tmp_path / "results.json").write_text("[1")
    with pytest.raises(FedsError, match="expected JSON, found: "):
        read_results(tmp_path)


def test_decoded_pictures_lie_beside_the_results(tmp_path):
    assert decoded_path(tmp_path, "student", 3.0, "kodim01.png") == tmp_path / "decoded/student/3/kodim01.png.webp"
    assert decoded_path(tmp_path, "jpeg", 3.5, "a.b.jpg") == tmp_path / "decoded/jpeg/3.5/a.b.jpg.webp"
    assert decoded_path(tmp_path, "jpeg", None, "x.png") == tmp_path / "decoded/original/x.png.webp"
