"""The modules of the page, run by node: every conformance file's symbols, and a sentence for every hostile file."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedscodec.cli import app
from fedscodec.networks.weights import read_weights
from fedscodec.web.export import PAGE, network_bytes

ROOT = Path(__file__).parent.parent
CONFORMANCE = ROOT / "tests" / "conformance"
INDEX = json.loads((CONFORMANCE / "v1" / "index.json").read_text())
HOSTILE = ROOT / "tests" / "hostile"
SENTENCES = {
    name: sentence.removeprefix(f"feds: {name}: ").removesuffix("\n").removesuffix("; allow them with --max-pixels")
    for name, sentence in json.loads((HOSTILE / "sentences.json").read_text()).items()
    if name.endswith(".feds")
}
CLANG = shutil.which("clang-16")

needs_node = pytest.mark.skipif(not shutil.which("node"), reason="needs node")


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("networks"), []
    for path in [*sorted((CONFORMANCE / "networks").glob("*.safetensors")), ROOT / "weights" / "tiny.safetensors"]:
        made.append(folder / f"{path.stem}.net.gz")
        made[-1].write_bytes(network_bytes(read_weights(path), path.stem))
    return made


def decoded(networks, files):
    asked = {"networks": list(map(str, networks)), "files": list(map(str, files))}
    command = ["node", str(ROOT / "tests" / "web" / "decode.mjs")]
    run = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@needs_node
def test_every_conformance_file_has_the_symbols_of_its_checksum(networks):
    files = [CONFORMANCE / "v1" / f"{name}.feds" for name in INDEX]
    found = {name: sentence for name, sentence in decoded(networks, files).items() if "ALPH" not in (sentence or "")}
    assert {name for name, sentence in found.items() if sentence is None} >= {f"{name}.feds" for name in INDEX}


@needs_node
def test_hostile_files_have_their_sentences(networks):
    """The words are those of the command line, but for what is wrong inside a stream or a WebP."""
    found = decoded(networks, [HOSTILE / name for name in SENTENCES])
    other = {name for name, expected in SENTENCES.items() if found[name] != expected}
    webp = {name for name in other if "webp" in name}  # which node does not decode
    assert all(found[name] is None for name in webp)
    for name in other - webp:
        told, expected = found[name], SENTENCES[name]
        assert told.split(": ")[0] == expected.split(": ")[0] or name == "network-unknown.feds", (told, expected)
        assert "stream is damaged: " in told or name in ("network-unknown.feds", "box-not-deflated.feds"), told
        assert len(told) < 200


@needs_node
def test_files_that_come_at_once_are_decoded_as_if_they_came_alone(tmp_path):
    pages, names = tmp_path / "viewer", ("mini-light-student", "mini-light-corners")
    models = [str(CONFORMANCE / "networks" / f"{name}.safetensors") for name in names]
    run = CliRunner().invoke(app, ["web", "-o", str(pages), "-q", "-m", models[0], "-m", models[1]])
    assert run.exit_code == 0, run.output
    files = [next((CONFORMANCE / "v1").glob(f"{name}-face-*.feds")) for name in names]
    command = ["node", str(ROOT / "tests" / "web" / "turns.mjs"), pages, *files]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    a, b = found["alone"]
    assert a != b
    assert found == {
        "alone": [a, b],
        "together": [a, b, a],
        "meanwhile": [a, b],
        "stopped": ["decoding was stopped", b, 0],
        "failed": ["a worker could not run (its script was not loaded)", a],
    }


def test_the_page_is_loaded_from_nowhere_else():
    for path in PAGE.glob("*"):
        if path.suffix in (".js", ".html", ".css"):
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"""(?:src|href|from|url|import)\s*[=(]?\s*["']?https?://""", text), path
            assert not re.search(r"\beval\(|new Function|innerHTML|document\.write|\bstyle=", text), path


@pytest.mark.skipif(CLANG is None, reason="needs clang-16 and lld-16")
def test_the_kernels_are_what_their_source_compiles_to(tmp_path):
    version = subprocess.check_output([str(CLANG), "--version"], text=True).split("\n", maxsplit=1)[0]
    if "16.0.6" not in version:
        pytest.skip(f"they were compiled by 16.0.6, here is {version}")
    build = ROOT / "fedscodec" / "web" / "kernels" / "build.py"
    script = f"import runpy, pathlib; runpy.run_path({str(build)!r})['build'](pathlib.Path({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", script], check=True)
    made = (tmp_path / "kernels.wasm").read_bytes()
    assert made == (PAGE / "kernels.wasm").read_bytes(), "run python fedscodec/web/kernels/build.py"
