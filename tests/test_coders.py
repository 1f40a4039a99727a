"""The coders that are handed to the walk: what they estimate, write and read."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import gaussian_mass
from torch import Tensor

from fedscodec.entropy.coders import EntropyProbe, RateEstimator
from fedscodec.entropy.parts import Part
from fedscodec.entropy.streams import StreamReader, StreamWriter, symbol_bytes
from fedscodec.entropy.tables import gaussian_tables, scale_table, tables_from_probabilities
from fedscodec.errors import FormatError

COUNT, SMALLEST, LARGEST = 24, 0.11, 16.0
WHOLE = Part("slice 1", 0, (0, 5), 0, 1, 0)
SECOND = Part("slice 2", 1, (5, 10), 5, 2, 1)
SCALES = scale_table(COUNT, SMALLEST, LARGEST)


class Flat:
    """A prior under which every value costs three bits."""

    def likelihood(self, z: Tensor) -> Tensor:
        """An eighth everywhere."""
        return torch.full_like(z, 0.125)


def random_slice(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """y, mean and index [2, 3, 4, 5]."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, COUNT, (2, 3, 4, 5))
    mean = rng.normal(0, 3, index.shape)
    y = mean + rng.normal(0, 1, index.shape) * SCALES[index]
    return tuple(torch.from_numpy(a.astype(np.float32)) for a in (y, mean, index))  # type: ignore[return-value]


def test_rate_without_noise_against_numpy() -> None:
    y, mean, index = random_slice()
    estimator = RateEstimator(COUNT, SMALLEST, LARGEST, noise=False)
    z_hat = estimator.hyper(torch.tensor([0.4, -1.6]).reshape(2, 1, 1, 1).expand(2, 1, 1, 2), Flat())
    y_hat = estimator.code(WHOLE, y, mean, index)
    assert z_hat.flatten().tolist() == [0.0, 0.0, -2.0, -2.0]
    residual = np.round((y - mean).numpy())
    np.testing.assert_allclose(y_hat, residual + mean.numpy(), atol=1e-5)
    scales = SCALES[index.long().numpy()]
    mass = [max(gaussian_mass(r, s), 1e-9) for r, s in zip(residual.flat, scales.flat, strict=True)]
    expected = -np.log2(mass).reshape(2, -1).sum(1)
    np.testing.assert_allclose(estimator.bits_z, [6.0, 6.0])
    np.testing.assert_allclose(estimator.bits_y, expected, rtol=1e-4)
    np.testing.assert_allclose(estimator.bits, expected + 6.0, rtol=1e-4)


def test_slices_add_up_and_a_real_index_lies_between_its_neighbours() -> None:
    y, mean = torch.full((1, 1, 1, 1), 3.0), torch.zeros(1, 1, 1, 1)
    found = []
    for index in (10.0, 10.5, 11.0):
        estimator = RateEstimator(COUNT, SMALLEST, LARGEST, noise=False)
        for _ in range(2):
            estimator.code(WHOLE, y, mean, torch.full((1, 1, 1, 1), index))
        found.append(float(estimator.bits))
    scale = math.sqrt(SCALES[10] * SCALES[11])  # geometric middle
    expected = [-2 * math.log2(gaussian_mass(3.0, s)) for s in (SCALES[10], scale, SCALES[11])]
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_noise_stays_within_half_a_step_and_only_in_the_rate() -> None:
    torch.manual_seed(3)
    estimator = RateEstimator(COUNT, SMALLEST, LARGEST)
    y, mean, index = torch.zeros(1, 1, 50, 50), torch.zeros(1, 1, 50, 50), torch.full((1, 1, 50, 50), 12.0)
    assert not estimator.code(WHOLE, y, mean, index).any()
    per_element = float(estimator.bits_y) / 2500
    offsets = np.linspace(-0.5, 0.5, 501)
    expected = np.mean([-math.log2(gaussian_mass(o, SCALES[12])) for o in offsets])
    assert per_element == pytest.approx(expected, rel=0.02)


