"""Names of files that hold anything: no UTF-8, control characters, newlines, brackets, a leading dash."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_cli import feds, told

from fedscodec.files.names import name_of, printable

TINY = ("--model", "tiny-q3", "--device", "cpu")
ODD = ["\x1b[31mred\x07", "two\nlines", "tab\there", os.fsdecode(b"caf\xe9"), "a[1]", "it's", "\u202egnp", "<b>&amp;"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain é 照片 🙂.png", "plain é 照片 🙂.png"),
        ("a\x1b]0;title\x07b", r"a\x1b]0;title\x07b"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x85\u2028", r"\x85\u2028"),
        ("\ud800", r"\ud800"),
    ],
)
def test_printable(text, expected):
    assert printable(text) == expected
    assert printable(expected) == expected


def test_a_dash_is_a_stream():
    assert [name_of(Path("-")), name_of(Path("-"), "output"), name_of(Path("a\nb"))] == [
        "standard input", "standard output", r"a\nb",
    ]  # fmt: skip


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for number, name in enumerate(ODD):
        pixels = np.full((24, 32, 3), 10 * number, np.uint8)
        Image.fromarray(pixels).save(Path("photos") / f"{name}.png")
    return Path("photos")


def lines_of(words):
    """The lines that were said; none holds what a terminal would obey."""
    assert not {letter for letter in words if ord(letter) < 32} - {"\n"}
    assert not set("\u202e\x7f") & set(words)
    return words.splitlines()


def test_folders_there_and_back(photos):
    code, _, err = told(feds("encode", photos, "-o", "out", *TINY))
    lines = [line for line in lines_of(err) if "became larger" not in line]
    assert (code, len(lines)) == (0, len(ODD) + 1)
    assert sorted(os.listdir("out")) == sorted(f"{name}.feds" for name in ODD)
    code, out, err = told(feds("encode", photos, "-o", "json", "--json", *TINY))
    assert code == 0
    lines_of(err)
    sources = [json.loads(line).get("source") for line in out.splitlines()]
    assert sorted(filter(None, sources)) == sorted(f"photos/{name}.png" for name in ODD)  # as they are
    code, _, err = told(feds("decode", "out", "-o", "back", "--device", "cpu"))
    assert (code, len(lines_of(err)), sorted(os.listdir("back"))) == (
        0, len(ODD) + 1, sorted(f"{name}.png" for name in ODD)
    )  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_every_command_of_one_file(photos, name):
    picture = photos / f"{name}.png"
    shown = printable(name)
    code, _, err = told(feds("encode", picture, *TINY))
    assert (code, lines_of(err)[-1].startswith(f"photos/{shown}.feds: ")) == (0, True)
    file = photos / f"{name}.feds"
    code, _, err = told(feds("encode", picture, *TINY))
    assert (code, lines_of(err)) == (1, [f"feds: photos/{shown}.feds: already exists, use --force to overwrite it"])
    code, out, _ = told(feds("verify", file, "--device", "cpu"))
    assert (code, lines_of(out.decode())[0].startswith(f"photos/{shown}.feds: OK, ")) == (0, True)
    code, out, _ = told(feds("verify", "--json", file, "--device", "cpu"))
    assert (code, json.loads(out)["file"]) == (0, str(file))
    file.write_bytes(b"")
    code, out, _ = told(feds("verify", file, "--device", "cpu"))
    assert (code, lines_of(out.decode())[0].startswith(f"photos/{shown}.feds: FAILED: ")) == (1, True)
    code, out, err = told(feds("info", file))
    assert (code, out, lines_of(err)[0].startswith(f"feds: photos/{shown}.feds: ")) == (1, b"", True)
    code, _, err = told(feds("encode", photos / f"{name}.none", "-o", "none.feds", *TINY))
    assert (code, lines_of(err)[-1].startswith(f"feds: photos/{shown}.none: ")) == (1, True)


def test_pages_are_written_for_every_name(photos):
    pictures = [photos / f"{name}.png" for name in ODD]
    code, _, err = told(feds("compare", *pictures, "--quality", 3, "--no-peers", "-o", "page.html", *TINY))
    lines_of(err)
    page = Path("page.html").read_text(encoding="utf-8")
    assert (code, [name for name in map(printable, ODD) if name not in page and "&" not in name]) == (0, [])


def test_a_pattern_that_matches_nothing_because_of_its_brackets(photos):
    code, _, err = told(feds("encode", "photos/b[1].png", *TINY))
    nothing = "photos/b[1].png: nothing to do here (looked for pictures that Pillow reads)"
    hint = "photos/b[1].png: no file has this name, and in a pattern [ ] stand for one of the letters in them"
    assert (code, lines_of(err)) == (1, [f"feds: {nothing}; {hint}"])
    Path("trip [2]").mkdir()
    (photos / "it's.png").rename("trip [2]/a.png")
    code, _, err = told(feds("encode", "trip [2]/*.png", *TINY))
    assert code == 1
    assert lines_of(err)[0].endswith("; write trip [[]2]/*.png for the 1 with these brackets in their names")
    assert told(feds("encode", "trip [[]2]/*.png", *TINY))[0] == 0
