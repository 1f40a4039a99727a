"""Light blocks against a few lines of numpy, light transforms from end to end, and what quality does to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SMALL, MakePicture, make_model
from torch import Tensor, nn
from torch.nn import functional

from fedscodec import fileformat
from fedscodec.codec.decoding import decode_file, reconstruct
from fedscodec.codec.encoding import analyse_picture, encode_analysed, encode_picture
from fedscodec.codec.model import Model
from fedscodec.codec.settings import Encoding
from fedscodec.codec.targets import Target, encode_to_target
from fedscodec.networks import counts
from fedscodec.networks.blocks.light import SHARE, LightBlock, layer_of
from fedscodec.networks.light_layers import LayerSpec
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import Stage, WindowAttention
from fedscodec.networks.tiles import Box, margin, run_in_tiles, transform_tiles
from fedscodec.networks.transforms import Analysis, Synthesis, Transform
from fedscodec.networks.weights import read_weights, write_weights

STAGES = (Stage(2, "light", 4, 1), Stage(4, "light", 6, 2), Stage(8, "light", 8, 1), Stage(16, "light", 10, 1))
LIGHT = replace(SMALL, stages=STAGES, shortcut="principal")
ATTENTIVE = replace(
    LIGHT, stages=(*STAGES[:2], replace(STAGES[2], attention=WindowAttention(window=4, heads=2)), STAGES[3])
)
ONE = torch.ones(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(2)


def stirred(net: nn.Module) -> nn.Module:
    """The same network with scales that differ from quality to quality."""
    with torch.no_grad():
        for table in net.scales.values():
            table.normal_(0, 0.5)
    return net


def by_hand(block: LightBlock, x: np.ndarray) -> np.ndarray:
    """The block's formula on [C, H, W], in float64."""
    weights = {k: v.double().numpy(force=True) for k, v in block.state_dict().items()}

    def pointwise(name: str, x: np.ndarray) -> np.ndarray:
        return np.einsum("oi,ihw->ohw", weights[f"{name}.weight"], x) + weights[f"{name}.bias"][:, None, None]

    def leaky(x: np.ndarray) -> np.ndarray:
        return np.where(x > 0, x, 0.01 * x)

    padded = np.pad(leaky(pointwise("into", x)), ((0, 0), (1, 1), (1, 1)))
    height, width = x.shape[1:]
    taps = weights["around.weight"][:, 0]
    around = weights["around.bias"][:, None, None] + sum(
        taps[:, i, j, None, None] * padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)
    )
    x = x + pointwise("out", around)
    return x + pointwise("narrow", leaky(pointwise("widen", x)))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 5), (7, 3), (40, 33)])
def test_light_block_is_its_formula(height: int, width: int) -> None:
    block, x = LightBlock(6), torch.randn(2, 6, height, width)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.4)
    expected = np.stack([by_hand(block, one.double().numpy()) for one in x])
    np.testing.assert_allclose(block(x).detach().numpy(), expected, atol=2e-5)
    for layout in (torch.contiguous_format, torch.channels_last):
        with torch.no_grad():  # another way through, in place
            found = block(x.clone().contiguous(memory_format=layout))
        np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


def test_a_fresh_block_changes_little() -> None:
    block, x = LightBlock(64), torch.randn(1, 64, 16, 16)
    with torch.no_grad():
        block.start()
        change = block(x.clone()) - x
    assert 0.5 * SHARE < float(change.std()) < 3 * SHARE
    assert not any(layer.bias.any() for layer in (block.into, block.out, block.widen, block.narrow))


def test_a_silent_block_changes_nothing_and_learns() -> None:
    block, x = LightBlock(8), torch.randn(1, 8, 5, 5)
    with torch.no_grad():
        block.start()
        block.silence()
    y = block(x)
    assert torch.equal(y, x)
    y.square().sum().backward()
    assert bool(block.out.weight.grad.any())
    assert bool(block.narrow.weight.grad.any())


