"""Files of light networks: written, read, previewed, salvaged, and trained on from what ships."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CORNERS_SIDE, LIGHT_SIDE, TAUGHT_SIDE, MakeModel, MakePicture

from fedscodec.codec.decoding import decode_file, decode_salvaged
from fedscodec.codec.encoding import encode_picture
from fedscodec.codec.model import Model
from fedscodec.codec.settings import Encoding
from fedscodec.entropy.mixtures import GAUSSIAN
from fedscodec.fileformat import FedsFile, salvage, unpack
from fedscodec.networks.integer_side import export
from fedscodec.networks.weights import read_weights, trainable, write_weights
from fedscodec.training.shapes import ResidualCounter

Codec = tuple[Model, FedsFile, list[np.ndarray]]


@pytest.fixture(scope="module", params=[LIGHT_SIDE, TAUGHT_SIDE, CORNERS_SIDE], ids=["student", "teacher", "corners"])
def path(request: pytest.FixtureRequest, tiny: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("light") / "light.safetensors"
    write_weights(path, tiny(**request.param), {"origin": "random"})
    return path


@pytest.fixture(scope="module")
def codec(path: Path, picture: MakePicture) -> Codec:
    model = Model(read_weights(path), name="light", quality=4.0, device="cpu", precision=torch.float32)
    how = Encoding(quality=3.5, stream_checks=True)
    encoded = encode_picture(picture("waves", 130, 70), model, how)
    return model, unpack(encoded.data), encoded.symbols


def test_a_file_gives_its_symbols_back(codec: Codec) -> None:
    model, file, symbols = codec
    assert len(file.streams) == 1 + model.spec.streams
    found = decode_file(file, model).symbols
    assert all(np.array_equal(a, b) for a, b in zip(found, symbols, strict=True))
    assert sum(np.count_nonzero(stream) for stream in symbols) > 500


def test_every_stream_more_brings_a_preview_nearer(codec: Codec) -> None:
    model, file, _ = codec
    whole = decode_file(file, model).picture.pixels.astype(float)
    off = [
        np.abs(decode_file(file, model, slices=count).picture.pixels - whole).mean()
        for count in range(1, model.spec.streams + 1)
    ]
    assert off[-1] == 0
    assert off[-2] < off[0]


def test_the_intact_part_of_a_truncated_file_is_shown(codec: Codec, picture: MakePicture) -> None:
    model, _, _ = codec
    data = encode_picture(picture("waves", 130, 70), model, Encoding(quality=3.5, stream_checks=True)).data
    lengths = [len(stream) for stream in unpack(data).streams]
    cut = len(data) - sum(lengths[3:]) - lengths[2] // 2
    found = decode_salvaged(salvage(data[:cut]), model)
    assert any(f"of {model.spec.streams} slices" in words for words in found.picture.warnings)
    assert found.picture.pixels.shape == (70, 130, 3)


def test_training_continues_from_an_exported_file(path: Path) -> None:
    weights = read_weights(path)
    model = trainable(weights)
    for name, array in export(model.float_side).items():
        assert np.array_equal(array, weights.side[name]), name


def test_every_stream_has_its_own_shapes(path: Path, tmp_path: Path) -> None:
    model = trainable(read_weights(path))
    spec = model.spec
    assert model.float_side.shapes.shape == (spec.streams, spec.scales, len(GAUSSIAN))
    counter = ResidualCounter(spec, torch.device("cpu"))
    with torch.no_grad():
        model.encode(torch.rand(1, 3, 128, 64), torch.tensor([2.0]), counter)
    by_set = {part.tables: 0 for part in spec.parts()}
    for part in spec.parts():
        by_set[part.tables] += part.count(8, 4)
    assert counter.counts.sum((1, 2)).tolist() == [by_set[number] for number in range(spec.table_sets)]
    model.float_side.shapes.copy_(counter.fitted(counter.counts))
    write_weights(tmp_path / "shaped.safetensors", model, {})
    shaped = read_weights(tmp_path / "shaped.safetensors")
    assert len(shaped.table_sets) == spec.streams
    assert shaped.fingerprint != read_weights(path).fingerprint


def test_the_number_of_qualities_is_in_the_fingerprint(tiny: Callable, tmp_path: Path) -> None:
    prints = set()
    for lambdas in ((0.01, 0.02), (0.01, 0.02, 0.03)):
        write_weights(tmp_path / "a.safetensors", tiny(**LIGHT_SIDE, lambdas=lambdas), {})
        weights = read_weights(tmp_path / "a.safetensors")
        prints.add(weights.fingerprint)
        assert f" {len(lambdas)}" == weights.spec.decisive[-2:]
    assert len(prints) == 2
