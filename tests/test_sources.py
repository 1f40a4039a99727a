"""What encode and decode take, and what they pass over and tell: pipes, links, folders, kinds of files."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_cli import feds, told

import fedscodec
from fedscodec.images import picture_suffixes, read_picture

TINY = ("--model", "tiny-q3", "--device", "cpu")
ROOT = Path(fedscodec.__file__).parents[1]
PIXELS = np.random.default_rng(3).integers(0, 256, (24, 32, 3), np.uint8)


def png() -> bytes:
    buffer = BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Path("photos/a.png").write_bytes(png())
    return Path("photos")


def results(folder="out"):
    return sorted(path.name for path in Path(folder).iterdir())


def test_special_files_are_named_once_and_skipped(photos):
    os.mkfifo(photos / "pipe.png")
    (photos / "nowhere.png").symlink_to("gone.png")
    (photos / "null.png").symlink_to(os.devnull)
    (photos / "linked.png").symlink_to(Path("a.png").absolute().with_name("photos") / "a.png")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("photos/socket.png")
        code, _, err = told(feds("encode", photos, "-o", "out", *TINY))
    assert (code, results()) == (0, ["a.feds", "linked.feds"])
    assert sorted(line for line in err.splitlines() if "skipped" in line) == [
        "feds: photos/nowhere.png: is a dangling link, skipped",
        "feds: photos/null.png: is a device, skipped",
        "feds: photos/pipe.png: is a named pipe, skipped",
        "feds: photos/socket.png: is a socket, skipped",
    ]
    code, out, err = told(feds("encode", "photos/*.png", "-o", "two", "--json", "-q", *TINY))
    assert (code, results("two"), err) == (0, ["a.feds", "linked.feds"], "")
    total = json.loads(out.splitlines()[-1])["total"]
    assert total["notes"] == [
        "photos/nowhere.png: is a dangling link, skipped",
        "photos/null.png: is a device, skipped",
        "photos/pipe.png: is a named pipe, skipped",
        "photos/socket.png: is a socket, skipped",
    ]


def test_pipes_among_files_to_decode_and_where_results_go(photos):
    told(feds("encode", photos, "-o", "out", *TINY))
    os.mkfifo("out/pipe.feds")
    code, _, err = told(feds("decode", "out", "-o", "back", "--device", "cpu"))
    assert (code, results("back")) == (0, ["a.png"])
    assert "feds: out/pipe.feds: is a named pipe, skipped\n" in err
    Path("out/a.feds").unlink()
    os.mkfifo("out/a.feds")  # in the way of a result
    code, _, err = told(feds("encode", photos, "-o", "out", *TINY))
    assert (code, err.splitlines()[-1]) == (1, "  photos/a.png: out/a.feds: is a named pipe, expected a file")


def test_weights_and_training_pictures_pass_over_pipes(photos, monkeypatch):
    Path("weights").mkdir()
    os.mkfifo("weights/student.safetensors")
    monkeypatch.setenv("FEDS_WEIGHTS", "weights")
    assert told(feds("models"))[0] == 0
    os.mkfifo(photos / "pipe.png")
    from fedscodec.bench.datasets import pictures_in
    from fedscodec.training.data import picture_files

    assert [name for name, _ in picture_files([photos], [])] == ["photos/a.png"]
    assert pictures_in([photos]) == [Path("photos/a.png")]


def fed_by_a_pipe(path: Path, data: bytes) -> threading.Thread:
    os.mkfifo(path)
    thread = threading.Thread(target=path.write_bytes, args=[data], daemon=True)
    thread.start()
    return thread


def test_a_pipe_that_is_named_is_read_like_a_dash(photos):
    expected = fedscodec.encode(png(), "tiny-q3", device="cpu")
    fed_by_a_pipe(Path("given"), png())
    code, out, _ = told(feds("encode", "given", *TINY))
    assert (code, out) == (0, expected)
    Path("given").unlink()
    fed_by_a_pipe(Path("given"), png())
    assert told(feds("encode", "given", "-o", "a.feds", *TINY))[0] == 0
    assert Path("a.feds").read_bytes() == expected
    fed_by_a_pipe(Path("file"), expected)
    code, out, _ = told(feds("decode", "file", "--device", "cpu"))
    assert np.array_equal(read_picture(out).pixels, np.asarray(fedscodec.decode(expected, device="cpu")))


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_substituted_commands_and_standard_input_by_name(photos):
    script = (
        'feds() { "$PYTHON" -m fedscodec "$@" --device cpu --quiet; }\n'
        "feds encode <(cat photos/a.png) -o one.feds --model tiny-q3\n"
        "cat photos/a.png | feds encode /dev/stdin --model tiny-q3 > two.feds\n"
        "cat one.feds | feds decode /dev/stdin > back.png\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHON": sys.executable}
    subprocess.run(["bash", "-ec", script], env=environment, check=True)
    expected = fedscodec.encode(png(), "tiny-q3", device="cpu")
    assert Path("one.feds").read_bytes() == Path("two.feds").read_bytes() == expected
    assert read_picture("back.png").pixels.shape == (24, 32, 3)


# ── Kinds of files ────────────────────────────────────────────────────────────────────────────────────────────

WRITTEN = {
    ".jfif": "JPEG", ".jpe": "JPEG", ".gif": "GIF", ".jp2": "JPEG2000", ".tga": "TGA", ".pcx": "PCX", ".ico": "ICO",
    ".pgm": "PPM", ".apng": "PNG", ".dib": "DIB", ".mpo": "MPO", ".sgi": "SGI", ".dds": "DDS",
    ".im": "IM", ".qoi": "QOI",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # of formats that Pillow will drop
def test_every_kind_that_pillow_reads_is_taken(photos):
    image = Image.fromarray(PIXELS)
    for suffix, kind in WRITTEN.items():
        image.convert("L" if suffix == ".pgm" else "RGB").save(photos / f"a{suffix}{suffix.upper()}", kind)
    (photos / "a.png").unlink()
    code, out, _ = told(feds("encode", photos, "-o", "out", "--json", "-q", *TINY))
    *lines, last = map(json.loads, out.splitlines())
    assert (code, {line["source"] for line in lines if line["status"] != "encoded"}) == (0, set())
    assert (len(lines), last["total"]["left"]) == (len(WRITTEN), {})


def test_suffixes_that_are_never_taken():
    assert not picture_suffixes() & {".eps", ".ps", ".pdf", ".feds", ".mpg", ".h5", ".wmf", ".txt", ""}


def test_other_kinds_are_counted_and_named(photos):
    for name in ("a.txt", "b.TXT", "c.heic", "d", "e.xmp", "f.txt", ".hidden", "old.feds"):
        (photos / name).write_bytes(b"x")
    code, _, err = told(feds("encode", photos, "-o", "out", *TINY))
    words = "feds: 6 files were skipped, of other kinds: 3 .txt, 1 .heic, 1 without a suffix, 1 .xmp"
    counted = sorted(err.splitlines()[0].removeprefix("feds: 6 files were skipped, of other kinds: ").split(", "))
    assert (code, counted) == (0, ["1 .heic", "1 .xmp", "1 without a suffix", "3 .txt"]), words
    code, out, _ = told(feds("encode", photos, "-o", "out", "--json", "-q", *TINY))
    assert json.loads(out.splitlines()[-1])["total"]["left"] == {".txt": 3, ".heic": 1, "": 1, ".xmp": 1}
    (photos / "a.png").unlink()
    code, _, err = told(feds("encode", photos, "-o", "out", *TINY))
    assert (code, "feds: photos: nothing to do here (looked for pictures that Pillow reads); 6 files" in err) == (
        1,
        True,
    )


def test_folders_that_are_not_entered_are_reported(photos):
    for name in ("one", "two", ".git"):
        (photos / name).mkdir()
    Path("elsewhere").mkdir()
    Path("elsewhere/b.png").write_bytes(png())
    (photos / "link").symlink_to(Path("elsewhere").absolute())
    code, _, err = told(feds("encode", photos, "-o", "out", *TINY))
    assert (code, err.splitlines()[:2]) == (0, [
        "feds: photos/link: is a link to a folder, skipped",
        "feds: photos: 2 folders in it were not entered, --recursive does that",
    ])  # fmt: skip
    code, _, err = told(feds("encode", photos, "-o", "deep", "-r", *TINY))
    assert (code, err.splitlines()[0]) == (0, "feds: photos/link: is a link to a folder, skipped")
    assert (results("deep"), "not entered" in err) == (["a.feds"], False)
    assert told(feds("encode", photos / "link", "-o", "named", *TINY))[0] == 0  # named, it is entered
    assert results("named") == ["b.feds"]


# ── Where results go ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("there", "output", "expected"),
    [
        (None, "new/", "new/a.feds"),
        (None, "new/deep/", "new/deep/a.feds"),
        ("old", "old", "old/a.feds"),
        ("old", "old/", "old/a.feds"),
        (None, "name", "name"),
    ],
)
def test_a_folder_is_a_folder_as_cp_has_it(photos, there, output, expected):
    if there:
        Path(there).mkdir()
    assert told(feds("encode", "photos/a.png", "-o", output, *TINY))[0] == 0
    assert Path(expected).read_bytes()[:4] == b"FEDS"
    Path(expected).rename("photos/a.feds")
    back = "back/" if output.endswith("/") else output
    code, _, err = told(feds("decode", "photos/a.feds", "-o", back, "--format", "webp", "--device", "cpu"))
    target = Path(expected if output == "name" else f"{back}/a.webp")
    assert (code, target.read_bytes()[8:12]) == (0, b"WEBP"), err
    if output != "name":
        code, _, err = told(feds("compare", "photos/a.png", "-o", back, "--no-peers", "--quality", 3, *TINY))
        assert (code, Path(back, "a-compare.html").is_file()) == (0, True), err


def test_checkpoints_and_folders(photos):
    weights = ROOT / "weights" / "tiny.safetensors"
    shutil.copy(weights, "mine.safetensors")
    code, _, err = told(feds("export", "mine.safetensors", "-o", "shipped/"))
    assert (code, err[:33]) == (0, "shipped/mine.safetensors: ")[:1] + (err[:33],)
    assert Path("shipped/mine.safetensors").is_file()


def test_folders_that_cannot_be_one(photos):
    Path("file").write_bytes(b"x")
    code, _, err = told(feds("encode", "photos/a.png", "-o", "file/", *TINY))
    assert (code, err) == (1, "feds: file/a.feds: its folder is a file\n")
    code, _, err = told(feds("encode", "-", "-o", "photos", *TINY, stdin=png()))
    words = "photos: is a folder, expected a file for what comes from standard input"
    assert (code, err, Path("file").read_bytes()) == (1, f"feds: {words}\n", b"x")
    code, _, err = told(feds("encode", "photos/none.png", "-o", "new/", *TINY))
    assert (code, Path("new").exists()) == (1, False)  # nothing is made for nothing


# ── Where nothing can be written ──────────────────────────────────────────────────────────────────────────────


def test_it_is_said_before_the_first_picture(photos, monkeypatch):
    for number in range(5):
        (photos / f"{number}.png").write_bytes(png())
    monkeypatch.setattr("fedscodec.batch.encoder.read_picture", None)  # none is read
    Path("closed").mkdir()
    honest = os.access
    monkeypatch.setattr(os, "access", lambda place, *more: "closed" not in str(place) and honest(place, *more))
    assert told(feds("encode", photos, "-o", "closed", *TINY)) == (
        1,
        b"",
        "feds: closed: no permission to write there\n",
    )
    code, _, err = told(feds("encode", photos, "-o", "closed/deep", *TINY))
    assert (code, err) == (1, "feds: closed/deep: no permission to write there\n")
    Path("file").touch()
    code, _, err = told(feds("encode", photos, "-o", "file/deep", *TINY))
    assert (code, err) == (1, "feds: file/deep: its folder is a file\n")
    code, _, err = told(feds("entropy", "photos/a.png", "-o", "closed/page", "--model", "tiny"))
    assert (code, err) == (1, "feds: closed/page: no permission to write there\n")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that takes no files")
def test_a_file_system_that_takes_no_files(photos, monkeypatch):
    monkeypatch.setattr("fedscodec.batch.encoder.read_picture", None)
    code, _, err = told(feds("encode", photos, "-o", "/proc/feds", *TINY))
    assert (code, err.startswith("feds: /proc/feds: "), err.count("\n")) == (1, True, 1)


def test_one_folder_of_several(photos, monkeypatch):
    for name in ("open", "closed"):
        (photos / name).mkdir()
        (photos / name / "b.png").write_bytes(png())
    honest = os.access
    monkeypatch.setattr(os, "access", lambda place, *more: "closed" not in str(place) and honest(place, *more))
    code, _, err = told(feds("encode", photos, "-r", "-q", *TINY))
    told_of = "feds: 1 of 3 files failed:\n  photos/closed/b.png: photos/closed: no permission to write there\n"
    assert (code, err) == (1, told_of)
    assert Path("photos/open/b.feds").is_file()
    Path("photos/a.feds").touch()


def test_where_all_is_up_to_date_nothing_needs_to_be_written(photos, monkeypatch):
    assert told(feds("encode", photos, *TINY))[0] == 0
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert told(feds("encode", photos, *TINY)) == (0, b"", "0 done, 1 up to date, 0 failed\n")
