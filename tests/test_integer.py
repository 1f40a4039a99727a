"""Integer layers give the same integers with every backend, batch, strip and thread count."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from exact_layers import exact_backend, integer_conv_in_numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedscodec.entropy import integer
from fedscodec.entropy.exact_matmul import EXACT_BACKENDS, choose_exact_backend
from fedscodec.entropy.integer import IntegerConv, quantised_multiplier, requantise
from fedscodec.errors import FedsError, WeightsError

CPU = torch.device("cpu")
INT32 = (-(2**31), 2**31 - 1)


def int32(*values: int) -> Tensor:
    """The values as an int32 vector."""
    return torch.tensor(values, dtype=torch.int32)


def random_layer(
    seed: int,
    outputs: int = 12,
    inputs: int = 11,
    kernel: int = 3,
    upsample: int = 1,
    low: int = -128,
    high: int = 127,
    multiplier_bits: int = 16,
) -> IntegerConv:
    """A layer whose output fills about the range of int8, with a shift for each channel."""
    generator = torch.Generator().manual_seed(seed)

    def draw(least: int, most: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return torch.randint(least, most, shape, generator=generator).to(dtype)

    weight = draw(-128, 128, (outputs, inputs, kernel, kernel), torch.int8)
    bias = draw(-5000, 5001, (outputs,), torch.int32)
    multiplier = draw(2 ** (multiplier_bits - 1), 2**multiplier_bits, (outputs,), torch.int32)
    spread = int(np.log2(74.0 * 74.0 * np.sqrt(inputs * kernel**2) / 64.0))
    shift = draw(multiplier_bits + spread - 1, multiplier_bits + spread + 1, (outputs,), torch.int32)
    return IntegerConv(weight, bias, multiplier, shift, low, high, upsample)


def random_input(seed: int, *shape: int) -> Tensor:
    """Int8 values over the whole range."""
    return torch.randint(-128, 128, shape, dtype=torch.int8, generator=torch.Generator().manual_seed(seed))


def assert_exact(layer: IntegerConv, x: Tensor, backend: str) -> Tensor:
    """The layer's output with `backend`, having been compared with the reference."""
    with exact_backend(backend):
        out = layer(x)
    expected = integer_conv_in_numpy(layer, x)
    assert out.shape == expected.shape
    assert np.array_equal(out.numpy(), expected)
    return out


@pytest.mark.parametrize("backend", EXACT_BACKENDS)
def test_by_hand(backend: str) -> None:
    x = torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=torch.int8)[None, :, :, None]
    weight = torch.tensor([[0, 0, 0], [1, 0, -1], [0, 10, 0]], dtype=torch.int8)[None, None]
    layer = IntegerConv(weight, int32(1), int32(3), torch.tensor(2, dtype=torch.int32), -100, 100)
    # left - right + 10 * below + 1 = 39 49 63 / -4 -1 6, and (3 v + 2) >> 2 of it
    out = assert_exact(layer, x, backend)
    assert out.dtype == torch.int8
    assert out[0, :, :, 0].tolist() == [[29, 37, 47], [-3, -1, 5]]


