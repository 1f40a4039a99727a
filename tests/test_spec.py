"""Specs: what they refuse, how they travel through JSON, and how large the networks are that they describe."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import SMALL

from fedscodec.networks import counts
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import (
    LAMBDAS,
    STUDENT,
    STUDENT_PAPER,
    TEACHER,
    TEACHER_PAPER,
    VARIANTS,
    ModelSpec,
    Stage,
    WindowAttention,
    paper_stages,
)
from fedscodec.networks.walk import walk

ROOT = Path(__file__).parent.parent
NUMBERS = "^a network has 1 to 8 slice_filters and 1 to 64 lambdas, found "


@pytest.mark.parametrize("field", ["latents", "slices", "hyper_latents", "hyper_filters"])
@pytest.mark.parametrize("value", [0, -3, 4097, 8.0, True, "8", None])
def test_widths_are_whole_numbers_from_1_to_4096(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"^{field} must be a whole number from 1 to 4096, found {value!r}$"):
        replace(TEACHER_PAPER, **{field: value})
    with pytest.raises(ValueError, match=rf"^slice_filters\[1\] must be a whole number .*, found {value!r}$"):
        replace(TEACHER_PAPER, slice_filters=(16, value))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"slice_filters": ()}, NUMBERS + "0 and 7$"),
        ({"latents": 401}, "^401 latents do not split into 8 slices, of which 63 are the most$"),
        ({"latents": 128, "slices": 64}, "^128 latents do not split into 64 slices, of which 63 are the most$"),
        ({"stages": ()}, r"^stages lie each at half the size of the one before, found \[\]$"),
        ({"stages": paper_stages(1)[::2]}, r"^stages lie each at half the size of the one before, found \[2, 8\]$"),
        *(({"scales": n}, f"^scales must be a whole number from 2 to 128, found {n}$") for n in (0, 1, 129, 64.0)),
        ({"smallest_scale": 0.0}, "^scales must grow, found 0.0 … 128.0$"),
        ({"smallest_scale": -1.0}, "^scales must grow, found -1.0 … 128.0$"),
        ({"smallest_scale": 128.0}, "^scales must grow, found 128.0 … 128.0$"),
        ({"largest_scale": 1000.0}, "^scales must grow, found 0.11 … 1000.0$"),
        ({"largest_scale": math.nan}, "^scales must grow, found 0.11 … nan$"),
        ({"lambdas": ()}, NUMBERS + "3 and 0$"),
        ({"lambdas": (0.0, 0.1)}, r"^lambdas must increase and lie in 1e-09 to 1e\+09, found \(0.0, 0.1\)$"),
        ({"lambdas": (1e-10, 0.1)}, r"^lambdas must increase and lie in 1e-09 to 1e\+09, found \(1e-10, 0.1\)$"),
        ({"lambdas": (0.2, 0.1)}, r"^lambdas must increase and lie in 1e-09 to 1e\+09, found \(0.2, 0.1\)$"),
        ({"lambdas": (math.nan,)}, r"^lambdas must increase and lie in 1e-09 to 1e\+09, found \(nan,\)$"),
        ({"lambdas": (0.1, math.inf)}, r"^lambdas must increase and lie in 1e-09 to 1e\+09, found \(0.1, inf\)$"),
        ({"lambdas": tuple(range(1, 66))}, NUMBERS + "3 and 65$"),
        ({"slice_filters": (8,) * 9}, NUMBERS + "9 and 7$"),
        ({"shortcut": True}, "^shortcut is none, haar or principal, found True$"),
        ({"lambdas": (0.1, 10**400)}, r"^lambdas must increase and lie in 1e-09 to 1e\+09, found \(0.1, 10{193}$"),
        ({"lambdas": (0.1, 0.1)}, r"^lambdas must increase and lie in 1e-09 to 1e\+09, found \(0.1, 0.1\)$"),
        ({"metric": "lpips"}, "^metric is mse or ms-ssim or ssimulacra2 or visual, found 'lpips'$"),
    ],
)
def test_impossible_values_are_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        replace(TEACHER_PAPER, **changes)


@pytest.mark.parametrize(("field", "most"), [("window", 32), ("heads", 64), ("blocks", 16)])
@pytest.mark.parametrize("value", [0, -1, 10**9, 8.0, "x", [1], True])
def test_attention_stays_within_bounds(field: str, most: int, value: object) -> None:
    with pytest.raises(
        ValueError, match=f"^{field} of window attention must be a whole number from 1 to {most}, found"
    ):
        WindowAttention(**{field: value})
    assert getattr(WindowAttention(**{"heads": 1, field: most}), field) == most
    with pytest.raises(ValueError, match="^version of window attention is swin-v1 or swin-v2, found 'swin-v3'$"):
        WindowAttention(version="swin-v3")


def test_biases_of_attention_are_limited_together() -> None:
    assert WindowAttention(window=32, heads=4).heads * 32**4 == 2**22
    assert WindowAttention(window=16, heads=64).heads * 16**4 == 2**22
    for window, heads, found in ((32, 5, 5 * 2**20), (17, 64, 64 * 17**4), (32, 64, 2**26)):
        sentence = f"^window attention has at most 4194304 biases, heads · window⁴, found {found}$"
        with pytest.raises(ValueError, match=sentence):
            WindowAttention(window=window, heads=heads)
    with pytest.raises(ValueError, match="found 67108864$"):
        ModelSpec.from_dict({"attention": {"window": 32, "heads": 64}})
    assert VARIANTS["teacher"].stages[1].attention == WindowAttention(window=8, heads=8)  # 2**15 biases


def test_the_least_and_the_most_that_is_possible_is_accepted() -> None:
    spec = ModelSpec((Stage(2, "residual", 1, 0),), 1, 1, "none", 1, 1, (1,), 2, lambdas=(0.1,))
    assert (spec.slice_channels, spec.side_channels) == (1, 2)
    wide = paper_stages(64, kind="mixed-v1", width=4096)
    most = ModelSpec(wide, 63 * 65, 63, "haar", 4096, 4096, (4096,), 128, 1e-9, 999.9)
    assert (most.slice_channels, most.side_channels) == (65, 8190)
    assert replace(TEACHER_PAPER, metric="ms-ssim").metric == "ms-ssim"


def test_papers_numbers() -> None:
    assert (TEACHER_PAPER.latents, TEACHER_PAPER.slices, TEACHER_PAPER.slice_channels) == (400, 8, 50)
    assert (STUDENT_PAPER.latents, STUDENT_PAPER.slices, STUDENT_PAPER.slice_channels) == (160, 5, 32)
    assert TEACHER_PAPER.side_channels == 800
    assert LAMBDAS == (0.0016, 0.0032, 0.0075, 0.015, 0.03, 0.045, 0.06)


@pytest.mark.parametrize("name", VARIANTS)
def test_round_trip_through_json(name: str) -> None:
    spec = VARIANTS[name]
    again = ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec)  # lists would have no hash


def test_missing_fields_take_the_teachers_values() -> None:
    assert ModelSpec.from_dict({}) == TEACHER_PAPER
    assert ModelSpec.from_dict({"attention": {"version": "swin-v1"}}) == VARIANTS["paper-teacher-swin-v1"]


OLD = {"filters": 128, "latents": 160, "slices": 5, "blocks_per_group": 1, "attention": None, "framework": "cnn",
       "wavelet": True, "hyper_latents": 192, "hyper_filters": 400}  # fmt: skip


def test_specs_of_before_there_were_stages_are_understood() -> None:
    v2 = {"version": "swin-v2", "window": 8, "heads": 8, "blocks": 1}
    assert ModelSpec.from_dict(OLD) == replace(STUDENT_PAPER, shortcut="haar")
    teacher = {**OLD, "latents": 400, "slices": 8, "blocks_per_group": 6, "hyper_filters": 624, "wavelet": False}
    assert ModelSpec.from_dict({**teacher, "attention": v2}) == TEACHER_PAPER
    mixed = {**OLD, "framework": "transformer", "wavelet": False}
    assert ModelSpec.from_dict(mixed) == VARIANTS["paper-transformer-student"]
    kinds = [stage.kind for stage in ModelSpec.from_dict({**mixed, "attention": v2}).stages]
    assert kinds == ["mixed-v2"] * 3


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"framework": "rnn"}, "^framework is cnn or transformer, found 'rnn'$"),
        ({"wavelet": "no"}, "^wavelet is true or false, found 'no'$"),
        ({"filters": 0}, "^width of a stage must be a whole number from 1 to 4096, found 0$"),
        ({"blocks_per_group": True}, "^blocks of a stage must be a whole number from 0 to 64, found True$"),
    ],
)
def test_and_refused_where_they_are_impossible(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ModelSpec.from_dict({**OLD, **changes})


def test_stages_cannot_be_given_in_both_ways() -> None:
    with pytest.raises(TypeError, match="^a spec has no field filters$"):
        ModelSpec.from_dict({**TEACHER_PAPER.to_dict(), "filters": 128})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        *(({"at": n}, f"^a stage lies at 2, 4, 8 or 16, found {n!r}$") for n in (0, 1, 3, 32, 2.0, "2")),
        *(
            ({"width": n}, f"^width of a stage must be a whole .* 1 to 4096, found {n!r}$")
            for n in (0, 4097, 8.0, True)
        ),
        *(
            ({"blocks": n}, f"^blocks of a stage must be a whole .* 0 to 64, found {n!r}$")
            for n in (-1, 65, 1.0, False)
        ),
        ({"kind": 3}, "^the kind of a stage is a name, found 3$"),
        ({"attention": 8}, "^attention of a stage is window attention or none, found 8$"),
    ],
)
def test_impossible_stages_are_refused(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Stage(**{"at": 2, "kind": "residual", "width": 8, "blocks": 1, **changes})


def test_the_inner_maps_go_down_and_up() -> None:
    stages = (Stage(4, "residual", 3, 0), Stage(8, "residual", 5, 0))
    assert replace(TEACHER_PAPER, stages=stages).tap_widths == (3, 5, 5, 3)


@pytest.mark.parametrize("values", [{"colour": 1}, {"attention": {"colour": 1}}, {"lambdas": 3}])
def test_unknown_fields_and_types_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        ModelSpec.from_dict(values)


def test_values_of_another_type_are_refused() -> None:
    for values in ([], 3, None, "spec"):
        with pytest.raises(TypeError, match="^a spec is a set of named values, found "):
            ModelSpec.from_dict(values)
    with pytest.raises(ValueError, match="^width of a stage must be a whole number from 1 to 4096, found 'x'$"):
        ModelSpec.from_dict({"filters": "x"})


def test_variants_are_the_rows_of_the_paper() -> None:
    rows = VARIANTS["paper-baseline+rg+sa+ic"], VARIANTS["paper-teacher-swin-v2"], VARIANTS["teacher-paper"]
    assert set(rows) == {TEACHER_PAPER}
    assert VARIANTS["student-paper"] == STUDENT_PAPER
    assert VARIANTS["paper-baseline"].stages == tuple(Stage(at, "residual", 128, 0, None) for at in (2, 4, 8))
    assert VARIANTS["paper-baseline+rg"] == replace(VARIANTS["paper-baseline"], stages=paper_stages(6))
    assert [stage.attention for stage in TEACHER_PAPER.stages] == [WindowAttention(), WindowAttention(), None]
    assert VARIANTS["paper-baseline+rg+sa"] == replace(VARIANTS["paper-baseline+rg"], stages=TEACHER_PAPER.stages)
    assert VARIANTS["paper-baseline+rg+sa+ic"] == replace(VARIANTS["paper-baseline+rg+sa"], latents=400)


def test_light_variants_are_the_same_rows() -> None:
    assert {VARIANTS["baseline+rg+sa+ic"], VARIANTS["teacher-swin-v2"], VARIANTS["teacher"]} == {TEACHER}
    assert VARIANTS["baseline"] == VARIANTS["student"] == STUDENT
    assert STUDENT.stages == tuple(
        Stage(*of) for of in ((2, "light", 32, 1), (4, "light", 64, 2), (8, "light", 192, 3), (16, "light", 320, 1))
    )
    assert [(stage.blocks, stage.attention) for stage in TEACHER.stages] == [
        (1, None), (6, WindowAttention()), (10, WindowAttention()), (6, None)
    ]  # fmt: skip
    assert VARIANTS["baseline+rg+sa"] == replace(STUDENT, stages=TEACHER.stages)
    assert (STUDENT.latents, STUDENT.streams, TEACHER.latents, TEACHER.streams) == (320, 5, 400, 8)
    versions = [VARIANTS[f"teacher-{name}"].stages[1].attention for name in ("no-attention", "swin-v1", "swin-v2")]
    assert versions == [None, WindowAttention("swin-v1"), WindowAttention("swin-v2")]
    assert [stage.kind for stage in VARIANTS["transformer-teacher"].stages] == ["light-mixed-v2"] * 4


def test_no_other_two_variants_are_alike() -> None:
    alike = [{n, m} for n in VARIANTS for m in VARIANTS if n < m and VARIANTS[n] == VARIANTS[m]]
    assert len(alike) == 3 + 3 + 1  # teachers of each family under three names, and the light baseline is the student


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_builds(name: str) -> None:
    spec = VARIANTS[name]
    with torch.device("meta"):
        model = FedsModel(spec)
    assert len(model.g_a.last.weight) == spec.latents
    assert len(model.float_side.nets) == len(spec.parts())
    assert len(model.g_s.shortcut) == {"none": 0, "haar": 4, "principal": 1}[spec.shortcut]
    assert [len(group) for group in model.g_s.groups] == [stage.blocks for stage in reversed(spec.stages)]
    assert all(p.is_meta for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "parameters", "kmacs", "millions", "thousands"),  # the last two are the paper's, from its Tables 1 and 2
    [
        ("student-paper", 35_198_204, 441.768128906, 35.34, 483.0),
        ("teacher-paper", 96_714_220, 1682.974699219, 95.43, 1572.0),
    ],
)
def test_size_and_cost_are_those_of_the_paper(
    name: str, parameters: int, kmacs: float, millions: float, thousands: float
) -> None:
    assert counts.parameters(VARIANTS[name]) == parameters
    assert parameters / 1e6 == pytest.approx(millions, rel=0.02)
    assert counts.kmacs_per_pixel(VARIANTS[name]) == pytest.approx(kmacs, rel=1e-6)
    assert kmacs == pytest.approx(thousands, rel=0.12)


@pytest.mark.parametrize("name", VARIANTS)
def test_cost_is_what_torch_counts(name: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    with torch.device("meta"):
        model, x = FedsModel(VARIANTS[name]), torch.empty(1, 3, 512, 512)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        quality = torch.ones(1, device="meta")
        y = model.g_a(x, quality).value
        model.g_s(walk(model.float_side, model.h_a(y), y, quality, counts._Passing()), quality)
    assert counts.kmacs_per_pixel(VARIANTS[name]) == counter.get_total_flops() / 2 / 512**2 / 1000


@pytest.mark.parametrize(
    ("name", "kmacs"), [("student", "48.64284375"), ("student-paper-wavelet", "453.4226994018555")]
)
def test_counting_a_shipped_network_loads_no_compiler(name: str, kmacs: str) -> None:
    script = (
        "import sys; from fedscodec.networks import counts, spec; "
        "print(counts.kmacs_per_pixel(spec.VARIANTS[sys.argv[1]]), *{'torch._dynamo', 'sympy'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script, name], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout == f"{kmacs}\n"


@pytest.mark.parametrize(
    ("name", "parameters", "kmacs"),
    [("student", 5_974_764, 48.64284375), ("teacher", 17_068_620, 157.806421875), ("tiny-light", 57_506, 0.533765625)],
)
def test_sizes_of_light_networks(name: str, parameters: int, kmacs: float) -> None:
    assert counts.parameters(VARIANTS[name]) == parameters
    assert counts.kmacs_per_pixel(VARIANTS[name]) == pytest.approx(kmacs, rel=1e-9)


def test_cost_of_the_light_transforms_by_hand() -> None:
    widths, blocks, places = (32, 64, 192, 320), (1, 2, 3, 1), (2, 4, 8, 16)
    inner = sum(n * (6 * c * c + 9 * c) / at**2 for c, n, at in zip(widths, blocks, places, strict=True))
    ways = sum(4 * a * b / at**2 for a, b, at in zip(widths, widths[1:], places[1:], strict=False))
    expected = 12 * 9 * 32 / 4 + inner + ways + (320 * 320 + 768 * 320) / 256
    with torch.device("meta"):
        g_a, g_s = FedsModel(STUDENT).g_a, FedsModel(STUDENT).g_s
    for net, x in ((g_a, torch.empty(1, 3, 64, 64, device="meta")), (g_s, torch.empty(1, 320, 4, 4, device="meta"))):
        with counts.MultiplyCounter() as counter, torch.no_grad():
            net(x, torch.ones(1))
        assert counter.macs / 64**2 == expected == 22_076.25


def test_products_that_are_not_counted_are_refused() -> None:
    x = torch.empty(2, 3, 8, 8, device="meta")
    with counts.MultiplyCounter() as counter:
        grouped = torch.nn.functional.conv2d(x[:, :2], x.new_empty(4, 1, 3, 2), None, (2, 1), 1, groups=2)
        with pytest.raises(NotImplementedError, match="matmul"):
            torch.matmul(x, x)
    assert grouped.shape == (2, 4, 4, 9)
    assert counter.macs == 2 * 4 * 4 * 9 * 3 * 2


def test_size_of_the_tiny_network_is_the_sum_of_its_parts(tiny) -> None:
    model = tiny()
    assert counts.parameters(SMALL) == sum(p.numel() for p in model.parameters()) == 59_600
    # g_a by hand: three down blocks of 8 channels, the last convolution, the four 1x1 of the shortcut
    down = [(i * 9 + 1) * 8 + (8 * 9 + 1) * 8 + (8 + 64) + (i + 1) * 8 for i in (3, 8, 8)]
    shortcut = [(4 * i + 1) * o for i, o in ((3, 8), (8, 8), (8, 8), (8, 16))]
    by_hand = sum(down) + (8 * 9 + 1) * 16 + sum(shortcut)
    assert sum(p.numel() for p in model.g_a.parameters()) == by_hand


def test_cost_of_the_tiny_network_by_hand() -> None:
    def conv(inputs: int, outputs: int, side: int = 3) -> int:
        return inputs * outputs * side**2

    gdn, same = 8 * 8, conv(8, 8)
    down = [(conv(i, 8) + same + gdn + conv(i, 8, 1)) / 4**s for s, i in ((1, 3), (2, 8), (3, 8))]
    up = [(conv(i, 32) + conv(i, 32, 1)) / 4**s + (same + gdn) / 4 ** (s - 1) for s, i in ((4, 16), (3, 8), (2, 8))]
    shortcut = 12 * 8 / 4 + 32 * 8 / 16 + 32 * 8 / 64 + 32 * 16 / 256  # the same in g_s; no products for Haar itself,
    folding = 2 * 16 * (3 * 8 + 8 * 8 + 8 * 8 + 8 * 16) + 16 * (8 + 8 + 8 + 3)  # which goes into weights and biases
    transforms = sum(down) + conv(8, 16) / 256 + sum(up) + conv(8, 12) / 4 + 2 * shortcut + folding / 512**2
    h_a = conv(16, 8) / 256 + 2 * same / 1024 + same / 4096
    h_s = (conv(8 + 1, 8) + conv(8, 32)) / 4096 + (same + conv(8, 32)) / 1024 + conv(8, 32) / 256
    nets = sum(conv(32 + 8 * i, 32) + 2 * (conv(16, 8) + conv(8, 8)) for i in range(2)) / 256
    assert counts.kmacs_per_pixel(SMALL) == pytest.approx((transforms + h_a + h_s + nets) / 1000, rel=1e-9)
    assert counts.kmacs_per_pixel(SMALL) == pytest.approx(1.188798828125 + 9.392 / 512**2, rel=1e-9)
