"""The entropy side of light networks: passes and streams, and integers that every float32 engine gets right."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CORNERS_SIDE, LIGHT_SIDE, SMALL, TAUGHT_SIDE
from exact_layers import exact_backend, exact_layer_in_numpy
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from fedscodec.entropy import exact32, exact_matmul
from fedscodec.entropy.coders import RateEstimator
from fedscodec.entropy.exact_sums import LIMIT, ExactIntegers, require_exact
from fedscodec.entropy.fixedpoint import quality_level
from fedscodec.entropy.parts import Part
from fedscodec.entropy.precision import float32_settings
from fedscodec.entropy.streams import StreamReader, StreamWriter
from fedscodec.entropy.tables import gaussian_tables, tables_from_probabilities
from fedscodec.errors import WeightsError
from fedscodec.networks import light_integers
from fedscodec.networks.integer_layers import LAYERS, as_integers
from fedscodec.networks.integer_side import export, restore_twins, twin_steps
from fedscodec.networks.light_integers import LightIntegers
from fedscodec.networks.light_side import LightSide, quality_levels
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import ModelSpec, Passes
from fedscodec.networks.twins import Signal
from fedscodec.networks.walk import walk

SIDES = {"student": LIGHT_SIDE, "teacher": TAUGHT_SIDE, "corners": CORNERS_SIDE}
SPECS = {name: replace(SMALL, **side) for name, side in SIDES.items()}
MakeModel = Callable[..., FedsModel]


@pytest.fixture(scope="module", params=SPECS)
def model(request: pytest.FixtureRequest, tiny: MakeModel) -> FedsModel:
    return tiny(**SIDES[request.param])


@pytest.fixture(scope="module")
def side(model: FedsModel) -> LightIntegers:
    assert model.spec.entropy is not None
    return LightIntegers(model.spec, model.spec.entropy, export(model.float_side))


def latents(
    spec: ModelSpec, seed: int = 0, rows: int = 2, columns: int = 3, scale: float = 4.0
) -> tuple[Tensor, Tensor]:
    """z and y, channels last, floats."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(1, rows, columns, spec.hyper_latents, generator=generator) * scale
    return z, torch.randn(1, 4 * rows, 4 * columns, spec.latents, generator=generator) * scale


def tables(spec: ModelSpec) -> tuple:
    prior = np.full((spec.hyper_latents, 9), 1 / 9)
    return tables_from_probabilities(prior, -4), (gaussian_tables(spec.scales, 0.11, spec.largest_scale),)


def write(side: LightIntegers, z: Tensor, y: Tensor, quality: int = 5500) -> tuple[StreamWriter, Tensor]:
    writer = StreamWriter(*tables(side.spec), unit=64)
    return writer, walk(side, z, y, quality, writer)


def read(
    side: LightIntegers, writer: StreamWriter, z: Tensor, streams: int | None = None
) -> tuple[StreamReader, Tensor]:
    reader = StreamReader(tuple(writer.streams), tuple(z.shape), *tables(side.spec), unit=64)
    return reader, walk(side, None, None, 5500, reader, streams)


