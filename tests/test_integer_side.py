"""The integer entropy side: what the float twin was trained to be, exactly the same integers everywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import SMALL
from exact_layers import exact_backend, integer_conv_in_numpy
from torch import Tensor

from fedscodec.entropy import exact_matmul
from fedscodec.entropy.parts import Part
from fedscodec.entropy.streams import StreamReader, StreamWriter
from fedscodec.errors import WeightsError
from fedscodec.networks.integer_side import Arrays, IntegerSide, export, restore_twins, twin_steps
from fedscodec.networks.model import FedsModel
from fedscodec.networks.slices import FloatSide
from fedscodec.networks.walk import walk
from fedscodec.networks.weights import Weights

MakeModel = Callable[..., FedsModel]


class Recorder:
    """Rounds as the coders do and keeps every mean and index; `unit` is what one of ŷ's units stands for."""

    def __init__(self, unit: int, floor: Callable[[Tensor], Tensor]) -> None:
        self.unit, self.floor = unit, floor
        self.means: list[Tensor] = []
        self.indexes: list[Tensor] = []

    def hyper(self, z: Tensor, prior: object) -> Tensor:
        return self.floor(z)

    def code(self, part: Part, y: Tensor, mean: Tensor, index: Tensor) -> Tensor:
        self.means.append(mean)
        self.indexes.append(index)
        return self.floor(y - mean / self.unit) * self.unit + mean


