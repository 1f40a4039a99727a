"""The `feds` command as people use it: what it writes, what it says, and how it leaves."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import fedscodec
from fedscodec import images, registry
from fedscodec.cli import app
from fedscodec.codec import model as loading
from fedscodec.commands.options import model_names
from fedscodec.errors import OutputError
from fedscodec.fileformat import assemble, pack, read_header
from fedscodec.networks import spec
from fedscodec.networks.weights import write_weights
from fedscodec.registry import resolve
from fedscodec.training.recipe import Recipe

ROOT = Path(__file__).parent.parent
COMMANDS = (
    "encode",
    "decode",
    "info",
    "verify",
    "compare",
    "models",
    "train",
    "distill",
    "finetune",
    "export",
    "rounding",
    "bench",
    "report",
    "ablate",
    "entropy",
    "install-desktop",
    "web",
)
SAMPLES = np.fromfunction(lambda i, j, c: 40 + 2 * i + j + 20 * c, (40, 56, 3)).astype(np.uint8)


def feds(*arguments, stdin=None):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, prog_name="feds")


def told(result):
    """Exit code, bytes on standard output, words on standard error; no command ever shows a traceback."""
    assert "Traceback" not in result.stderr
    return result.exit_code, result.stdout_bytes, result.stderr


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(SAMPLES).save("photo.png")
    return Path("photo.png")


@pytest.fixture
def encoded(photo):
    assert feds("encode", photo, "--model", "tiny-q3", "--device", "cpu").exit_code == 0
    return Path("photo.feds")


# ── What is said before anything heavy is loaded ──────────────────────────────────────────────────────────


def test_help_lists_every_command():
    code, out, err = told(feds("--help"))
    assert (code, err) == (0, "")
    listed = out.decode().partition("Commands:\n")[2]
    assert re.findall(r"^  ([\w-]+)  ", listed, re.MULTILINE) == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    code, out, err = told(feds(command, "-h"))
    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: feds {command} ".encode())
    assert b"--debug" in out


@pytest.mark.parametrize(("command", "usage"), [("encode", "IN..."), ("report", "FOLDER"), ("compare", "PICTURES...")])
def test_usage_shows_required_arguments_as_most_programs_do(command, usage):
    assert told(feds(command, "-h"))[1].decode().splitlines()[0] == f"Usage: feds {command} [OPTIONS] {usage}"


def test_examples_keep_their_lines():
    out = feds("encode", "--help").stdout
    assert "\n  Examples:\n    feds encode photo.png\n    feds encode photo.png --quality 4.5" in out


def test_every_field_of_the_recipe_is_a_flag_with_its_default():
    out = " ".join(feds("train", "--help").stdout.split())
    for field in fields(Recipe):
        flag = re.escape(f"--{field.name.replace('_', '-')}")
        several = isinstance(field.default, tuple)
        shown = " ".join(map(str, field.default)) or "none" if several else str(field.default)
        assert re.search(rf"{flag} .{{,100}}?\[default: {re.escape(shown)}\]", out), field.name


def test_version():
    assert told(feds("--version")) == (0, f"feds {fedscodec.__version__}\n".encode(), "")


def answered(shell, what, line=""):
    """What `feds` prints to a shell that asks for its script (source), or to that script (complete) for a line."""
    asked = {
        "_FEDS_COMPLETE": f"{what}_{shell}",
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    asked |= {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - (not line.endswith(" ")))}
    run = CliRunner().invoke(app, [], env=asked, prog_name="feds")
    assert (run.exit_code, run.stderr) == (0, "")
    return run.stdout


def completed(shell, line):
    out = answered(shell, "complete", line)
    if shell == "zsh":
        return re.findall(r'^"([^":]+)"', out.replace("_arguments '*: :((", "").replace("))'", ""), re.MULTILINE)
    return [answer.split("\t")[0] for answer in out.splitlines()]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_models(shell):
    assert completed(shell, "feds enc") == ["encode"]
    assert {"student", "tiny"} <= {*completed(shell, "feds encode a.png --model ")}
    assert completed(shell, "feds encode a.png --model ti") == ["tiny"]
    assert completed(shell, "feds encode a.png --model tiny-") == [f"tiny-q{n}" for n in range(1, 8)]
    assert completed(shell, "feds encode a.png --stream") == ["--stream-checks"]


def test_the_shell_completes_the_qualities_in_the_weights_file(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDS_WEIGHTS", str(tmp_path))
    (tmp_path / "mine.safetensors").write_bytes(b"damaged")
    assert model_names("mine-") == model_names()
    assert "mine" in model_names() and "student-q1" not in model_names("student")
    assert model_names("student-q")[-7:] == [f"student-q{n}" for n in range(1, 8)]


SCRIPTS = {
    "bash": "complete -o default -F _feds_completion feds",
    "zsh": "compdef _feds_completion feds",
    "fish": "complete --command feds --no-files --arguments",
}
TYPED = {  # how a script asks its own shell what a tab would give
    "bash": 'COMP_WORDS=(feds {0}); COMP_CWORD={1}; _feds_completion feds; printf "%s\\n" "${{COMPREPLY[@]}}"',
    "fish": 'complete -C "feds {0}"',
}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_scripts_for_shells_work_in_them(shell, tmp_path):
    script = answered(shell, "source")
    assert SCRIPTS[shell] in script
    if shell not in TYPED or not shutil.which(shell):
        return
    program = tmp_path / "feds"
    command = shlex.join((sys.executable, "-c", "from fedscodec.cli import main; main()"))
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    (tmp_path / "script").write_text(script)
    lines = f". {tmp_path / 'script'}; {TYPED[shell].format('encode a.png --model tiny-q7', 4)}"
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    run = subprocess.run([shell, "-c", lines], capture_output=True, text=True, env=environment, timeout=60)
    assert run.stdout == "tiny-q7\n", run.stderr


# ── Wrong usage: exit code 2 ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["encode"], "Missing argument 'IN...'"),
        (["encode", "photo.png", "--colour"], "No such option: --colour"),
        (["encode", "photo.png", "--device", "tpu"], "Invalid value for '--device'"),
        (["encode", "photo.png", "--quality", "good"], "Invalid value for '--quality'"),
        (["encode", "photo.png", "--size", "2 boxes"], "200k, 1.5M or 200KiB, found 2 boxes"),
        (["encode", "photo.png", "--bpp", "1", "--psnr", "30"], "use only one of --quality, --bpp, --size, --psnr, "),
        (["encode", "photo.png", "--bpp", "1", "--quality", "3"], "use only one of --quality, --bpp, --size, --psnr, "),
        (["encode", "photo.png", "--max-pixels", "0"], "Invalid value for '--max-pixels'"),
        (["blur", "photo.png"], "No such command 'blur'"),
        (["train", "--data", "."], "Missing option '--out'"),
        (["train", "--data", ".", "--out", "a.safetensors", "--crop", "100"], "multiple of 64, found 100"),
        (["train", "--data", ".", "--out", "a.safetensors", "--warm-up", "2"], "--warm-up must lie in 0..1, found 2.0"),
        (["train", "--data", ".", "--out", "a.pt"], "expected a file that ends in .safetensors, found a.pt"),
        (["train", "--data", ".", "--out", "a.safetensors", "--optimizer", "sgd"], "Invalid value"),
        (["train", "--data", ".", "--out", "a.safetensors", "--recipe", "direct", "--minutes", 2], "in minutes or in"),
        (
            ["train", "--data", ".", "--out", "a.safetensors", "--delta", 2],
            "--delta: needs a teacher: use `feds distill`",
        ),
        (
            ["train", "--data", ".", "--out", "a.safetensors", "--recipe", "fu2024kd"],
            "--recipe fu2024kd: needs a teacher",
        ),
        (["train", "--data", ".", "--out", "a.safetensors", "--sharpness", "nan"], "--sharpness must be a number of 0"),
        (["train", "--data", ".", "--out", "a.safetensors", "--halves", -1], "--halves must be a number of 0 or"),
        (["train", "--data", ".", "--out", "a.safetensors", "--stop-after", "nan"], "--stop-after must be a number"),
        (["ablate", "fig6", "--data", ".", "--minutes", "nan"], "--minutes must be a number, found nan"),
        (["ablate", "fig6", "--data", ".", "--stop-after", -3], "--stop-after must be a number of 0 or more, found -3"),
    ],
)
def test_wrong_usage(photo, arguments, complaint):
    code, out, err = told(feds(*arguments))
    assert (code, out) == (2, b"")
    assert complaint in err


# ── Foreseen failures: exit code 1 and one sentence ───────────────────────────────────────────────────────


def a_feds_file(fingerprint=bytes(8), width=56, height=40):
    file = assemble(
        fingerprint=fingerprint,
        quality=3000,
        width=width,
        height=height,
        grey=False,
        streams=(b"12", b"3456"),
        symbols=(),
    )
    return pack(file)


@pytest.mark.parametrize("command", ["encode", "decode", "info"])
def test_a_missing_file(photo, command):
    code, out, err = told(feds(command, "nothing.feds", *(["-o", "new"] if command != "info" else [])))
    assert (code, out) == (1, b"")
    assert re.fullmatch(r"feds: nothing\.feds: .*No such file or directory\)?\n", err)


@pytest.mark.parametrize("command", ["decode", "info"])
def test_what_is_no_feds_file(photo, command):
    sentence = "not a .feds file (expected the bytes FEDS at the start, found 89504e47)"
    assert told(feds(command, photo)) == (1, b"", f"feds: photo.png: {sentence}\n")
    named = told(feds(command, "-", stdin=photo.read_bytes()))
    assert named == (1, b"", f"feds: standard input: {sentence}\n")


def test_a_cut_file(photo):
    whole = a_feds_file()
    Path("cut.feds").write_bytes(whole[:-1])
    sentence = "feds: cut.feds: the slice 1 stream needs 4 bytes but only 3 are left\n"
    assert told(feds("info", "cut.feds")) == (1, b"", sentence)
    assert told(feds("decode", "cut.feds")) == (1, b"", sentence)
    assert not Path("cut.png").exists()


def test_a_file_that_is_not_feds_is_not_read_to_its_end(photo):
    with Path("film").open("wb") as film:
        film.truncate(2**40)  # takes no room on the disk, and would not fit into memory
    sentence = "feds: film: not a .feds file (expected the bytes FEDS at the start, found 00000000)\n"
    assert told(feds("info", "film")) == (1, b"", sentence)


def test_what_is_no_picture(photo):
    Path("a.txt").write_text("no picture")
    code, out, err = told(feds("encode", "a.txt"))
    assert (code, out) == (1, b"")
    assert err.startswith("feds: a.txt: expected a picture, found a file in no format that Pillow reads")


def test_pictures_over_the_limit(photo):
    code, _, err = told(feds("encode", photo, "--max-pixels", 2239))
    assert (code, err) == (
        1,
        "feds: photo.png: 56x40 pixels are more than the limit of 2239; allow them with --max-pixels\n",
    )
    Path("a.feds").write_bytes(a_feds_file())
    code, _, err = told(feds("decode", "a.feds", "--max-pixels", 2239))
    assert (code, err.partition(";")[0]) == (1, "feds: a.feds: 56x40 pixels are more than the limit of 2239")


def test_outputs_that_are_refused_before_the_work(photo, monkeypatch):
    monkeypatch.setattr(loading, "load_model", None)  # which the work would need
    Path("photo.feds").write_bytes(b"old")
    refused = "feds: photo.feds: already exists, use --force to overwrite it\n"
    assert told(feds("encode", photo)) == (1, b"", refused)
    assert Path("photo.feds").read_bytes() == b"old"
    refused = "feds: photo.png: is the input, expected another name for the output\n"
    assert told(feds("encode", photo, "-o", photo, "--force")) == (1, b"", refused)
    refused = "feds: none/a.feds: its folder does not exist\n"
    assert told(feds("encode", photo, "-o", "none/a.feds")) == (1, b"", refused)
    Path("a.feds").write_bytes(a_feds_file())
    refused = "feds: photo.png: already exists, use --force to overwrite it\n"
    assert told(feds("decode", "a.feds", "-o", photo)) == (1, b"", refused)
    code, _, err = told(feds("decode", "a.feds", "-o", "a.xyz"))
    assert code == 2
    assert "expected a picture format (.avif .bmp " in err
    Path("a.safetensors").touch()
    refused = "feds: a.safetensors: already exists, use --force to overwrite it\n"
    assert told(feds("train", "--data", ".", "--out", "a.safetensors")) == (1, b"", refused)


def test_a_new_run_replaces_no_file_of_another(photo):
    start = ["train", "--data", ".", "--out", "b.safetensors", "--init", "tiny"]
    for name in ("b.safetensors", "b.state.safetensors", "b.falling.safetensors", "b.jsonl", "b.svg"):
        Path(name).write_text("mine")
        refused = f"feds: {name}: already exists, use --force to overwrite it\n"
        assert told(feds(*start)) == (1, b"", refused)
        assert Path(name).read_text() == "mine"
        Path(name).unlink()
    Path("b.safetensors").write_bytes(resolve("tiny").path.read_bytes())  # there is no run of it to go on with
    refused = "feds: b.safetensors: already exists, use --force to overwrite it\n"
    assert told(feds(*start, "--resume")) == (1, b"", refused)
    Path("b.svg").mkdir()
    assert told(feds(*start, "--force")) == (1, b"", "feds: b.svg: is a folder, expected a file\n")
    refused = "feds: photo.png: is a file, expected a folder\n"
    assert told(feds("train", "--data", ".", "--out", "c.safetensors", "--cache", photo)) == (1, b"", refused)


def test_a_model_that_is_not_there(photo):
    code, out, err = told(feds("encode", photo, "--model", "nobody-q3"))
    assert (code, out) == (1, b"")
    assert err.startswith("feds: nobody-q3: no such model; installed are ")
    Path("a.feds").write_bytes(a_feds_file(b"\xee" * 8))
    code, out, err = told(feds("decode", "a.feds"))
    assert (code, out) == (1, b"")
    assert err.startswith("feds: a.feds: was written by the network eeeeeeeeeeeeeeee, which is not installed;")
    assert sorted(path.name for path in Path().iterdir()) == ["a.feds", "photo.png"]


def test_a_bug_is_one_sentence_and_a_traceback_with_debug(photo, monkeypatch):
    def divide(*_, **__):
        return 1 / 0

    monkeypatch.setattr(images, "read_picture", divide)
    bug = "feds: internal error: ZeroDivisionError: division by zero"
    hint = f"{bug} (run with --debug for the traceback)\n"
    assert told(feds("encode", photo)) == (70, b"", hint)
    result = feds("encode", photo, "--debug")
    assert result.exit_code == 70
    assert result.stderr.startswith("Traceback (most recent call last):\n")
    assert result.stderr.endswith(hint)


def test_ctrl_c_leaves_nothing(photo, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "load_model", interrupt)
    assert told(feds("encode", photo)) == (130, b"", "")
    assert [path.name for path in Path().iterdir()] == ["photo.png"]


# ── Training and rounding are handed on ───────────────────────────────────────────────────────────────────


def test_train_hands_on_only_the_flags_that_were_given(photo, monkeypatch):
    from fedscodec.commands import training
    from fedscodec.training.job import Job

    calls = []
    monkeypatch.setattr(training, "run_job", calls.append)
    flags = ["--batch", 4, "--side-lr", "1e-3", "--optimizer", "adam", "--network", "tiny"]
    arguments = ["--data", "a", "--data", "b.tar", "--out", "c.safetensors", "--device", "cpu"]
    assert told(feds("train", *arguments, *flags)) == (0, b"", "")
    overrides = {"batch": 4, "side_lr": 1e-3, "optimizer": "adam"}
    data, out = [Path("a"), Path("b.tar")], Path("c.safetensors")
    assert calls == [Job(data, out, overrides=overrides, network="tiny", device="cpu")]


def test_a_run_that_ended_before_its_first_save_begins_anew(photo, monkeypatch):
    from fedscodec.commands import training

    calls = []
    monkeypatch.setattr(training, "run_job", calls.append)
    start = ["train", "--data", ".", "--out", "b.safetensors", "--init", "tiny", "--resume"]
    for name in ("b.jsonl", "b.svg"):
        Path(name).touch()
    assert told(feds(*start)) == (0, b"", "")
    Path("b.safetensors").write_bytes(resolve("tiny").path.read_bytes())
    assert told(feds(*start, "--force")) == (0, b"", "")
    assert [job.resume for job in calls] == [True, False]


def test_distill_and_finetune_hand_on_what_they_start_from(photo, monkeypatch):
    from fedscodec.commands import training
    from fedscodec.training.job import Job

    calls = []
    monkeypatch.setattr(training, "run_job", calls.append)
    common = ["--data", "a", "--out", "c.safetensors"]
    for name in ("s.safetensors", "t.safetensors"):
        Path(name).touch()
    flags = ["--teacher", "t.safetensors", "--lambda", 0.015, "--taps", 1, "--taps", 4, "--recipe", "paper-distill"]
    assert told(feds("distill", *common, *flags, "--no-relative", "--stop-after", 9)) == (0, b"", "")
    assert told(feds("finetune", *common, "--init", "s.safetensors", "--metric", "ms-ssim", "--resume")) == (0, b"", "")
    data, out = [Path("a")], Path("c.safetensors")
    taught = {"taps": [1, 4], "relative": False}
    assert calls == [
        Job(data, out, "paper-distill", taught, teacher=Path("t.safetensors"), lam=0.015, stop_after=9.0),
        Job(data, out, "finetune", {}, init=Path("s.safetensors"), metric="ms-ssim", resume=True),
    ]


def test_training_starts_from_a_model_by_its_name(photo, monkeypatch):
    from fedscodec.commands import training

    calls = []
    monkeypatch.setattr(training, "run_job", calls.append)
    common = ["--data", "a", "--out", "c.safetensors"]
    assert told(feds("train", *common, "--init", "tiny")) == (0, b"", "")
    assert calls[0].init == resolve("tiny").path
    for name, found in (("tyni", "no such model; installed are "), ("t.safetensors", "no such weights file")):
        code, _, err = told(feds("distill", *common, "--teacher", name))
        assert (code, err.startswith(f"feds: {name}: {found}")) == (1, True)
    assert told(feds("train", *common, "--init", "tiny-q3")) == (
        1, b"", "feds: tiny-q3: names one quality, expected all of the network: tiny\n",
    )  # fmt: skip
    assert len(calls) == 1


def test_rounding_prints_what_was_measured(photo, monkeypatch):
    from fedscodec.bench import rounding

    calls = []
    monkeypatch.setattr(rounding, "measure", lambda *arguments: calls.append(arguments) or [])
    Path("c.safetensors").touch()
    assert feds("rounding", "c.safetensors", photo).exit_code == 0
    code, out, err = told(feds("rounding", "c.safetensors", photo, photo, "--quality", 2))
    assert (code, err) == (0, "")
    assert out.decode().split()[:6] == ["picture", "quality", "float", "bpp", "integer", "bpp"]
    checkpoint = Path("c.safetensors")
    assert calls == [(checkpoint, [photo], [1.0, 4.0, 7.0]), (checkpoint, [photo, photo], [2.0])]
    assert feds("rounding", "tiny", photo).exit_code == 0
    assert calls[-1][0].name == "tiny.safetensors"


# ── From end to end, with the tiny network ────────────────────────────────────────────────────────────────


def test_encode_writes_a_file_and_reports_it(photo):
    code, out, err = told(feds("encode", photo, "--model", "tiny-q3"))
    assert (code, out) == (0, b"")
    data = Path("photo.feds").read_bytes()
    header = read_header(data)
    assert (header.width, header.height, header.quality, header.grey) == (56, 40, 3000, False)
    size, rate, ratio = f"{len(data):,}", f"{8 * len(data) / 2240:.3f}", f"{6720 / len(data):.1f}"
    expected = rf"photo\.feds: {size} bytes, {rate} bpp, {ratio}:1, q3 of tiny, \d+\.\d\d s\n"
    assert re.fullmatch(expected, err)


def test_quality_replaces_that_of_the_name(photo):
    assert feds("encode", photo, "--model", "tiny-q3", "--quality", "5.25").exit_code == 0
    assert read_header(Path("photo.feds").read_bytes()).quality == 5250


@pytest.mark.parametrize("quality", ["0.999", "7.5", "-1", "nan", "inf"])
def test_qualities_that_no_network_has(photo, quality):
    code, out, err = told(feds("encode", photo, "--model", "tiny", f"--quality={quality}"))
    assert (code, out) == (1, b"")
    assert re.fullmatch(r"feds: quality must lie between 1 and 7 for tiny, found \S+\n", err)
    assert not Path("photo.feds").exists()


def test_psnr_is_that_of_what_was_written(photo):
    _, _, err = told(feds("encode", photo, "--model", "tiny", "--measure"))
    decibels = psnr_of("photo.feds", photo)
    assert err.endswith(f" s, {decibels:.2f} dB\n")


@pytest.fixture
def noise(photo):
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (96, 128, 3), dtype=np.uint8)).save("noise.png")
    return Path("noise.png")


@pytest.mark.parametrize("flag", ["--size", "--bpp"])
def test_a_size_chooses_the_quality(noise, flag):
    sizes = [len(fedscodec.encode(noise, "tiny", quality=quality)) for quality in (1, 7)]
    most = sum(sizes) // 2
    value = most if flag == "--size" else 8 * most / (96 * 128)
    code, out, err = told(feds("encode", noise, "--model", "tiny", flag, value))
    assert (code, out) == (0, b"")
    header, size = read_header(Path("noise.feds").read_bytes()), Path("noise.feds").stat().st_size
    assert max(0.99 * most, sizes[0] + 1) <= size <= most < sizes[1]
    assert err.startswith(f"noise.feds: {size:,} bytes, {8 * size / (96 * 128):.3f} bpp, ")
    assert f", q{header.quality / 1000:g} of tiny, " in err


def test_a_psnr_chooses_the_quality(noise):
    code, out, err = told(feds("encode", noise, "--model", "tiny", "--psnr", "6"))
    assert (code, out) == (0, b"")
    decibels = psnr_of("noise.feds", noise)
    assert err.splitlines()[0] == (
        f"feds: noise.png: q1, the lowest quality of tiny, comes to {decibels:.2f} dB, where 6 dB would do"
    )
    assert err.endswith(f" s, {decibels:.2f} dB\n")


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("--size", "100", r"100 bytes cannot be reached: q1, the lowest quality of tiny, comes to [\d,]+ bytes"),
        ("--psnr", "60", r"60 dB cannot be reached: q7, the highest quality of tiny, comes to \d+\.\d\d dB"),
    ],
)
def test_what_no_quality_reaches(noise, flag, value, sentence):
    code, out, err = told(feds("encode", noise, "--model", "tiny", flag, value))
    assert (code, out) == (1, b"")
    assert re.fullmatch(rf"feds: noise\.png: {sentence}\n", err)
    assert not Path("noise.feds").exists()


def test_a_file_that_became_larger_is_reported(photo):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1, 2, 3), dtype=np.uint8)).save("blue.png")
    before = Path("blue.png").stat().st_size
    _, _, err = told(feds("encode", "blue.png", "--model", "tiny"))
    after = Path("blue.feds").stat().st_size
    assert after > before
    assert err.splitlines()[0] == f"feds: blue.png: became larger, {after:,} bytes from {before:,}"
    assert told(feds("encode", "blue.png", "--model", "tiny", "-f", "-q")) == (0, b"", "")


def psnr_of(encoded, original):
    decoded = np.asarray(fedscodec.decode(Path(encoded).read_bytes()), dtype=np.float64)
    return 10 * np.log10(255**2 / np.mean((decoded - np.asarray(Image.open(original))) ** 2))


def test_decode_gives_the_picture_of_the_library(encoded):
    Path("photo.png").unlink()
    code, out, err = told(feds("decode", encoded))
    assert (code, out) == (0, b"")
    assert re.fullmatch(r"photo\.png: 56x40 pixels, q3 of tiny, \d+\.\d\d s\n", err)
    with Image.open("photo.png") as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        np.testing.assert_array_equal(np.asarray(image), np.asarray(fedscodec.decode(encoded)))


@pytest.mark.parametrize(
    ("arguments", "name", "kind"),
    [
        (["--format", "webp"], "photo.webp", "WEBP"),
        (["-o", "other.BMP"], "other.BMP", "BMP"),
        (["-o", "other"], "other", "PNG"),
        (["-o", "other.png", "--format", ".jpg"], "other.png", "JPEG"),
    ],
)
def test_the_format_follows_the_flag_then_the_name(encoded, arguments, name, kind):
    assert told(feds("decode", encoded, *arguments))[0] == 0
    with Image.open(name) as image:
        assert image.format == kind


def test_streams_give_the_same_bytes_as_files(encoded):
    data = encoded.read_bytes()
    flags = ["--model", "tiny-q3", "--device", "cpu"]
    code, out, err = told(feds("encode", "-", *flags, stdin=Path("photo.png").read_bytes()))
    assert (code, out) == (0, data)
    assert err.startswith(f"standard output: {len(data)} bytes, ")
    code, out, err = told(feds("decode", "-", stdin=data))
    assert (code, out[:8]) == (0, b"\x89PNG\r\n\x1a\n")
    assert err.startswith("standard output: 56x40 pixels, ")
    with Image.open(BytesIO(out)) as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(fedscodec.decode(data)))


def test_quiet_says_nothing(photo):
    assert told(feds("encode", photo, "--model", "tiny", "--measure", "-q")) == (0, b"", "")
    assert told(feds("decode", "photo.feds", "--force", "--quiet")) == (0, b"", "")


def test_what_was_not_kept_is_reported_unless_quiet(photo):
    Image.fromarray(SAMPLES[:, :, 0].astype(np.uint16) * 257).save("deep.png")
    warning = "feds: deep.png: 16-bit grey was reduced to 8 bits.\n"
    assert told(feds("encode", "deep.png", "--model", "tiny"))[2].startswith(f"{warning}deep.feds: ")
    assert told(feds("encode", "deep.png", "--model", "tiny", "-f", "-q"))[2] == ""


def test_grey_stays_grey(photo):
    Image.fromarray(SAMPLES[:, :, 0]).save("grey.png")
    assert told(feds("encode", "grey.png", "--model", "tiny"))[0] == 0
    assert told(feds("decode", "grey.feds", "-o", "back.png"))[0] == 0
    with Image.open("back.png") as image:
        assert image.mode == "L"


def test_force_overwrites(encoded):
    before = encoded.read_bytes()
    assert told(feds("encode", "photo.png", "--model", "tiny-q7", "--force"))[0] == 0
    assert read_header(encoded.read_bytes()).quality == 7000
    assert encoded.read_bytes() != before


def test_damaged_symbols_are_an_error_and_no_picture(encoded):
    data = bytearray(encoded.read_bytes())
    data[-3] ^= 0x10
    Path("bad.feds").write_bytes(data)
    code, out, err = told(feds("decode", "bad.feds"))
    assert (code, out) == (1, b"")
    assert re.fullmatch(r"feds: bad\.feds: .+\n", err)
    assert not Path("bad.png").exists()


def test_info_names_the_model(encoded):
    code, out, err = told(feds("info", encoded))
    assert (code, err) == (0, "")
    fingerprint = read_header(encoded.read_bytes()).fingerprint.hex()
    lines = out.decode().splitlines()
    assert lines[1:4] == [
        "picture  56x40 pixels, colour",
        f"model    tiny, fingerprint {fingerprint}",
        "quality  q3",
    ]
    assert [line[:9].strip() for line in lines[4:]] == ["header", "z", "slice 1", "slice 2"]


def test_info_for_machines(encoded):
    code, out, err = told(feds("info", encoded, "--json"))
    header, size = read_header(encoded.read_bytes()), encoded.stat().st_size
    about = json.loads(out)
    assert (code, err) == (0, "")
    parts = about.pop("parts")
    assert (list(parts), sum(parts.values())) == (["header", "z", "slice 1", "slice 2"], size)
    assert about == {
        "file": str(encoded),
        "bytes": size, "bpp": 8 * size / 2240, "width": 56, "height": 40, "grey": False, "quality": 3.0,
        "lossless": False,
        "fingerprint": header.fingerprint.hex(), "models": ["tiny"], "checksum": f"{header.checksum:08x}",
            "preview": None,
    }  # fmt: skip


def test_info_of_several_files_goes_on_after_a_bad_one(encoded):
    alone = told(feds("info", encoded))[1]
    Path("bad.feds").write_bytes(b"no such thing")
    code, out, err = told(feds("info", encoded, "bad.feds", "none.feds", "-", stdin=encoded.read_bytes()))
    assert (code, out) == (1, f"{encoded}\n".encode() + alone + b"\nstandard input\n" + alone)
    bad, missing = err.splitlines()
    assert bad.startswith("feds: bad.feds: not a .feds file ")
    assert missing == "feds: none.feds: cannot be read (No such file or directory)"
    code, out, err = told(feds("info", "--json", "none.feds", encoded, encoded))
    assert (code, [json.loads(line)["file"] for line in out.splitlines()]) == (1, [str(encoded)] * 2)
    assert err == f"{missing}\n"


def test_info_of_one_bad_file_can_be_debugged(photo):
    result = feds("info", photo, "--debug")
    lines = result.stderr.splitlines()
    assert (result.exit_code, result.stdout, lines[0]) == (1, "", "Traceback (most recent call last):")
    assert lines[-1].startswith("feds: photo.png: not a .feds file ")


@pytest.mark.parametrize("suffix", ["jpg", "webp", "avif"])
def test_the_quality_of_lossy_pictures_can_be_given(encoded, suffix):
    sizes, errors = [], []
    for options in ([], ["--output-quality", 90], ["--output-quality", 20]):
        assert feds("decode", encoded, "-o", f"a.{suffix}", "--force", *options).exit_code == 0
        sizes.append(Path(f"a.{suffix}").stat().st_size)
        whole = np.asarray(fedscodec.decode(encoded)).astype(int)
        errors.append(np.abs(np.asarray(Image.open(f"a.{suffix}").convert("RGB")) - whole).mean())
    assert sizes == sorted(sizes, reverse=True)
    assert errors == sorted(errors)
    assert len(set(sizes)) == 3
    assert feds("decode", encoded, encoded, "-o", "out/", "--format", suffix, "--output-quality", 20).exit_code == 0
    assert Path(f"out/{Path(encoded).stem}.{suffix}").read_bytes() == Path(f"a.{suffix}").read_bytes()


def test_a_format_without_loss_has_no_quality(encoded):
    for more in ([], ["--format", "tif"], ["--json"]):
        code, out, err = told(feds("decode", encoded, "-o", "a.png", "--output-quality", 20, *more))
        assert (code, out) == (2, b"")
        found = ".tif" if "tif" in more else ".png"
        assert f"--output-quality is for .jpg .jpeg .webp .avif, found {found}" in " ".join(err.split())
    with pytest.raises(OutputError, match=r"^x: \.bmp is without loss, expected one of \.jpg \.jpeg \.webp \.avif for"):
        images.picture_bytes(images.from_array(SAMPLES), "bmp", quality=50, name="x")


def test_decode_makes_previews(encoded):
    code, out, err = told(feds("decode", encoded, "--size", 28, "-o", "small.png"))
    assert (code, out) == (0, b"")
    assert re.fullmatch(r"small\.png: 28x20 of 56x40 pixels, q3 of tiny, \d+\.\d\d s\n", err)
    assert told(feds("decode", encoded, "--slices", 1, "-o", "first.png"))[0] == 0
    with Image.open("first.png") as first:
        np.testing.assert_array_equal(np.asarray(first), np.asarray(fedscodec.decode(encoded, slices=1)))
    code, _, err = told(feds("decode", encoded, "--slices", 3, "-o", "third.png"))
    assert (code, err) == (1, "feds: photo.feds: slices must lie between 1 and 2 for tiny, found 3\n")


def test_models_lists_what_is_installed():
    code, out, err = told(feds("models"))
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.decode().splitlines() if line.strip()]
    assert rows[0][:3] == ["name", "qualities", "lambda"]
    tiny = next(row for row in rows if row[0] == "tiny")
    assert tiny[1:7] == ["q1", "...", "q7", "0.0016", "...", "0.06"]
    assert tiny[-1].endswith("tiny.safetensors")


def test_models_as_json():
    code, out, err = told(feds("models", "--json"))
    found = {record["name"]: record for record in map(json.loads, out.decode().splitlines())}
    assert (code, err) == (0, "")
    info = registry.describe(resolve("tiny").path)
    assert found["tiny"] == {
        "name": "tiny", "file": str(info.path), "bytes": info.path.stat().st_size, "fingerprint": "ee506800deecf45c",
        "metric": "mse", "lambdas": [0.0016, 0.0032, 0.0075, 0.015, 0.03, 0.045, 0.06],
        "parameters": found["tiny"]["parameters"], "kmacs_per_pixel": found["tiny"]["kmacs_per_pixel"],
    }  # fmt: skip
    assert 5.9e6 < found["student"]["parameters"] < 6e6
    assert 48 < found["student"]["kmacs_per_pixel"] < 50
    assert told(feds("models", "--json", "--all"))[0] == 2


def test_no_models_at_all(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "folders", lambda: [tmp_path])
    code, _, err = told(feds("models"))
    assert (code, err) == (0, f"feds: found no weights files in {tmp_path}\n")


def test_all_variants_are_listed_with_their_size(monkeypatch):
    wide = replace(spec.TINY, latents=32)
    monkeypatch.setattr(spec, "VARIANTS", {"tiny": spec.TINY, "tiny-wide": wide})
    listed = feds("models", "--all").stdout.partition("variant")[2]
    assert re.search(r"^ *tiny +12 +2 +0\.04 M +1 *$", listed, re.MULTILINE)
    assert re.search(r"^ *tiny-wide +32 +2 +0\.08 M +1 *$", listed, re.MULTILINE)


def test_export_writes_a_small_file_and_keeps_existing_files(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_weights(tmp_path / "mine.safetensors", tiny(), {"origin": "random"}, checkpoint=True)
    code, out, err = told(feds("export", "mine.safetensors", "-o", "small.safetensors"))
    sizes = [(tmp_path / name).stat().st_size for name in ("small.safetensors", "mine.safetensors")]
    assert (code, out, err) == (0, b"", f"small.safetensors: {sizes[0]:,} bytes, of {sizes[1]:,}\n")
    assert sizes[0] < sizes[1] / 2
    code, _, err = told(feds("export", "mine.safetensors", "-o", "small.safetensors"))
    assert code != 0
    assert "small.safetensors: already exists, use --force to overwrite it" in err
    assert "is the input" in told(feds("export", "mine.safetensors", "-o", "mine.safetensors", "--force"))[2]
    assert "ends in .safetensors, found x.bin" in told(feds("export", "mine.safetensors", "-o", "x.bin"))[2]
