"""Window attention against timm, against dense attention over all pairs of positions, and at its edges."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from timm.models.swin_transformer import SwinTransformerBlock
from timm.models.swin_transformer_v2 import SwinTransformerV2Block
from torch import Tensor, nn

from fedscodec.networks import attention
from fedscodec.networks.attention import Span, SwinBlock, Version, WindowAttentionModule

both_versions = pytest.mark.parametrize("version", ["swin-v1", "swin-v2"])


def picture(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normally distributed numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def small(version: Version, channels: int = 16, heads: int = 2, **options: int) -> WindowAttentionModule:
    """A module with every parameter moved from where it starts, so that none can hide."""
    torch.manual_seed(0)
    module = WindowAttentionModule(channels, version, heads=heads, **options)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return module.eval()


def timm_twin(block: SwinBlock, version: Version, size: tuple[int, int], channels: int) -> nn.Module:
    """The block of timm with the same weights; in version 1 its k bias, which we leave out, is random."""
    kind = SwinTransformerBlock if version == "swin-v1" else SwinTransformerV2Block
    twin = kind(channels, size, num_heads=block.heads, window_size=block.window, shift_size=block.shift)
    ours = block.state_dict()
    renamed = {
        "mlp.fc1": "mlp.0",
        "mlp.fc2": "mlp.2",
        "attn.proj": "proj",
        "norm1": "norm1",
        "norm2": "norm2",
    }
    theirs = {f"{their}.{p}": ours[f"{our}.{p}"] for their, our in renamed.items() for p in ("weight", "bias")}
    theirs["attn.qkv.weight"] = ours["qkv.weight"]
    q_bias, v_bias = ours["q_bias"].flatten(), ours["v_bias"].flatten()
    if version == "swin-v1":
        theirs["attn.qkv.bias"] = torch.cat([q_bias, picture(channels), v_bias])
        theirs["attn.relative_position_bias_table"] = ours["similarity.table"]
    else:
        theirs |= {"attn.q_bias": q_bias, "attn.v_bias": v_bias}
        theirs["attn.logit_scale"] = ours["similarity.log_scale"]
        for name in ("0.weight", "0.bias", "2.weight"):
            theirs[f"attn.cpb_mlp.{name}"] = ours[f"similarity.offset_mlp.{name}"]
    twin.load_state_dict(theirs)
    return twin.eval()


@pytest.mark.parametrize("shift", [0, 4])
@pytest.mark.parametrize("size", [(16, 16), (24, 32), (8, 16), (8, 8)])
@both_versions
def test_equals_timm(version: Version, size: tuple[int, int], shift: int) -> None:
    """Same weights, same result, on sizes which the window divides (else timm attends to its padding)."""
    module = small(version, channels=32, heads=4, first_shift=shift)
    x = picture(2, 32, *size)
    with torch.no_grad():
        expected = timm_twin(module.blocks[0], version, size, 32)(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        found = module(x)
        assert (found - expected).abs().max() < 1e-5
        assert (expected - x).abs().max() > 0.5  # the block does something
    assert found.is_contiguous(memory_format=torch.channels_last)


def dense_logits(block: SwinBlock, q: Tensor, k: Tensor, offsets: Tensor) -> Tensor:
    """Logits [heads, n, n] of q and k [heads, n, d] at the given offsets [n, n, 2], from the formulas."""
    w = block.window
    if isinstance(block.similarity, attention.DotProduct):
        rows = (offsets[..., 0] + w - 1) * (2 * w - 1) + offsets[..., 1] + w - 1
        return q @ k.mT / math.sqrt(q.shape[-1]) + block.similarity.table[rows].permute(2, 0, 1)
    spaced = offsets.sign() * torch.log2(1 + 8 * offsets.abs().double() / max(w - 1, 1)) / 3
    biases = 16 * torch.sigmoid(block.similarity.offset_mlp(spaced)).permute(2, 0, 1)
    tau = 1 / block.similarity.log_scale.exp()
    return F.cosine_similarity(q[:, :, None], k[:, None], dim=-1) / tau + biases


def dense_attention(block: SwinBlock, x: Tensor, size: tuple[int, int]) -> Tensor:
    """Every position of x [H·W, C] attends to every other one; pairs from different windows get -inf."""
    places = torch.cartesian_prod(*map(torch.arange, size))
    first = torch.tensor([block.shift if side > block.window else 0 for side in size])
    windows = (places - first).div(block.window, rounding_mode="floor")
    apart = (windows[:, None] != windows).any(-1)
    offsets = (places[:, None] - places).masked_fill(apart[..., None], 0)
    q, k, v = block.qkv(x).reshape(len(x), 3, block.heads, -1).permute(1, 2, 0, 3)
    logits = dense_logits(block, q + block.q_bias, k, offsets).masked_fill(apart, -torch.inf)
    mixed = logits.softmax(-1) @ (v + block.v_bias)
    return block.proj(mixed.transpose(0, 1).flatten(1))


def dense_block(block: SwinBlock, x: Tensor, size: tuple[int, int]) -> Tensor:
    """The whole block on x [H·W, C]: norms first in version 1, last in version 2."""
    if isinstance(block.similarity, attention.DotProduct):
        x = x + dense_attention(block, block.norm1(x), size)
        return x + block.mlp(block.norm2(x))
    x = x + block.norm1(dense_attention(block, x, size))
    return x + block.norm2(block.mlp(x))


SIZES = [((1, 1), 8, 4), ((3, 5), 8, 0), ((9, 13), 8, 0), ((9, 13), 8, 4), ((1, 20), 8, 4), ((8, 9), 8, 4)]
SIZES += [((17, 6), 8, 4), ((11, 10), 5, 2), ((11, 10), 5, 4), ((3, 2), 1, 0)]


@pytest.mark.parametrize(("size", "window", "shift"), SIZES)
@both_versions
def test_equals_dense_attention(version: Version, size: tuple[int, int], window: int, shift: int) -> None:
    """Any size: as if all pairs of real positions were computed, and those across windows forbidden."""
    module = small(version, window=window, first_shift=shift).double()
    x = picture(1, 16, *size, dtype=torch.float64)
    with torch.no_grad():
        expected = dense_block(module.blocks[0], x[0].flatten(1).T, size)
        found = module(x)[0].flatten(1).T
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("shift", "rows", "columns"), [(0, (8, 16), (0, 8)), (4, (4, 12), (0, 4)), (2, (10, 18), (2, 10))]
)
@both_versions
def test_a_position_reaches_its_window_and_no_further(
    version: Version, shift: int, rows: tuple[int, int], columns: tuple[int, int]
) -> None:
    """A change at (11, 3) of a 20 × 18 map changes its own window, whole, and nothing else."""
    module = small(version, first_shift=shift)
    x = picture(1, 16, 20, 18)
    changed = x.clone()
    changed[0, :, 11, 3] += picture(16, seed=5)
    expected = torch.zeros(20, 18, dtype=torch.bool)
    expected[slice(*rows), slice(*columns)] = True
    with torch.no_grad():
        assert torch.equal((module(x) != module(changed)).any(1)[0], expected)


@both_versions
def test_moving_the_picture_by_a_window_moves_the_result(version: Version) -> None:
    """Whole windows do not notice a step of eight columns; they do notice one of three."""
    module = small(version, first_shift=4)
    wide = picture(1, 16, 20, 48)
    with torch.no_grad():
        left, right, odd = module(wide[..., :40]), module(wide[..., 8:]), module(wide[..., 3:43])
    torch.testing.assert_close(left[..., 12:36], right[..., 4:28], atol=1e-5, rtol=0)
    assert (left[..., 12:36] - odd[..., 9:33]).abs().max() > 0.01


def test_a_single_position_attends_to_itself() -> None:
    """On a 1 × 1 map attention is the value path alone, whatever queries, keys and biases say."""
    block = small("swin-v2").blocks[0]
    x = picture(1, 16, 1, 1)
    pixel = x[0, :, 0, 0]
    value = block.qkv.weight[32:] @ pixel + block.v_bias.flatten()
    pixel = pixel + block.norm1(block.proj(value))
    pixel = pixel + block.norm2(block.mlp(pixel))
    torch.testing.assert_close(block(x.permute(0, 2, 3, 1))[0, 0, 0], pixel, atol=1e-5, rtol=0)


def test_spans_are_margin_windows_remainder() -> None:
    """Literal cuts of an axis by a window of eight."""
    assert attention.spans(1, 8, 0) == [Span(0, 1, 1)]
    assert attention.spans(9, 8, 0) == [Span(0, 8, 8), Span(8, 9, 1)]
    assert attention.spans(9, 8, 4) == [Span(0, 4, 4), Span(4, 9, 5)]
    assert attention.spans(24, 8, 0) == [Span(0, 24, 8)]
    assert attention.spans(24, 8, 4) == [Span(0, 4, 4), Span(4, 20, 8), Span(20, 24, 4)]
    assert [attention.first_cut(size, 8, 4) for size in (1, 8, 9, 16)] == [0, 0, 4, 4]


def test_bands_end_at_grid_lines() -> None:
    """Windows stay whole, and a band holds at least one row of them."""
    assert attention.bands(30, 8, 4, 16) == [(0, 20), (20, 30)]
    assert attention.bands(30, 8, 0, 23) == [(0, 16), (16, 30)]
    assert attention.bands(20, 8, 0, 0) == [(0, 8), (8, 16), (16, 20)]
    assert attention.bands(5, 8, 0, 100) == [(0, 5)]


def test_partition_keeps_neighbours_together() -> None:
    """Windows of one row and two columns over the numbers 0..15 in reading order; of 2 × 2; and back."""
    x = torch.arange(16).reshape(1, 4, 4, 1)
    assert attention.partition(x, 1, 2)[:3, :, 0].tolist() == [[0, 1], [2, 3], [4, 5]]
    windows = attention.partition(x, 2, 2)
    assert windows[..., 0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert torch.equal(attention.merge(windows, 2, 2, 4, 4), x)


def test_blocks_alternate_their_shift() -> None:
    """Half a window after none, none after any."""
    assert [b.shift for b in WindowAttentionModule(8, blocks=3).blocks] == [0, 4, 0]
    assert [b.shift for b in WindowAttentionModule(8, blocks=3, first_shift=4).blocks] == [4, 0, 4]
    assert [b.shift for b in WindowAttentionModule(8, window=7, blocks=2).blocks] == [0, 3]


@both_versions
def test_bands_do_not_change_the_result(version: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a gradient a map is handled in bands of rows, here of one row of windows each."""
    module = small(version, blocks=2)
    x = picture(2, 16, 29, 19)
    at_once = module(x)
    heights: list[int] = []
    for block in module.blocks:
        block.mlp.register_forward_hook(lambda mlp, inputs, result: heights.append(result.shape[1]))
    monkeypatch.setattr(attention, "CPU_BAND", 1)
    with torch.no_grad():
        torch.testing.assert_close(module(x), at_once, atol=1e-5, rtol=0)
    assert heights == [8, 8, 8, 5, 12, 8, 8, 1]


