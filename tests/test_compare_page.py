"""The page of `feds compare` in a browser: dragged, zoomed by the wheel, flipped and told what to do by keys."""

from __future__ import annotations

import math
import re
from io import BytesIO

import numpy as np
import pytest
from browser import CHROMIUM, Browser
from PIL import Image

from fedscodec.images import Picture
from fedscodec.reports.comparison import Comparison, Version, comparison_page

STAGE = "document.querySelector('.stage')"
WIDTH, HEIGHT = 300, 200
ORIGINAL, FIRST, SECOND = 60, 72, 100  # the grey of each version


def flat(level):
    return Picture(np.full((HEIGHT, WIDTH, 3), level, dtype=np.uint8))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A browser that shows the page of three flat pictures."""
    if CHROMIUM is None:
        pytest.skip("needs chromium on the PATH")
    rows = tuple((Version("feds", f"q{q}", b"1234", flat(level), 30.0),) for q, level in ((1, FIRST), (7, SECOND)))
    folder = tmp_path_factory.mktemp("page")
    (folder / "a.html").write_text(comparison_page([Comparison("flat.png", flat(ORIGINAL), 999, rows)]))
    with Browser(folder / "profile", 1000, 800) as browser:
        browser.open(folder / "a.html")
        yield browser


@pytest.fixture
def browser(page):
    """The same, as it is when it was opened."""
    page.run("document.querySelector('[data-mode=slide]').click()")
    page.run("document.querySelector('.left').value = 0; document.querySelector('.left').onchange()")
    page.run("document.querySelector('.right').value = 1; document.querySelector('.right').onchange()")
    page.run(f"{STAGE}.focus()")
    page.press("0")
    left, _, width, _ = box(page)
    page.drag((line(page), middle(page)[1]), (left + width / 2, middle(page)[1]))
    assert page.run("document.querySelector('.line').style.left") == "50%"
    return page


def box(browser, element=STAGE):
    return browser.run(f"(({{x, y, width, height}}) => [x, y, width, height])({element}.getBoundingClientRect())")


def middle(browser):
    left, top, width, height = box(browser)
    return left + width / 2, top + height / 2


def line(browser):
    return browser.run("(b => b.x + b.width / 2)(document.querySelector('.line').getBoundingClientRect())")


def placed(browser, side="a"):
    """Where the picture lies in the stage, and how large it is shown."""
    text = browser.run(f"document.querySelector('.{side} img').style.transform")
    return [float(number) for number in re.findall(r"-?[\d.]+(?:e-?\d+)?", text)]


def seen(browser, *shares):
    """The grey that is shown in the middle of the stage's height, at shares of its width."""
    left, top, width, height = box(browser)
    with Image.open(BytesIO(browser.screenshot())) as image:
        greys = [
            image.convert("RGB").getpixel((round(left + share * width), round(top + height / 2))) for share in shares
        ]
    assert all(max(grey) - min(grey) <= 1 for grey in greys)
    return [grey[1] for grey in greys]


def near(*levels):
    return [pytest.approx(level, abs=1) for level in levels]


def test_the_line_is_dragged_and_what_is_right_of_it_changes(browser):
    assert seen(browser, 0.35, 0.45, 0.6) == near(ORIGINAL, ORIGINAL, FIRST)
    left, _, width, _ = box(browser)
    (x, y), shown = middle(browser), placed(browser)
    browser.mouse("mousePressed", (x, y))
    for share in (0.47, 0.44, 0.4):
        browser.mouse("mouseMoved", (left + share * width, y))
        clip = browser.run("getComputedStyle(document.querySelector('.b')).clipPath")
        assert re.fullmatch(rf"inset\(0px 0px 0px {100 * share:g}(\.\d+)?%\)", clip)
    browser.mouse("mouseReleased", (left + 0.4 * width, y))
    assert seen(browser, 0.35, 0.45, 0.6) == near(ORIGINAL, FIRST, FIRST)
    browser.mouse("mouseMoved", (left + 0.7 * width, y))  # no button holds it any more
    assert line(browser) == pytest.approx(left + 0.4 * width, abs=0.6)
    assert placed(browser) == shown
    browser.drag((left + 0.4 * width, y), (left - 50, y))
    assert browser.run("document.querySelector('.line').style.left") == "0%"


def test_the_picture_is_dragged_and_the_line_stays(browser):
    x, y, zoom = placed(browser)
    left, _, width, _ = box(browser)
    start = left + 0.3 * width, middle(browser)[1]
    browser.drag(start, (start[0] + 40, start[1] - 25))
    for side in "ab":
        assert placed(browser, side) == pytest.approx([x + 40, y - 25, zoom])
    assert browser.run("document.querySelector('.line').style.left") == "50%"


