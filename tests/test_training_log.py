"""Reports are lines for people and strict JSON for everything else."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from xml.etree import ElementTree

import pytest

from fedscodec.errors import OutputError
from fedscodec.reports.training_curve import PANELS, training_curve
from fedscodec.training.log import FIGURES, Report, json_log, minutes_and_seconds, read_log
from fedscodec.training.recipe import Recipe

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


def test_a_log_is_replaced_unless_its_run_continues(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("old\n")
    json_log(path, Recipe())(REPORT)
    assert "old" not in path.read_text()
    json_log(path, Recipe(), resumed=7)(replace(REPORT, step=8))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row.get("resumed", row.get("step")) for row in rows] == [None, 7, 7, 8]
    assert [row["step"] for row in read_log(path)] == [7, 8]


def test_what_was_done_after_the_step_from_which_a_run_went_on_is_not_read(tmp_path):
    path = tmp_path / "run.jsonl"
    log = json_log(path, Recipe())
    for step in (7, 8, 9):
        log(replace(REPORT, step=step, loss=1.0))
    log = json_log(path, Recipe(), resumed=8)
    for step in (9, 10):
        log(replace(REPORT, step=step, loss=2.0))
    assert [(row["step"], row["loss"]) for row in read_log(path)] == [(7, 1.0), (8, 1.0), (9, 2.0), (10, 2.0)]


def test_a_torn_line_costs_nothing_else(tmp_path):
    path = tmp_path / "run.jsonl"
    json_log(path, Recipe())(REPORT)
    with path.open("a") as log:
        log.write('{"step": 8, "minu')
    json_log(path, Recipe(), resumed=7)(replace(REPORT, step=9))
    assert [row["step"] for row in read_log(path)] == [7, 9]


def row(**changes):
    """A line of a log with some of its values changed."""
    return json.dumps({**asdict(REPORT), **changes}).encode() + b"\n"


def test_only_lines_with_all_figures_of_the_curve_are_read(tmp_path):
    path = tmp_path / "run.jsonl"
    wrong = [
        b'{"step": 3}\n', b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"1" * 5000 + b"\n", b"[7]\n", row(step="8"),
        row(minutes=None), row(minutes=True), row(loss=[]), row(bpp=float("nan")), row(psnr=float("inf")),
        row(rate=10**400), row(psnr=1.7e308), row(phase="\ud800"), row(phase="a\0"),
        json.dumps({k: v for k, v in asdict(REPORT).items() if k != "rate"}).encode() + b"\n",
    ]  # fmt: skip
    path.write_bytes(b"".join([row(step=1), *wrong, row(step=2, loss=None), row(step=3, phase="\xe9")]))
    rows = read_log(path)
    assert [found["step"] for found in rows] == [1, 2, 3]
    ElementTree.fromstring(training_curve(rows, "a"))
    assert tuple(PANELS) == FIGURES


def test_a_log_that_cannot_be_written_is_named(tmp_path):
    resource = pytest.importorskip("resource")
    path, (soft, hard) = tmp_path / "run.jsonl", resource.getrlimit(resource.RLIMIT_FSIZE)
    tell = json_log(path, Recipe())
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, hard))
    try:
        with pytest.raises(OutputError) as later:
            tell(REPORT)
        with pytest.raises(OutputError) as first:
            json_log(path, Recipe(), resumed=7)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [str(failure.value) for failure in (later, first)] == [f"{path}: File too large"] * 2
    with pytest.raises(OutputError) as failure:
        json_log(path / "inside" / "run.jsonl", Recipe())
    assert str(failure.value) == f"{path / 'inside' / 'run.jsonl'}: its folder is a file"


def test_the_curve_is_a_picture_of_the_log(tmp_path):
    tell = json_log(tmp_path / "run.jsonl", Recipe())
    for step, (phase, loss) in enumerate([("linear", 4.0), ("linear", 2.0), ("full", 3.0), ("full", float("nan"))]):
        tell(replace(REPORT, step=step, minutes=float(step), phase=phase, loss=loss))
    svg = training_curve(read_log(tmp_path / "run.jsonl"), "a < b").decode()
    ElementTree.fromstring(svg)
    assert ">a &lt; b</text>" in svg
    # Three points of the loss over 0 … 3 minutes: 76 … 876 across, and 4 near the top of the panel (40 … 160).
    assert '<polyline class="share" style="--c:#868e96" points="76.0,45.5 342.7,154.5 609.3,100.0"/>' in svg
    assert svg.count("<polyline") == 7  # figures and their means; the rate alone
    assert svg.count(">full</text>") == 4
    assert [svg.count(f">{words}</text>") for words in ("loss", "bits per pixel", "PSNR, dB", "minutes")] == [
        1,
        1,
        1,
        1,
    ]
    assert training_curve([], "nothing").count(b"<polyline") == 0
    one = training_curve([asdict(replace(REPORT, minutes=0.0))], "one").decode()  # all ends of axes are apart
    assert "nan" not in one
    assert one.count("<polyline") == 7


def test_the_line_over_the_figures_is_their_mean():
    rows = [{"minutes": float(at), "loss": float(at % 2), "rate": 1.0} for at in range(120)]
    svg = training_curve(rows, "a").decode()
    raw, means, rate = re.findall(r'<polyline class="share" style="--c:(#\w+)" points="([^"]+)"', svg)
    assert (raw[0], means[0], rate[0]) == ("#868e96", "#1c7ed6", "#1c7ed6")
    heights = [float(point.split(",")[1]) for point in means[1].split()]
    drawn = [float(point.split(",")[1]) for point in raw[1].split()]
    middle, range_ = (min(drawn) + max(drawn)) / 2, max(drawn) - min(drawn)
    assert max(abs(height - middle) for height in heights[10:-10]) < 0.1 * range_