class Recorder:
    """Stands in for the attention kernel and notes the types and shapes it meets."""

    def __init__(self) -> None:
        self.kernel = F.scaled_dot_product_attention
        self.types: set[torch.dtype] = set()
        self.masks: list[tuple[int, ...]] = []

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor, scale: float) -> Tensor:
        """Pass on; the type of the result counts too, as autocast casts inside of the kernel."""
        result = self.kernel(q, k, v, attn_mask=attn_mask, scale=scale)
        self.types |= {t.dtype for t in (q, k, v, attn_mask, result)}
        self.masks.append(tuple(attn_mask.shape))
        return result


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A recorder in the kernel's place."""
    recorder = Recorder()
    monkeypatch.setattr(F, "scaled_dot_product_attention", recorder)
    return recorder


@both_versions
def test_softmax_in_float32_within_bfloat16(version: Version, recorder: Recorder) -> None:
    """Under autocast, or all in bfloat16: float32 from logits to result; out comes the type that went in."""
    module = small(version)
    x = picture(1, 16, 12, 9)
    with torch.no_grad():
        exact = module(x)
        with torch.autocast("cpu", torch.bfloat16):
            rough, half = module(x), module(x.bfloat16())
        halved = module.bfloat16()(x.bfloat16())
    assert recorder.types == {torch.float32}
    assert (rough.dtype, half.dtype, halved.dtype) == (torch.float32, torch.bfloat16, torch.bfloat16)
    assert 0 < (rough - exact).abs().max() < 0.1 * exact.std()


