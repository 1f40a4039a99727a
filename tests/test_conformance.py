"""Files written by earlier versions decode to the same symbols for ever, and to the same pixels within one level."""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from exact_layers import exact_backend
from PIL import Image

from fedscodec.codec.decoding import decode_file
from fedscodec.codec.model import load_model, model_by_fingerprint
from fedscodec.entropy.exact_matmul import EXACT_BACKENDS
from fedscodec.entropy.streams import symbol_bytes
from fedscodec.fileformat import unpack
from fedscodec.images import read_picture, srgb_profile

FOLDER = Path(__file__).parent / "conformance" / "v1"
NETWORKS = FOLDER.parent / "networks"
INDEX = json.loads((FOLDER / "index.json").read_text())
FINGERPRINTS = {  # of networks that never change, as files need them
    "tiny": "ee506800deecf45c",
    "mini-light-corners": "953af2bbfc889b90",
    "mini-light-student": "b255b97bad25d3ac",
    "mini-light-teacher": "ffeacef751eb38d8",
    "mini-odd": "b8fdaab7d7138654",
    "mini-shapes": "5443aa8b44ee7ccc",
    "mini-skip": "618f858cec4e68f4",
    "mini-teacher": "ba145007c0d776a8",
    "mini-transformer": "0b40744fbd06818e",
}


@pytest.fixture(autouse=True)
def _networks_of_the_files(monkeypatch):
    monkeypatch.setenv("FEDS_WEIGHTS", str(NETWORKS))


@functools.cache
def network(fingerprint, device, precision):
    model = model_by_fingerprint(fingerprint, device)
    model.precision = precision
    return model


def decode(name, device="cpu", precision=torch.float32):
    """Decode a file; the pixels beside it were made in float32."""
    file = unpack((FOLDER / f"{name}.feds").read_bytes(), name=name)
    return decode_file(file, network(file.header.fingerprint, device, precision))


def hash_of(symbols):
    return hashlib.sha256(b"".join(symbol_bytes(symbols))).hexdigest()


def test_the_conformance_set_is_whole():
    assert len(INDEX) >= 40
    assert {line["model"] for line in INDEX.values()} == set(FINGERPRINTS)
    assert {p.stem for p in FOLDER.glob("*.feds")} == set(INDEX) == {p.stem for p in FOLDER.glob("*.png")}


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_the_networks_of_the_conformance_files_never_change(name):
    assert load_model(name, "cpu").fingerprint.hex() == FINGERPRINTS[name]


@pytest.mark.parametrize("name", INDEX)
def test_symbols_are_exact_and_pixels_within_a_level(name):
    decoded = decode(name)
    assert hash_of(decoded.symbols) == INDEX[name]["symbols_sha256"]
    expected = read_picture(FOLDER / f"{name}.png")
    with Image.open(FOLDER / f"{name}.png") as image:
        assert decoded.picture.grey == (image.mode in ("L", "LA"))
    assert np.abs(decoded.picture.pixels.astype(int) - expected.pixels).max() <= 1


LIGHT = (
    "mini-light-student-face-65x64-q7",
    "mini-light-teacher-primaries-q3",
    "mini-light-corners-face-65x64-q6.5",
)
WITH_ALPHA = [name for name, line in INDEX.items() if "alpha_sha256" in line]


@pytest.mark.parametrize("name", WITH_ALPHA)
def test_metadata_comes_back_byte_by_byte(name):
    picture = decode(name).picture
    for what in ("alpha", "exif", "xmp"):
        found, expected = getattr(picture, what), INDEX[name].get(f"{what}_sha256")
        data = found.tobytes() if what == "alpha" else found
        assert (data and hashlib.sha256(data).hexdigest()) == expected
    assert picture.alpha.shape == (picture.height, picture.width)
    assert picture.icc == (srgb_profile() if "and-all" in name else None)


def test_there_is_alpha_of_each_kind_and_a_file_with_every_box():
    boxes = {name: unpack((FOLDER / f"{name}.feds").read_bytes()).boxes for name in WITH_ALPHA}
    assert {found[b"ALPH"][:4] for found in boxes.values()} == {b"RIFF", b"\x89PNG"}
    assert set(boxes["tiny-alpha-and-all-q2.5"]) == {b"EXIF", b"XMP ", b"ALPH", b"srgb", b"sums"}
    assert decode("tiny-alpha-grey-q5").picture.grey


@pytest.mark.parametrize("backend", EXACT_BACKENDS)
def test_symbols_do_not_depend_on_the_exact_backend(backend):
    with exact_backend(backend):
        for name in ("photo-64x64-q1", "noise-q7", "mini-odd-text-q1", "mini-teacher-primaries-q7", *LIGHT):
            assert hash_of(decode(name).symbols) == INDEX[name]["symbols_sha256"]


def test_symbols_do_not_depend_on_the_number_of_threads():
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            assert hash_of(decode("photo-127x65-q3.5").symbols) == INDEX["photo-127x65-q3.5"]["symbols_sha256"]
    finally:
        torch.set_num_threads(before)


def test_symbols_do_not_depend_on_the_precision_of_the_transforms():
    for name in ("photo-64x64-q1", "mini-teacher-spark-q6.999"):
        decoded = decode(name, precision=torch.bfloat16)
        assert hash_of(decoded.symbols) == INDEX[name]["symbols_sha256"]
        expected = read_picture(FOLDER / f"{name}.png").pixels
        assert np.abs(decoded.picture.pixels.astype(int) - expected).mean() < 0.5  # the mean, for some may differ more


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", INDEX)
def test_symbols_are_the_same_on_a_gpu(name):
    decoded = decode(name, "cuda")
    assert hash_of(decoded.symbols) == INDEX[name]["symbols_sha256"]
    expected = read_picture(FOLDER / f"{name}.png").pixels
    assert np.abs(decoded.picture.pixels.astype(int) - expected).max() <= 2