def test_ways_in_and_out() -> None:
    x = torch.randn(1, 3, 8, 12)
    first = layer_of(LayerSpec(3, 5, kernel=3, gather=2))
    expected = functional.conv2d(functional.pixel_unshuffle(x, 2), first.weight, first.bias, padding=1)
    torch.testing.assert_close(first(x), expected)
    down, up = layer_of(LayerSpec(3, 5, gather=2)), layer_of(LayerSpec(3, 4, spread=2))
    squares = functional.pixel_unshuffle(x, 2)
    torch.testing.assert_close(down(x), functional.conv2d(squares, down.weight[:, :, None, None], down.bias))
    wide = functional.conv2d(x, up.weight[:, :, None, None], up.bias)
    torch.testing.assert_close(up(x), functional.pixel_shuffle(wide, 2))


@torch.no_grad()
def test_shapes_and_taps() -> None:
    quality = torch.tensor([1.0, 6.5])
    analysed = Analysis(LIGHT)(torch.rand(2, 3, 48, 80), quality)
    assert analysed.value.shape == (2, 16, 3, 5)
    sizes = [(2, 4, 24, 40), (2, 6, 12, 20), (2, 8, 6, 10), (2, 10, 3, 5)]
    assert [tuple(tap.shape) for tap in analysed.taps] == sizes
    synthesised = Synthesis(LIGHT)(analysed.value, quality)
    assert synthesised.value.shape == (2, 3, 48, 80)
    assert [tuple(tap.shape) for tap in synthesised.taps] == sizes[::-1]
    assert LIGHT.tap_widths == (4, 6, 8, 10, 10, 8, 6, 4)


