"""The tool that measures effort goes on with what it has, and reckons over whole pictures alone."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("measure_effort", ROOT / "tools" / "measure_effort.py")
TOOL = importlib.util.module_from_spec(SPEC)
sys.modules["measure_effort"] = TOOL  # where its classes are looked for
SPEC.loader.exec_module(TOOL)


def rows(picture, efforts=(0, 5), more=()):
    """At effort 5 a tenth less bytes for the same fidelity, at λ·D of 1000 bits."""
    return [
        TOOL.Row(picture, q, effort, 10_000, size, 30.0 + q, 0.9 + q / 100, 8.0 * size + 1000, 0.1 + effort, *more)
        for q in (1.0, 2.0, 3.0, 4.0)
        for effort in efforts
        for size in [round(1000 * q * (0.9 if effort else 1.0))]
    ]


def test_the_table():
    lines = list(TOOL.table([*rows("a.png"), *rows("b.png"), *rows("unfinished.png", (0,))]))
    assert lines == [
        "| effort | steps | s a megapixel | BD-rate, PSNR | MS-SSIM | saved at q1, q2, q3, q4 |",
        "| --: | --: | --: | --: | --: | --: |",
        "| 0 | 0 | 10.0 |  |  |  |",
        "| 5 | 18 | 510.0 | -10.0 % | -10.0 % | -10.0, -10.0, -10.0, -10.0 % |",
        "",
        "2 pictures: a.png, b.png",
    ]


def test_the_table_has_what_all_rows_have():
    assert list(TOOL.table([*rows("a.png", more=[60.0]), *rows("b.png")])) == list(
        TOOL.table([*rows("a.png"), *rows("b.png")])
    )
    scored = [row._replace(ssimulacra2=20 * row.quality) for row in rows("a.png")]
    head, line, _, refined, *_ = TOOL.table(scored)
    assert head.split(" | ")[3:] == ["BD-rate, PSNR", "MS-SSIM", "SSIMULACRA2", "saved at q1, q2, q3, q4 |"]
    assert line == "| --: | --: | --: | --: | --: | --: | --: |"
    assert refined.startswith("| 5 | 18 | 510.0 | -10.0 % | -10.0 % | -10.0 % | -10.0,")


def test_it_continues_where_it_was_stopped(picture, tmp_path, monkeypatch, capsys):
    for name in ("a.png", "b.png"):
        Image.fromarray(picture("waves", width=70, height=66).pixels).save(tmp_path / name)
    out, measured = tmp_path / "new" / "effort.json", []
    real = TOOL.measured
    monkeypatch.setattr(TOOL, "measured", lambda *of: measured.append(of[1]) or real(*of))
    fixed = ["--model", "tiny", "--out", str(out), "--efforts", "0", "1", "--qualities", "2", "5", "--crop", "64"]
    for pictures in (["a.png"], ["a.png", "b.png"], []):
        monkeypatch.setattr(sys, "argv", ["measure_effort", *(str(tmp_path / name) for name in pictures), *fixed])
        TOOL.main()
    assert measured == ["a.png"] * 4 + ["b.png"] * 4
    kept = json.loads(out.read_text())
    assert [row[:4] for row in kept["rows"][:3]] == [
        ["a.png", 2.0, 0, 4096], ["a.png", 2.0, 1, 4096], ["a.png", 5.0, 0, 4096],
    ]  # fmt: skip
    assert capsys.readouterr().out.count("2 pictures: a.png, b.png") == 2
    monkeypatch.setattr(sys, "argv", ["measure_effort", str(tmp_path / "a.png"), *fixed[:-2]])
    with pytest.raises(SystemExit, match="was measured with another crop: 64"):
        TOOL.main()


def test_the_middle_of_a_picture(picture):
    whole = picture("noise", width=70, height=30)
    assert np.array_equal(TOOL.middle(whole, 40).pixels, whole.pixels[:, 15:55])
    assert TOOL.middle(whole, None).pixels is whole.pixels


@pytest.mark.parametrize(
    ("efforts", "sentence"),
    [
        (["3", "5"], "expected 0 among --efforts, as what the others are compared with, found 3 5"),
        (["0", "10"], "argument --efforts: expected efforts in 0..9, found 10"),
        (["-1"], "argument --efforts: expected efforts in 0..9, found -1"),
        (["0", "many"], "argument --efforts: expected efforts in 0..9, found many"),
    ],
)
def test_efforts_are_checked_before_anything_is_measured(efforts, sentence, picture, tmp_path, monkeypatch, capsys):
    Image.fromarray(picture("waves", width=20, height=20).pixels).save(tmp_path / "a.png")
    monkeypatch.setattr(TOOL, "measured", lambda *of: pytest.fail("measured"))
    fixed = ["--model", "tiny", "--out", str(tmp_path / "out.json"), "--efforts", *efforts]
    monkeypatch.setattr(sys, "argv", ["measure_effort.py", str(tmp_path / "a.png"), *fixed])
    with pytest.raises(SystemExit) as ended:
        TOOL.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"measure_effort.py: error: {sentence}"
    assert not (tmp_path / "out.json").exists()


def test_an_effort_may_be_added_to_those_that_were_measured(picture, tmp_path, monkeypatch, capsys):
    Image.fromarray(picture("waves", width=20, height=20).pixels).save(tmp_path / "a.png")
    fixed = ["--model", "tiny", "--out", str(tmp_path / "out.json"), "--qualities", "2", "3", "--efforts"]
    for effort in ("0", "1"):
        monkeypatch.setattr(sys, "argv", ["measure_effort.py", str(tmp_path / "a.png"), *fixed, effort])
        TOOL.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[:2] for line in lines[-4:-2]] == [["| 0", "0"], ["| 1", "3"]]
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--qualities", "2", "4"])
    with pytest.raises(SystemExit):  # there is nothing to compare q4 with
        TOOL.main()
