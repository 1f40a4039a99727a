"""Shapes of residuals are found again from counts, and make the tables that they should."""

from __future__ import annotations

from dataclasses import replace
from math import erf, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL, MakeModel, MakePicture

from fedscodec.codec.decoding import decode_file
from fedscodec.codec.encoding import encode_picture
from fedscodec.codec.model import Model
from fedscodec.codec.settings import Encoding
from fedscodec.entropy.coders import EntropyProbe, RateEstimator
from fedscodec.entropy.mixtures import GAUSSIAN, RADIUS, RELATIVE_SCALES, fit_shapes, is_gaussian, mixture_tables
from fedscodec.entropy.tables import TOTAL, gaussian_tables, scale_table
from fedscodec.fileformat import unpack
from fedscodec.networks.weights import read_weights, trainable, write_weights
from fedscodec.training.shapes import ResidualCounter

SCALES = scale_table(4, 0.3, 8.0)
PEAKED = np.array([0.1, 0.3, 0.4, 0.15, 0.05])


def mass(low: float, high: float, shape: np.ndarray, scale: float) -> float:
    """Of a mixture between two edges."""
    return sum(
        w * 0.5 * (erf(high / (a * scale * sqrt(2))) - erf(low / (a * scale * sqrt(2))))
        for w, a in zip(shape, RELATIVE_SCALES, strict=True)
    )


def expected_counts(shape: np.ndarray, total: float) -> np.ndarray:
    """What so many residuals of this shape give each magnitude, [tables, RADIUS + 1]."""
    both = [[mass(n - 0.5, n + 0.5, shape, s) * (1 if n == 0 else 2) for n in range(RADIUS)] for s in SCALES]
    return np.array([[*row, 1 - sum(row)] for row in both]) * total


def test_shapes_are_found_again_from_many_counts() -> None:
    counts = np.stack([expected_counts(PEAKED, 1e6), expected_counts(np.array(GAUSSIAN), 1e6)])
    found = fit_shapes(counts, SCALES)
    assert found.shape == (2, 4, 5)
    np.testing.assert_allclose(found.sum(-1), 1.0)
    for wanted, shapes in zip((PEAKED, np.array(GAUSSIAN)), found, strict=True):
        for shape, scale in zip(shapes, SCALES, strict=True):
            for n in range(8):
                expected = mass(n - 0.5, n + 0.5, wanted, scale)
                assert mass(n - 0.5, n + 0.5, shape, scale) == pytest.approx(expected, abs=0.01)


def test_a_table_that_was_not_used_looks_like_the_others() -> None:
    counts = np.stack([expected_counts(PEAKED, 1e5)] * 2)
    counts[:, 2] = 0
    counts[1, 1] = 0
    found = fit_shapes(counts, SCALES)
    np.testing.assert_allclose(found[:, 2], np.stack([PEAKED, PEAKED]), atol=0.02)
    np.testing.assert_allclose(found[1, 1], found[0, 1], atol=0.02)
    assert np.isfinite(fit_shapes(np.zeros_like(counts), SCALES)).all()  # nor does nothing at all do harm


def test_a_slice_that_was_not_used_has_the_shape_of_each_table_in_the_others() -> None:
    shapes = [PEAKED, PEAKED, np.array(GAUSSIAN), np.array(GAUSSIAN)]
    counts = np.stack([expected_counts(shape, 1e6)[k] for k, shape in enumerate(shapes)])
    found = fit_shapes(np.stack([counts, np.zeros_like(counts)]), SCALES)
    for k, shape in enumerate(shapes):
        masses = [[mass(n - 0.5, n + 0.5, one, SCALES[k]) for n in range(8)] for one in (found[1, k], shape)]
        np.testing.assert_allclose(*masses, atol=2e-3)


def test_fitted_tables_cost_fewer_bits_than_gaussians() -> None:
    counts = np.stack([expected_counts(PEAKED, 1e5)])
    bits = []
    for tables in (mixture_tables(fit_shapes(counts, SCALES), 0.3, 8.0), gaussian_tables(4, 0.3, 8.0)):
        p = [[tables.frequencies[k, n - tables.low[k]] / TOTAL for n in range(3)] for k in range(4)]
        bits.append(-(counts[0, :, :3] * np.log2(p)).sum())
    assert bits[0] < bits[1]


def test_tables_of_a_gaussian_shape_are_gaussian_tables() -> None:
    assert is_gaussian(np.array([[GAUSSIAN]]))
    found, expected = mixture_tables(np.array([[GAUSSIAN] * 4]), 0.3, 8.0), gaussian_tables(4, 0.3, 8.0)
    assert found.low.tolist() == expected.low.tolist()
    assert np.abs(found.frequencies - expected.frequencies).max() <= 1


