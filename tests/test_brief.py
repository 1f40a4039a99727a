"""The short table for a README: every figure is that of the results."""

from __future__ import annotations

from dataclasses import replace

from bench_examples import made_up

from fedscodec.bench.results import summarise
from fedscodec.reports.brief import brief
from fedscodec.reports.tables import markdown


def test_codecs_are_sorted_by_rate_over_the_anchor():
    results = made_up()
    rows = [replace(row, peak_bytes=3 << 20) if row.codec == "jpeg" else row for row in results.rows]
    table = brief(replace(results, rows=rows, summaries=summarise(rows)), "jpeg")
    assert [line.cells[:3] for line in table.lines] == [  # JPEG needs 1.5 and WebP 1.25 times the student's rate
        ("**feds student**", "RGB", "−33.3 %"),
        ("WebP", "YCbCr 4:2:0", "−16.7 %"),
        ("JPEG", "YCbCr 4:2:0", "+0.0 %"),
    ]
    assert table.columns[2:6] == (
        "BD-rate, PSNR", "BD-rate, MS-SSIM", "BD-rate, SSIMULACRA2", "BD-rate, Butteraugli",
    )  # fmt: skip
    assert [line.cells[4:6] for line in table.lines] == [("−33.3 %",) * 2, ("−16.7 %",) * 2, ("+0.0 %",) * 2]
    assert [line.cells[6:] for line in table.lines] == [
        ("0.500", "0.250", "–"), ("0.500", "0.250", "–"), ("0.500", "0.250", "3"),
    ]  # fmt: skip
    assert table.notes[0].startswith("BD-rates are over JPEG, measured here, Pillow 11. Seconds are means over ")
    assert "A <CPU> & Co (AVX512, 2 threads, torch 2.14, bfloat16), feds 0.2, 2026-11-24." in table.notes[0]


def test_metrics_without_published_points_are_over_jpeg():
    table = brief(made_up("kodak", 24))
    assert table.columns[2:6] == (
        "BD-rate, PSNR", "BD-rate, MS-SSIM", "BD-rate, SSIMULACRA2 over JPEG", "BD-rate, Butteraugli over JPEG",
    )  # fmt: skip
    assert table.lines[0].cells[4:6] == ("−33.3 %", "−33.3 %")


def test_without_an_anchor_there_are_no_rates():
    results = made_up()
    rows = [row for row in results.rows if row.codec == "student"]
    codecs = {"student": results.codecs["student"]}
    table = brief(replace(results, rows=rows, codecs=codecs, summaries=summarise(rows)))
    assert table.lines[0].cells[2:4] == ("0.500", "0.250")
    assert "### mine, 2 pictures\n\n| codec | colours | encode, s |" in markdown(table)
