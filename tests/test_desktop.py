"""Entries for freedesktop systems, thumbnails, and what a click on a file does."""

from __future__ import annotations

import shutil
import stat
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture
from PIL import Image
from typer.testing import CliRunner

from fedscodec import machine
from fedscodec.cli import app
from fedscodec.codec.beside import preview_of
from fedscodec.codec.model import load_model
from fedscodec.desktop import install, show
from fedscodec.desktop.entries import ENTRY_FILE, MIME_FILE, THUMBNAILER_FILE, entries
from fedscodec.desktop.thumbnail import thumbnail
from fedscodec.errors import FedsError, FormatError
from fedscodec.fileformat import pack, unpack

HOSTILE = Path(__file__).parent / "hostile"


@pytest.fixture(scope="module")
def files():
    tiny, picture = load_model("tiny", "cpu"), make_picture(width=160, height=100)
    return {wanted: tiny.encode(picture, 4, preview=wanted) for wanted in (True, False)}


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


def feds(*words):
    return CliRunner().invoke(app, list(map(str, words)), prog_name="feds")


def values(text):
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_a_preview_is_shown_however_large_its_picture_is(files):
    file = unpack(files[True])
    huge = replace(file, header=replace(file.header, width=10_000, height=8_000))
    with Image.open(BytesIO(thumbnail(pack(huge), 256))) as image:
        assert max(image.size) == 64
    with pytest.raises(FedsError, match="10000x8000 pixels are more than the limit"):
        thumbnail(pack(replace(huge, boxes={})), 256)


def test_the_media_type_has_magic_bytes_and_a_suffix():
    root = ElementTree.fromstring(entries("/usr/bin/python3")[MIME_FILE])
    space = "{http://www.freedesktop.org/standards/shared-mime-info}"
    (kind,) = root.findall(f"{space}mime-type")
    assert kind.get("type") == "image/x-feds"
    assert kind.find(f"{space}glob").get("pattern") == "*.feds"
    assert kind.find(f"{space}magic/{space}match").attrib == {"type": "string", "offset": "0", "value": "FEDS"}


def test_commands_are_quoted_as_the_specification_says():
    made = entries("/opt/my $50 python")
    assert values(made[THUMBNAILER_FILE]) == {
        "TryExec": "/opt/my $50 python",
        "Exec": '"/opt/my \\\\$50 python" -P -m fedscodec.desktop.thumbnail %i %o %s',
        "MimeType": "image/x-feds;",
    }
    assert values(entries("/usr/bin/python3")[ENTRY_FILE])["Exec"] == "/usr/bin/python3 -P -m fedscodec.desktop.show %f"


def test_they_come_and_go(data_folder):
    run = feds("install-desktop")
    assert run.exit_code == 0
    places = [data_folder / place for place in (MIME_FILE, ENTRY_FILE, THUMBNAILER_FILE)]
    assert [line for line in run.stderr.splitlines() if line.endswith(": written")] == [f"{p}: written" for p in places]
    assert all(path.is_file() for path in places)
    assert feds("install-desktop", "--quiet").stderr == ""  # over those that are there
    run = feds("install-desktop", "--remove")
    assert run.stderr.splitlines() == [f"{p}: removed" for p in places]
    assert not any(path.exists() for path in places)
    assert feds("install-desktop", "--remove").stderr == ""