@pytest.mark.parametrize("transform", [Analysis, Synthesis])
def test_with_gradients_and_without_them_the_same_comes_out(transform: type[Transform]) -> None:
    net = stirred(transform(ATTENTIVE))
    x = torch.randn(2, 3, 64, 96) if transform is Analysis else torch.randn(2, 16, 4, 6)
    quality = torch.tensor([1.5, 7.0])
    expected = net(x, quality)
    with torch.no_grad():
        found = net(x, quality)
        alone = net(x[1:], quality[1:])
    assert expected.value.requires_grad
    torch.testing.assert_close(found.value, expected.value, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(alone.value, expected.value[1:], atol=1e-5, rtol=1e-5)
    for a, b in zip(found.taps, expected.taps, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("transform", [Analysis, Synthesis])
@torch.no_grad()
def test_quality_scales_what_a_stage_sees(transform: type[Transform]) -> None:
    net = transform(LIGHT)
    assert net.sees_quality
    assert not transform(SMALL).sees_quality
    x = torch.randn(1, 3, 32, 32) if transform is Analysis else torch.randn(1, 16, 2, 2)
    low, high = torch.tensor([1.0]), torch.tensor([2.0])
    assert torch.equal(net(x, low).value, net(x, high).value)  # scales begin at one
    net.scales["1"][1] += 0.7
    scaled = transform(LIGHT)
    scaled.load_state_dict(net.state_dict())
    way = (scaled.down if transform is Analysis else scaled.up)[1]
    share = torch.tensor(0.35).exp()  # halfway between two qualities
    way.weight.mul_(share)
    way.bias.mul_(share)
    scaled.scales["1"].zero_()
    torch.testing.assert_close(net(x, torch.tensor([1.5])).value, scaled(x, low).value, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("transform", [Analysis, Synthesis])
@torch.no_grad()
def test_without_the_last_layer_a_transform_is_its_shortcut(transform: type[Transform]) -> None:
    net = transform(LIGHT)
    net.last.weight.zero_()
    net.last.bias.zero_()
    x = torch.randn(1, 3, 32, 48) if transform is Analysis else torch.randn(1, 16, 2, 3)
    torch.testing.assert_close(net(x, ONE).value, net.linear(x))
    assert len(net.shortcut) == 1


@torch.no_grad()
def test_the_shortcut_stays_float32_under_autocast() -> None:
    net, x = Analysis(LIGHT), torch.rand(1, 3, 64, 64)
    net.last.weight.zero_()
    net.last.bias.zero_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = net(x, ONE).value
    torch.testing.assert_close(y, net.linear(x), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("spec", "reach"), [(LIGHT, 2 + 2 + 2 * 4 + 8 + 16), (ATTENTIVE, 36 + 8 * 3)])
@pytest.mark.parametrize("transform", [Analysis, Synthesis])
@torch.no_grad()
def test_tiles_equal_the_whole(transform: type[Transform], spec, reach: int) -> None:
    net, analysis = stirred(transform(spec)), transform is Analysis
    rows, columns = 17, 14
    x = torch.randn(1, 3, 16 * rows, 16 * columns) if analysis else torch.randn(1, 16, rows, columns)
    whole = net(x, torch.tensor([2.5])).value
    out, count = torch.full_like(whole, torch.nan), 0

    def read(box: Box) -> Tensor:
        nonlocal count
        count += 1
        return box.scaled(16 if analysis else 1).of(x)

    def write(box: Box, part: Tensor) -> None:
        box.of(out).copy_(part)

    grid = transform_tiles(rows, columns, net, 5)
    run_in_tiles(lambda part: net(part, torch.tensor([2.5])).value, read, write, grid, 1 if analysis else 16)
    assert count >= 4
    assert (net.reach, margin(net)) == (reach, -(-reach // 16))
    torch.testing.assert_close(out, whole, atol=2e-5, rtol=0)


@pytest.mark.parametrize("at", [2, 4, 8, 16])
def test_light_stages_may_begin_anywhere_but_end_at_a_sixteenth(at: int) -> None:
    stages = tuple(stage for stage in STAGES if stage.at >= at)
    assert Analysis(replace(LIGHT, stages=stages))(torch.rand(1, 3, 32, 32), ONE).value.shape == (1, 16, 2, 2)
    assert Synthesis(replace(LIGHT, stages=stages))(torch.rand(1, 16, 2, 2), ONE).value.shape == (1, 3, 32, 32)
    with pytest.raises(ValueError, match="the last layer of light stages changes the size by 1, but .* ask for 2"):
        Analysis(replace(LIGHT, stages=STAGES[:3]))


def test_a_block_costs_what_its_first_lines_say() -> None:
    with torch.device("meta"), counts.MultiplyCounter() as counter, torch.no_grad():
        LightBlock(12)(torch.empty(1, 12, 4, 5))
    assert counter.macs == (6 * 12**2 + 9 * 12) * 4 * 5


def test_starts_of_all_blocks_are_called() -> None:
    model = FedsModel(LIGHT)
    for transform in (model.g_a, model.g_s):
        for block in (b for group in transform.groups for b in group):
            assert not block.out.bias.any()
            assert float(block.around.weight[:, 0, 1, 1].detach().mean()) == pytest.approx(1.0, abs=0.15)


@pytest.fixture(scope="module")
def light_codec(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A small network with light transforms whose scales differ, from its weights file."""
    path = tmp_path_factory.mktemp("weights") / "light.safetensors"
    model = make_model(5, stages=STAGES, shortcut="principal")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        for transform in (model.g_a, model.g_s):
            stirred(transform)
    write_weights(path, model, {"origin": "random"})
    return Model(read_weights(path), name="light", quality=4.0, device="cpu", precision=torch.float32)


@pytest.mark.parametrize("quality", [1.0, 3.456, 7.0])
def test_every_quality_has_its_own_analysis(light_codec: Model, picture: MakePicture, quality: float) -> None:
    original, how = picture(width=70, height=50), Encoding(quality=quality)
    whole, analysed = encode_picture(original, light_codec, how), analyse_picture(original, light_codec)
    assert analysed.latents is None
    encoded = encode_analysed(analysed, light_codec, how)
    assert encoded.data == whole.data
    assert encoded.seconds.keys() == whole.seconds.keys()
    decoded = decode_file(fileformat.unpack(encoded.data), light_codec).picture
    assert np.array_equal(reconstruct(encoded, light_codec).pixels, decoded.pixels)
    other = encode_picture(original, light_codec, Encoding(quality=quality - 0.5 if quality > 1 else 1.5))
    assert not np.array_equal(other.symbols[1], whole.symbols[1])


def test_a_target_analyses_at_every_quality_it_tries(light_codec: Model, picture: MakePicture) -> None:
    original = picture(width=70, height=50)
    limit = (len(light_codec.encode(original, 3.0)) + len(light_codec.encode(original, 5.0))) // 2
    hit = encode_to_target(original, light_codec, Target("size", limit))
    assert len(hit.encoded.data) <= limit
    quality = fileformat.unpack(hit.encoded.data).header.quality / 1000
    assert encode_picture(original, light_codec, Encoding(quality=quality)).data == hit.encoded.data