@pytest.mark.parametrize("by", [-120, 200])
def test_the_wheel_zooms_about_the_pointer(browser, by):
    left, top, width, height = box(browser)
    x, y, zoom = placed(browser)
    at = round(left + 0.3 * width), round(top + 0.6 * height)  # browsers tell where a wheel is in whole pixels
    pointer = at[0] - left, at[1] - top
    browser.wheel(at, by)
    after_x, after_y, after = placed(browser)
    assert after / zoom == pytest.approx(math.exp(-by / 400), rel=1e-4)
    assert (pointer[0] - after_x) / after == pytest.approx((pointer[0] - x) / zoom, abs=0.01)
    assert (pointer[1] - after_y) / after == pytest.approx((pointer[1] - y) / zoom, abs=0.01)
    assert placed(browser, "b") == placed(browser)
    assert browser.run("document.querySelector('.scale').value") == f"{round(100 * after)} %"
    browser.press("0")
    assert placed(browser) == pytest.approx([x, y, zoom])


def test_flip_shows_the_other_while_it_is_held(browser):
    browser.press("f")
    assert browser.run("document.querySelector('.viewer').dataset.mode") == "flip"
    assert seen(browser, 0.4, 0.6) == near(ORIGINAL, ORIGINAL)
    browser.key("keyDown", " ")
    assert seen(browser, 0.4, 0.6) == near(FIRST, FIRST)
    browser.key("keyUp", " ")
    assert seen(browser, 0.4, 0.6) == near(ORIGINAL, ORIGINAL)
    browser.mouse("mousePressed", middle(browser))
    assert seen(browser, 0.4, 0.6) == near(FIRST, FIRST)
    browser.mouse("mouseReleased", middle(browser))
    assert seen(browser, 0.4, 0.6) == near(ORIGINAL, ORIGINAL)


def test_keys_choose_move_and_swap(browser):
    browser.press("d")
    assert seen(browser, 0.4, 0.6) == near(8 * (FIRST - ORIGINAL), 8 * (FIRST - ORIGINAL))
    browser.press("s")
    browser.press("x")
    assert seen(browser, 0.4, 0.6) == near(FIRST, ORIGINAL)
    browser.press("ArrowLeft")
    assert browser.run("document.querySelector('.line').style.left") == "48%"
    browser.press("b")
    left, _, width, _ = box(browser)
    assert seen(browser, 0.25, 0.75) == near(FIRST, ORIGINAL)
    browser.press("1")
    assert placed(browser)[2] == 1
    browser.press("+")
    assert placed(browser)[2] == pytest.approx(1.25)


def test_a_click_on_a_mode_gives_the_keys_to_the_stage(browser):
    left, top, width, height = box(browser, "document.querySelector('button[data-mode=beside]')")
    at = left + width / 2, top + height / 2
    browser.drag(at, at)
    assert browser.run("document.querySelector('.viewer').dataset.mode") == "beside"
    assert browser.run("document.activeElement.className") == "stage"
    browser.press("f")
    assert browser.run("document.querySelector('.viewer').dataset.mode") == "flip"
    browser.run("document.querySelector('button[data-mode=slide]').focus()")
    browser.press(" ")  # by keys the focus stays, so that Tab goes on from there
    assert browser.run("document.querySelector('.viewer').dataset.mode") == "slide"
    assert browser.run("document.activeElement.dataset.mode") == "slide"


def test_everything_is_seen_on_a_phone(browser):
    browser.run("document.querySelector('tbody').rows[2].click()")
    with browser.phone(), browser.renamed(".viewer option", "a long name of a version " * 5):
        for mode in ("slide", "beside", "flip", "difference"):
            browser.run(f"document.querySelector('button[data-mode={mode}]').click()")
            assert browser.fits()
            ends = "[...document.querySelectorAll('header button, header select, header input, .tag')]"
            ends = f"{ends}.filter(e => e.offsetParent).map(e => e.getBoundingClientRect())"
            assert browser.run(f"{ends}.every(b => b.left >= 0 && b.right <= innerWidth)")
            assert browser.run(f"{ends}.length") == (12 if mode == "difference" else 13)  # a slider, or two labels
            tags = "[...document.querySelectorAll('.tag')]"
            assert browser.run(f"{tags}.every(t => t.scrollWidth <= t.clientWidth)")  # no word is cut


def test_what_is_below_the_viewer_follows_the_colours_of_the_system(browser):
    for colours, ink in (("dark", "rgb(155, 155, 163)"), ("light", "rgb(107, 107, 112)")):
        browser.prefer(colours)
        assert browser.run("getComputedStyle(document.querySelector('footer')).color") == ink
        assert browser.run("getComputedStyle(document.documentElement).colorScheme") == "light dark"


def test_rows_of_the_table_choose_a_side(browser):
    browser.run("document.querySelector('tbody').rows[2].click()")
    assert seen(browser, 0.4, 0.6) == near(ORIGINAL, SECOND)
    assert browser.run("document.querySelector('.b .tag').textContent") == "feds q7 · 4 bytes · 0.001 bpp · 30.00 dB"


def test_the_page_asked_for_nothing_and_complained_about_nothing(browser):
    assert browser.complaints == []
    assert [url.split(":")[0] for url in browser.requests if not url.startswith("data:")] == ["file"]
