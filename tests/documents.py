"""Runs what the documents tell people to type.

A document is a Markdown file; its fenced blocks are run in order, in one folder that holds small pictures under the
names that documents use, and a toy network under the names of the real ones. What a language word means:

* `sh`: every line is a command. `feds` runs in this process; a line with another program runs in a real shell.
* `console`: lines after `$ ` are such commands, the others are what they print, standard error included. Numbers,
  fingerprints and spaces may differ (the network is a toy); a line `...` stands for any lines.
* `python`: runs; the blocks of a document share their names.

A block below a comment `<!-- only parsed: REASON -->` is not run: its `feds` commands go through the parser of the
command line, which knows every option. So do commands that train (`ONLY_PARSED`).
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import typer
from bench_examples import made_up
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner, Result

from fedscodec.bench.results import to_json
from fedscodec.cli import app

T = TypeVar("T")
ROOT = Path(__file__).parent.parent
ONLY_PARSED = {"train", "distill", "finetune", "ablate", "web"}  # minutes as given; a network that the toy is not
DONE_ALREADY = ("python3 -m venv", ". .venv/", "pip install", "python -m pytest")  # how the tests came to run
FENCE = re.compile(r"(?:<!-- only parsed: (?P<why>.+?) -->\n+)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it starts, its language and text, and why it is not run, if so."""

    line: int
    language: str
    text: str
    only_parsed: str | None = None


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a document that are commands or Python."""
    found = (
        Block(text.count("\n", 0, match.start("text")), match["language"], match["text"], match["why"])
        for match in FENCE.finditer(text)
    )
    return [block for block in found if block.language in ("sh", "console", "python")]


def commands_of(block: Block) -> Iterator[tuple[str, str]]:
    """The commands of a block and what each is said to print (only known in a `console`)."""
    text = block.text.replace("\\\n", " ")
    if block.language == "sh":
        yield from ((line, "") for line in text.splitlines() if line.strip() and not line.startswith("#"))
        return
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        line, _, printed = part.partition("\n")
        yield line, printed


def furnish(folder: Path, weights: Path) -> None:
    """Put the pictures that documents speak of into a folder, and the toy network under the names of the real ones."""
    values = np.fromfunction(lambda i, j, c: 90 + 60 * np.sin(i / 7 + c) + 50 * np.cos(j / 9), (48, 64, 3))
    image = Image.fromarray(values.astype(np.uint8))
    names = ["photo.png", "photo.jpg", "scan.tif", "tests/pictures/astronaut.png", "photos/a.jpg", "photos/trip/b.png"]
    for name in [*names, "kodak/kodim01.png", "kodak/kodim02.png", "pictures/c.png"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name)
    time = PngInfo()
    time.add(b"tIME", b"\x07\xe0\x01\x01\0\0\0")  # which the real one has, too
    image.resize((160, 160)).save(folder / "tests/pictures/astronaut.png", pnginfo=time)  # made small
    image.resize((420, 240)).save(folder / "scan.tif")  # of which documents cut something out
    toy = (ROOT / "weights" / "tiny.safetensors").read_bytes()
    weights.mkdir()
    for place in (weights / "student.safetensors", weights / "teacher.safetensors", folder / "mine.safetensors"):
        place.write_bytes(toy)
    assert feds(["encode", str(folder / "photo.png"), "--preview", "--quiet"]).exit_code == 0
    assert feds(["encode", str(folder / "scan.tif"), "--quiet"]).exit_code == 0
    (folder / "archive").mkdir()
    (folder / "archive" / "photo.feds").write_bytes((folder / "photo.feds").read_bytes())
    (folder / "results" / "kodak").mkdir(parents=True)
    (folder / "results" / "kodak" / "results.json").write_text(to_json(made_up("kodak", 24)), encoding="utf-8")


def run(command: str) -> str:
    """What a command prints, standard error included; AssertionError where it fails."""
    printed = ""
    for part in re.sub(r"cat (\S+) \| (feds [^|]+)", r"\2 < \1", command).split(" && "):
        if not part.startswith(DONE_ALREADY):
            code, out = _run_in_process(part) if _is_plain(part) else _run_in_shell(part)
            assert code == 0, f"exit code {code} of: {part}\n{out}"
            printed += out
    return printed


def _is_plain(command: str) -> bool:
    words = _words(command)
    return words[:1] == ["feds"] and not set("".join(words)) & set("|;&$`") and "2>" not in command


def _words(command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.commenters, lexer.whitespace_split = "#", True
    return list(lexer)


def arguments_of(words: list[str]) -> list[str]:
    """Words with patterns replaced by the files they match, as a shell does it."""
    return [name for word in words for name in (set(word) & set("*?") and sorted(glob.glob(word))) or [word]]


def _run_in_process(command: str) -> tuple[int, str]:
    words, ends = _words(command)[1:], dict[str, str]()
    for sign in set(words) & {"<", ">"}:
        at = words.index(sign)
        ends[sign] = words[at + 1]
        del words[at : at + 2]
    if words[:1] and (words[0] in ONLY_PARSED or {"--dataset", "--onnx"} & set(words)):  # a download; no light network
        parse(words)
        return 0, ""
    source = Path(ends["<"]).read_bytes() if "<" in ends else None
    result = feds(arguments_of(words), source)
    if ">" not in ends:
        return result.exit_code, result.output
    Path(ends[">"]).write_bytes(result.stdout_bytes)
    return result.exit_code, result.stderr


def feds(arguments: list[str], source: bytes | None = None) -> Result:
    """What comes of `feds` with these arguments, in this process."""
    return _in_its_way(lambda: CliRunner().invoke(app, arguments, input=source, prog_name="feds"), lambda r: r.stderr)


def _run_in_shell(command: str) -> tuple[int, str]:
    shim = f'feds() {{ {shlex.quote(sys.executable)} -m fedscodec "$@"; }}\n'
    script, environment = ["bash", "-c", shim + command], os.environ | {"PYTHONPATH": str(ROOT)}
    process = _in_its_way(
        lambda: subprocess.run(script, capture_output=True, text=True, env=environment, timeout=120), lambda r: r.stderr
    )
    return process.returncode, process.stdout + process.stderr


def _in_its_way(work: Callable[[], T], words_of: Callable[[T], str]) -> T:
    """Run, and once more where an older result is in the way: documents list alternatives with the same output."""
    result = work()
    if found := re.search(r"^feds: (.+): already exists, use --force to overwrite it$", words_of(result), re.M):
        Path(found[1]).unlink()
        return work()
    return result


def parse(arguments: list[str]) -> None:
    """Put arguments through the parser of the command line without running anything; raises what it complains of."""
    group = typer.main.get_command(app)
    context = group.make_context("feds", list(arguments))
    _, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(command.name, list(rest), parent=context)


def agree(said: str, printed: str) -> bool:
    """Whether a transcript tells what was printed, but for numbers, fingerprints and spaces."""
    lines = [
        re.escape(_blurred(line)) if line.strip() != "..." else r"(?:[^\n]*\n)*?[^\n]*" for line in said.splitlines()
    ]
    return re.fullmatch("\n".join(lines), "\n".join(map(_blurred, printed.splitlines()))) is not None


def _blurred(line: str) -> str:
    line = re.sub(r"\b[0-9a-f]{16}\b", "F", line)
    line = re.sub(r"[-+]?\d+(?:[.,]\d+)*", "0", line)
    return " ".join(re.sub(r"[─━]+", "─", line).split())
