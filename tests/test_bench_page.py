"""The report of a bench: what is in its files, and that a browser shows it."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from bench_examples import made_up
from browser import CHROMIUM, Browser
from test_bench_scenes import put_pictures
from typer.testing import CliRunner

from fedscodec.bench.results import to_json
from fedscodec.cli import app
from fedscodec.errors import FedsError
from fedscodec.reports import bench_report

for module in ("bjontegaard", "jinja2"):
    pytest.importorskip(module, reason=f"reports need {module}, of the bench extra")


PLOTS = ("rd-psnr.svg", "rd-ms_ssim.svg", "rd-ssimulacra2.svg", "rd-butteraugli.svg", "speed.svg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run on Kodak with a report, made once."""
    place = tmp_path_factory.mktemp("kodak")
    put_pictures(place, made_up("kodak", 24), ("kodim01.png", "kodim02.png"))
    bench_report.write(place)
    return place


def test_everything_is_written(folder):
    assert {path.name for path in folder.iterdir()} == {
        "results.json", "decoded", "report.html", "tables.md", *PLOTS,
    }  # fmt: skip
    for name in PLOTS:
        drawn = ElementTree.parse(folder / name).getroot()
        assert drawn.tag == "{http://www.w3.org/2000/svg}svg" and drawn.get("viewBox") == "0 0 900 510"
    curves = (folder / "rd-psnr.svg").read_text()
    assert 'data-curve="student"' in curves and 'data-curve="vtm-9.1"' in curves and " hidden" not in curves
    tables = (folder / "tables.md").read_text()
    assert "| Student | 0.064 s | 0.096 s | −6 % | – | 35.34 M |" in tables
    assert tables.count("### ") == 6


def test_it_begins_with_a_sentence_to_act_on(folder):
    html = (folder / "report.html").read_text()
    told = re.search(r'<p class="short">(.*?)</p>', html)[1]
    assert told == (
        "At the same PSNR a file of feds student is 33\u00a0% smaller than JPEG and 20\u00a0% smaller than WebP. "
        "At the same SSIMULACRA2 a file of feds student is 33\u00a0% smaller than JPEG and 20\u00a0% smaller than WebP."
    )
    assert html.index(told) < html.index('class="chart"') < html.index('id="table-bd"')


def test_the_page_loads_nothing_from_elsewhere(folder):
    html = (folder / "report.html").read_text()
    outside = re.sub(r'xmlns="http://www.w3.org/2000/svg"', "", html)
    assert not re.search(r"https?:|@import|<link|<script src|url\((?!#)", outside)


def test_what_comes_from_results_is_text(folder):
    html = (folder / "report.html").read_text()
    assert "A &lt;CPU&gt; &amp; Co" in html and "<CPU>" not in html


def test_a_report_is_a_function_of_its_results(folder, tmp_path):
    (tmp_path / "results.json").write_bytes((folder / "results.json").read_bytes())
    (tmp_path / "decoded").symlink_to(folder / "decoded")
    for path in bench_report.write(tmp_path):
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name


def test_a_report_in_another_folder_has_no_pictures(folder, tmp_path):
    there = tmp_path / "results" / "kodak"
    assert {path.name for path in bench_report.write(folder, there)} == {path.name for path in there.iterdir()}
    html = (there / "report.html").read_text()
    assert "data:image" not in html and 'data-curve="student"' in html
    assert (there / "results.json").read_text() == (folder / "results.json").read_text()


def test_pictures_without_published_curves_are_reported(tmp_path):
    (tmp_path / "results.json").write_text(to_json(made_up()))
    runner = CliRunner()
    run = runner.invoke(app, ["report", str(tmp_path), "-q"])
    assert (run.exit_code, run.output) == (0, "")
    html = (tmp_path / "report.html").read_text()
    assert "Nobody published curves for the pictures of mine that are known here" in html
    assert "BD-rates are over JPEG, which was measured in this run." in html
    assert 'id="pictures"' not in html and "−33.3 %" in html
    run = runner.invoke(app, ["report", str(tmp_path), "--anchor", "vtm-9.1"])
    assert run.exit_code == 1
    assert run.output.endswith("expected an anchor among student, jpeg, webp, found vtm-9.1\n")