# ── Parts ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_student_has_five_streams_and_a_teacher_eight() -> None:
    student, teacher = (
        [(part.name, part.channels, part.seen, part.stream, part.tables, part.ends) for part in Passes(**how).parts(m)]
        for how, m in (({}, 320), ({"new": 80, "base_streams": 2}, 400))
    )
    turns = [(f"turn {i + 1}", (32, 320), 320 if i else 32, 2 + i, 1 + i, True) for i in range(4)]
    assert student == [
        ("base, even cells", (0, 32), 0, 1, 0, False),
        ("base, odd cells", (0, 32), 32, 1, 0, True),
        *turns,
    ]
    assert teacher == [
        ("base, even cells", (0, 32), 0, 1, 0, True),
        ("base, odd cells", (0, 32), 32, 2, 1, True),
        *((name, channels, seen, stream + 1, sets + 1, True) for name, channels, seen, stream, sets, _ in turns),
        ("new, even cells", (320, 400), 320, 7, 6, True),
        ("new, odd cells", (320, 400), 400, 8, 7, True),
    ]
    corners = [
        (part.name, part.number, part.channels, part.seen, part.stream, part.cells.groups, part.ends)
        for part in Passes(new=80, base_streams=2, base_passes=4).parts(400)
        if part.cells
    ]
    assert corners[:4] == [
        ("base, corner 1", 0, (0, 32), 0, 1, (((0, 0),),), False),
        ("base, corner 2", 1, (0, 32), 32, 1, (((1, 1),),), True),
        ("base, corner 3", 2, (0, 32), 32, 2, (((0, 1),),), False),
        ("base, corner 4", 3, (0, 32), 32, 2, (((1, 0),),), True),
    ]
    assert [row[:5] for row in corners[4:]] == [
        (name, number, channels, seen, stream)
        for number, (name, channels, seen, stream, _, _) in enumerate(teacher[2:], start=4)
    ]
    assert [part.ends for part in SPECS["corners"].parts()[:4]] == [False, False, False, True]
    assert (SPECS["student"].streams, SPECS["student"].table_sets) == (5, 5)
    assert (SPECS["teacher"].streams, SPECS["teacher"].table_sets) == (8, 8)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_every_latent_is_coded_once(spec: ModelSpec) -> None:
    times = torch.zeros(1, 4, 6, spec.latents)
    for part in spec.parts():
        part.put(part.take(times) + 1, times)
    assert (times == 1).all()
    assert sum(part.count(4, 6) for part in spec.parts()) == 4 * 6 * spec.latents


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"base": 0}, "base of passes"),
        ({"base_passes": 3}, "base_passes of passes is 2 or 4, found 3"),
        ({"base_streams": 3}, "base_streams of passes"),
        ({"base": 22}, "leave 2 for"),
    ],
)
def test_impossible_passes_are_refused(how: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(SPECS["student"], entropy=replace(SPECS["student"].entropy or Passes(), **how))


def test_a_spec_with_passes_survives_json() -> None:
    for spec in SPECS.values():
        assert ModelSpec.from_dict(spec.to_dict()) == spec


# ── Integers ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(params=exact_matmul.EXACT_BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each way to multiply that is exact on this machine, in use."""
    if not exact_matmul.is_exact(request.param, "cpu"):
        pytest.skip(f"{request.param} is not exact on this machine")
    with exact_backend(request.param):
        yield request.param


@pytest.mark.usefixtures("backend")
def test_every_layer_equals_numpy_over_a_whole_file(side: LightIntegers, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[exact32.ExactLayer, Tensor, Tensor]] = []
    plain = exact32.ExactLayer.forward

    def forward(self: exact32.ExactLayer, x: Tensor) -> Tensor:
        out = plain(self, x)
        calls.append((self, x.clone(), out.clone()))
        return out

    monkeypatch.setattr(exact32.ExactLayer, "forward", forward)
    write(side, *latents(side.spec, 1))
    assert len(calls) == 7 + 4 * len(side.spec.parts())
    for layer, x, out in calls:
        assert np.array_equal(exact_layer_in_numpy(layer, x), out.numpy()), layer.name
        assert out.unique().numel() > 8, layer.name


@pytest.mark.parametrize("by_shifts", [False, True])
def test_symbols_do_not_depend_on_the_engine(
    backend: str, by_shifts: bool, side: LightIntegers, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, y = latents(side.spec, 5, 3, 4)
    with exact_backend("float64" if backend == "float32" else "float32"):
        expected, _ = write(side, z, y)
    if by_shifts:
        monkeypatch.setattr(exact32, "is_depthwise_exact", lambda device: False)
    with torch.autocast("cpu", torch.bfloat16):
        found, _ = write(side, z, y)
    assert found.streams == expected.streams
    assert sum(map(len, expected.streams)) > 100


def test_symbols_do_not_depend_on_how_torch_is_told_to_multiply(
    side: LightIntegers, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, y = latents(side.spec, 7, 3, 4)
    with exact_backend("float32"):
        expected, _ = write(side, z, y)
        plain, rounded = torch.addmm, list[torch.dtype]()

        def in_bfloat16(bias: Tensor, x: Tensor, matrix: Tensor) -> Tensor:
            """What torch does of "medium" precision on a CPU that multiplies bfloat16."""
            rounded.append(x.dtype)
            x, matrix = (one.bfloat16().float() if one.dtype == torch.float32 else one for one in (x, matrix))
            return plain(bias, x, matrix)

        exact_matmul._are_wide_products_exact.cache_clear()
        monkeypatch.setattr(torch, "addmm", in_bfloat16)
        try:
            assert not exact_matmul.are_float32_products_exact(torch.device("cpu"))
            found, _ = write(side, z, y)
        finally:
            exact_matmul._are_wide_products_exact.cache_clear()
    assert set(rounded) == {torch.float32, torch.float64}
    assert found.streams == expected.streams


def in_conv_precision(name: str) -> None:
    torch.backends.mkldnn.conv.fp32_precision = name


NEWER = pytest.mark.skipif(not hasattr(torch.backends.mkldnn, "conv"), reason="this torch has no such setting")


@pytest.mark.parametrize(
    ("tell", "lower", "usual"),
    [
        (torch.set_float32_matmul_precision, "medium", "highest"),
        pytest.param(in_conv_precision, "bf16", "none", marks=NEWER),
    ],
)
def test_symbols_do_not_depend_on_how_torch_is_told_to_convolve(
    tell: Callable[[str], None], lower: str, usual: str, side: LightIntegers, monkeypatch: pytest.MonkeyPatch
) -> None:
    z, y = latents(side.spec, 7, 3, 4)
    expected, _ = write(side, z, y)
    plain, lowered, rounded = torch.nn.functional.conv2d, False, list[Tensor]()

    def convolve(maps: Tensor, kernels: Tensor, bias: Tensor, **how: object) -> Tensor:
        """What torch does on a CPU that multiplies bfloat16, once it may."""
        if lowered:
            rounded.append(maps)
            maps = maps.bfloat16().float()
        return plain(maps, kernels, bias, **how)

    monkeypatch.setattr(torch.nn.functional, "conv2d", convolve)
    try:
        tell(usual)
        assert exact32.is_depthwise_exact("cpu")
        tell(lower)
        lowered = True
        assert not exact32.is_depthwise_exact("cpu")  # as what was found before does not hold any more
        tests = len(rounded)
        assert write(side, z, y)[0].streams == expected.streams
        assert len(rounded) == tests == 1
        tell(usual)
        lowered = False
        assert exact32.is_depthwise_exact("cpu")
    finally:
        tell(usual)
        exact32._is_depthwise_exact.cache_clear()


def test_a_gpu_convolves_by_its_own_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN's could be inexact for some shapes, and use TF32."""
    given: list[Any] = []

    def on_a_gpu(*words: Any) -> Tensor:
        given.extend(words)
        return torch.empty_like(words[0])

    monkeypatch.setattr(exact32, "_on_a_gpu", on_a_gpu)
    with FakeTensorMode():
        x, weight, bias = (torch.empty(shape, device="cuda") for shape in ((1, 24, 40, 32), (32, 5, 5), (32,)))
        found = exact32._convolved(x, weight, bias)
    assert (found.shape, found.device.type) == (x.shape, "cuda")
    assert given[0].is_contiguous()
    assert [tuple(given[at].shape) for at in (0, 1, 3)] == [(1, 32, 24, 40), (32, 1, 5, 5), (32,)]
    assert [given[at] for at in (2, 4, 5, 6)] == [[5, 5], [1, 1], [2, 2], [1, 1]]
    names = [argument.name for argument in torch.ops.aten._conv_depthwise2d.default._schema.arguments]
    assert names == ["self", "weight", "kernel_size", "bias", "stride", "padding", "dilation"]


def test_a_device_that_is_full_is_not_called_inexact(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> Tensor:
        raise RuntimeError("CUDA error: out of memory")

    exact32._is_depthwise_exact.cache_clear()
    exact_matmul.is_exact.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(exact32, "_convolved", full)
        patched.setattr(exact_matmul, "sliding_product", full)
        with pytest.raises(RuntimeError, match="out of memory"):
            exact32.is_depthwise_exact("cpu")
        with pytest.raises(RuntimeError, match="out of memory"):
            exact_matmul.is_exact("float64", "cpu")
    assert exact32.is_depthwise_exact("cpu")
    assert exact_matmul.is_exact("float64", "cpu")


def test_settings_that_torch_lacks_or_cannot_tell_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    found = float32_settings()
    assert found[0] == torch.get_float32_matmul_precision()
    assert hash(found) == hash(float32_settings())

    def mixed() -> str:
        raise RuntimeError("PyTorch is checking the matmul precision, and it was set in two ways")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", mixed)
    monkeypatch.setattr(torch.backends, "cudnn", object())
    others = float32_settings()
    assert others[0] is None
    assert others[1:] == tuple(None if i in (2, 3, 4) else value for i, value in enumerate(found))[1:]


def test_planes_are_the_two_bytes_of_integers() -> None:
    x = torch.tensor([[-2047, -129, -128, -1], [0, 127, 128, 2047]])
    high, low = exact32.in_planes(x.float()).to(torch.int64).split(2)
    assert high.tolist() == [[-8, -1, 0, 0], [0, 0, 1, 8]]
    assert torch.equal(256 * high + low, x)


def test_a_left_side_is_copied_only_where_it_must_be() -> None:
    right = exact_matmul.prepare(torch.ones(1, 32, 16, dtype=torch.int8), "int_mm", torch.device("cpu"))
    for count, width, copied in ((48, 32, False), (48, 64, True), (40, 32, True), (16, 32, True)):
        x = torch.randint(-128, 128, (count, width), dtype=torch.int8)[:, :32]
        found = exact_matmul.left_side(x, right)
        assert (found.data_ptr() != x.data_ptr()) == copied
        assert len(found) >= 32
        assert torch.equal(found[:count], x)


@pytest.mark.usefixtures("backend")
def test_tiles_change_nothing(side: LightIntegers, monkeypatch: pytest.MonkeyPatch) -> None:
    z, y = latents(side.spec, 6, 6, 5)
    expected, _ = write(side, z, y)
    monkeypatch.setattr(light_integers, "SLICE_SIDE", 6)
    monkeypatch.setattr(light_integers, "HYPER_SIDE", 2)
    assert write(side, z, y)[0].streams == expected.streams


def test_integers_follow_the_quantised_float_twin(model: FedsModel, side: LightIntegers) -> None:
    z, y = latents(model.spec)

    class Recorder:
        def __init__(self, unit: int) -> None:
            self.unit, self.seen = unit, list[Tensor]()

        def hyper(self, z: Tensor, prior: object) -> Tensor:
            return torch.floor(z + 0.5)

        def code(self, part: Part, y: Tensor, mean: Tensor, index: Tensor) -> Tensor:
            self.seen += [mean.float() * 64 / self.unit, index.float()]
            y_hat = torch.floor(y - mean / self.unit + 0.5) * self.unit + mean
            return y_hat if self.unit == 1 else y_hat.to(torch.int32)

    floats, integers = Recorder(1), Recorder(64)
    model.float_side.set_mode(quantised=True)
    try:
        with torch.no_grad():
            walk(model.float_side, z.permute(0, 3, 1, 2), y.permute(0, 3, 1, 2), torch.tensor([5.5]), floats)
    finally:
        model.float_side.set_mode()
    walk(side, z, y, 5500, integers)
    # With powers of two, one sum in some hundred is exactly a half, where float32 may choose either integer.
    for number, (a, b) in enumerate(zip(floats.seen, integers.seen, strict=True)):
        off = (a - b).abs()
        assert off.max() <= (2 if number % 2 else 0.6 * b.std())
        assert off.mean() < 0.04 * b.std()
        assert b.unique().numel() > 8


@torch.no_grad()
def test_every_layer_is_what_its_quantised_twin_is(model: FedsModel, side: LightIntegers) -> None:
    twins, layers = (dict(net.named_modules()) for net in (copy.deepcopy(model.float_side).double(), side))
    twin_side = twins[""]
    assert isinstance(twin_side, LightSide)
    twin_side.trace()
    twin_side.set_mode(quantised=True)
    random, seen = torch.Generator().manual_seed(3), 0
    for name, layer in layers.items():
        if not isinstance(layer, exact32.ExactLayer):
            continue
        twin, shape = twins[name], (1, 4, 3, 6, 5) if layer.groups > 1 else (1, 6, 5)
        inputs = torch.round((torch.rand((*shape, len(twin.spec.limits)), generator=random) - 0.3) * layer.limits)
        if layer.unsigned:
            inputs.clamp_min_(0)
        steps = twin.remembered_steps
        found = twin(Signal(inputs.double() * steps, steps, -1)).values
        half = found.shape[-1] // 2
        if twin.kind == "parameters":
            found = torch.cat([found[..., :half] * 64, found[..., half:]], -1)
        else:
            found = found / twin.steps
        off = (found - layer(inputs)).abs()
        assert off.max() < 1.01, name  # one sum in some hundred is exactly a half, where floats may choose either
        assert (off > 0.5).float().mean() < 0.03, name
        seen += 1
    assert seen == 7 + 4 * len(side.spec.parts())


@pytest.mark.parametrize("backend", ["float32", "int_mm"])
def test_known_is_y_hat_in_twelve_bits(side: LightIntegers, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not exact_matmul.is_exact(backend, "cpu"):
        pytest.skip(f"{backend} is not exact on this machine")
    monkeypatch.setenv("FEDS_EXACT_BACKEND", backend)
    part = next(part for part in side.spec.parts() if part.name == "turn 1")
    shape = part.shape(1, 4, 4)
    y_hat = torch.randint(-32768, 32767, shape, generator=torch.Generator().manual_seed(0), dtype=torch.int32)
    shift = part.of(side.known_shift).numpy()
    for kind in (torch.int16, torch.int32):
        found = side.shown(part, y_hat.to(kind)).int()
        if backend == "int_mm":  # two planes
            found = 256 * found[: len(y_hat)] + found[len(y_hat) :]
        for group in range(4):
            each = shift[group::4].astype(np.int64)
            wanted = (y_hat[:, group].numpy() + (1 << each >> 1)) >> each
            assert np.array_equal(found[:, group], np.clip(wanted, -2047, 2047))


# ── Streams ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scale", [0.0, 0.7, 30.0, 1e4, 1e30])
def test_a_reader_gets_what_was_written(scale: float, side: LightIntegers) -> None:
    z, y = latents(side.spec, 2, scale=scale)
    writer, y_hat = write(side, z, y)
    reader, again = read(side, writer, z)
    assert torch.equal(again, y_hat)
    assert all(np.array_equal(a, b) for a, b in zip(writer.symbols, reader.symbols, strict=True))
    assert len(writer.streams) == len(writer.symbols) == 1 + side.spec.streams
    if scale < 100:
        assert (y_hat / 64 - y).abs().max() <= 0.5 + 1e-4


def test_what_is_not_read_is_what_the_nets_expect(side: LightIntegers) -> None:
    z, y = latents(side.spec, 4)
    writer, y_hat = write(side, z, y)
    for streams in range(1, side.spec.streams):
        _, preview = read(side, writer, z, streams)
        for part in side.spec.parts():
            if part.stream <= streams:
                assert torch.equal(part.take(preview), part.take(y_hat))
        assert preview.shape == y_hat.shape
        assert preview[..., side.spec.parts()[0].channels[1] :].any()


def test_the_quality_has_steps_of_a_fortieth() -> None:
    assert [quality_level(1000 * q, 7) for q in range(1, 8)] == [-120, -80, -40, 0, 40, 80, 120]
    assert [quality_level(q, 1) for q in (1000, 1001)] == [0, 0]
    assert [quality_level(q, 7) for q in (4012, 4013, 3988, 3987)] == [0, 1, 0, -1]
    for qualities in (1, 2, 7):
        thousandths = torch.arange(1000, 1000 * qualities + 1, 7)
        expected = [quality_level(t, qualities) for t in thousandths.tolist()]
        assert quality_levels(thousandths / 1000, qualities).tolist() == expected


# ── Back to floats, and what does not fit ─────────────────────────────────────────────────────────────────


def test_twins_made_of_integers_export_the_same_integers(model: FedsModel) -> None:
    assert model.spec.entropy is not None
    arrays = export(model.float_side)
    fresh = LightSide(model.spec, model.spec.entropy)
    restore_twins(fresh, arrays, twin_steps(model.float_side))
    again = export(fresh)
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        assert np.array_equal(again[name], array), name


def test_training_reaches_every_layer(model: FedsModel) -> None:
    z, y = (x.permute(0, 3, 1, 2) for x in latents(model.spec, 7))
    twin, spec = model.float_side, model.spec
    for quantised in (False, True):
        twin.zero_grad()
        twin.set_mode(quantised=quantised)
        coder = RateEstimator(spec.scales, spec.smallest_scale, spec.largest_scale)
        y_hat = walk(twin, z, y, torch.tensor([3.0]), coder)
        (coder.bits.sum() + y_hat.square().sum()).backward()
        twin.set_mode()
        for name, parameter in twin.named_parameters():
            if not name.startswith("prior"):
                assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("known.shift", 10, r"known.shift in 0..9"),
        ("known.shift", -1, r"known.shift in 0..9"),
        ("h_s.2.shift", 24, r"h_s.2.shift in 0..23"),
        ("nets.1.last.shift", -1, r"nets.1.last.shift in 0..23"),
        ("nets.0.around.bias", 2**24, r"sums of nets.0.around below 2\*\*24"),
        ("nets.3.second.bias", -(2**31), r"sums of nets.3.second below 2\*\*24"),
    ],
)
def test_impossible_numbers_are_refused(name: str, value: int, words: str, model: FedsModel) -> None:
    assert model.spec.entropy is not None
    arrays = export(model.float_side)
    with pytest.raises(WeightsError, match=words):
        LightIntegers(model.spec, model.spec.entropy, {**arrays, name: np.full_like(arrays[name], value)})


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("shape", "limits", "products"), [((1, 2), (255, 2047), 2302), ((1, 3, 3), (255,), 9 * 255)])
def test_sums_may_reach_all_that_is_below_the_limit(
    shape: tuple[int, ...], limits: tuple[int, ...], products: int, sign: int
) -> None:
    weight, shift = np.full(shape, -sign, np.int8), np.zeros(1, np.int32)
    biases = (np.array([sign * (reach - products)], np.int32) for reach in (LIMIT - 1, LIMIT))
    most, over = (ExactIntegers(weight, bias, shift) for bias in biases)
    require_exact("a", most, limits)
    with pytest.raises(WeightsError, match=r"sums of a below 2\*\*24, found weights that can reach 16777216$"):
        require_exact("a", over, limits)


def test_weights_whose_sums_overflow_are_refused() -> None:
    spec = replace(SMALL, latents=320, hyper_latents=4, entropy=Passes(base=32, side=4, width=4))
    assert spec.entropy is not None
    side = LightSide(spec, spec.entropy)
    arrays = export(side)
    LightIntegers(spec, spec.entropy, arrays)
    arrays["nets.3.first.weight"] = np.full_like(arrays["nets.3.first.weight"], -128)
    with pytest.raises(WeightsError, match=r"sums of nets.3.first below 2\*\*24, found .* 83"):
        LightIntegers(spec, spec.entropy, arrays)


@pytest.mark.parametrize("name", ["h_s.0.weight", "h_s.1.weight", "nets.1.last.bias", "known.shift"])
def test_what_is_missing_or_does_not_fit_is_named(name: str, model: FedsModel) -> None:
    assert model.spec.entropy is not None
    arrays = export(model.float_side)
    for other in ({k: v for k, v in arrays.items() if k != name}, {**arrays, name: arrays[name][:0]}):
        with pytest.raises(WeightsError, match=rf"(the array )?{name} (is missing|as int)"):
            LightIntegers(model.spec, model.spec.entropy, other)


def test_a_layer_of_an_unknown_type_is_an_error() -> None:
    with pytest.raises(TypeError, match="odd.0 is a Linear, expected one of"):
        as_integers(nn.ModuleList([nn.Linear(2, 2)]), {}, "odd")
    assert {kind.__name__ for kind in LAYERS} == {"EntropyConv", "ExactTwin"}
