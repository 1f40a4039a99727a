"""The page, the Markdown and the plots of an ablation follow from its figures."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from bench_examples import WHERE
from browser import CHROMIUM, Browser

from fedscodec.ablations import results
from fedscodec.ablations.rates import Spread, plain, rates
from fedscodec.ablations.results import Ablation, About, Asked, Done, Point
from fedscodec.bench import published
from fedscodec.bench.results import Dataset
from fedscodec.errors import FedsError
from fedscodec.reports import ablation as page

pytest.importorskip("bjontegaard", reason="BD-rates need the bjontegaard library, of the bench extra")
pytest.importorskip("jinja2", reason="the page needs jinja2, of the bench extra")


def done(variant, seed, steps, views, factor):
    """A run of which every file has `factor` times the bytes that 3 dB a doubling has."""
    points = tuple(
        Point(float(q), factor * 0.1 * 2**q, {"psnr": 26.0 + 3 * q, "ms_ssim": 1 - 10 ** (-(10 + q) / 10)}, 0.5, 0.25)
        for q in range(1, 8)
    )
    trained = {"workers": 2, "commit": "abc", "version": "0.2"}
    return Done(
        variant, seed, steps, views, {"network": variant}, f"feds train --seed {seed} --steps {steps}", steps / 60,
        steps * 8 * 192**2, f"{seed:016x}", 24, points, trained, asdict(WHERE),
    )  # fmt: skip


def made_up(dataset="mine"):
    both, minutes, steps = ("minutes", "steps"), ("minutes",), ("steps",)
    runs = (
        done("base", 1, 200, minutes, 1.0), done("base", 2, 200, minutes, 1.1),
        done("base", 1, 100, steps, 1.25), done("base", 2, 100, steps, 1.25),
        done("more", 1, 100, both, 0.9), done("more", 2, 100, both, 1.1),
    )  # fmt: skip
    return Ablation(
        {"name": "toy", "title": "A toy & more", "paper": "Nothing.", "baseline": "base"},
        Asked(20.0, "feedfeed", "", "cafe"),
        Dataset(dataset, 24, 1000),
        {
            "base": About("Base", "student", 5_780_000, 48.0, 0.5, 0.6),
            "more": About("More", "x", 16e6, 157.0, 1.0, 1.2),
        },
        runs,
    )


def test_rates_are_over_the_baseline_of_the_same_seed_and_view():
    found = {(rate.view, rate.run.variant, rate.run.seed): rate for rate in rates(made_up())}
    percent = {key: round(rate.over_baseline["psnr"].percent, 6) for key, rate in found.items()}
    assert percent == {
        ("minutes", "base", 1): 0.0, ("minutes", "base", 2): 0.0, ("minutes", "more", 1): -10.0,
        ("minutes", "more", 2): 0.0, ("steps", "base", 1): 0.0, ("steps", "base", 2): 0.0, ("steps", "more", 1): -28.0,
        ("steps", "more", 2): -12.0,
    }  # fmt: skip
    assert found["minutes", "more", 1].gain == pytest.approx(3 * 0.152003, abs=1e-5)  # log2(1 / 0.9) doublings
    assert found["minutes", "more", 1].over_vtm == {}


def test_vtm_is_beside_those_pictures_that_it_was_measured_on():
    (rate, *_) = rates(made_up("kodak"))
    anchor = next(curve for curve in published.curves("kodak") if curve.name == "vtm-9.1")
    assert rate.over_vtm["psnr"].is_known
    assert rate.over_vtm["psnr"].percent > 0
    assert rate.over_vtm["psnr"].low >= anchor.quality["psnr"][0]


def test_the_spread_is_of_what_is_known():
    assert Spread.of([1.0, float("nan"), 4.0]) == Spread(2.5, 1.0, 4.0, 2)
    assert Spread.of([float("nan")]).count == 0


def test_results_come_back_as_they_were_written(tmp_path):
    ablation = made_up()
    lossless = Point(7.0, 8.0, {"psnr": float("inf"), "ms_ssim": 1.0}, 0.1, 0.1)
    ablation = replace(ablation, runs=(replace(ablation.runs[0], points=(lossless,)), *ablation.runs[1:]))
    results.write(tmp_path / "toy.json", ablation, plain(list(rates(ablation))))
    assert results.read(tmp_path / "toy.json") == ablation
    document = json.loads((tmp_path / "toy.json").read_text())
    assert document["runs"][0]["points"][0]["figures"]["psnr"] is None
    assert document["runs"][1]["seconds_a_step"] == 1.0
    assert document["rates"][2]["over_baseline"]["psnr"]["percent"] is None
    assert document["rates"][-1] == {
        "view": "steps", "variant": "more", "seed": 2, "psnr_gain": pytest.approx(0.5533, abs=1e-3),
        "over_baseline": {
            "psnr": {"percent": -12.0, "low": 29.0, "high": 47.0, "warning": None},
            "ms_ssim": {"percent": -12.0, "low": 11.0, "high": 17.0, "warning": None},
        },
        "over_vtm": {},
    }  # fmt: skip


def test_the_markdown_has_a_table_for_each_view():
    ablation = made_up()
    text = page.text(ablation, list(rates(ablation)))
    head, minutes, steps, points = text.split("\n###")
    assert head.startswith(
        "## A toy & more\n\nThe paper: Nothing.\n\nEqual minutes: as many steps as fit into 20 minut"
    )
    assert "Weights to start from: feedfeed. Training pixels: cafe. Trained and measured on: A <CPU> & Co, 2 w" in head
    rows = [line for line in minutes.splitlines() if line.startswith("|")]
    assert rows[0].startswith(
        "| variant | parameters | kMAC/px | steps | megapixels | minutes | s a step | timed | over"
    )
    assert rows[2:] == [
        "| Base | 5.78 M | 48 | 200 | 59 | 3.3 | 1.000 | 0.500 | 0.00 % (0.00 … 0.00) | 0.00 % (0.00 … 0.00) | "
        "0.00 dB (0.00 … 0.00) | 2 |",
        "| More | 16.00 M | 157 | 100 | 29 | 1.7 | 1.000 | 1.000 | −5.00 % (−10.00 … 0.00) | −5.00 % (−10.00 … 0.00) | "
        "+0.23 dB (0.00 … +0.46) | 2 |",
    ]
    assert "| More | 16.00 M | 157 | 100 | 29 | 1.7 | 1.000 | 1.000 | −20.00 % (−28.00 … −12.00) |" in steps
    assert "| Base, seed 1 | 100 | q1 | 0.2500 | 29.00 |" in points
    assert "Means over the 24 pictures of mine, whole files, encoded and decoded." in points


def test_an_uncertain_rate_has_a_star_and_its_reason():
    ablation = made_up()
    few = tuple(replace(run, points=run.points[:3]) for run in ablation.runs)
    ablation = replace(ablation, runs=few)
    table = page.worth_table(ablation, list(rates(ablation)), "minutes")
    assert table.lines[1].cells[8] == "−5.00 % (−10.00 … 0.00) (*)"
    assert table.notes[1:] == ("(*) one curve has 3 points only.",)


def test_the_page_is_whole_and_asks_no_network(tmp_path):
    ablation = made_up("kodak")
    results.write(tmp_path / "toy.json", ablation, [])
    files = page.write(tmp_path, "toy")
    assert [path.name for path in files] == [
        "toy.html", "toy.md", "toy-minutes-psnr.svg", "toy-minutes-rd.svg", "toy-steps-psnr.svg", "toy-steps-rd.svg",
    ]  # fmt: skip
    html = files[0].read_text()
    assert "A toy &amp; more" in html and "<code>feds train --seed 1 --steps 200</code>" in html
    assert html.count("<svg") == 4 and "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert 'data-curve="vtm-9.1"' in html
    assert "over VTM-9.1" in files[1].read_text()
    again = [path.read_bytes() for path in files]
    assert [path.read_bytes() for path in page.write(tmp_path, "toy")] == again


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
def test_commands_have_the_width_of_a_phone(tmp_path):
    results.write(tmp_path / "toy.json", made_up("kodak"), [])
    (html, *_) = page.write(tmp_path, "toy")
    with Browser(tmp_path / "profile") as browser, browser.phone():
        browser.open(html)
        assert browser.fits()
        widths = browser.run("[...document.querySelectorAll('dd')].map(d => d.getBoundingClientRect().width)")
        assert widths == [390 - 2 * 14] * 6
        assert browser.complaints == []


def test_without_results_there_is_no_page(tmp_path):
    with pytest.raises(FedsError, match=r"toy.json: no such results$"):
        page.write(tmp_path, "toy")
