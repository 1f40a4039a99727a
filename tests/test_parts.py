"""What is coded together: blocks, their order, and where they belong."""

from __future__ import annotations

import pytest
import torch

from fedscodec.entropy.parts import EVEN, ODD, TURNS, Cells, Part, assemble

Y = torch.arange(2 * 4 * 6 * 10).reshape(2, 4, 6, 10)


def part(cells: Cells | None, channels: tuple[int, int] = (2, 10)) -> Part:
    return Part("p", 0, channels, 0, 1, 0, cells)


def test_a_block_of_all_cells_is_the_channels() -> None:
    block = part(None).take(Y)
    assert torch.equal(block, Y[..., 2:10])
    assert block.shape == part(None).shape(2, 4, 6)
    assert part(None).count(4, 6) == 4 * 6 * 8


def test_a_checkerboard_is_read_corner_by_corner() -> None:
    block = part(EVEN).take(Y)
    assert block.shape == part(EVEN).shape(2, 4, 6) == (2, 2, 2, 3, 8)
    assert torch.equal(block[:, 0], Y[:, ::2, ::2, 2:])
    assert torch.equal(block[:, 1], Y[:, 1::2, 1::2, 2:])
    odd = part(ODD).take(Y)
    assert torch.equal(odd[:, 0], Y[:, ::2, 1::2, 2:])
    assert torch.equal(odd[:, 1], Y[:, 1::2, ::2, 2:])


def test_in_every_turn_each_group_of_channels_has_another_corner() -> None:
    corners = [(0, 0), (1, 1), (0, 1), (1, 0)]
    for turn, cells in enumerate(TURNS):
        block = part(cells).take(Y)
        assert block.shape == part(cells).shape(2, 4, 6) == (2, 4, 2, 3, 2)
        for group in range(4):
            row, column = corners[(turn + group) % 4]
            assert torch.equal(block[:, group], Y[:, row::2, column::2, 2 + group :: 4])


@pytest.mark.parametrize("passes", [(None,), (EVEN, ODD), TURNS], ids=["all", "checkerboard", "turns"])
def test_passes_together_cover_every_latent_once(passes: tuple[Cells | None, ...]) -> None:
    parts = [part(cells) for cells in passes]
    blocks = [one.take(Y) for one in parts]
    assert sum(one.count(4, 6) for one in parts) == 4 * 6 * 8
    back = assemble(parts, blocks, 10)
    assert torch.equal(back[..., 2:], Y[..., 2:])
    assert not back[..., :2].any()


def test_what_is_not_there_is_zero_and_the_wider_type_wins() -> None:
    first, second = part(EVEN), part(ODD)
    half = assemble([first, second], [first.take(Y)], 10)
    assert not half[:, ::2, 1::2].any() and torch.equal(half[:, ::2, ::2, 2:], Y[:, ::2, ::2, 2:])
    both = assemble([first, second], [first.take(Y).short(), second.take(Y).int()], 10)
    assert both.dtype == torch.int32


def test_gradients_reach_what_was_put() -> None:
    y = Y.float().requires_grad_()
    assemble([part(TURNS[1])], [part(TURNS[1]).take(y)], 10).sum().backward()
    assert y.grad is not None and y.grad.sum() == 2 * 4 * 6 * 8 / 4


def test_groups_have_equally_many_corners() -> None:
    with pytest.raises(ValueError, match="same number"):
        Cells((((0, 0),), ((0, 1), (1, 0))))
