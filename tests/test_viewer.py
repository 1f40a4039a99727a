"""The page that shows versions of a picture against each other: what it is made of, and that a browser runs it."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess

import pytest

from fedscodec.reports.viewer import Scene, Shot, embed, fragment, page

# One grey pixel.
GIF = base64.b64decode("R0lGODlhAQABAIAAAICAgAAAACH5BAAAAAAALAAAAAABAAEAAAICRAEAOw==")
SCENE = Scene(
    "</script><b>.png",
    30,
    20,
    (Shot("original", embed(GIF)), Shot("q3", embed(GIF), {"bytes": "1,234", "PSNR": "30 dB"})),
)
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def scenes_in(html):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)[1])


def test_the_page_carries_its_scenes_and_no_markup_of_theirs():
    html = page("a <title>", [SCENE], note="b & c")
    (scene,) = scenes_in(html)
    assert (scene["name"], scene["width"], scene["height"]) == ("</script><b>.png", 30, 20)
    assert (scene["left"], scene["right"]) == (0, 1)
    assert [shot["label"] for shot in scene["shots"]] == ["original", "q3"]
    assert scene["shots"][1]["facts"] == {"bytes": "1,234", "PSNR": "30 dB"}
    assert "<title>a &lt;title&gt;</title>" in html
    assert ">b &amp; c</footer>" in html
    assert "<b>" not in html and "\\u003c/script>\\u003cb>.png" in html


def test_the_page_loads_nothing_from_elsewhere():
    html = page("a", [SCENE])
    assert not re.search(r"https?:|//\w|@import|<link|<script src|url\(", html)


def test_a_fragment_is_the_viewer_alone():
    html = fragment([SCENE])
    assert html.startswith("<style>\n.viewer ")
    assert '<section class="viewer">' in html
    assert "<html" not in html
    assert '<section class="viewer fill">' in page("a", [SCENE])


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"RIFF0000WEBP", "webp"),
        (b"\0\0\0\x20ftypavif", "avif"),
        (b"GIF89a", "gif"),
    ],
)
def test_pictures_become_urls(start, kind):
    head, _, data = embed(start).partition(",")
    assert head == f"data:image/{kind};base64"
    assert base64.b64decode(data) == start


def test_what_browsers_do_not_show_is_refused():
    with pytest.raises(ValueError, match="browsers show, found the bytes 46454453$"):
        embed(b"FEDS")
    with pytest.raises(ValueError, match=r"^alone: expected at least two versions, found 1$"):
        fragment([Scene("alone", 1, 1, SCENE.shots[:1])])


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
def test_a_browser_fills_the_table_and_shows_what_the_link_asks_for(tmp_path):
    (tmp_path / "a.html").write_text(page("a", [SCENE]), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path / 'profile'}"]
    quiet = ["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    url = f"{(tmp_path / 'a.html').as_uri()}#mode=difference&left=1&right=0&zoom=4"
    run = subprocess.run([CHROMIUM, *flags, *quiet, "--dump-dom", url], capture_output=True, text=True, timeout=60)
    dom = run.stdout
    assert re.search(r'<section class="viewer fill" data-mode="difference"', dom)
    assert '<span class="tag">q3 · 1,234 bytes · 30 dB</span>' in dom
    assert re.findall(r"<th>(.*?)</th>", dom) == ["", "bytes", "PSNR"]
    assert "<td>original<small>right</small></td><td></td><td></td>" in dom
    assert "<td>q3<small>left</small></td><td>1,234</td><td>30 dB</td>" in dom
    assert "scale(4)" in dom