@pytest.mark.parametrize("backend", EXACT_BACKENDS)
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("upsample", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3)])
def test_random_layers(backend: str, kernel: int, upsample: int, size: tuple[int, int]) -> None:
    layer = random_layer(kernel, kernel=kernel, upsample=upsample)
    out = assert_exact(layer, random_input(1, 2, *size, 11), backend)
    assert out.dtype == torch.int8
    assert out.is_contiguous()
    assert len(out.unique()) > min(10, out.numel() // 2)  # a case that tells right from wrong


@pytest.mark.parametrize("backend", EXACT_BACKENDS)
@pytest.mark.parametrize("multiplier_bits", [16, 31])
def test_wide_outputs_in_float64_and_in_int64(backend: str, multiplier_bits: int) -> None:
    layer = random_layer(3, inputs=100, low=-3000, high=70000, multiplier_bits=multiplier_bits)
    layer.shift -= 9
    out = assert_exact(layer, random_input(2, 1, 4, 5, 100), backend)
    assert layer._operands_for(backend, CPU).fits_float64 == (multiplier_bits == 16)
    assert out.dtype == torch.int32
    assert out.min() == -3000
    assert out.max() > 32767


@pytest.mark.parametrize("backend", EXACT_BACKENDS)
@pytest.mark.parametrize("weight", [127, -128])
@pytest.mark.parametrize("value", [127, -128])
def test_extreme_sums(backend: str, weight: int, value: int) -> None:
    identity = {"multiplier": int32(2, 2), "shift": int32(1, 1)}  # (2 v + 1) >> 1 = v
    weights = torch.full((2, 513, 3, 3), weight, dtype=torch.int8)
    layer = IntegerConv(weights, int32(1, -1), **identity, low=INT32[0], high=INT32[1])
    out = assert_exact(layer, torch.full((1, 3, 3, 513), value, dtype=torch.int8), backend)
    assert out[0, 1, 1].tolist() == [513 * 9 * weight * value + 1, 513 * 9 * weight * value - 1]
    chunks = layer._operands_for(backend, CPU).right.chunks
    assert len(chunks) == {"int_mm": 3, "float32": 5, "float64": 1}[backend]


@pytest.mark.parametrize(("shift", "fits"), [(25, True), (26, False)])
def test_the_edge_of_float64(shift: int, fits: bool) -> None:
    weight = torch.full((1, 1024, 1, 1), -128, dtype=torch.int8)  # sums reach 2**24
    layer = IntegerConv(weight, int32(0), int32(2**29 - 1), int32(shift), *INT32)
    x = random_input(3, 1, 4, 8, 1024)
    x[0, 0, 0], x[0, 0, 1] = -128, 127
    out = assert_exact(layer, x, "float32")
    assert layer._operands_for("float32", CPU).fits_float64 is fits
    assert out[0, 0, 0, 0].item() == ((2**24 * (2**29 - 1)) + 2 ** (shift - 1)) >> shift


@pytest.mark.parametrize("backend", EXACT_BACKENDS)
def test_ties_and_negative_values_in_a_layer(backend: str) -> None:
    weight = torch.ones((1, 1, 1, 1), dtype=torch.int8)
    layer = IntegerConv(weight, int32(0), int32(1), int32(2))
    x = torch.arange(-128, 128, dtype=torch.int8)
    out = assert_exact(layer, x[None, None, :, None], backend)
    assert out.flatten().tolist() == [(v + 2) >> 2 for v in range(-128, 128)]
    assert out.flatten()[128 - 7 : 128 + 8].tolist() == [-2, -1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2]


def test_upsampling_is_torchs_pixel_shuffle() -> None:
    layer, x = random_layer(5, upsample=1), random_input(5, 2, 3, 4, 11)
    plain = layer(x)
    layer.upsample = 2
    layer._operands.clear()
    shuffled = torch.nn.PixelShuffle(2)(plain.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    assert torch.equal(layer(x), shuffled)
    assert layer(x)[1, 4, 7].tolist() == plain[1, 2, 3, 1::4].tolist()  # i = 0, j = 1


@pytest.mark.parametrize("backend", EXACT_BACKENDS)
def test_batches_strips_and_threads_change_nothing(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = random_layer(6, kernel=5, upsample=2), random_input(6, 3, 9, 7, 11)
    whole = assert_exact(layer, x, backend)
    threads = torch.get_num_threads()
    try:
        with exact_backend(backend):
            assert torch.equal(torch.cat([layer(x[i : i + 1]) for i in range(3)]), whole)
            for count in (1, 2):
                torch.set_num_threads(count)
                assert torch.equal(layer(x), whole)
            for positions in (1, 21 * 2, 21 * 4):
                monkeypatch.setitem(integer._STRIP_POSITIONS, "cpu", positions)
                assert torch.equal(layer(x), whole)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture
def _medium_precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("_medium_precision")
@pytest.mark.parametrize("backend", EXACT_BACKENDS)
def test_modes_of_torch_change_nothing(backend: str) -> None:
    layer, x = random_layer(7, inputs=200), random_input(7, 1, 6, 6, 200)
    with torch.inference_mode():
        assert_exact(layer, x, backend)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert_exact(layer, x, backend)
    assert_exact(layer, x.permute(0, 2, 1, 3), backend)
    assert_exact(copy.deepcopy(layer), x, backend)


def test_a_loaded_state_replaces_what_was_derived() -> None:
    layer, other, x = random_layer(8), random_layer(9), random_input(8, 1, 3, 3, 11)
    before = layer(x)
    layer.load_state_dict(other.state_dict())
    assert torch.equal(layer(x), other(x))
    assert not torch.equal(layer(x), before)
    state = {**other.state_dict(), "shift": torch.zeros(12, dtype=torch.int32)}
    with pytest.raises(WeightsError, match=r"expected shifts in 1\.\.62, found 0\.\.0"):
        layer.load_state_dict(state)


def test_only_buffers() -> None:
    layer = random_layer(1)
    assert list(layer.parameters()) == []
    assert sorted(layer.state_dict()) == ["bias", "multiplier", "shift", "weight"]
    assert {tensor.dtype for tensor in layer.double().state_dict().values()} == {torch.int8, torch.int32}


@pytest.mark.parametrize(
    ("x", "found"),
    [
        (torch.zeros(1, 2, 2, 11), r"torch.float32 \[1, 2, 2, 11\]"),
        (torch.zeros(2, 2, 11, dtype=torch.int8), r"torch.int8 \[2, 2, 11\]"),
        (torch.zeros(1, 11, 2, 2, dtype=torch.int8), r"torch.int8 \[1, 11, 2, 2\]"),
        (torch.zeros(1, 0, 2, 11, dtype=torch.int8), r"torch.int8 \[1, 0, 2, 11\]"),
    ],
)
def test_wrong_inputs(x: Tensor, found: str) -> None:
    with pytest.raises(FedsError, match=rf"expected int8 \[B, H, W, 11\], not empty, found {found}"):
        random_layer(1)(x)


GOOD = {
    "weight": torch.full((4, 2, 3, 3), -128, dtype=torch.int8),
    "bias": int32(0, 0, 0, 0),
    "multiplier": int32(1, 1, 1, 1),
    "shift": torch.tensor(1, dtype=torch.int32),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.zeros(4, 2, 3, 3)}, r"expected weights .* torch.float32 \[4, 2, 3, 3\]"),
        ({"weight": GOOD["weight"][:, :, :2, :2]}, r"odd k .* \[4, 2, 2, 2\]"),
        ({"weight": GOOD["weight"][:, :, :1]}, r"\[4, 2, 1, 3\]"),
        ({"weight": GOOD["weight"][:, :0]}, r"\[4, 0, 3, 3\]"),
        (
            {"bias": int32(0, 0, 0)},
            r"expected bias as int32 \[4\], found torch.int32 \[3\]",
        ),
        ({"multiplier": GOOD["multiplier"].long()}, r"expected multiplier .* torch.int64 \[4\]"),
        ({"multiplier": torch.tensor(1, dtype=torch.int32)}, r"expected multiplier .* torch.int32 \[\]"),
        ({"multiplier": int32(1, 1, -1, 1)}, r"non-negative multipliers, found -1"),
        ({"shift": int32(1, 1, 0, 1)}, r"expected shifts in 1..62, found 0..1"),
        ({"shift": int32(1, 1, 63, 1)}, r"1..63"),
        ({"shift": int32(1)}, r"expected shift .* torch.int32 \[1\]"),
        ({"low": 1, "high": 0}, r"int32, found 1..0"),
        ({"low": 0, "high": 2**31}, r"0..2147483648"),
        ({"upsample": 3}, r"found 3 of 4 channels"),
        (
            {"multiplier": int32(*[2**31 - 1] * 4), "bias": int32(0, -(2**31), 0, 0)},
            r"scaled sums .* 2\*\*62",
        ),
        ({"weight": torch.full((4, 2**17, 1, 1), -128, dtype=torch.int8)}, r"fit 32 bits, .* 2147483648"),
    ],
)
def test_invalid_layers_are_refused(change: dict[str, object], message: str) -> None:
    IntegerConv(**GOOD)
    with pytest.raises(WeightsError, match=message):
        IntegerConv(**{**GOOD, **change})