def test_no_mask_grows_with_the_map(recorder: Recorder) -> None:
    """One kernel call per kind of window, nine at most, each with a single bias for all its windows."""
    with torch.no_grad():
        small("swin-v2", first_shift=4)(picture(1, 16, 42, 41))
    assert len(recorder.masks) == 9
    assert recorder.masks[0] == (1, 2, 16, 16)
    assert recorder.masks[4] == (1, 2, 64, 64)
    assert recorder.masks[8] == (1, 2, 30, 30)  # 42 = 4 + 4·8 + 6 and 41 = 4 + 4·8 + 5


@both_versions
def test_every_parameter_learns_from_the_first_step(version: Version) -> None:
    """A fresh module passes a gradient to each of its parameters and to its input."""
    torch.manual_seed(0)
    module = WindowAttentionModule(16, version, heads=2, blocks=2)
    x = picture(2, 16, 13, 20).requires_grad_()
    (module(x) * picture(2, 16, 13, 20, seed=2)).sum().backward()
    for name, parameter in [*module.named_parameters(), ("x", x)]:
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 1e-6, name


@both_versions
def test_starts_near_the_identity(version: Version) -> None:
    """A fresh module changes its input a little, so that it can be put into a network without harm."""
    torch.manual_seed(0)
    x = picture(1, 128, 16, 16)
    with torch.no_grad():
        change = (WindowAttentionModule(128, version)(x) - x).std()
    assert 0.001 < change < 0.2


