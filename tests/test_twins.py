"""Float twins: the same function as their integers, and gradients that training can use."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from fedscodec.entropy.integer import IntegerConv
from fedscodec.networks.integer_side import _multipliers
from fedscodec.networks.twins import ConvIntegers, EntropyConv, Kind, Signal, Trace, clamp, join, straight_through_round

KINDS: list[Kind] = ["relu", "signed", "mean", "index"]


def integers_of(twin: EntropyConv, steps: torch.Tensor) -> ConvIntegers:
    """The integers of a layer whose inputs have these steps."""
    twin(Trace(steps))
    return twin.integers()


def random_twin(kind: Kind, *, upsample: int = 1, kernel: int = 3, seed: int = 0) -> tuple[EntropyConv, Signal]:
    """A layer and an input that is a multiple of its steps, both drawn so that outputs fill the range."""
    torch.manual_seed(seed)
    gain = {"mean": 4.0, "index": 8.0}.get(kind, 1.0)
    twin = EntropyConv(6, 8, kind, kernel=kernel, upsample=upsample, gain=gain, tables=24)
    steps = torch.rand(6) * 0.05 + 0.005
    values = torch.randint(0 if kind != "signed" else -127, 128, (2, 6, 9, 10)) * steps[:, None, None]
    with torch.no_grad():
        twin.weight.mul_(torch.rand(len(twin.weight), 1, 1, 1) * 2 + 0.1)  # channels differ in size
        if kind == "index":
            twin.bias.fill_(1.2)
        if kind == "relu":
            twin.bias.fill_(0.5)  # no channel is silent
    x = Signal(values, steps)
    twin.observing = True
    twin(x)
    twin.observing = False
    twin.calibrate()
    return twin, x


def integer_layer(twin: EntropyConv, steps: Tensor) -> IntegerConv:
    """What is shipped of a twin."""
    integers = integers_of(twin, steps)
    arrays = (integers.weight, integers.bias, *_multipliers(integers.factor))
    return IntegerConv(*(torch.from_numpy(a) for a in arrays), integers.low, integers.high, integers.upsample)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("upsample", "kernel"), [(1, 3), (2, 3), (1, 1)])
@torch.no_grad()
def test_quantised_twin_equals_its_integers(kind: Kind, upsample: int, kernel: int) -> None:
    twin, x = random_twin(kind, upsample=upsample, kernel=kernel)
    twin.quantised = True
    floats = twin(x)
    layer = integer_layer(twin, x.steps)
    symbols = torch.round(x.values / x.steps[:, None, None]).to(torch.int8).permute(0, 2, 3, 1)
    integers = layer(symbols).permute(0, 3, 1, 2).double()
    as_integers = floats.values.double() / floats.steps.double()[:, None, None]
    difference = (as_integers.round() - integers).abs()
    torch.testing.assert_close(as_integers, as_integers.round(), atol=2e-3, rtol=0)
    assert difference.max() <= 1
    assert (difference == 0).double().mean() >= 0.995
    assert integers.std() > (3 if kind == "index" else 8)  # something was compared
    assert integers.shape == (2, 8, 9 * upsample, 10 * upsample)


@torch.no_grad()
def test_a_channel_that_never_fires_costs_the_others_nothing() -> None:
    # Its step is small, so its factor is large; with one shift for all it would leave the others fewer bits.
    twin, x = random_twin("relu")
    symbols = torch.round(x.values / x.steps[:, None, None]).to(torch.int8).permute(0, 2, 3, 1)
    before = integer_layer(twin, x.steps)(symbols).permute(0, 3, 1, 2)
    twin.bias[3] = -1e3
    twin.peak.zero_()
    twin.observing = True
    twin(x)
    twin.observing = False
    twin.calibrate()
    twin.quantised = True
    floats = twin(x)
    integers = integer_layer(twin, x.steps)(symbols).permute(0, 3, 1, 2)
    assert before[:, 3].any()
    assert not integers[:, 3].any()
    others = [0, 1, 2, 4, 5, 6, 7]
    assert torch.equal(integers[:, others], before[:, others])
    assert torch.equal((floats.values / floats.steps[:, None, None]).round().int(), integers.int())


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_quantisation_changes_a_calibrated_layer_little(kind: Kind) -> None:
    twin, x = random_twin(kind)
    plain = twin(x).values
    twin.quantised = True
    fake = twin(x).values
    step = twin.steps[None, :, None, None]
    # rounding of the output and of 8-bit weights; an index is rounded to a whole number
    assert ((fake - plain).abs() <= step * (4 if kind == "mean" else 1.5)).double().mean() > 0.99
    assert not torch.equal(fake, plain)


def test_ranges_and_fixed_steps_of_the_kinds() -> None:
    found = {kind: EntropyConv(1, 2, kind, tables=24) for kind in KINDS}
    assert {kind: (twin.low, twin.high) for kind, twin in found.items()} == {
        "relu": (0, 127), "signed": (-127, 127), "mean": (-32767, 32767), "index": (0, 23),
    }  # fmt: skip
    assert found["mean"].steps.tolist() == [1 / 16] * 2
    assert found["index"].steps.tolist() == [1.0] * 2


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_outputs_are_clamped_to_the_range(kind: Kind) -> None:
    twin = EntropyConv(1, 1, kind, kernel=1, tables=24)
    twin.weight.fill_(1.0)
    twin.bias.zero_()
    twin.quantised = True
    x = Signal(torch.tensor([-1e6, 1e6]).reshape(1, 1, 1, 2), torch.ones(1))
    out = twin(x).values / twin.steps[0]
    torch.testing.assert_close(out.flatten(), torch.tensor([float(twin.low), float(twin.high)]))


@torch.no_grad()
def test_a_float_index_is_clamped_but_not_rounded() -> None:
    twin = EntropyConv(1, 1, "index", kernel=1, tables=24)
    twin.weight.fill_(1.0)
    twin.bias.zero_()
    x = Signal(torch.tensor([-3.0, 2.5, 99.0]).reshape(1, 1, 1, 3), torch.ones(1))
    assert twin(x).values.flatten().tolist() == [0.0, 2.5, 23.0]


def test_integers_of_a_layer_by_hand() -> None:
    twin = EntropyConv(2, 1, "signed", kernel=1, gain=2.0)
    with torch.no_grad():
        twin.weight.copy_(torch.tensor([0.5, -0.25]).reshape(1, 2, 1, 1))
        twin.bias.fill_(0.1)
        twin.steps.fill_(0.125)
    found = integers_of(twin, torch.tensor([1.0, 0.5]))
    scale = 0.5 / 127  # folded weights are 0.5 and -0.125
    assert found.weight.flatten().tolist() == [127, -32]  # -31.75, rounded
    assert found.weight.dtype == np.int8
    assert found.bias.tolist() == [25]  # 0.1 / scale = 25.4
    np.testing.assert_allclose(found.factor, [scale * 2.0 / 0.125], rtol=1e-12)
    assert (found.low, found.high, found.upsample) == (-127, 127, 1)


@torch.no_grad()
def test_fake_quantisation_rounds_weights_and_bias_as_the_integers_are() -> None:
    twin = EntropyConv(2, 1, "signed", kernel=1)
    twin.weight.copy_(torch.tensor([1.0, 0.3]).reshape(1, 2, 1, 1))
    twin.bias.fill_(0.6 / 127)
    twin.steps.fill_(0.25 / 127)
    twin.quantised = True
    ones = Signal(torch.tensor([[0.0, 0.0], [0.0, 1.0]]).reshape(1, 2, 1, 2), torch.ones(2))
    # weights are 127 and 38 (not 38.1), the bias is 1 (not 0.6), all of 1/127; a step is a quarter of that
    expected = torch.tensor([1.0, 127 / 4])  # 39 is beyond the range of 127 steps
    torch.testing.assert_close(twin(ones).values.flatten() * 127, expected)
    twin.steps.fill_(1 / 127)
    torch.testing.assert_close(twin(ones).values.flatten() * 127, torch.tensor([1.0, 39.0]))


def test_a_layer_of_zeros_has_integers() -> None:
    twin = EntropyConv(2, 4, "relu", upsample=2)
    with torch.no_grad():
        twin.weight.zero_()
        twin.bias.zero_()
    found = integers_of(twin, torch.ones(2))
    assert not found.weight.any()
    assert found.factor.shape == (16,)
    assert np.isfinite(found.factor).all()


@torch.no_grad()
def test_without_weights_the_bias_is_kept_exactly() -> None:
    twin = EntropyConv(2, 4, "mean", kernel=1, gain=4.0)
    twin.weight.zero_()
    twin.bias.copy_(torch.tensor([0.3, -2.0, 1e-6, 0.0]))
    found = integers_of(twin, torch.ones(2))
    assert not found.weight.any()
    assert found.bias.tolist() == [2**24, -(2**24), 2**24, 0]
    exact = twin.bias.double().numpy() * 4.0 * 16  # gain, and sixteenths
    np.testing.assert_allclose(found.bias * found.factor, exact, rtol=1e-15)
    twin.quantised = True
    out = twin(Signal(torch.randn(1, 2, 1, 1), torch.ones(2)))
    assert (out.values.flatten() * 16).tolist() == [19.0, -128.0, 0.0, 0.0]  # 19.2, rounded


@torch.no_grad()
def test_a_large_bias_makes_the_weights_coarser_and_fits() -> None:
    twin = EntropyConv(1, 2, "mean", kernel=1)
    twin.weight.copy_(torch.tensor([1.0, 1.0]).reshape(2, 1, 1, 1))
    twin.bias.copy_(torch.tensor([2.0**24, 2.0**10]))
    found = integers_of(twin, torch.ones(1))
    assert found.weight.flatten().tolist() == [1, 127]  # a scale of 1, and of 1/127
    assert found.bias.tolist() == [2**24, 127 * 2**10]


def test_calibration_fits_the_peaks() -> None:
    twin = EntropyConv(1, 3, "relu", kernel=1)
    with torch.no_grad():
        twin.weight.copy_(torch.tensor([2.0, 1.0, -1.0]).reshape(3, 1, 1, 1))
        twin.bias.zero_()
    twin.observing = True
    for peak in (1.0, 3.0, 2.0):  # the largest of all batches counts
        twin(Signal(torch.tensor([0.0, peak]).reshape(1, 1, 1, 2), torch.ones(1)))
    assert twin.peak.tolist() == [6.0, 3.0, 0.0]
    twin.calibrate()
    # a channel that never fired gets a thousandth of the mean peak, and all a tenth more than was seen
    torch.testing.assert_close(twin.steps, torch.tensor([6.0, 3.0, 3e-3 + 1e-6]) * 1.1 / 127)


@pytest.mark.parametrize("kind", ["mean", "index"])
def test_calibration_leaves_fixed_steps_alone(kind: Kind) -> None:
    twin = EntropyConv(1, 3, kind)
    before = twin.steps.clone()
    twin.peak.fill_(100.0)
    twin.calibrate()
    assert torch.equal(twin.steps, before)


def test_rounding_is_half_up_with_the_gradient_of_the_identity() -> None:
    x = torch.tensor([-1.5, -0.5, 0.5, 1.5, 2.4, -2.6], requires_grad=True)
    y = straight_through_round(x)
    y.backward(torch.arange(6.0))
    assert y.tolist() == [-1.0, 0.0, 1.0, 2.0, 2.0, -3.0]
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_clamp_passes_only_gradients_that_lead_back_inside() -> None:
    x = torch.tensor([-9.0, -9.0, 0.0, 0.0, 9.0, 9.0, 1.0, -1.0], requires_grad=True)
    y = clamp(x, -1.0, 1.0)
    # descent moves against the gradient: below the range a negative one helps, above it a positive one
    y.backward(torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0, -1.0, 1.0]))
    assert y.tolist() == [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0, 1.0, -1.0]
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, -1.0, 1.0, -1.0, 1.0, 0.0, -1.0, 1.0]


@pytest.mark.parametrize("kind", KINDS)
def test_quantised_gradients_are_near_those_of_the_float_layer(kind: Kind) -> None:
    twin, x = random_twin(kind)
    gradients = []
    for quantised in (False, True):
        twin.quantised = quantised
        twin.zero_grad()
        twin(x).values.square().mean().backward()
        assert twin.weight.grad is not None
        gradients.append(twin.weight.grad.flatten())
    cosine = torch.nn.functional.cosine_similarity(gradients[0], gradients[1], dim=0)
    assert cosine > 0.99


def test_join_keeps_steps_beside_their_channels() -> None:
    parts = [Signal(torch.full((1, n, 2, 2), float(n)), torch.full((n,), n / 10)) for n in (1, 2)]
    joined = join(parts)
    assert joined.values[0, :, 0, 0].tolist() == [1.0, 2.0, 2.0]
    torch.testing.assert_close(joined.steps, torch.tensor([0.1, 0.2, 0.2]))


def test_autocast_does_not_reach_the_entropy_side():
    torch.manual_seed(0)
    layer = EntropyConv(4, 3, "mean")
    x = Signal(torch.randn(1, 4, 5, 5), torch.ones(4))
    plain = layer(x).values
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x).values, plain)
