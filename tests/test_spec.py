"""Specs: what they refuse, how they travel through JSON, and how large the networks are that they describe."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from conftest import SMALL

from fedscodec.networks import counts
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import LAMBDAS, STUDENT, TEACHER, VARIANTS, ModelSpec, WindowAttention


@pytest.mark.parametrize(
    "changes",
    [
        {"latents": 401},
        {"slices": 0},
        {"slices": -1},
        {"filters": 0},
        {"latents": 0},
        {"hyper_latents": 0},
        {"hyper_filters": -3},
        {"scales": 0},
        {"slice_filters": ()},
        {"slice_filters": (16, 0)},
        {"blocks_per_group": -1},
        {"lambdas": ()},
        {"lambdas": (0.0, 0.1)},
        {"lambdas": (0.2, 0.1)},
        {"lambdas": (0.1, 0.1)},
        {"framework": "rnn"},
    ],
)
def test_impossible_values_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"latents|lambdas|framework|positive"):
        replace(TEACHER, **changes)


def test_the_least_that_is_possible_is_accepted() -> None:
    spec = ModelSpec(1, 1, 1, 0, None, "cnn", False, 1, 1, (1,), 1, lambdas=(0.1,))
    assert (spec.slice_channels, spec.side_channels) == (1, 2)


def test_papers_numbers() -> None:
    assert (TEACHER.latents, TEACHER.slices, TEACHER.slice_channels) == (400, 8, 50)
    assert (STUDENT.latents, STUDENT.slices, STUDENT.slice_channels) == (160, 5, 32)
    assert TEACHER.side_channels == 800
    assert LAMBDAS == (0.0016, 0.0032, 0.0075, 0.015, 0.03, 0.045, 0.06)


@pytest.mark.parametrize("name", VARIANTS)
def test_round_trip_through_json(name: str) -> None:
    spec = VARIANTS[name]
    again = ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert hash(again) == hash(spec)  # lists would have no hash


def test_missing_fields_take_the_teachers_values() -> None:
    assert ModelSpec.from_dict({}) == TEACHER
    assert ModelSpec.from_dict({"attention": {"version": "swin-v1"}}) == VARIANTS["teacher-swin-v1"]


@pytest.mark.parametrize("values", [{"colour": 1}, {"attention": {"colour": 1}}, {"lambdas": 3}, {"filters": "x"}])
def test_unknown_fields_and_types_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        ModelSpec.from_dict(values)


def test_variants_are_the_rows_of_the_paper() -> None:
    assert VARIANTS["baseline+rg+sa+ic"] == VARIANTS["teacher-swin-v2"] == VARIANTS["teacher"] == TEACHER
    differing = [(n, m) for n in VARIANTS for m in VARIANTS if n < m and VARIANTS[n] == VARIANTS[m]]
    assert len(differing) == 3  # those above, and no other two alike
    assert VARIANTS["baseline"].attention is None
    assert VARIANTS["baseline+rg"] == replace(VARIANTS["baseline"], blocks_per_group=6)
    assert VARIANTS["baseline+rg+sa"] == replace(VARIANTS["baseline+rg"], attention=WindowAttention())
    assert VARIANTS["baseline+rg+sa+ic"] == replace(VARIANTS["baseline+rg+sa"], latents=400)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_builds(name: str) -> None:
    spec = VARIANTS[name]
    with torch.device("meta"):
        model = FedsModel(spec)
    assert model.g_a.last.out_channels == spec.latents
    assert len(model.float_side.nets) == spec.slices
    assert len(model.g_s.shortcut) == (4 if spec.wavelet else 0)
    assert [len(group) for group in model.g_s.groups] == [spec.blocks_per_group] * 3
    assert all(p.is_meta for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "parameters", "kmacs"),
    [("student-paper", 35_194_604, 441.76725), ("teacher", 96_708_604, 1682.9733281)],
)
def test_size_and_cost_are_those_of_the_paper(name: str, parameters: int, kmacs: float) -> None:
    millions, thousands = counts.PAPER[name]
    assert (millions, thousands) == {"student-paper": (35.34, 483.0), "teacher": (95.43, 1572.0)}[name]
    assert counts.parameters(VARIANTS[name]) == parameters
    assert parameters / 1e6 == pytest.approx(millions, rel=0.02)
    assert counts.kmacs_per_pixel(VARIANTS[name]) == pytest.approx(kmacs, rel=1e-6)
    assert kmacs == pytest.approx(thousands, rel=0.12)


def test_size_of_the_tiny_network_is_the_sum_of_its_parts(tiny) -> None:
    model = tiny()
    assert counts.parameters(SMALL) == sum(p.numel() for p in model.parameters()) == 59_528
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
    shortcut = 12 * 8 / 4 + 32 * 8 / 16 + 32 * 8 / 64 + 32 * 16 / 256  # the same in g_s
    shortcut += 4 * (3 + 8 / 4 + 8 / 16 + 8 / 64)  # Haar: four products for every number
    transforms = sum(down) + conv(8, 16) / 256 + sum(up) + conv(8, 12) / 4 + 2 * shortcut
    h_a = conv(16, 8) / 256 + 2 * same / 1024 + same / 4096
    h_s = (same + conv(8, 32)) / 4096 + (same + conv(8, 32)) / 1024 + conv(8, 32) / 256
    nets = sum(conv(32 + 8 * i, 32) + 2 * (conv(16, 8) + conv(8, 8)) for i in range(2)) / 256
    assert counts.kmacs_per_pixel(SMALL) == pytest.approx((transforms + h_a + h_s + nets) / 1000, rel=1e-9)
    assert counts.kmacs_per_pixel(SMALL) == pytest.approx(1.23378125, rel=1e-9)
