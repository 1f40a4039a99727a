"""Processes that were started without standard input, output or error, in every combination."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_faults import Process

import fedscodec

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and asks /proc")
STREAMS = ("stdin", "stdout", "stderr")
EVERY_COMBINATION = [closed for count in range(1, 4) for closed in combinations(STREAMS, count)]
NO_INPUT = "feds: standard input: is closed, expected a file or a pipe to read from\n"
NO_OUTPUT = "feds: standard output: is closed, expected a file or a pipe to write to\n"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)).save("photos/a.png")
    return tmp_path


def feds(closed, *arguments, to=None, **options):
    """Exit code and words of a process without these streams, as Python starts it then."""

    def close():
        for name in closed:
            os.close(STREAMS.index(name))
            setattr(sys, name, None)

    stdout = None if to is None else os.open(to, os.O_CREAT | os.O_WRONLY)
    return Process(*arguments, "--device", "cpu", before=close, stdout=stdout, **options).end()


def expected(closed, needed):
    """One sentence and 1 where a stream is missed, in the order of need."""
    missed = [name for name in needed if name in closed]
    if not missed:
        return 0, None
    return 1, "" if "stderr" in closed else {"stdin": NO_INPUT, "stdout": NO_OUTPUT}[missed[0]]


def check(outcome, wanted):
    code, words = outcome
    assert (code, "Traceback" in words) == (wanted[0], False), words
    if wanted[1] is not None:
        assert words == wanted[1]


@pytest.mark.parametrize("closed", EVERY_COMBINATION, ids="-".join)
def test_every_combination(place, closed):
    picture = Path("photos/a.png").read_bytes()
    tiny = ("--model", "tiny-q3")
    check(feds(closed, "encode", "-", "-o", "in.feds", *tiny, stdin=picture), expected(closed, ["stdin"]))
    assert Path("in.feds").exists() == ("stdin" not in closed)
    check(feds(closed, "encode", "photos/a.png", "-o", "-", *tiny, to="written"), expected(closed, ["stdout"]))
    check(feds(closed, "encode", "-", *tiny, stdin=picture, to="written"), expected(closed, ["stdout", "stdin"]))
    check(feds(closed, "encode", "photos", "-o", "out", *tiny), (0, None))
    assert Path("out/a.feds").read_bytes() == fedscodec.encode("photos/a.png", "tiny-q3", device="cpu")
    check(feds(closed, "encode", "photos", "-o", "json", "--json", *tiny), expected(closed, ["stdout"]))
    assert Path("json").exists() == ("stdout" not in closed)  # told before the work
    check(
        feds(closed, "decode", "-", "-o", "b.png", stdin=Path("out/a.feds").read_bytes()), expected(closed, ["stdin"])
    )
    check(feds(closed, "decode", "out/a.feds", "-o", "-", to="written"), expected(closed, ["stdout"]))
    check(feds(closed, "verify", "out/a.feds", "--json"), expected(closed, ["stdout"]))


def test_commands_that_only_print(place):
    for command in (["info"], ["info", "--json"]):
        Path("a.feds").write_bytes(fedscodec.encode(np.zeros((8, 8, 3), np.uint8), "tiny", device="cpu"))
        process = subprocess.run(
            [sys.executable, "-m", "fedscodec", *command, "a.feds"], capture_output=False, stderr=subprocess.PIPE,
            preexec_fn=lambda: os.close(1), env={**os.environ, "PYTHONPATH": str(Path(fedscodec.__file__).parents[1])},
        )  # fmt: skip
        assert (process.returncode, process.stderr.decode()) == (1, NO_OUTPUT)


def test_a_shell_that_closes_all(place):
    command = f"{sys.executable} -m fedscodec encode photos -o out --model tiny --device cpu --json <&- >&- 2>&-"
    environment = {**os.environ, "PYTHONPATH": str(Path(fedscodec.__file__).parents[1])}
    assert subprocess.run(["sh", "-c", command], env=environment).returncode == 1
    assert not Path("out").exists()
    command = command.replace("--json", "")
    assert subprocess.run(["sh", "-c", command], env=environment).returncode == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.feds"]
    assert Path("out/a.feds").read_bytes()[:4] == b"FEDS"  # no words in it, whatever number it was opened under


def test_json_alone_is_on_standard_output(place):
    """What a library or its process prints, on whatever level, goes to standard error."""
    Path("photos/b.png").write_bytes(b"no picture")
    script = (
        "import os, sys\n"
        "from fedscodec.images import reading\n"
        "from fedscodec.batch import encoder\n"
        "honest = encoder.read_picture\n"
        "def noisy(*given, **how):\n"
        "    print('printed'); os.write(1, b'written\\n'); os.system('echo from a process')\n"
        "    return honest(*given, **how)\n"
        "encoder.read_picture = noisy\n"
        "from fedscodec.cli import main\n"
        "sys.argv = ['feds', 'encode', 'photos', '-o', 'out', '--json', '--model', 'tiny', '--device', 'cpu']\n"
        "main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(fedscodec.__file__).parents[1])}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert [line.get("status") for line in lines] in (["encoded", "failed", None], ["failed", "encoded", None])
    assert lines[-1]["total"]["failed"] == run.returncode == 1
    for words in ("printed", "written", "from a process"):
        assert run.stderr.count(words) == 2