def test_gradients_pass_the_rounding() -> None:
    y, mean, index = (t.requires_grad_() for t in random_slice())
    estimator = RateEstimator(COUNT, SMALLEST, LARGEST)
    y_hat = estimator.code(WHOLE, y, mean, index)
    (estimator.bits_y.sum() + y_hat.sum()).backward()
    assert y.grad is not None
    assert index.grad is not None
    assert mean.grad is not None
    assert (y.grad + mean.grad - 1).abs().max() < 1e-3  # the rate sees y - mean only; of ŷ both have a one and cancel
    assert index.grad.abs().max() > 0


def test_a_probe_keeps_maps_that_sum_to_the_bits() -> None:
    y, mean, index = random_slice()
    probe = EntropyProbe(COUNT, SMALLEST, LARGEST)
    plain = RateEstimator(COUNT, SMALLEST, LARGEST, noise=False)
    for coder in (probe, plain):
        coder.code(WHOLE, y, mean, index)
        coder.code(SECOND, y * 2, mean, index)
    assert probe.maps.shape == (2, 10, 3, 4)
    assert torch.equal(torch.as_tensor(probe.bits_y), torch.as_tensor(plain.bits_y))
    torch.testing.assert_close(probe.maps.sum((1, 2, 3)), torch.as_tensor(plain.bits_y))
    residual = round(float(y[1, 2, 3, 4] - mean[1, 2, 3, 4]))
    expected = -math.log2(gaussian_mass(residual, SCALES[int(index[1, 2, 3, 4])]))
    assert float(probe.maps[1, 4, 2, 3]) == pytest.approx(expected, rel=1e-3, abs=1e-6)
    np.testing.assert_allclose(probe.channel_entropies, probe.maps.numpy().mean(axis=(0, 2, 3)), rtol=1e-5)


def test_only_a_reader_goes_without_latents() -> None:
    with pytest.raises(ValueError, match="only a reader"):
        RateEstimator(COUNT, SMALLEST, LARGEST).hyper(None, Flat())
    tables = gaussian_tables(COUNT, SMALLEST, LARGEST)
    with pytest.raises(ValueError, match="only a reader"):
        StreamWriter(tables, (tables,)).code(WHOLE, None, torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))


# ── Writing and reading ───────────────────────────────────────────────────────────────────────────────────

Y_TABLES = (gaussian_tables(COUNT, SMALLEST, LARGEST),)
Z_TABLES = tables_from_probabilities(np.array([[0.1, 0.8, 0.1], [0.3, 0.4, 0.3]]), -1)