def test_a_folder_that_cannot_be_created_is_reported(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    run = feds("install-desktop", "--data-dir", tmp_path / "file")
    assert (run.exit_code, run.stderr.count("\n")) == (1, 1)
    assert f"{tmp_path / 'file'}" in run.stderr


def test_programs_that_are_missing_are_named(tmp_path):
    (tmp_path / "mime").mkdir()
    (note,) = install.refresh(tmp_path, [("no-such-program", "mime"), ("another", "applications")])
    assert note.startswith("no-such-program is not installed: ")


@pytest.mark.skipif(
    not (shutil.which("update-mime-database") and shutil.which("gio")), reason="needs shared-mime-info and gio"
)
def test_a_system_knows_the_type_by_name_and_by_content(data_folder, files, tmp_path):
    feds("install-desktop")
    for name in ("photo.feds", "photo"):
        (tmp_path / name).write_bytes(files[True])
        command = ["gio", "info", "-a", "standard::content-type", str(tmp_path / name)]
        assert "standard::content-type: image/x-feds" in subprocess.check_output(command, text=True)


@pytest.mark.skipif(not shutil.which("desktop-file-validate"), reason="needs desktop-file-utils")
def test_the_entry_is_valid(data_folder):
    feds("install-desktop")
    subprocess.run(["desktop-file-validate", str(data_folder / ENTRY_FILE)], check=True)


# ── Thumbnails ────────────────────────────────────────────────────────────────────────────────────────────


def test_the_thumbnail_is_the_preview(files):
    with Image.open(BytesIO(thumbnail(files[True], 256))) as image:
        assert (image.format, image.size) == ("PNG", (64, 40))
        expected = preview_of(unpack(files[True])).pixels
        assert np.array_equal(np.asarray(image.convert("RGB")), expected)
    with Image.open(BytesIO(thumbnail(files[True], 32))) as image:
        assert image.size == (32, 20)


def test_a_file_without_a_preview_is_decoded(files):
    with Image.open(BytesIO(thumbnail(files[False], 128))) as image:
        assert image.size == (128, 80)


def run_thumbnailer(*words):
    command = [sys.executable, "-m", "fedscodec.desktop.thumbnail", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_command_line_of_the_thumbnailer(files, tmp_path):
    (tmp_path / "a b.feds").write_bytes(files[True])
    run = run_thumbnailer(tmp_path / "a b.feds", tmp_path / "out.png", 128)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    with Image.open(tmp_path / "out.png") as image:
        assert image.size == (64, 40)
    run = run_thumbnailer(HOSTILE / "header-cut.feds", tmp_path / "no.png")
    assert run.stderr == f"feds-thumbnail: {HOSTILE / 'header-cut.feds'}: ends after 20 bytes inside the header\n"
    assert (run.returncode, (tmp_path / "no.png").exists()) == (1, False)
    assert run_thumbnailer("only-one").returncode == 2


def test_the_thumbnailer_loads_nothing_heavy(files, tmp_path):
    (tmp_path / "a.feds").write_bytes(files[True])
    script = (
        "import sys; from fedscodec.desktop.thumbnail import main;"
        f"sys.argv[1:] = [{str(tmp_path / 'a.feds')!r}, {str(tmp_path / 'a.png')!r}, '128']; assert main() == 0;"
        "heavy = {'torch', 'numpy', 'safetensors', 'constriction', 'typer', 'rich', 'PIL.PngImagePlugin'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"


def test_a_preview_that_lies_is_an_error(files):
    file = unpack(files[True])
    webp = file.boxes[b"prev"]
    file.boxes[b"prev"] = webp[:40]
    from fedscodec.fileformat import pack

    with pytest.raises(FedsError, match="the preview is damaged"):
        thumbnail(pack(file), 64)


# ── A click on a file ─────────────────────────────────────────────────────────────────────────────────────


def test_a_file_is_shown_as_a_png_that_only_the_user_sees(files, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "photo.feds").write_bytes(files[False])
    folder = machine.cache_folder()
    made = show.decoded(tmp_path / "photo.feds", folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with Image.open(made) as image:
        assert (image.format, image.size) == ("PNG", (160, 100))
    before = made.stat().st_ino
    old = folder / "old.png"
    old.write_bytes(b"")
    import os

    os.utime(old, (0, 0))
    assert show.decoded(tmp_path / "photo.feds", folder) == made
    assert made.stat().st_ino == before
    assert not old.exists()


def test_what_cannot_be_shown_is_reported(monkeypatch, capsys, files, tmp_path):
    data = files[False]
    (tmp_path / "bad.feds").write_bytes(data[:-100] + bytes(100))
    with pytest.raises(FormatError, match=r"bad\.feds: "):
        show.decoded(tmp_path / "bad.feds", tmp_path)
    monkeypatch.setattr(show.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["show", str(HOSTILE / "header-cut.feds")])
    assert show.main() == 1
    assert "ends after 20 bytes inside the header" in capsys.readouterr().err
    with pytest.raises(FedsError, match="xdg-open"):
        show.open_picture(Path("a.png"))
