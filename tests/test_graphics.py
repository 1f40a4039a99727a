"""Graphics are drawn from their seed alone, in every size, and the set of the bench holds what its names say."""

from __future__ import annotations

import numpy as np
import pytest

from fedscodec.images.graphics import CORNERS, KINDS, draw, pictures


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 160)])
def test_a_kind_has_the_size_that_was_asked_for_and_comes_from_its_seed(kind, height, width):
    one, same, other = (KINDS[kind](np.random.default_rng(seed), height, width) for seed in (5, 5, 6))
    assert (one.shape, one.dtype) == ((height, width, 3), np.uint8)
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_every_kind_is_drawn():
    random = np.random.default_rng(0)
    drawn = [draw(random, 64, 64) for _ in range(60)]
    assert sum(len(np.unique(p.reshape(-1, 3), axis=0)) == 1 for p in drawn) in range(1, 20)  # flat ones
    assert sum(len(np.unique(p.reshape(-1, 3), axis=0)) == 2 for p in drawn) > 5  # checkerboards, stripes, lines


def test_the_set_of_the_bench():
    found = pictures()
    assert len(found) == 24
    assert {p.shape for p in found.values()} == {(256, 384, 3)}
    for name, value in CORNERS.items():
        assert (found[f"flat-{name}"] == value).all()
    np.testing.assert_array_equal(found["text-2"], pictures()["text-2"])
    assert sum(np.array_equal(a, b) for a in found.values() for b in found.values()) == 24  # each is another


def test_an_edge_of_graphics_is_sharp():
    for name in ("checkerboard-1", "checkerboard-2", "stripes-1"):
        assert len(np.unique(pictures()[name].reshape(-1, 3), axis=0)) == 2, name