def test_gradient_of_zeros_is_bounded() -> None:
    """Keys of a black area have length 0 and no direction; their gradient must not blow up."""
    module = small("swin-v2")
    x = picture(1, 16, 8, 8)
    x[..., :4] = 0
    x.requires_grad_()
    module(x).square().sum().backward()
    assert x.grad is not None and x.grad.abs().max() < 1e7


def test_temperature_has_a_floor() -> None:
    """τ stops at 0.01 (log 1/τ at 4.605): a larger scale than that changes nothing, a smaller one does."""
    module = small("swin-v2")
    results = []
    for scale in (math.log(100.0), 7.0, 3.0):
        with torch.no_grad():
            module.blocks[0].similarity.log_scale.fill_(scale)
            results.append(module(picture(1, 16, 8, 8)))
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=0)
    assert (results[0] - results[2]).abs().max() > 0.01


@pytest.mark.parametrize(("version", "count"), [("swin-v1", 199_944), ("swin-v2", 203_784)])
def test_parameter_count(version: Version, count: int) -> None:
    """qkv 49,408, projection 16,512, mlp 131,712, norms 512; then 1,800, or 5,632 and 8 scales."""
    assert sum(p.numel() for p in WindowAttentionModule(128, version).parameters()) == count
    assert sum(p.numel() for p in WindowAttentionModule(128, version, blocks=2).parameters()) == 2 * count


def test_state_is_parameters_only() -> None:
    """What can be computed is not in a weights file, and a module built on `meta` can be filled from one."""
    module = small("swin-v2")
    assert set(module.state_dict()) == {name for name, _ in module.named_parameters()}
    with torch.device("meta"):
        empty = WindowAttentionModule(16, heads=2)
    empty.load_state_dict(module.state_dict(), assign=True)
    assert torch.equal(empty(picture(1, 16, 5, 9)), module(picture(1, 16, 5, 9)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"version": "swin-v3"}, "version of window attention is swin-v1 or swin-v2, found 'swin-v3'"),
        ({"heads": 3}, "a multiple of heads, found window 8, 1 blocks, 16 channels and 3 heads"),
        ({"blocks": 0}, "found window 8, 0 blocks"),
        ({"first_shift": 8}, r"first_shift must be in 0..7, found 8"),
    ],
)
def test_refuses_impossible_values(options: dict[str, object], message: str) -> None:
    """One sentence says what was expected and what was found."""
    with pytest.raises(ValueError, match=message):
        WindowAttentionModule(16, **options)


def test_needs_torch_only() -> None:
    """timm would bring seconds of import time into every encode."""
    source = Path(attention.__file__).read_text(encoding="utf-8")
    imported = set(re.findall(r"^ *(?:from|import) (\w+)", source, re.MULTILINE))
    assert imported == {"__future__", "math", "itertools", "typing", "torch"}
