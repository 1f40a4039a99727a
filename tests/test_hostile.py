"""Files that must be refused, each with its sentence, without a byte written and without much memory or time."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedscodec.cli import app

HOSTILE = Path(__file__).parent / "hostile"
SENTENCES = json.loads((HOSTILE / "sentences.json").read_text()) if (HOSTILE / "sentences.json").exists() else {}


def refused(name, out="nothing-is-written"):
    """What `feds` says of a hostile file, called by its bare name."""
    here = os.getcwd()
    os.chdir(HOSTILE)
    try:
        if name.endswith(".feds"):
            command = ["decode", name, "-o", f"{out}.png"]
        else:
            command = ["encode", "picture.png", "--model", f"./{name}", "--verify", "-o", f"{out}.feds"]
        result = CliRunner().invoke(app, [*command, "--device", "cpu"], prog_name="feds")
    finally:
        os.chdir(here)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    words = re.sub("installed are .*", "installed are ...", result.stderr)
    return re.sub(r"not a readable weights file \(.*\)", "not a readable weights file (...)", words)  # not ours


def test_every_file_has_its_sentence():
    files = {path.name for path in HOSTILE.iterdir() if path.suffix in (".feds", ".safetensors")}
    assert files == set(SENTENCES)
    assert len(files) >= 80


@pytest.mark.parametrize("name", SENTENCES)
def test_it_is_refused_with_its_sentence(name, tmp_path):
    assert refused(name, tmp_path / "out") == SENTENCES[name]
    assert SENTENCES[name].startswith("feds: ")
    assert SENTENCES[name].count("\n") == 1
    assert len(SENTENCES[name]) < 400
    assert list(tmp_path.iterdir()) == []
