"""The bricks of the transforms against a few lines of numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import SMALL
from torch.nn import functional

from fedscodec.networks import quick
from fedscodec.networks.blocks import KINDS, kind_of
from fedscodec.networks.blocks.gdn import GDN, lower_bound
from fedscodec.networks.blocks.layers import (
    by_place,
    fused,
    gathered,
    grain_of,
    leaky_relu,
    pointwise,
    reach_of,
    spread,
)
from fedscodec.networks.blocks.light import LightBlock
from fedscodec.networks.blocks.mixed import MixedBlock
from fedscodec.networks.blocks.residual import DownBlock, ResidualBlock, UpBlock
from fedscodec.networks.light_layers import SLOPE
from fedscodec.networks.shortcuts import HaarDown, HaarUp, haar
from fedscodec.networks.spec import VARIANTS
from fedscodec.networks.transforms import Analysis, Synthesis


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(1)


@pytest.mark.parametrize("inverse", [False, True])
def test_gdn_is_its_formula(inverse: bool) -> None:
    gdn = GDN(3, inverse=inverse)
    with torch.no_grad():
        gdn.beta.uniform_(0.5, 1.5)
        gdn.gamma.uniform_(0.1, 0.9)
    x = torch.randn(2, 3, 4, 5) * 3
    beta, gamma, values = (t.double().numpy(force=True) for t in (gdn.beta**2, gdn.gamma**2, x))
    norm = np.sqrt(beta[:, None, None] + np.einsum("oi,bihw->bohw", gamma, values**2))
    np.testing.assert_allclose(gdn(x).detach(), values * norm if inverse else values / norm, rtol=2e-6)


@pytest.mark.parametrize("inverse", [False, True])
def test_gradients_of_gdn_are_those_of_its_formula(inverse: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedscodec.networks.blocks.layers.BAND", 8 * 3 * 5 * 2)  # two rows a band, the last with one
    gdn = GDN(3, inverse=inverse)
    with torch.no_grad():
        gdn.beta.uniform_(0.5, 1.5)
        gdn.gamma.uniform_(0.1, 0.9)
    x = (torch.randn(2, 3, 7, 5) * 3).to(memory_format=torch.channels_last).requires_grad_()
    above = torch.randn(2, 3, 7, 5)
    found = torch.autograd.grad((gdn(x) * above).sum(), (x, gdn.gamma, gdn.beta))
    norm = functional.conv2d(x * x, (gdn.gamma**2)[:, :, None, None], gdn.beta**2)
    plain = x * (norm.sqrt() if inverse else norm.rsqrt())
    expected = torch.autograd.grad((plain * above).sum(), (x, gdn.gamma, gdn.beta))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_fresh_gdn() -> None:
    x = torch.tensor([3.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
    expected = [3 / np.sqrt(1 + 0.1 * 9), 0.0, -1 / np.sqrt(1.1)]  # beta 1, gamma 0.1 on the diagonal
    np.testing.assert_allclose(GDN(3)(x).detach().flatten(), expected, rtol=1e-6)


def test_gdn_survives_parameters_below_their_bounds() -> None:
    gdn = GDN(2)
    with torch.no_grad():
        gdn.beta.fill_(-5.0)  # counts as the square root of 1e-6
        gdn.gamma.fill_(-5.0)  # counts as zero
    x = torch.tensor([1.0, -2.0]).reshape(1, 2, 1, 1)
    np.testing.assert_allclose(gdn(x).detach().flatten(), [1e3, -2e3], rtol=1e-4)
    gdn(x * x).sum().backward()  # smaller outputs want larger parameters, and up is where these may move
    assert gdn.beta.grad is not None
    assert torch.all(gdn.beta.grad < 0)


def test_gdn_is_float32_under_autocast() -> None:
    gdn, x = GDN(3), torch.randn(1, 3, 2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = gdn(x.bfloat16())
    assert y.dtype == torch.float32
    assert torch.equal(y, gdn(x.bfloat16().float()))


def test_lower_bound_passes_only_gradients_that_lead_up() -> None:
    x = torch.tensor([-1.0, -1.0, 2.0, 2.0], requires_grad=True)
    y = lower_bound(x, 0.5)
    y.backward(torch.tensor([1.0, -1.0, 1.0, -1.0]))
    assert y.tolist() == [0.5, 0.5, 2.0, 2.0]
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, -1.0, 1.0, -1.0]


def inverse_haar(x: torch.Tensor) -> torch.Tensor:
    """Undo `haar`: [B, 4·C, H, W] → [B, C, 2H, 2W]."""
    average, horizontal, vertical, diagonal = x.chunk(4, 1)
    rows = [
        torch.stack([average + way * vertical + horizontal + way * diagonal,
                     average + way * vertical - horizontal - way * diagonal], -1).flatten(-2) / 2
        for way in (1, -1)
    ]  # fmt: skip
    return torch.stack(rows, -2).flatten(-3, -2)


def test_haar_of_one_patch() -> None:
    x = torch.tensor([[1.0, 2.0], [5.0, 10.0]])[None, None]
    assert haar(x).flatten().tolist() == [9.0, -3.0, -6.0, 2.0]  # average, horizontal, vertical, diagonal


def test_haar_is_orthonormal() -> None:
    matrix = haar(torch.eye(4).reshape(4, 1, 2, 2)).reshape(4, 4).double()
    assert torch.equal(matrix @ matrix.T, torch.eye(4, dtype=torch.float64))


def test_inverse_haar_undoes_haar_and_bands_are_outermost() -> None:
    x = torch.randn(2, 3, 6, 8)
    bands = haar(x)
    assert bands.shape == (2, 12, 3, 4)
    torch.testing.assert_close(inverse_haar(bands), x, rtol=0, atol=1e-6)
    torch.testing.assert_close(bands[:, :3], 2 * functional.avg_pool2d(x, 2), rtol=0, atol=1e-6)
    torch.testing.assert_close(haar(inverse_haar(bands)), bands, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("inputs", "outputs", "height", "width"), [(3, 8, 6, 10), (8, 5, 2, 2), (1, 1, 4, 64)])
def test_haar_down_is_haar_and_then_its_convolution(inputs: int, outputs: int, height: int, width: int) -> None:
    layer, x = HaarDown(inputs, outputs), torch.randn(2, inputs, height, width)
    assert layer.weight.shape == (outputs, 4 * inputs, 1, 1)
    expected = functional.conv2d(haar(x), layer.weight, layer.bias)
    assert expected.shape == (2, outputs, height // 2, width // 2)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs", "height", "width"), [(8, 3, 3, 5), (5, 8, 1, 1), (1, 1, 2, 32)])
def test_haar_up_is_its_convolution_and_then_inverse_haar(inputs: int, outputs: int, height: int, width: int) -> None:
    layer, x = HaarUp(inputs, outputs), torch.randn(2, inputs, height, width)
    assert layer.weight.shape == (4 * outputs, inputs, 1, 1)
    expected = inverse_haar(functional.conv2d(x, layer.weight, layer.bias))
    assert expected.shape == (2, outputs, 2 * height, 2 * width)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-5)


def test_gradients_of_haar_layers_are_those_of_the_two_steps() -> None:
    down, up = HaarDown(3, 4), HaarUp(4, 3)
    x, y = torch.randn(1, 3, 6, 6), torch.randn(1, 4, 3, 3)
    fused = down(x).square().sum() + up(y).square().sum()
    parted = functional.conv2d(haar(x), down.weight, down.bias).square().sum()
    parted = parted + inverse_haar(functional.conv2d(y, up.weight, up.bias)).square().sum()
    parameters = [*down.parameters(), *up.parameters()]
    for found, expected in zip(*(torch.autograd.grad(loss, parameters) for loss in (fused, parted)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_pointwise_is_a_convolution_of_one_pixel(layout: torch.memory_format) -> None:
    x, weight, bias = torch.randn(2, 3, 4, 5).to(memory_format=layout), torch.randn(6, 3), torch.randn(6)
    expected = functional.conv2d(x, weight[:, :, None, None], bias)
    torch.testing.assert_close(pointwise(x, weight, bias), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(pointwise(x, weight, None), expected - bias[:, None, None], rtol=0, atol=1e-5)


def test_leaky_relu_works_in_place_only_where_no_gradient_needs_its_input() -> None:
    values = torch.tensor([-2.0, 0.0, 3.0])
    x = values.clone().requires_grad_()
    y = leaky_relu(x * 1)
    y.sum().backward()
    torch.testing.assert_close(y.detach(), torch.tensor([-0.02, 0.0, 3.0]))
    torch.testing.assert_close(x.grad, torch.tensor([0.01, 0.01, 1.0]))
    kept, overwritten = values.clone(), values.clone()
    assert leaky_relu(kept) is not kept
    assert torch.equal(kept, values)
    with torch.no_grad():
        assert torch.equal(leaky_relu(overwritten), y)
    assert torch.equal(overwritten, y)


def test_residual_block_is_its_formula() -> None:
    block, x = ResidualBlock(4), torch.randn(1, 4, 5, 6)
    inner = functional.conv2d(x, block.conv1.weight, block.conv1.bias, padding=1)
    inner = torch.where(inner > 0, inner, SLOPE * inner)
    outer = functional.conv2d(inner, block.conv2.weight, block.conv2.bias, padding=1)
    torch.testing.assert_close(block(x), x + torch.where(outer > 0, outer, SLOPE * outer))


@pytest.mark.parametrize(("height", "width"), [(2, 2), (6, 10), (48, 16)])
def test_down_block_halves_and_up_block_doubles(height: int, width: int) -> None:
    x = torch.randn(2, 3, height, width)
    down, up = DownBlock(3, 5), UpBlock(5, 4)
    assert down(x).shape == (2, 5, height // 2, width // 2)
    assert up(down(x)).shape == (2, 4, height, width)


def test_shortcuts_of_down_and_up_block() -> None:
    down, up = DownBlock(3, 5), UpBlock(5, 4)
    with torch.no_grad():
        for conv in (down.conv, up.conv):  # what passes the main branches is zero then
            conv.weight.zero_()
            conv.bias.zero_()
    x, y = torch.randn(1, 3, 4, 6), torch.randn(1, 5, 2, 3)
    torch.testing.assert_close(down(x), functional.conv2d(x, down.skip.weight, down.skip.bias, stride=2))
    torch.testing.assert_close(up(y), functional.pixel_shuffle(up.skip(y), 2))


@pytest.mark.parametrize(("name", "count", "kind"), [
    ("paper-baseline", 0, ResidualBlock), ("student-paper", 1, ResidualBlock), ("teacher-paper", 6, ResidualBlock),
    ("paper-transformer-teacher", 3, MixedBlock), ("paper-transformer-student", 1, MixedBlock),
])  # fmt: skip
def test_sizes_of_residual_groups(name: str, count: int, kind: type) -> None:
    with torch.device("meta"):
        groups = Synthesis(VARIANTS[name]).groups
    assert [[type(block) for block in group] for group in groups] == [[kind] * count] * 3


@pytest.mark.parametrize(("name", "counts", "kind"), [
    ("student", [1, 2, 3, 1], LightBlock), ("teacher", [1, 6, 10, 6], LightBlock), ("tiny-light", [1] * 4, LightBlock),
    ("transformer-teacher", [1, 3, 5, 3], MixedBlock), ("transformer-student", [1, 1, 2, 1], MixedBlock),
])  # fmt: skip
def test_sizes_of_light_groups(name: str, counts: list[int], kind: type) -> None:
    with torch.device("meta"):
        groups = Analysis(VARIANTS[name]).groups
    assert [[type(block) for block in group] for group in groups] == [[kind] * count for count in counts]


def test_an_unknown_kind_of_block_is_refused() -> None:
    with pytest.raises(ValueError, match="^the kind of a stage is one of light, .*, residual, .*, found 'cubic'$"):
        kind_of("cubic")


def test_a_module_that_does_not_say_how_far_it_sees_is_refused() -> None:
    assert reach_of(torch.nn.Sequential(ResidualBlock(2), torch.nn.Identity(), ResidualBlock(2))) == 4
    with pytest.raises(TypeError, match="^Conv2d does not say how far it sees$"):
        reach_of(torch.nn.Sequential(ResidualBlock(2), torch.nn.Conv2d(2, 2, 3)))


def test_windows_give_their_grain() -> None:
    group = torch.nn.Sequential(MixedBlock(8, "swin-v2", shift=True), ResidualBlock(8))
    assert (reach_of(group), grain_of(group)) == (7 + 2, 8)


def test_an_empty_group_is_the_identity() -> None:
    x = torch.randn(1, 8, 3, 3)
    assert Synthesis(SMALL).groups[0](x) is x


def test_mixed_blocks_alternate_their_windows_and_keep_any_size() -> None:
    group = torch.nn.Sequential(*(KINDS["mixed-v1"].block(8, number) for number in range(3)))
    shifts = [block.window.blocks[0].shift for block in group]
    assert shifts == [0, 4, 0]
    x = torch.randn(1, 8, 5, 11)
    y = group(x)
    assert y.shape == x.shape
    assert not torch.equal(y, x)


def test_each_half_of_a_mixed_block_sees_its_own_channels() -> None:
    block, x = MixedBlock(8, "swin-v2", shift=False), torch.randn(1, 8, 9, 9)
    local, distant = block.into(x)[:, :4], block.into(x)[:, 4:]
    both = torch.cat([block.conv(local), block.window(distant)], 1)
    torch.testing.assert_close(block(x), x + block.out(both))


@pytest.mark.parametrize("by", [1, 2, 16])
def test_squares_are_gathered_as_pixel_unshuffle_does_it_in_another_order(by: int) -> None:
    x, weight = torch.randn(2, 3, 2 * by, 3 * by), torch.randn(5, 3 * by**2)
    squares = gathered(x, by)
    expected = pointwise(functional.pixel_unshuffle(x, by), weight, None)
    torch.testing.assert_close(pointwise(squares, by_place(weight, by, dim=1), None), expected, rtol=0, atol=1e-4)
    assert torch.equal(spread(squares, by), x)
    y = torch.randn(2, 5, 2, 3)
    expected = functional.pixel_shuffle(pointwise(y, weight.T, None), by)
    torch.testing.assert_close(spread(pointwise(y, by_place(weight.T, by), None), by), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize("one_pass", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_fused_steps_equal_separate_steps(
    one_pass: bool, layout: torch.memory_format, learns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedscodec.networks.quick._ONE_PASS", quick._ONE_PASS if one_pass else ())
    x, plus = (torch.randn(2, c, 4, 5).to(memory_format=layout).requires_grad_(learns) for c in (3, 6))
    weight, bias = torch.randn(6, 3, requires_grad=learns), torch.randn(6, requires_grad=learns)
    y = pointwise(x, weight, bias)
    for steps, expected in (
        ({}, y),
        ({"leaky": True}, functional.leaky_relu(y, SLOPE)),
        ({"plus": plus if learns else plus.clone()}, y + plus),
    ):
        with torch.set_grad_enabled(learns):
            found = fused(x, weight, bias, **steps)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        if learns:
            inputs, up = (x, weight, bias, *([plus] if "plus" in steps else [])), torch.randn_like(y)
            for one, other in zip(
                torch.autograd.grad(found, inputs, up), torch.autograd.grad(expected, inputs, up, retain_graph=True),
                strict=True,
            ):  # fmt: skip
                torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        short = fused(x.bfloat16(), weight, bias, plus=plus.bfloat16())
    assert short.dtype == torch.bfloat16
    torch.testing.assert_close(short.float(), y + plus, rtol=0, atol=0.05)


@pytest.mark.parametrize(("kernel", "size"), [(3, (4, 5)), (5, (1, 1)), (5, (6, 3)), (7, (4, 9))])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_of_depthwise_layers_are_those_of_torch(
    kernel: int, size: tuple[int, int], dtype: torch.dtype
) -> None:
    x, weight = torch.randn(2, 6, *size), torch.randn(6, 1, kernel, kernel)
    inputs = [part.to(dtype).requires_grad_() for part in (x, weight, torch.randn(6))]
    whole = [part.detach().double().requires_grad_() for part in inputs]
    expected = functional.conv2d(*whole, padding=kernel // 2, groups=6)
    found = quick.depthwise(*inputs)
    up = torch.randn_like(found)
    pairs = zip(
        (found, *torch.autograd.grad(found, inputs, up)),
        (expected, *torch.autograd.grad(expected, whole, up.double())), strict=True,
    )  # fmt: skip
    for one, other in pairs:
        assert one.dtype == dtype
        rtol, atol = (0.02, 0.1) if dtype == torch.bfloat16 else (1e-5, 1e-4)
        torch.testing.assert_close(one.double(), other, rtol=rtol, atol=atol)
