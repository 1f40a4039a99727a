"""The second decoder, written from the specification, gives every conformance file the symbols of the first."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import make_picture
from safetensors.numpy import load_file, save_file

from fedscodec.codec.exact import encode_exactly
from fedscodec.codec.model import load_model
from fedscodec.codec.settings import Encoding
from fedscodec.networks.weights_file import fingerprint_of, read_weights

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "tools" / "reference"
CONFORMANCE = ROOT / "tests" / "conformance"
INDEX = json.loads((CONFORMANCE / "v1" / "index.json").read_text())
HOSTILE = ROOT / "tests" / "hostile"
SENTENCES = json.loads((HOSTILE / "sentences.json").read_text())


def decoder(files, *, weights=(ROOT / "weights", CONFORMANCE / "networks")):
    options = [word for folder in weights for word in ("--weights", str(folder))]
    command = [sys.executable, str(REFERENCE), *map(str, files), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_it_gives_every_conformance_file_its_symbols():
    run = decoder(CONFORMANCE / "v1" / f"{name}.feds" for name in INDEX)
    assert run.stderr == ""
    found = {Path(line.split(": ")[0]).stem: line.split(": ")[1] for line in run.stdout.splitlines()}
    assert found == {name: line["symbols_sha256"] for name, line in INDEX.items()}
    assert run.returncode == 0


def test_a_file_that_holds_its_pixels_has_no_symbols(tmp_path):
    model, picture = load_model("tiny", "cpu"), make_picture("checkerboard", 9, 7)
    (tmp_path / "exact.feds").write_bytes(encode_exactly(picture, model, Encoding(), 4).data)
    run = decoder([tmp_path / "exact.feds"])
    assert run.stderr == ""
    assert run.stdout.endswith(f": {hashlib.sha256(b'').hexdigest()}\n")


def test_it_refuses_what_is_refused():
    """Of hostile files, all but those whose alpha alone is unsound, and those that are too large for a limit."""
    passed = ("alpha-", "grey-but-was-not", "pixels-just", "claims-64", "one-row", "one-column", "larger-than")
    names = [name for name in SENTENCES if name.endswith(".feds") and not name.startswith(passed)]
    assert len(names) > 40
    run = decoder(HOSTILE / name for name in names)
    assert {Path(line.split(": ")[0]).name for line in run.stderr.splitlines()} == set(names)
    assert (run.stdout, run.returncode) == ("", 1)


def test_it_refuses_weights_whose_tables_of_z_skip_symbols(tmp_path):
    weights = read_weights(CONFORMANCE / "networks" / "mini-skip.safetensors")
    path, arrays = tmp_path / "skipped.safetensors", load_file(CONFORMANCE / "networks" / "mini-skip.safetensors")
    z = replace(weights.z_tables, skip=2)
    arrays["tables.z.skip"] = np.array([2], np.int32)
    words = {"fingerprint": fingerprint_of(weights.side, z, weights.y_tables, weights.spec).hex()}
    save_file(arrays, path, {**weights.metadata, **words})
    run = decoder([CONFORMANCE / "v1" / "photo-64x64-q1.feds"], weights=[tmp_path])
    assert (run.stdout, run.stderr) == ("", f"{path}: expected no skipped tables for z, found 2\n")
    assert run.returncode == 1


@pytest.mark.parametrize("path", sorted(REFERENCE.glob("*.py")), ids=lambda path: path.name)
def test_it_shares_no_code_with_the_product(path):
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    own = {file.stem for file in REFERENCE.glob("*.py")}
    assert {name.split(".")[0] for name in names} - own - {"numpy"} <= sys.stdlib_module_names