def test_a_run_of_peers_alone_has_a_report(tmp_path):
    results = made_up("kodak", 24)
    rows = [row for row in results.rows if row.codec != "student"]
    peers = {key: codec for key, codec in results.codecs.items() if key != "student"}
    (tmp_path / "results.json").write_text(to_json(replace(results, codecs=peers, rows=rows)))
    bench_report.write(tmp_path)
    assert 'data-curve="webp"' in (tmp_path / "report.html").read_text()


def test_no_report_without_results(tmp_path):
    with pytest.raises(FedsError, match=r"results\.json: cannot be read"):
        bench_report.write(tmp_path)


@pytest.fixture(scope="module")
def browser(folder, tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("needs chromium on the PATH")
    with Browser(tmp_path_factory.mktemp("profile")) as one:
        one.open(folder / "report.html")
        yield one


def test_a_browser_has_nothing_to_complain_about_and_asks_for_nothing_else(browser):
    browser.run("document.querySelector('#pictures').scrollIntoView()")
    assert browser.complaints == []
    assert {url.split(":")[0] for url in browser.requests} <= {"file", "data"}
    assert sum(url.startswith("file:") for url in browser.requests) == 1


def test_chips_switch_curves(browser):
    shown = "getComputedStyle(document.querySelector('.curve[data-curve=dcae]')).display"
    assert browser.run(shown) == "none"
    browser.run("document.querySelector('.chip[data-curve=dcae]').focus()")
    browser.press(" ")
    assert browser.run(shown) == "inline"
    assert browser.run("document.querySelector('.chip[data-curve=dcae]').ariaPressed") == "true"
    browser.run("document.querySelector('[data-every=off]').click()")
    assert browser.run(shown) == "none"


def test_the_measure_and_the_picture_can_be_changed(browser):
    visible = ("[...document.querySelectorAll('[data-chart]')].filter(c => c.offsetParent)"
               ".map(c => [c.dataset.chart, c.dataset.picture])")  # fmt: skip
    assert browser.run(visible) == [["psnr", ""]]
    browser.run("document.querySelector('[data-show=ms_ssim]').click()")
    assert browser.run(visible) == [["ms_ssim", ""]]
    browser.run(
        "(s => { s.value = 'kodim02.png'; s.dispatchEvent(new Event('change')) })(document.querySelector('#of'))"
    )
    assert browser.run(visible) == [["ms_ssim", "kodim02.png"]]
    assert browser.run("document.querySelectorAll('#of option').length") == 25


def test_the_page_is_as_narrow_as_a_phone_however_long_names_are(browser):
    with browser.phone(), browser.renamed("#of option, .viewer option", "a long name of a picture " * 5):
        assert browser.fits()
        chart = "document.querySelector('.chart:not([hidden])')"
        assert browser.run(f"{chart}.scrollWidth - {chart}.clientWidth") > 200  # it scrolls, and its edges say so
        assert browser.run(f"getComputedStyle({chart}).backgroundAttachment") == "local, local, scroll, scroll"
        assert browser.run("[...document.querySelectorAll('.chart')].every(c => c.tabIndex === 0)")


def test_chips_that_are_off_can_be_read(browser):
    off = "getComputedStyle(document.querySelector('.chip[aria-pressed=false]'))"
    assert browser.run(f"[{off}.opacity, {off}.color]") == ["1", "rgb(92, 100, 108)"]


def test_only_what_was_measured_is_filled(browser):
    fills = "[...document.querySelectorAll('{}')].map(d => getComputedStyle(d).fill)"
    assert browser.run(fills.format(".dot.bare.measured")) == ["rgb(28, 126, 214)", "rgb(43, 138, 62)"]
    published = browser.run(fills.format(".dot:not(.measured)"))
    assert browser.run("document.querySelectorAll('.dot.bare:not(.measured)').length") > 0
    assert {fill.split(" / ")[-1] for fill in published} == {"0.13)"}


def test_columns_sort_by_value(browser):
    column = "[...document.querySelectorAll('[data-table=bd] tbody td:nth-child(2)')].map(c => c.textContent)"
    click = "document.querySelector('[data-table=bd] thead th:nth-child(2) button').click()"
    browser.run(click)
    up = [float(text.split()[0].replace("−", "-")) for text in browser.run(column)]
    browser.run(click)
    down = [float(text.split()[0].replace("−", "-")) for text in browser.run(column)]
    assert up == sorted(up) and down == sorted(up, reverse=True) and len(up) == 10


def test_the_slider_moves_with_the_pointer_and_the_keys(browser):
    browser.run("document.querySelector('.viewer .stage').scrollIntoView({block: 'center', behavior: 'instant'})")
    box = browser.run("(({x, y, width, height}) => [x, y, width, height])"
                      "(document.querySelector('.viewer .stage').getBoundingClientRect())")  # fmt: skip
    left, top, width, height = box
    browser.drag((left + width / 2, top + height / 2), (left + width / 4, top + height / 2))
    assert browser.run("document.querySelector('.viewer .line').style.left") == "25%"
    assert browser.run("getComputedStyle(document.querySelector('.viewer .b')).clipPath") == "inset(0px 0px 0px 25%)"
    browser.run("document.querySelector('.viewer .stage').focus()")
    browser.press("ArrowRight")
    assert browser.run("parseFloat(document.querySelector('.viewer .line').style.left)") == pytest.approx(27)


def test_crops_are_shown_at_one_to_one_and_move_together(browser):
    browser.run("document.querySelector('#crops').scrollIntoView({block: 'center', behavior: 'instant'})")
    images = "[...document.querySelectorAll('#crops img')]"
    assert (
        browser.run(f"{images}.map(i => [i.complete, i.naturalWidth, i.getBoundingClientRect().width])")
        == [[True, 96, 96]] * 4
    )
    names = browser.run("[...document.querySelectorAll('#crops b')].map(b => b.textContent)")
    assert names == ["original", "feds student, quality 1", "JPEG, quality 20", "WebP, quality 20"]
    browser.run("document.querySelector('#crop-zoom').value = '4'; document.querySelector('#crop-zoom').onchange()")
    assert browser.run(f"{images}.map(i => i.getBoundingClientRect().width)") == [384] * 4
    browser.run("document.querySelector('#crops .crop').focus()")
    before = browser.run(f"{images}.map(i => i.style.transform)")
    browser.press("ArrowRight")
    after = browser.run(f"{images}.map(i => i.style.transform)")
    assert len(set(before)) == len(set(after)) == 1 and before != after
    browser.run(
        "(s => { s.value = 3; s.dispatchEvent(new Event('change')) })(document.querySelector('.viewer .scenes'))"
    )
    names = browser.run("[...document.querySelectorAll('#crops b')].map(b => b.textContent)")
    assert names[1] == "feds student, quality 1" and len(names) == 4


def test_colours_follow_the_button(browser):
    ground = "getComputedStyle(document.body).backgroundColor"
    browser.run("document.querySelector('#theme').focus()")
    seen = []
    for _ in range(3):
        browser.press("t")
        seen.append(browser.run(ground))
        words = "['body', '.viewer select', '.figures td'].map(s => getComputedStyle(document.querySelector(s)).color)"
        assert len(set(browser.run(words))) == 1
    assert seen[0] == "rgb(255, 255, 255)" and seen[1] == "rgb(19, 20, 22)"
    assert browser.run("document.documentElement.dataset.theme") == "auto"
    assert browser.complaints == []