def latents(seed: int = 0, rows: int = 2, columns: int = 3, scale: float = 4.0) -> tuple[Tensor, Tensor]:
    """z [1, 8, rows, columns] and y [1, 16, 4·rows, 4·columns], floats."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(1, 8, rows, columns, generator=generator) * scale
    return z, torch.randn(1, 16, 4 * rows, 4 * columns, generator=generator) * scale


def last(x: Tensor) -> Tensor:
    """[1, C, H, W] → [1, H, W, C]."""
    return x.permute(0, 2, 3, 1)


@pytest.fixture(scope="module")
def model(tiny: MakeModel) -> FedsModel:
    return tiny()


@pytest.fixture(scope="module")
def arrays(model: FedsModel) -> Arrays:
    return export(model.float_side)


@pytest.fixture(scope="module")
def side(arrays: Arrays) -> IntegerSide:
    return IntegerSide(SMALL, arrays)


def test_names_and_types_of_what_is_exported(arrays: Arrays) -> None:
    layers = [f"h_s.{j}" for j in range(5)]
    layers += [f"nets.{i}.{part}" for i in (0, 1) for part in ("first", "mean.0", "mean.1", "index.0", "index.1")]
    parts = {"weight": np.int8, "bias": np.int32, "multiplier": np.int32, "shift": np.int32}
    expected = {f"{layer}.{part}": kind for layer in layers for part, kind in parts.items()}
    expected |= {"context.multiplier": np.int32, "context.shift": np.int32}
    assert {name: array.dtype.type for name, array in arrays.items()} == expected
    assert arrays["h_s.0.weight"].shape == (8, 9, 3, 3)  # 8 channels of z, and the quality
    assert arrays["h_s.1.weight"].shape == (32, 8, 3, 3)  # four times 8 for the pixel shuffle
    assert arrays["nets.1.first.weight"].shape == (32, 32 + 8, 3, 3)  # side and one slice of context
    assert arrays["context.multiplier"].shape == arrays["context.shift"].shape == (16,)
    for layer in layers:
        channels = arrays[f"{layer}.weight"].shape[:1]
        assert all(arrays[f"{layer}.{part}"].shape == channels for part in ("bias", "multiplier", "shift"))


def test_every_channel_has_its_own_shift(tiny: MakeModel) -> None:
    side = tiny().float_side
    with torch.no_grad():
        side.h_s[0].steps.copy_(side.h_s[0].steps.mean() * 4.0 ** torch.arange(8))
        side.context_steps.copy_(4.0 ** torch.arange(-8, 8))
    arrays = export(side)
    factor = side.h_s[0].integers().factor
    assert factor.max() > 1000 * factor.min()
    np.testing.assert_allclose(arrays["h_s.0.multiplier"] / 2.0 ** arrays["h_s.0.shift"], factor, rtol=2.0**-21)
    assert arrays["context.shift"].tolist() == list(range(8, 40, 2))  # 1 / (16 · 4^-8) = 2^12, and 2^20 / 2^8 is that
    assert arrays["context.multiplier"].tolist() == [2**20] * 16
    for name, multiplier in arrays.items():
        if name.endswith(".multiplier"):
            assert ((multiplier >= 2**20) & (multiplier <= 2**21)).all(), name


def test_integers_follow_the_quantised_float_twin(model: FedsModel, side: IntegerSide) -> None:
    z, y = latents()
    floats = Recorder(1, lambda x: torch.floor(x + 0.5))
    integers = Recorder(16, lambda x: torch.floor(x + 0.5).to(torch.int32))
    model.float_side.set_mode(quantised=True)
    try:
        with torch.no_grad():
            float_y = walk(model.float_side, z, y, torch.tensor([5.5]), floats)
    finally:
        model.float_side.set_mode()
    integer_y = walk(side, last(z), last(y), 5500, integers)
    for i in range(2):
        mean = floats.means[i] * 16
        off = (mean - integers.means[i]).abs()
        # where a sum lies on the edge of two integers, float32 and a rounded factor may choose the other one
        assert off.max() <= 2
        assert (off < 0.5).float().mean() > 0.98
        index = (floats.indexes[i] - integers.indexes[i]).abs()
        assert index.max() <= 1
        assert (index < 0.5).float().mean() > 0.98
        assert integers.means[i].unique().numel() > 50
        assert integers.indexes[i].unique().numel() > 8
    assert (last(float_y) - integer_y / 16).abs().max() <= 1.0


def test_every_layer_equals_numpy(side: IntegerSide) -> None:
    z, y = latents(1)
    recorder = Recorder(16, lambda x: torch.floor(x + 0.5).to(torch.int32))
    y_hat = walk(side, last(z), last(y), 5500, recorder)
    x = np.clip(np.floor(last(z).numpy() + 0.5), -127, 127).astype(np.int64)
    x = np.concatenate([x, np.full((1, 2, 3, 1), 46)], -1)  # quality 5.5 is (5500 - 4000) // 32 from the middle
    for layer in side.h_s:
        x = integer_conv_in_numpy(layer, x)
    assert np.array_equal(x, side.side(torch.floor(last(z) + 0.5).to(torch.int32), 5500))
    assert x.shape == (1, 8, 12, 32)
    contexts: list[np.ndarray] = []
    for i in range(2):
        both = integer_conv_in_numpy(side.nets[i].first, np.concatenate([x, *contexts], -1))
        for half, stack, found in (
            (both[..., :16], "mean", recorder.means),
            (both[..., 16:], "index", recorder.indexes),
        ):
            for layer in getattr(side.nets[i], stack):
                half = integer_conv_in_numpy(layer, half)
            assert np.array_equal(half, found[i])
        symbols = y_hat[..., 8 * i : 8 * i + 8].numpy().astype(np.int64)
        multiplier = side.context_multiplier[8 * i : 8 * i + 8].numpy().astype(np.int64)
        shift = side.context_shift[8 * i : 8 * i + 8].numpy().astype(np.int64)
        contexts.append(np.clip((symbols * multiplier + (1 << (shift - 1))) >> shift, -127, 127))
        assert np.abs(contexts[i]).max() > 20


def test_the_quality_reaches_h_s_with_its_own_steps(side: IntegerSide) -> None:
    z_hat = torch.round(last(latents()[0])).to(torch.int32)
    at_4 = side.side(z_hat, 4000)
    assert torch.equal(side.side(z_hat, 4031), at_4)  # both are 0 from the middle
    for quality in (1000, 3999, 4032, 7000):
        assert not torch.equal(side.side(z_hat, quality), at_4)


@torch.no_grad()
def test_each_picture_of_a_batch_has_its_own_quality(model: FedsModel) -> None:
    z_hat = torch.round(torch.cat([latents(seed)[0] for seed in (0, 1)]))
    both = model.float_side.side(z_hat, torch.tensor([1.0, 6.5])).values
    for n, quality in enumerate((1.0, 6.5)):
        alone = model.float_side.side(z_hat[n : n + 1], torch.tensor([quality])).values
        torch.testing.assert_close(both[n : n + 1], alone)
    assert not torch.allclose(model.float_side.side(z_hat, torch.tensor([6.5, 1.0])).values, both)
    # the plane has the unit of the context: 1 - 4 qualities are -94 steps of 1/32
    first = model.float_side.h_s[0]
    planes = torch.tensor([-94 / 32, 78 / 32])[:, None, None, None].expand(2, 1, 2, 3)
    expected = torch.relu(F.conv2d(torch.cat([z_hat, planes], 1), first.weight, first.bias, padding=1))
    seen: list[Tensor] = []
    hook = first.register_forward_hook(lambda module, arguments, out: seen.append(out.values))
    model.float_side.side(z_hat, torch.tensor([1.0, 6.5]))
    hook.remove()
    torch.testing.assert_close(seen[0], expected)


def test_the_context_is_y_hat_in_its_steps(model: FedsModel, side: IntegerSide) -> None:
    steps = model.float_side.context_steps.numpy()
    y_hat = torch.randint(-2000, 2000, (1, 5, 6, 8), generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    expected = np.clip(np.floor(y_hat.numpy() / 16 / steps[8:] + 0.5), -127, 127)
    found = side.shown(SMALL.parts()[1], y_hat)
    assert found.dtype == torch.int8
    assert np.abs(found.numpy() - expected).max() <= 1  # a multiplier has 20 bits
    assert (found.numpy() == expected).mean() > 0.97


# ── Writing, reading, and where it runs ───────────────────────────────────────────────────────────────────


def write(side: IntegerSide, weights: Weights, z: Tensor, y: Tensor) -> tuple[StreamWriter, Tensor]:
    writer = StreamWriter(weights.z_tables, weights.table_sets)
    return writer, walk(side, last(z), last(y), 5500, writer)


@pytest.mark.parametrize("scale", [0.0, 0.7, 30.0, 1e4, 1e30])
def test_a_reader_gets_what_was_written(scale: float, side: IntegerSide, tiny_weights: Weights) -> None:
    z, y = latents(2, scale=scale)
    writer, y_hat = write(side, tiny_weights, z, y)
    reader = StreamReader(tuple(writer.streams), (1, 2, 3, 8), tiny_weights.z_tables, tiny_weights.table_sets)
    assert torch.equal(walk(side, None, None, 5500, reader), y_hat)
    assert all(np.array_equal(a, b) for a, b in zip(writer.symbols, reader.symbols, strict=True))
    assert len(writer.streams) == 3
    if scale < 100:
        assert (y_hat / 16 - last(y)).abs().max() <= 0.5


def test_nan_and_infinity_have_symbols(side: IntegerSide, tiny_weights: Weights) -> None:
    z, y = latents(3)
    y[0, :, 0, 0], y[0, :, 1, 1], y[0, :, 2, 2] = torch.nan, torch.inf, -torch.inf
    z[0, 0, 0, 0], z[0, 1, 0, 0] = torch.nan, torch.inf
    writer, y_hat = write(side, tiny_weights, z, y)
    reader = StreamReader(tuple(writer.streams), (1, 2, 3, 8), tiny_weights.z_tables, tiny_weights.table_sets)
    assert torch.equal(walk(side, None, None, 5500, reader), y_hat)
    assert writer.symbols[0][:2].tolist() == [0, 32767]
    assert np.all(writer.symbols[1].reshape(8, 12, 8)[0, 0] == 0)
    assert np.all(writer.symbols[1].reshape(8, 12, 8)[1, 1] == 32767)
    assert np.all(writer.symbols[2].reshape(8, 12, 8)[2, 2] == -32767)


def test_the_first_slices_alone_are_a_preview(side: IntegerSide, tiny_weights: Weights) -> None:
    writer, y_hat = write(side, tiny_weights, *latents(4))
    reader = StreamReader(tuple(writer.streams[:2]), (1, 2, 3, 8), tiny_weights.z_tables, tiny_weights.table_sets)
    preview = walk(side, None, None, 5500, reader, streams=1)
    assert torch.equal(preview[..., :8], y_hat[..., :8])
    assert not preview[..., 8:].any()
    assert preview.shape == y_hat.shape


@pytest.mark.parametrize("backend", exact_matmul.EXACT_BACKENDS)
def test_symbols_do_not_depend_on_backend_and_threads(backend: str, side: IntegerSide, tiny_weights: Weights) -> None:
    if not exact_matmul.is_exact(backend, "cpu"):
        pytest.skip(f"{backend} is not exact on this machine")
    z, y = latents(5, 3, 4)
    expected, _ = write(side, tiny_weights, z, y)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with exact_backend(backend):
                assert write(side, tiny_weights, z, y)[0].streams == expected.streams
    finally:
        torch.set_num_threads(before)
    assert sum(map(len, expected.streams)) > 100


# ── Back to floats, and what does not fit ─────────────────────────────────────────────────────────────────


def test_twins_made_of_integers_export_the_same_integers(model: FedsModel, arrays: Arrays) -> None:
    torch.manual_seed(9)
    fresh = FloatSide(SMALL)
    restore_twins(fresh, arrays, twin_steps(model.float_side))
    again = export(fresh)
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(again[name], array), name


def test_restored_twins_compute_what_the_quantised_ones_did(model: FedsModel, arrays: Arrays) -> None:
    fresh = FloatSide(SMALL)
    restore_twins(fresh, arrays, twin_steps(model.float_side))
    fresh.set_mode(quantised=True)
    model.float_side.set_mode(quantised=True)
    z, _ = latents(6)
    try:
        with torch.no_grad():
            steps = model.float_side.h_s[-1].steps[:, None, None]
            rounded, quality = torch.round(z), torch.tensor([2.5])
            found, expected = (net.side(rounded, quality).values for net in (fresh, model.float_side))
            off = (found - expected) / steps
    finally:
        model.float_side.set_mode()
    assert off.abs().max() <= 1.01
    assert (off.abs() < 0.5).float().mean() > 0.99


@pytest.mark.parametrize("name", ["h_s.0.weight", "nets.1.first.bias", "nets.0.mean.1.shift", "context.multiplier"])
def test_what_is_missing_or_does_not_fit_is_named(name: str, arrays: Arrays) -> None:
    with pytest.raises(WeightsError, match=rf"the array {name} is missing"):
        IntegerSide(SMALL, {k: v for k, v in arrays.items() if k != name})
    with pytest.raises(WeightsError, match=rf"{name} as int"):
        IntegerSide(SMALL, {**arrays, name: arrays[name][:0]})
    with pytest.raises(WeightsError, match=rf"{name} as int"):
        IntegerSide(SMALL, {**arrays, name: arrays[name].astype(np.int64)})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("context.multiplier", -1),
        ("context.shift", 0),
        ("context.shift", 63),
        ("h_s.0.multiplier", -1),
        ("h_s.2.shift", 0),
    ],
)
def test_impossible_numbers_are_refused(name: str, value: int, arrays: Arrays) -> None:
    with pytest.raises(WeightsError, match=r"negative|1\.\.62"):
        IntegerSide(SMALL, {**arrays, name: np.full_like(arrays[name], value)})


def test_another_spec_does_not_fit(arrays: Arrays) -> None:
    with pytest.raises(WeightsError, match=r"as int8 \[8, 10, 3, 3\], found int8 \[8, 9, 3, 3\]"):
        IntegerSide(replace(SMALL, hyper_latents=9), arrays)
