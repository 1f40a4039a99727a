"""Crops lie inside the pictures, are drawn from all of them, and come without a loop or a wait."""

from __future__ import annotations

import pytest
import torch
from training_pixels import pixels_of

from fedscodec.errors import FedsError
from fedscodec.training.crops import Crops

CPU = torch.device("cpu")


def crops(*pictures, seed=0):
    """Crops of pictures given as [3, H, W], which read better here."""
    return Crops(pixels_of(*(p.permute(1, 2, 0) for p in pictures)), CPU, seed)


def plane(height, width, value=0):
    """A picture of one value."""
    return torch.full((3, height, width), value, dtype=torch.uint8)


def coordinates():
    """A 70 × 200 picture whose pixels tell where they lie: row, column, and 9."""
    rows, columns = torch.meshgrid(torch.arange(70), torch.arange(200), indexing="ij")
    return torch.stack([rows, columns, torch.full_like(rows, 9)]).to(torch.uint8)


def levels(batch):
    return (batch * 255).round().int()


def test_a_batch_is_float_in_0_to_1_and_channels_last():
    batch = crops(torch.arange(256, dtype=torch.uint8).repeat(3, 64, 1)).batch(40, 64)
    assert batch.shape == (40, 3, 64, 64)
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert 0 <= float(batch.min()) < 0.1
    assert 0.9 < float(batch.max()) <= 1
    torch.testing.assert_close(batch * 255, levels(batch).float(), atol=1e-4, rtol=0)


def test_crops_lie_inside_the_picture_and_are_turned_at_random():
    kinds = set()
    for crop in levels(crops(plane(64, 64), coordinates(), plane(64, 80), seed=1).batch(200, 64)):
        if not (crop[2] == 9).all():
            assert (crop == 0).all()  # of one picture or the other, never across
            continue
        turned = bool(crop[0, 0, 0] == crop[0, 1, 0])  # rows run to the right
        rows, columns = (crop.transpose(1, 2) if turned else crop)[:2]
        flipped = bool(columns[0, 0] > columns[0, 1])
        columns = columns.flip(1) if flipped else columns
        first, left = rows[:1, :1], columns[:1, :1]
        assert 0 <= int(first) <= 70 - 64
        assert 0 <= int(left) <= 200 - 64
        assert torch.equal(rows, (first + torch.arange(64)[:, None]).expand(64, 64))
        assert torch.equal(columns, (left + torch.arange(64)).expand(64, 64))
        kinds.add((turned, flipped))
    assert len(kinds) == 4


def test_every_place_can_be_drawn():
    batch = levels(crops(coordinates(), seed=2).batch(300, 64))
    smallest, largest = batch[:, 0].amin((1, 2)), batch[:, 1].amax((1, 2))
    assert set(smallest.tolist()) == set(range(7))
    assert int(largest.min()) < 75
    assert int(largest.max()) > 190


def test_batches_are_reproducible():
    one, same, other = (crops(coordinates(), seed=seed) for seed in (5, 5, 6))
    first, second = one.batch(4, 64), one.batch(4, 64)
    assert torch.equal(first, same.batch(4, 64))
    assert torch.equal(second, same.batch(4, 64))
    assert not torch.equal(first, second)
    assert not torch.equal(first, other.batch(4, 64))


def test_another_generator_leaves_the_run_as_it_is():
    one, same = crops(coordinates()), crops(coordinates())
    own = one.fresh_generator(9)
    assert torch.equal(one.batch(3, 64, own), one.batch(3, 64, one.fresh_generator(9)))
    assert torch.equal(one.batch(3, 64), same.batch(3, 64))


def test_processes_share_a_batch():
    whole, first, second = (crops(coordinates()) for _ in range(3))
    parts = [first.batch(4, 64, part=slice(0, 2)), second.batch(4, 64, part=slice(2, 4))]
    assert torch.equal(whole.batch(4, 64), torch.cat(parts))
    qualities = [first.quality(4, 7, slice(0, 2)), second.quality(4, 7, slice(2, 4))]
    assert torch.equal(whole.quality(4, 7), torch.cat(qualities))


def test_a_picture_of_the_size_of_the_crop_is_taken_whole():
    assert torch.equal(crops(plane(64, 64, 128)).batch(2, 64), torch.full((2, 3, 64, 64), 128 / 255))


def test_pictures_are_drawn_by_area():
    share = float(crops(plane(64, 64), plane(192, 64, 255)).batch(400, 64).mean())
    assert 0.68 < share < 0.82  # three quarters; six standard deviations are 0.13


def test_large_crops_come_from_large_pictures_alone():
    found = crops(plane(64, 64), plane(128, 130, 255), plane(64, 300))
    assert (found.batch(20, 128) == 1).all()
    with pytest.raises(FedsError, match="^no training picture has 192x192 pixels, which --crop or --crops asks for$"):
        found.batch(2, 192)


def test_both_ways_to_take_crops_agree():
    found = crops(coordinates(), plane(64, 64))
    start, width = torch.tensor([0, 207, 14_000]), torch.tensor([200, 200, 64])
    for flip in (False, True):
        for turn in (False, True):
            how = torch.tensor([flip] * 3), torch.tensor([turn] * 3)
            assert torch.equal(found._gathered(start, width, 64, *how), found._copied(start, width, 64, *how))


def test_qualities_lie_in_the_range_of_the_network():
    drawn = crops(plane(64, 64)).quality(200, 7)
    assert drawn.shape == (200,)
    assert 1.0 <= float(drawn.min()) < 1.5
    assert 6.5 < float(drawn.max()) <= 7.0
    assert (crops(plane(64, 64)).quality(5, 1) == 1).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_nothing_waits_and_the_crops_are_those_of_the_picture():
    there = Crops(pixels_of(coordinates().permute(1, 2, 0)), torch.device("cuda"), 3)
    there.batch(2, 64)
    torch.cuda.set_sync_debug_mode("error")
    try:
        batch = there.batch(8, 64)
        there.quality(8, 7)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert there.place.type == "cuda"
    assert (levels(batch)[:, 2] == 9).all()
