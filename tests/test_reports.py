"""Reports are lines for people and strict JSON for everything else."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from fedscodec.training.curve import curve, read_log
from fedscodec.training.recipe import Recipe
from fedscodec.training.reports import Report, json_log, minutes_and_seconds

REPORT = Report(7, 0.5, 1.25, 0.25, "full", 1.234567, 0.5, 30.0, 1.0, 123456.0, 0, {})


def test_a_report_is_a_line():
    assert str(REPORT) == "full step 7: loss 1.235, 0.500 bpp, 30.00 dB, 123 kpx/s, 1:15 left"
    taught = replace(REPORT, learned={"output": 0.51234567, "latent": 12.0}, skipped=2, phase="linear")
    assert str(taught) == (
        "linear step 7: loss 1.235, 0.500 bpp, 30.00 dB, output 0.5123, latent 12, 123 kpx/s, 2 skipped, 1:15 left"
    )


@pytest.mark.parametrize(
    ("minutes", "expected"), [(0.0, "0:00"), (0.5, "0:30"), (75.0, "1:15:00"), (-1.0, "0:00"), (float("inf"), "?")]
)
def test_minutes_and_seconds(minutes, expected):
    assert minutes_and_seconds(minutes) == expected


def test_the_log_is_json_lines(tmp_path):
    path = tmp_path / "new" / "run.jsonl"
    tell = json_log(path, Recipe(minutes=2.0))
    tell(REPORT)
    tell(replace(REPORT, step=8, loss=float("inf"), learned={"output": float("nan")}))
    first, second, third = (json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines())
    assert first == json.loads(json.dumps({"recipe": asdict(Recipe(minutes=2.0))}))
    assert second == {**asdict(REPORT), "loss": 1.23457}
    assert third == {**asdict(REPORT), "step": 8, "loss": None, "learned": {"output": None}}


def test_a_log_starts_anew_unless_its_run_goes_on(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("old\n")
    json_log(path, Recipe())(REPORT)
    assert "old" not in path.read_text()
    json_log(path, Recipe(), resumed=7)(replace(REPORT, step=8))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row.get("resumed", row.get("step")) for row in rows] == [None, 7, 7, 8]
    assert [row["step"] for row in read_log(path)] == [7, 8]


def test_the_curve_is_a_picture_of_the_log(tmp_path):
    tell = json_log(tmp_path / "run.jsonl", Recipe())
    for step, (phase, loss) in enumerate([("linear", 4.0), ("linear", 2.0), ("full", 3.0), ("full", float("nan"))]):
        tell(replace(REPORT, step=step, minutes=float(step), phase=phase, loss=loss))
    svg = curve(read_log(tmp_path / "run.jsonl"), "a < b")
    assert svg.startswith('<svg xmlns="http://www.w3.org/2000/svg" width="720" height="780"')
    assert "a &lt; b" in svg
    # Three points of the loss over 0 … 2 minutes: 64 … 708 across, 4 at the top (40) and 2 at the bottom (178).
    assert '<polyline points="64.0,40.0 386.0,178.0 708.0,109.0"' in svg
    assert svg.count("<polyline") == 4
    assert svg.count(">full</text>") == 4
    assert curve([], "nothing").count("<polyline") == 0
