"""`feds encode` and `feds decode` of folders: what they say, in words and in JSON, and how they leave."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_cli import feds, told

import fedscodec
from fedscodec import images
from fedscodec.batch.done import Done, Facts, Total
from fedscodec.commands import printing
from fedscodec.images import thumbnails

ROOT = Path(__file__).parent.parent
TINY = ("--model", "tiny-q3", "--device", "cpu")


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(5)
    for name in ("a.png", "b.png", "sub/c.bmp"):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(path)
    return Path("photos")


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def test_a_folder_there_and_back(photos):
    code, out, err = told(feds("encode", photos, "-o", "out", "--recursive", *TINY))
    assert (code, out) == (0, b"")
    assert files("out") == ["a.feds", "b.feds", "sub/c.feds"]
    assert Path("out/sub/c.feds").read_bytes() == fedscodec.encode("photos/sub/c.bmp", "tiny-q3", device="cpu")
    *lines, last = err.splitlines()
    size = Path("out/a.feds").stat().st_size
    line = rf"out/a\.feds: {size} bytes, {8 * size / 2240:.3f} bpp, {6720 / size:.1f}:1, q3 of tiny, \d+\.\d\d s"
    assert [bool(re.fullmatch(line, one)) for one in sorted(lines)] == [True, False, False]
    before, after = (sum(Path(name).stat().st_size for name in found) for found in (
        ["photos/a.png", "photos/b.png", "photos/sub/c.bmp"], ["out/a.feds", "out/b.feds", "out/sub/c.feds"]
    ))  # fmt: skip
    sizes = f"3 done, 0 up to date, 0 failed: {before:,} bytes became {after:,}, 0.01 megapixels in "
    assert re.fullmatch(rf"{re.escape(sizes)}\d+\.\d s, \S+ a second", last)
    code, out, err = told(feds("decode", "out", "-o", "back", "-r", "--format", "webp", "--device", "cpu"))
    assert (code, out) == (0, b"")
    assert files("back") == ["a.webp", "b.webp", "sub/c.webp"]
    np.testing.assert_array_equal(np.asarray(Image.open("back/a.webp")), np.asarray(fedscodec.decode("out/a.feds")))


def test_a_second_run_does_the_rest(photos):
    assert told(feds("encode", "photos/*.png", "-o", "out", *TINY))[0] == 0
    code, _, err = told(feds("encode", photos, "-o", "out", "--recursive", *TINY))
    assert code == 0
    assert err.splitlines()[0].startswith("out/sub/c.feds: ")
    assert err.splitlines()[1].startswith("1 done, 2 up to date, 0 failed: ")
    assert told(feds("encode", photos, "-o", "out", "-r", *TINY)) == (0, b"", "0 done, 3 up to date, 0 failed\n")
    assert told(feds("encode", photos, "-o", "out", "-r", "--force", *TINY))[2].count("\n") == 4


def test_failures_are_listed_at_the_end_and_stop_nothing(photos):
    Path("photos/b.png").write_bytes(b"no picture")
    code, out, err = told(feds("encode", photos, "photos/none.png", "-o", "out", *TINY))
    assert (code, out) == (1, b"")
    assert files("out") == ["photos/a.feds"]
    assert err.splitlines()[0] == "feds: photos: 1 folder in it was not entered, --recursive does that"
    assert err.splitlines()[2].startswith("1 done, 0 up to date, 2 failed: ")
    assert err.splitlines()[3:] == [
        "feds: 2 of 3 files failed:",
        "  photos/none.png: expected a valid picture, found: No such file or directory",
        "  photos/b.png: expected a picture, found a file in no format that Pillow reads",
    ] or err.splitlines()[3:] == [
        "feds: 2 of 3 files failed:",
        "  photos/b.png: expected a picture, found a file in no format that Pillow reads",
        "  photos/none.png: expected a valid picture, found: No such file or directory",
    ]  # fmt: skip


def test_a_bug_in_one_file_is_reported_as_a_bug(photos, monkeypatch):
    read = images.read_picture
    monkeypatch.setattr(
        "fedscodec.batch.encoder.read_picture",
        lambda source, **how: read(source, **how) if source.stem == "a" else 1 / 0,
    )
    code, _, err = told(feds("encode", photos, "-o", "out", "-q", *TINY))
    assert code == 70
    bug = "internal error: ZeroDivisionError: division by zero (run with --debug for the traceback)"
    assert err == f"feds: 1 of 2 files failed:\n  photos/b.png: {bug}\n"


def test_json_has_a_line_a_file_and_a_total(photos):
    Path("photos/b.png").write_bytes(b"no picture")
    code, out, err = told(feds("encode", photos, "-o", "out", "-r", "--json", "--measure", "-q", *TINY))
    assert code == 1
    *lines, last = map(json.loads, out.splitlines())
    told_of = {line["source"]: line for line in lines}
    a, size = told_of["photos/a.png"], Path("out/a.feds").stat().st_size
    assert a | {"seconds": 0, "psnr": 0, "fingerprint": ""} == {
        "source": "photos/a.png", "output": "out/a.feds", "status": "encoded", "bytes_out": size,
        "bytes_in": Path("photos/a.png").stat().st_size, "seconds": 0, "psnr": 0, "width": 56, "height": 40,
        "grey": False, "quality": 3.0, "model": "tiny", "fingerprint": "", "notes": [], "lossless": False,
    }  # fmt: skip
    assert 4 < a["psnr"] < 12
    assert told_of["photos/b.png"] == {
        "source": "photos/b.png", "output": "out/b.feds", "status": "failed",
        "error": "photos/b.png: expected a picture, found a file in no format that Pillow reads",
    }  # fmt: skip
    assert len(told_of) == len(lines) == 3
    assert {key: last["total"][key] for key in ("files", "done", "skipped", "failed", "megapixels")} == {
        "files": 3, "done": 2, "skipped": 0, "failed": 1, "megapixels": 0.00448,
    }  # fmt: skip
    code, out, _ = told(feds("decode", "out/a.feds", "-o", "back/", "--json", "-q", "--device", "cpu"))
    assert (code, json.loads(out.splitlines()[0])["status"]) == (0, "decoded")
    assert files("back") == ["a.png"]


def test_json_changes_nothing_of_one_file(photos):
    how = ("--json", "-q", "--device", "cpu")
    code, out, _ = told(feds("encode", "photos/a.png", "-o", "one.feds", "--model", "tiny-q3", *how))
    assert (code, json.loads(out.splitlines()[0])["output"]) == (0, "one.feds")
    assert Path("one.feds").is_file()
    code, out, err = told(feds("encode", "photos/a.png", "-o", "one.feds", "--model", "tiny-q3", *how))
    assert (code, out, err) == (1, b"", "feds: one.feds: already exists, use --force to overwrite it\n")
    assert told(feds("decode", "one.feds", "-o", "one.webp", *how))[0] == 0
    with Image.open("one.webp") as image:
        assert image.format == "WEBP"
    code, _, err = told(feds("encode", "photos/a.png", "-o", "-", *how))
    assert (code, "- cannot be used with --json or --ray" in err) == (2, True)


def test_files_are_not_made_of_themselves(photos):
    assert told(feds("encode", photos, "-o", "out", "-r", "-q", *TINY))[0] == 0
    before = {path: path.read_bytes() for path in Path("out").rglob("*.feds")}
    assert len(before) > 1
    code, _, err = told(feds("encode", *before, "--force", *TINY))
    assert (code, err.count(": its result would take its own place, skipped")) == (1, len(before))
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("arguments", [("encode", ""), ("decode", ""), ("info", ""), ("encode", "photos", "-o", "")])
def test_an_empty_argument_is_not_the_current_folder(photos, arguments):
    code, out, err = told(feds(*arguments))
    assert (code, out, err.splitlines()[-1]) == (2, b"", "Error: an argument is empty, expected a value")


def test_an_empty_value_is_not_the_current_folder(photos):
    code, out, err = told(feds("encode", "photos", "--output="))
    assert (code, out, err.splitlines()[-1]) == (2, b"", "Error: --output is empty, expected a value")


def test_lines_of_files_without_loss_say_so(photos):
    Image.new("RGB", (200, 100), (3, 200, 90)).save("photos/flat.png")
    _, _, err = told(feds("encode", photos, "-o", "out", *TINY))
    line = next(line for line in err.splitlines() if line.startswith("out/flat.feds: "))
    assert ", without loss, " in line
    _, _, err = told(feds("decode", "out", "-o", "back", "--device", "cpu"))
    assert "back/flat.png: 200x100 pixels, without loss, " in err
    _, out, _ = told(feds("info", "out/flat.feds", "--json"))
    assert json.loads(out)["lossless"] is True


def test_a_preview_that_does_not_fit_is_told_and_not_missed_again(photos, monkeypatch):
    monkeypatch.setattr(thumbnails, "_QUALITIES", ((60, 100),))  # noise fits only with less
    noise = np.random.default_rng(3).integers(0, 256, (64, 96, 4), dtype=np.uint8)
    Image.fromarray(noise).save("photos/a.png")
    _, _, err = told(feds("encode", photos, "-o", "out", "--preview", *TINY))
    assert "photos/a.png: the preview was left out, as it does not fit into 2,048 bytes\n" in err
    _, _, err = told(feds("encode", photos, "-o", "out", "--preview", *TINY))
    assert err.endswith("\n0 done, 2 up to date, 0 failed\n")


def test_quiet_says_nothing_of_many(photos):
    assert told(feds("encode", photos, "-o", "out", "-q", "-j", "1", *TINY)) == (0, b"", "")


def test_where_many_cannot_come_from_or_go_to(photos):
    for arguments in (["-", "photos/a.png", "-o", "out"], [photos, "-o", "-"]):
        code, _, err = told(feds("encode", *arguments))
        assert (code, "- cannot be used with several files" in err) == (2, True)
    refused = "feds: photos/a.png: is a file, expected a folder for several outputs\n"
    assert told(feds("encode", photos, "-o", "photos/a.png")) == (1, b"", refused)
    for name in ("two.feds", "two.WEBP"):
        refused = f"feds: {name}: names a file, expected a folder for several outputs ({name}/ if it is one)\n"
        assert told(feds("encode", photos, "-o", name)) == (1, b"", refused.replace("/", os.sep))
        assert told(feds("decode", "a.feds", "b.feds", "-o", name))[0] == 1
        assert not Path(name).exists()
    assert told(feds("encode", "photos/a.png", "photos/b.png", "-o", "two.feds/", "-q", *TINY)) == (0, b"", "")
    assert files("two.feds") == ["a.feds", "b.feds"]
    Path("empty").mkdir()
    code, _, err = told(feds("decode", "empty", "-o", "out"))
    assert (code, err) == (1, "feds: empty: nothing to do here (looked for .feds)\n")
    code, _, err = told(feds("decode", photos, "--format", "xyz"))
    assert (code, "expected a picture format (.avif" in err) == (2, True)


def test_notes_of_many(photos):
    Image.fromarray(np.full((8, 8), 999, np.uint16)).save("photos/a.png")
    err = told(feds("encode", photos, "-o", "out", *TINY))[2]
    assert "feds: photos/a.png: 16-bit grey was reduced to 8 bits.\n" in err
    assert re.search(r"^feds: photos/a\.png: became larger, \d+ bytes from \d+$", err, re.MULTILINE)


def test_lines_of_many():
    facts = Facts(1000, 500, False, 4.25, "student", "00", {"ms_ssim": 0.97})
    done = Done(Path("a.png"), Path("a.feds"), "encoded", 10**6, 31_250, 1.234, facts)
    assert printing.done_line(done) == "31,250 bytes, 0.500 bpp, 48.0:1, q4.25 of student, 1.23 s, MS-SSIM 0.9700"
    total = Total(103, 98, 4, 1, 45_678_901, 2_345_678, 49.0)
    assert printing.total_line(total, 24.5) == (
        "98 done, 4 up to date, 1 failed: 45,678,901 bytes became 2,345,678, 49.00 megapixels in 24.5 s, 2 a second"
    )
    assert printing.running_words(total, 24.5) == "45.7 MB -> 2.35 MB, 2 MP/s, 1 failed"
    assert printing.running_words(Total(), 0.0) == "0 B -> 0 B, 0 MP/s"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of POSIX")
def test_ctrl_c_leaves_complete_files_and_a_second_run_continues(photos, tmp_path):
    data = Path("photos/a.png").read_bytes()
    for number in range(10):
        Path(f"photos/b{number}.png").write_bytes(data)
    pipes = [Path(f"photos/c{number}.png") for number in range(4)]
    for pipe in pipes:
        os.mkfifo(pipe)  # with no writer: whoever reads it waits, so that Ctrl-C comes half-way for certain
    named = [*sorted(map(str, Path("photos").glob("*.png")))]  # one by one, as in a folder pipes are passed over
    command = [sys.executable, "-m", "fedscodec", "encode", *named, "-o", "out", "--jobs", "2", *TINY]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with Path("said").open("w+") as said:
        process = subprocess.Popen(command, stderr=said, stdout=subprocess.PIPE, env=environment)
        try:
            deadline = time.monotonic() + 120
            while len(list(Path("out").rglob("[!.]*.feds"))) < 12 and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            printed = process.communicate(timeout=120)[0]
        finally:
            process.kill()
        shown = Path("said").read_text()
    assert (process.returncode, printed) == (130, b"")
    done = ["a.feds", "b.feds", *(f"b{number}.feds" for number in range(10))]
    assert files("out") == done
    expected = fedscodec.encode("photos/a.png", "tiny-q3", device="cpu")
    assert {Path("out", name).read_bytes() for name in done if name != "b.feds"} == {expected}
    assert "Traceback" not in shown
    for pipe in pipes:
        pipe.unlink()
        pipe.write_bytes(data)
    code, _, err = told(feds("encode", photos, "-o", "out", *TINY))
    assert (code, len(files("out"))) == (0, 16)
    assert err.splitlines()[-1].startswith("4 done, 12 up to date, 0 failed: ")


def test_up_to_date_is_what_this_command_would_write(photos):
    exif = Image.Exif()
    exif[0x010F] = "feds"
    place = exif.get_ifd(0x8825)
    place[1] = "N"
    exif[0x8825] = place
    for name in ("a", "b"):
        beside = {"exif": exif.tobytes()} if name == "a" else {}
        Image.open(f"photos/{name}.png").save(f"photos/{name}.png", **beside)

    def again(*options):
        code, _, err = told(feds("encode", "photos/a.png", "photos/b.png", "-o", "out", *TINY, *options))
        assert code == 0
        return err.splitlines()[-1].partition(", 0 failed")[0]

    assert again() == "2 done, 0 up to date"
    assert fedscodec.decode("out/a.feds").getexif()[0x010F] == "feds"
    assert again() == "0 done, 2 up to date"
    assert again("--strip") == "1 done, 1 up to date"  # of the other there is nothing to leave out
    assert not fedscodec.decode("out/a.feds").getexif()
    assert again("--strip") == "0 done, 2 up to date"
    assert again() == "1 done, 1 up to date"
    assert again("--stream-checks") == "2 done, 0 up to date"
    assert again("--stream-checks") == "0 done, 2 up to date"
    assert again("--no-stream-checks") == "2 done, 0 up to date"
    Path("out/b.feds").write_bytes(Path("out/b.feds").read_bytes()[:-5])
    assert again() == "1 done, 1 up to date"