def test_a_table_by_hand() -> None:
    shapes = np.broadcast_to(PEAKED, (2, 4, 5)).copy()
    assert not is_gaussian(shapes)
    tables = mixture_tables(shapes, 0.3, 8.0, skip=1)
    tables.validate()
    assert len(tables) == 8
    assert tables.frequencies[1].tolist() == tables.frequencies[5].tolist()
    for n in (0, 1, 2):
        found = tables.frequencies[1, n - tables.low[1]] / TOTAL
        assert found == pytest.approx(mass(n - 0.5, n + 0.5, PEAKED, SCALES[1]), abs=1e-5)
    first, second = tables.split(4)
    assert (len(first), len(second), first.skip, second.skip) == (4, 4, 1, 1)
    assert second.frequencies.tolist() == tables.frequencies[4:].tolist()
    assert tables.split(8) == (tables,)
    with pytest.raises(ValueError, match="8 tables cannot be split into parts of 3"):
        tables.split(3)
    wide = mixture_tables(np.array([[PEAKED]]), 300.0, 300.0)
    assert (wide.low.tolist(), wide.high.tolist()) == ([-511], [511])


def test_every_slice_is_estimated_by_its_own_shapes() -> None:
    shapes = torch.tensor(GAUSSIAN).repeat(2, 3, 1)
    shapes[1, 2] = torch.from_numpy(PEAKED)
    coder = EntropyProbe(3, 0.5, 2.0, shapes=shapes)
    y, index = torch.full((1, 1, 1, 2), 1.2), torch.tensor([[[[0.4, 1.7]]]])
    for part in SMALL.parts():
        coder.code(replace(part, channels=(2 * part.number, 2 * part.number + 2)), y, torch.zeros_like(y), index)
    scales = [0.5 * 4 ** (i / 2) for i in (0.4, 1.7)]
    first = [-np.log2(mass(0.5, 1.5, np.array(GAUSSIAN), s)) for s in scales]
    second = [first[0], -np.log2(mass(0.5, 1.5, PEAKED, scales[1]))]
    np.testing.assert_allclose(coder.maps.flatten().numpy(), first + second, rtol=1e-5)


def test_residuals_are_counted_by_slice_table_and_magnitude() -> None:
    spec = replace(SMALL, slices=2, scales=3)
    counter = ResidualCounter(spec, torch.device("cpu"))
    y = torch.tensor([[[[0.2, -1.7, 900.0, 2.6]]]])
    mean, index = torch.full_like(y, 0.1), torch.tensor([[[[0.4, 1.6, 2.0, 7.0]]]])
    first, second = spec.parts()
    for part in (first, second, first):  # as in two walks
        counter.code(part, y, mean, index)
    expected = np.zeros((2, 3, RADIUS + 1))
    expected[:, 0, 0] = expected[:, 2, RADIUS] = 1
    expected[:, 2, 2] = 2  # -1.8 and 2.5, which rounds to even
    expected[0] *= 2
    assert np.array_equal(counter.counts.numpy(), expected)
    with pytest.raises(ValueError, match="without latents"):
        counter.code(first, None, mean, index)


@pytest.fixture
def shaped(tiny: MakeModel, tmp_path: Path) -> Path:
    """A weights file whose slices have tables of their own."""
    model = tiny()
    random = torch.Generator().manual_seed(4)
    shapes = torch.rand(model.float_side.shapes.shape, generator=random)
    model.float_side.shapes.copy_(shapes / shapes.sum(-1, keepdim=True))
    write_weights(tmp_path / "shaped.safetensors", model, {})
    return tmp_path / "shaped.safetensors"


def test_shapes_travel_in_a_weights_file(shaped: Path, tiny_weights) -> None:
    weights = read_weights(shaped)
    assert len(weights.y_tables) == 2 * 24
    assert [len(t) for t in weights.table_sets] == [24, 24]
    assert tiny_weights.table_sets == (tiny_weights.y_tables,)
    assert weights.fingerprint != tiny_weights.fingerprint
    side = trainable(weights).float_side
    np.testing.assert_array_equal(side.shapes.numpy(), weights.twin["shapes"])
    again = mixture_tables(side.shapes.double().numpy(), SMALL.smallest_scale, SMALL.largest_scale)
    assert np.array_equal(again.frequencies, weights.y_tables.frequencies)
    del weights.twin["shapes"]  # as in files of before there were any
    assert is_gaussian(trainable(weights).float_side.shapes.numpy())


def test_files_are_written_and_read_by_the_tables_of_each_slice(shaped: Path, picture: MakePicture) -> None:
    model = Model(read_weights(shaped), name="shaped", quality=4.0, device="cpu")
    encoded = encode_picture(picture("noise"), model, Encoding(quality=4.0, count_bits=True))
    decoded = decode_file(unpack(encoded.data), model)
    for a, b in zip(encoded.symbols, decoded.symbols, strict=True):
        assert np.array_equal(a, b)
    assert encoded.bits / 8 == pytest.approx(sum(map(len, unpack(encoded.data).streams)), rel=0.02, abs=40)


def test_an_estimator_without_shapes_is_gaussian() -> None:
    y, mean, index = torch.randn(1, 2, 3, 3), torch.zeros(1, 2, 3, 3), torch.rand(1, 2, 3, 3) * 3
    plain = RateEstimator(4, 0.3, 8.0, noise=False)
    shaped = RateEstimator(4, 0.3, 8.0, noise=False, shapes=torch.tensor(GAUSSIAN).repeat(1, 4, 1))
    for coder in (plain, shaped):
        coder.code(SMALL.parts()[0], y, mean, index)
    assert torch.equal(torch.as_tensor(plain.bits_y), torch.as_tensor(shaped.bits_y))