def integers(seed: int = 0, height: int = 6, width: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z [1, 2, 2, 2], y, mean and index [1, height, width, 3]."""
    rng = np.random.default_rng(seed)
    index = rng.integers(0, COUNT, (1, height, width, 3)).astype(np.int8)
    mean = rng.integers(-400, 400, index.shape).astype(np.int32)
    y = (mean / 16 + rng.normal(0, 1, index.shape) * SCALES[index]).astype(np.float32)
    z = rng.normal(0, 0.7, (1, 2, 2, 2)).astype(np.float32)
    return tuple(map(torch.from_numpy, (z, y, mean, index)))  # type: ignore[return-value]


def read_back(writer: StreamWriter, mean: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """ẑ and ŷ from the streams alone."""
    reader = StreamReader(tuple(writer.streams), (1, 2, 2, 2), writer.z_tables, writer.y_tables)
    found = reader.hyper(None), reader.code(WHOLE, None, mean, index)
    assert all(np.array_equal(a, b) for a, b in zip(reader.symbols, writer.symbols, strict=True))
    return found


def test_what_is_written_is_read() -> None:
    z, y, mean, index = integers()
    writer = StreamWriter(Z_TABLES, Y_TABLES)
    z_hat, y_hat = writer.hyper(z), writer.code(WHOLE, y, mean, index)
    z_again, y_again = read_back(writer, mean, index)
    assert z_hat.dtype == y_hat.dtype == torch.int16
    assert torch.equal(z_hat, z_again)
    assert torch.equal(y_hat, y_again)
    assert torch.equal(z_hat, torch.floor(z + 0.5).to(torch.int32))
    # half a step, and rounding of the float difference
    assert (y_hat / 16 - y).abs().max() <= 0.5
    assert torch.equal((y_hat - mean) % 16, torch.zeros_like(mean))


def test_ties_round_up() -> None:
    writer = StreamWriter(Z_TABLES, Y_TABLES)
    y = torch.tensor([-1.5, -0.5, 0.5, 1.5]).reshape(1, 1, 2, 2)
    writer.code(WHOLE, y, torch.zeros(1, 1, 2, 2, dtype=torch.int32), torch.full((1, 1, 2, 2), 9, dtype=torch.int8))
    assert writer.symbols[0].tolist() == [-1, 0, 1, 2]


def test_pathological_latents_are_clamped_and_read_back() -> None:
    values = [math.nan, math.inf, -math.inf, 1e30, -1e30, 40000.0, -32767.4, 32767.4]
    y = torch.tensor(values).reshape(1, 2, 2, 2)
    mean = torch.tensor([0, 16, -16, 32767, -32767, 0, 0, 0], dtype=torch.int32).reshape(1, 2, 2, 2)
    index = torch.tensor([0, 23, 5, 0, 23, 1, 2, 3], dtype=torch.int8).reshape(1, 2, 2, 2)
    writer = StreamWriter(Z_TABLES, Y_TABLES)
    writer.hyper(y)
    y_hat = writer.code(WHOLE, y, mean, index)
    most = 32767
    assert writer.symbols[0].tolist() == [0, most, -most, most, -most, most, -most, most]
    assert writer.symbols[1].tolist() == [0, most, -most, most, -most, most, -most, most]
    assert y_hat.flatten()[3].item() == most * 16 + most
    assert torch.equal(read_back(writer, mean, index)[1], y_hat)


def test_skipped_tables_cost_nothing_and_leave_the_mean() -> None:
    z, y, mean, index = integers()
    writer = StreamWriter(Z_TABLES, (gaussian_tables(COUNT, SMALLEST, LARGEST, skip=6),), count_bits=True)
    writer.hyper(z)
    y_hat = writer.code(WHOLE, y, mean, index)
    skipped = index < 6
    assert 0 < int(skipped.sum()) < skipped.numel()
    assert torch.equal(y_hat[skipped], mean[skipped])
    assert (y_hat[~skipped] != mean[~skipped]).any()
    assert torch.equal(read_back(writer, mean, index)[1], y_hat)


def test_counted_bits_are_those_of_the_tables_and_near_the_bytes() -> None:
    z, y, mean, index = integers(height=24, width=24)
    writer = StreamWriter(Z_TABLES, Y_TABLES, count_bits=True)
    writer.hyper(z)
    writer.code(WHOLE, y, mean, index)
    channels = np.tile([0, 1], 4)
    expected = Z_TABLES.bits(writer.symbols[0], channels) + Y_TABLES[0].bits(
        writer.symbols[1], index.numpy().reshape(-1)
    )
    assert writer.bits == pytest.approx(expected)
    size = 8 * sum(map(len, writer.streams))
    assert size == pytest.approx(writer.bits, rel=0.01, abs=2 * 32)
    assert size > 3000
    silent = StreamWriter(Z_TABLES, Y_TABLES)
    silent.hyper(z)
    assert silent.bits == 0.0


def test_a_damaged_stream_is_named() -> None:
    z, y, mean, index = integers()
    writer = StreamWriter(Z_TABLES, Y_TABLES)
    writer.hyper(z)
    writer.code(WHOLE, y, mean, index)
    garbage = b"\xff" * 5000
    reader = StreamReader((garbage, writer.streams[1]), (1, 2, 2, 2), Z_TABLES, Y_TABLES)
    with pytest.raises(FormatError, match="the z stream is damaged"):
        reader.hyper(None)
    reader = StreamReader((writer.streams[0], garbage), (1, 2, 2, 2), Z_TABLES, Y_TABLES)
    reader.hyper(None)
    with pytest.raises(FormatError, match="the slice 1 stream is damaged"):
        reader.code(WHOLE, None, mean, index)


def test_symbols_as_bytes() -> None:
    symbols = [np.array([1, -2], dtype=np.int32), np.array([32767], dtype=np.int32)]
    assert symbol_bytes(symbols) == [b"\x01\x00\xfe\xff", b"\xff\x7f"]