def test_the_largest_sound_layer() -> None:
    weight = torch.full((1, 2**17 - 1, 1, 1), -128, dtype=torch.int8)
    layer = IntegerConv(weight, int32(0), int32(2**31 - 1), int32(62), *INT32)
    x = torch.full((1, 1, 2, 2**17 - 1), -128, dtype=torch.int8)
    for backend in EXACT_BACKENDS:
        assert assert_exact(layer, x, backend)[0, 0, 0].tolist() == [1]
    with pytest.raises(WeightsError, match="upsampling"):
        IntegerConv(weight, int32(0), int32(1), int32(1), upsample=2)


def test_requantise_rounds_ties_upwards() -> None:
    values = torch.arange(-4, 5, dtype=torch.int16)[:, None]
    out = requantise(values, int32(1), 1, -128, 127)
    assert out.dtype == torch.int8
    assert out.flatten().tolist() == [-2, -1, -1, 0, 0, 1, 1, 2, 2]  # -1.5 -> -1, -0.5 -> 0, 0.5 -> 1
    assert requantise(values, int32(3), 1, -3, 200).flatten().tolist() == [-3, -3, -3, -1, 0, 2, 3, 5, 6]
    assert values.flatten().tolist() == list(range(-4, 5))


@settings(max_examples=100, deadline=None)
@given(
    value=st.integers(*INT32),
    multiplier=st.integers(0, 2**31 - 1),
    shift=st.integers(1, 62),
    bias=st.integers(-1000, 1000),
)
def test_requantise_as_python_does(value: int, multiplier: int, shift: int, bias: int) -> None:
    for added in (None, int32(bias)):
        if added is not None and (abs(value) + abs(bias)) * multiplier >= 2**62:
            continue
        wide = (value + (0 if added is None else bias)) * multiplier + 2 ** (shift - 1) >> shift
        expected = min(max(wide, -70000), INT32[1])
        out = requantise(int32(value), int32(multiplier), int32(shift), -70000, INT32[1], added)
        assert (out.dtype, out.tolist()) == (torch.int32, [expected])


