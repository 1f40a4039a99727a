"""Files that must be refused, each with its sentence, without a byte written and without much memory or time."""

from __future__ import annotations

import json
import os
import re
import resource
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from typer.testing import CliRunner

from fedscodec.boxes import ALPHA
from fedscodec.cli import app
from fedscodec.codec.decoding import decode_file
from fedscodec.codec.model import load_model
from fedscodec.errors import FormatError, WeightsError
from fedscodec.fileformat import FedsFile, pack, unpack
from fedscodec.images import unpack_alpha
from fedscodec.networks.spec import paper_stages
from fedscodec.networks.weights import float_transforms, integer_side, read_weights, trainable

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
    words = re.sub("found: Error .*", "found: ...", words)
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


@pytest.mark.parametrize("truncated", [False, True])
@pytest.mark.parametrize("name", [n for n in SENTENCES if n.startswith("alpha-")])
def test_alpha_is_refused_whatever_the_settings_of_pillow(name, truncated, monkeypatch):
    """Where a program lets Pillow read what is cut, and has lowered its limit on pixels."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", truncated)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 - 1)  # which warns, and warnings are errors here
    payload = unpack((HOSTILE / name).read_bytes()).boxes[ALPHA]
    with pytest.raises(FormatError) as caught:
        unpack_alpha(payload, 64, 64)
    assert SENTENCES[name].endswith(f"{caught.value}\n")


# ── What nobody thought of ────────────────────────────────────────────────────────────────────────────────

SOUND = (HOSTILE.parent / "conformance" / "v1" / "photo-64x64-q1.feds").read_bytes()


@pytest.fixture(scope="module")
def tiny():
    return load_model("tiny", "cpu")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 63), st.integers(1, 255)), min_size=1, max_size=4),
    size=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    quality=st.integers(1, 9000),
)
def test_streams_changed_by_someone_who_can_count(tiny, changes, size, quality):
    """Header and checksum fit whatever the streams hold: then there is an error or a picture, and nothing else."""
    file = unpack(SOUND)
    streams = list(map(bytearray, file.streams))
    for which, place, flip in changes:
        streams[which][place % len(streams[which])] ^= flip
    streams = tuple(map(bytes, streams))
    lengths = tuple(map(len, streams))
    header = replace(file.header, width=size[0], height=size[1], quality=quality, stream_lengths=lengths)
    data = pack(FedsFile(header, streams))
    try:
        with mock.patch("fedscodec.fileformat.symbol_checksum", lambda header, _: header.checksum):
            picture = decode_file(unpack(data), tiny).picture
    except FormatError as error:
        assert len(str(error)) < 200
    else:
        assert (picture.width, picture.height) == size


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 12_000), st.integers(1, 255)), min_size=1, max_size=5),
    cut=st.integers(0, 60),
)
def test_weights_files_with_other_bytes(tmp_path_factory, changes, cut):
    """Any bytes changed: a WeightsError, or a network that loads, because what changed is a float or a word."""
    data = bytearray((HOSTILE / "floats-infinite.safetensors").read_bytes())
    for place, flip in changes:
        data[place % len(data)] ^= flip
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    path.write_bytes(data[: len(data) - cut])
    with suppress(WeightsError):
        weights = read_weights(path)
        integer_side(weights)
        float_transforms(weights)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks /proc how large the process is")
@pytest.mark.parametrize(
    "name", [n for n in SENTENCES if n.startswith(("claims", "one-", "pixels", "spec-everything"))]
)
def test_claims_cost_no_memory(name):
    """With 64 MiB more than it has, the process still finds the sentence."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**26, before[1]))
    try:
        assert refused(name) == SENTENCES[name]
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks /proc how large the process is")
def test_training_on_from_claims_costs_no_memory():
    """Where training would start from it, nothing is made that is not in the file."""
    weights = read_weights(HOSTILE / "floats-infinite.safetensors")
    weights.spec = replace(weights.spec, stages=paper_stages(64, width=4096), hyper_filters=4096)  # 480 GB of floats
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**26, before[1]))
    try:
        with pytest.raises(WeightsError, match="^expected "):
            trainable(weights)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks /proc how large the process is")
@pytest.mark.parametrize("name", [n for n in SENTENCES if n.startswith("alpha-")])
def test_alpha_costs_no_memory(name):
    """With 16 MiB more than it has, the process still finds what is wrong with the box."""
    payload = unpack((HOSTILE / name).read_bytes()).boxes[ALPHA]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**24, before[1]))
    try:
        with pytest.raises(FormatError) as caught:
            unpack_alpha(payload, 64, 64)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert SENTENCES[name].endswith(f"{caught.value}\n")
