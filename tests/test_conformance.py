"""Files written by earlier versions decode to the same symbols for ever, and to the same pixels within one level."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fedscodec.codec import decode_file, load_model, model_by_fingerprint
from fedscodec.entropy.coders import symbol_bytes
from fedscodec.entropy.integer import use_backend
from fedscodec.fileformat import unpack
from fedscodec.images import read_picture

FOLDER = Path(__file__).parent / "conformance" / "v1"
INDEX = json.loads((FOLDER / "index.json").read_text())
TINY_FINGERPRINT = "ee506800deecf45c"


def decode(name, device="cpu"):
    file = unpack((FOLDER / f"{name}.feds").read_bytes(), name=name)
    return decode_file(file, model_by_fingerprint(file.header.fingerprint, device))


def hash_of(symbols):
    return hashlib.sha256(b"".join(symbol_bytes(symbols))).hexdigest()


def test_the_conformance_set_is_whole():
    assert len(INDEX) >= 12
    assert {p.stem for p in FOLDER.glob("*.feds")} == set(INDEX) == {p.stem for p in FOLDER.glob("*.png")}


def test_the_network_of_the_conformance_files_never_changes():
    assert load_model("tiny", "cpu").fingerprint.hex() == TINY_FINGERPRINT


@pytest.mark.parametrize("name", INDEX)
def test_symbols_are_exact_and_pixels_within_a_level(name):
    decoded = decode(name)
    assert hash_of(decoded.symbols) == INDEX[name]["symbols_sha256"]
    expected = read_picture(FOLDER / f"{name}.png")
    assert decoded.picture.grey == expected.grey
    assert np.abs(decoded.picture.pixels.astype(int) - expected.pixels).max() <= 1


@pytest.mark.parametrize("backend", ["int_mm", "float32", "float64"])
def test_symbols_do_not_depend_on_the_exact_backend(backend):
    with use_backend(backend):
        for name in ("photo-64x64-q1", "noise-q7"):
            assert hash_of(decode(name).symbols) == INDEX[name]["symbols_sha256"]


def test_symbols_do_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            assert hash_of(decode("photo-127x65-q3.5").symbols) == INDEX["photo-127x65-q3.5"]["symbols_sha256"]
    finally:
        torch.set_num_threads(before)


def test_symbols_do_not_depend_on_the_precision_of_the_transforms(monkeypatch):
    monkeypatch.setenv("FEDS_PRECISION", "bfloat16")
    decoded = decode("photo-64x64-q1")
    assert hash_of(decoded.symbols) == INDEX["photo-64x64-q1"]["symbols_sha256"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", INDEX)
def test_symbols_are_the_same_on_a_gpu(name):
    decoded = decode(name, "cuda")
    assert hash_of(decoded.symbols) == INDEX[name]["symbols_sha256"]
    expected = read_picture(FOLDER / f"{name}.png").pixels
    assert np.abs(decoded.picture.pixels.astype(int) - expected).max() <= 2