def test_requantise_by_channel() -> None:
    values = int32(100, 100, 100).expand(2, 3)
    out = requantise(values, int32(0, 1, 2**30), int32(1, 3, 31), 0, 127)
    assert out.tolist() == [[0, 13, 50]] * 2  # 12.5 -> 13


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_requantise_refuses_what_could_overflow(dtype: torch.dtype) -> None:
    with pytest.raises(FedsError, match=f"int8, int16 or int32 values to requantise, found {dtype}"):
        requantise(torch.zeros(1, dtype=dtype), int32(1), 1, 0, 1)


def test_quantised_multiplier_by_hand() -> None:
    def of(*scales: float) -> tuple[list[int], int]:
        multiplier, shift = quantised_multiplier(np.array(scales))
        assert multiplier.dtype == np.int32
        return multiplier.tolist(), shift

    assert of(1.0, 0.5, 0.0) == ([2**20, 2**19, 0], 20)
    assert of(2**-10, 3 * 2**-20) == ([2**20, 3 * 2**10], 30)
    assert of(np.nextafter(1.0, 0.0)) == ([2**21], 21)  # rounds up to the end of the range
    assert of(1.0, 2**-22) == ([2**20, 0], 20)
    assert of(2.0**28, 1.0) == ([2**29, 2], 1)
    assert of(2.0**-40) == ([2**12], 52)
    assert of(0.0, 0.0) == ([0, 0], 21)


def test_quantised_multiplier_is_near() -> None:
    scale = np.exp(np.random.default_rng(0).uniform(np.log(2.0**-8), 0.0, 500)) * 1e-3
    multiplier, shift = quantised_multiplier(scale)
    error = np.abs(multiplier / 2.0**shift / scale - 1)
    assert error[scale.argmax()] < 2**-20
    assert error.max() < 2**-12


@pytest.mark.parametrize("scale", [[-1.0], [np.nan], [np.inf], [2.0**29], [[1.0]]])
def test_quantised_multiplier_refuses(scale: list[float]) -> None:
    with pytest.raises(WeightsError, match="expected scales as one row of numbers"):
        quantised_multiplier(np.array(scale))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", EXACT_BACKENDS)
def test_cuda_agrees(backend: str) -> None:
    for kernel, size in ((1, (1, 1)), (3, (5, 3)), (5, (16, 24))):
        layer, x = random_layer(4, 20, 75, kernel, upsample=2), random_input(4, 2, *size, 75)
        expected = integer_conv_in_numpy(layer, x)
        with exact_backend(backend):
            assert np.array_equal(layer.cuda()(x.cuda()).cpu().numpy(), expected)
    assert choose_exact_backend(torch.device("cuda")) in ("int_mm", "float64")
