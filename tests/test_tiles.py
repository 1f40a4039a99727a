"""Tiles cover a map once, see as much as networks need, and give what the whole map gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import LIGHT_SIDE, SMALL
from torch import Tensor, nn

from fedscodec.networks import integer_side, light_integers, tiles
from fedscodec.networks.hyper import LightHyperAnalysis
from fedscodec.networks.integer_side import IntegerSide
from fedscodec.networks.spec import STUDENT_PAPER, TEACHER_PAPER, VARIANTS, ModelSpec, WindowAttention, paper_stages
from fedscodec.networks.tiles import Box, margin, run_in_tiles, transform_tiles
from fedscodec.networks.transforms import Analysis, HyperAnalysis, Synthesis
from fedscodec.networks.weights import Weights

GROUPED = replace(SMALL, stages=paper_stages(1, width=8))
ATTENTIVE = replace(SMALL, stages=paper_stages(0, WindowAttention(window=4, heads=2), width=8))
MIXED = replace(SMALL, stages=paper_stages(2, width=8, kind="mixed-v2"))
ONE = torch.ones(1)
CPU = torch.device("cpu")


def test_boxes() -> None:
    box = Box(2, 5, 1, 7)
    assert box.scaled(16) == (32, 80, 16, 112)
    assert box.inside(Box(1, 9, 1, 9)) == (1, 4, 0, 6)
    assert box.of(torch.zeros(1, 3, 9, 9)).shape == (1, 3, 3, 6)
    assert box.of_last(torch.zeros(1, 9, 9, 3)).shape == (1, 3, 6, 3)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 300), (64, 65), (100, 23), (10, 11)])
def test_tiles_cover_a_map_once(height: int, width: int) -> None:
    times = np.zeros((height, width), dtype=int)
    for seen, kept in tiles.tiles(height, width, 8, 2):
        times[kept.top : kept.bottom, kept.left : kept.right] += 1
        assert seen == (
            max(kept.top - 2, 0), min(kept.bottom + 2, height), max(kept.left - 2, 0), min(kept.right + 2, width)
        )  # fmt: skip
        assert max(seen.bottom - seen.top, seen.right - seen.left) <= 8 + 2 * 2 + 2
    assert (times == 1).all()


def test_a_map_little_larger_than_a_tile_is_one_tile() -> None:
    assert len(list(tiles.tiles(12, 12, 8, 2))) == 1
    assert len(list(tiles.tiles(12, 13, 8, 2))) == 2


def test_margins() -> None:
    with torch.device("meta"):
        nets = [
            (Analysis(spec), Synthesis(spec)) for spec in (SMALL, STUDENT_PAPER, VARIANTS["paper-teacher-no-attention"])
        ]
        teacher = Analysis(TEACHER_PAPER), Synthesis(TEACHER_PAPER)
    assert [(margin(g_a), margin(g_s)) for g_a, g_s in nets] == [(2, 3), (4, 5), (13, 14)]
    assert [net.reach - without.reach for net, without in zip(teacher, nets[2], strict=True)] == [7 * (2 + 4)] * 2
    assert [(net.grain, net.reach) for net in teacher] == [(32, 29 + 12 * 14 + 42), (32, 44 + 12 * 14 + 42)]


@pytest.mark.parametrize(
    ("transform", "spec", "above", "below"),
    [(Analysis, SMALL, 29, 14), (Analysis, GROUPED, 57, 42), (Synthesis, SMALL, 48, 48), (Synthesis, GROUPED, 80, 80)],
)
def test_nothing_is_seen_from_beyond_the_margin(
    transform: type[nn.Module], spec: ModelSpec, above: int, below: int
) -> None:
    # The rows of x that have a gradient are those that the middle of the result depends on.
    torch.manual_seed(2)
    net = transform(spec)
    unit, grain = (1, 16) if transform is Analysis else (16, 1)
    x = torch.randn((1, 3, 480, 16) if transform is Analysis else (1, 16, 30, 1), requires_grad=True)
    top, bottom = 224, 256  # in rows of the picture
    net(x, ONE).value[:, :, top // grain : bottom // grain].sum().backward()
    assert x.grad is not None
    seen = torch.nonzero(x.grad.abs().sum((0, 1, 3))).flatten()
    first, last = int(seen[0]) * unit, (int(seen[-1]) + 1) * unit
    assert (top - first, last - bottom) == (above, below)
    assert net.reach in (max(above, below), 44 + 28 * (spec is GROUPED))
    assert max(above, below) <= margin(net) * 16


@pytest.mark.parametrize("spec", [SMALL, GROUPED, ATTENTIVE, MIXED])
@pytest.mark.parametrize("transform", [Analysis, Synthesis])
@torch.no_grad()
def test_tiles_equal_the_whole(transform: type[nn.Module], spec: ModelSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    net, analysis = transform(spec), transform is Analysis
    rows, columns = (20, 17) if spec is not MIXED else (40, 39)
    x = torch.randn(1, 3, 16 * rows, 16 * columns) if analysis else torch.randn(1, 16, rows, columns)
    whole = net(x, ONE).value
    out, count = torch.full_like(whole, torch.nan), 0

    def read(box: Box) -> Tensor:
        nonlocal count
        count += 1
        return box.scaled(16 if analysis else 1).of(x)

    def write(box: Box, part: Tensor) -> None:
        box.of(out).copy_(part)

    grid = transform_tiles(rows, columns, net, 6)
    run_in_tiles(lambda part: net(part, ONE).value, read, write, grid, 1 if analysis else 16)
    assert count >= 4
    assert whole.std() > 0.1
    torch.testing.assert_close(out, whole, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("side", "above", "below"), [({}, 6, 3), (LIGHT_SIDE, 3, 3)], ids=["paper", "light"])
def test_the_hyper_analysis_sees_less_than_its_margin(side: dict[str, Any], above: int, below: int) -> None:
    torch.manual_seed(2)
    spec = replace(SMALL, **side)
    net = HyperAnalysis(spec) if spec.entropy is None else LightHyperAnalysis(spec, spec.entropy)
    y = torch.randn(1, spec.latents, 4 * 13, 4, requires_grad=True)
    net(y)[:, :, 6].sum().backward()
    assert y.grad is not None
    seen = torch.nonzero(y.grad.abs().sum((0, 1, 3))).flatten().tolist()
    assert (4 * 6 - seen[0], seen[-1] - (4 * 6 + 3)) == (above, below)  # in latents, four to an element of z
    assert max(above, below) / 4 == (1.5 if spec.entropy is None else 0.75)
    assert max(above, below) <= 4 * tiles.HYPER_MARGIN


@torch.no_grad()
def test_tiles_of_the_hyper_analysis_equal_the_whole() -> None:
    torch.manual_seed(2)
    net, y = HyperAnalysis(SMALL), 9 * torch.randn(1, 16, 4 * 12, 4 * 11)
    out = torch.full((1, 8, 12, 11), torch.nan)
    grid = tiles.tiles(12, 11, 3, 2)
    run_in_tiles(net, lambda box: box.scaled(4).of(y), lambda box, part: box.of(out).copy_(part), grid)
    torch.testing.assert_close(out, net(y), atol=2e-5, rtol=0)


def test_integer_networks_give_the_same_integers_in_tiles(
    tiny_weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = IntegerSide(tiny_weights.spec, tiny_weights.side)
    rng = torch.Generator().manual_seed(3)
    z_hat = torch.randint(-9, 9, (1, 11, 13, 8), generator=rng, dtype=torch.int16)
    y_hat = torch.randint(-900, 900, (1, 44, 52, 8), generator=rng, dtype=torch.int16)

    def integers() -> list[Tensor]:
        features = side.side(z_hat, 2500)
        known, (first, second) = side.unknown(features), side.spec.parts()
        found = side.parameters_of(first, features, known)
        first.put(side.shown(first, y_hat), known)
        return [features, known, *found, *side.parameters_of(second, features, known)]

    whole = integers()
    monkeypatch.setattr(light_integers, "HYPER_SIDE", 5)
    monkeypatch.setattr(integer_side, "SLICE_SIDE", 5)
    monkeypatch.setattr(tiles, "POSITIONS", 37)
    assert all(len(x.unique()) > 10 for x in whole)
    for expected, found in zip(whole, integers(), strict=True):
        assert expected.dtype == found.dtype
        assert torch.equal(expected, found)


def test_what_tiles_see_begins_and_ends_where_windows_do() -> None:
    with torch.device("meta"):
        net = Synthesis(TEACHER_PAPER)
    seen = [tile.seen for tile in transform_tiles(301, 200, net, 64)]
    assert len(seen) == 15
    assert all(box.top % 2 == box.left % 2 == 0 and box.right % 2 == 0 for box in seen)
    assert {box.bottom for box in seen if box.bottom % 2} == {301}
