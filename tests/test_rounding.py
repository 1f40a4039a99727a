"""What integers cost is measured on the same latents under the float twin and under the integers."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from training_pixels import pixels_of

from fedscodec.bench.rounding import Row, measure
from fedscodec.codec.encoding import encode_picture
from fedscodec.codec.model import load_model
from fedscodec.codec.settings import Encoding
from fedscodec.images import read_picture
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import TINY
from fedscodec.networks.weights import write_weights
from fedscodec.training.crops import Crops
from fedscodec.training.loop import Trainer
from fedscodec.training.recipe import Recipe
from fedscodec.training.stages import Alone


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """A checkpoint of a tiny network after its warm start, and a picture that it was calibrated on."""
    folder = tmp_path_factory.mktemp("rounding")
    torch.manual_seed(0)
    x = F.interpolate(torch.rand(1, 3, 12, 12), size=(96, 128), mode="bicubic").clamp(0, 1)
    pixels = (x[0] * 255).to(torch.uint8)
    Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())).save(folder / "x.png")
    recipe = Recipe(batch=2, crop=64, optimizer="adam", seed=5)
    crops = Crops(pixels_of(pixels.permute(1, 2, 0)), torch.device("cpu"), recipe.seed)
    trainer = Trainer(Alone(FedsModel(TINY), recipe), crops, recipe)
    trainer.warm_start(8)
    last = [net.index[-1] for net in trainer.average.float_side.nets]
    for layer in last:
        layer.weight.zero_()  # one table for all: what another one costs says nothing where none was learned
        layer.bias.fill_(20 / 8)  # a wide one, into whose range the residuals of a fresh network fall
    trainer.calibration.fix_steps()
    write_weights(folder / "tiny.safetensors", trainer.average, {}, checkpoint=True)
    write_weights(folder / "shipped.safetensors", trainer.average, {})
    for layer in last:
        layer.bias.fill_(20.4 / 8)
    write_weights(folder / "between.safetensors", trainer.average, {}, checkpoint=True)
    return folder


def test_lost_is_the_share_by_which_integers_cost_more():
    assert Row("x.png", 3.0, 0.5, 0.51, 0.52).lost == pytest.approx(0.02)
    assert Row("x.png", 3.0, 0.5, 0.5, 0.6).lost == 0.0
    assert Row("x.png", 3.0, 2.0, 1.0, 1.5).lost == -0.5


def test_a_row_for_every_picture_and_quality(paths):
    rows = list(measure(paths / "tiny.safetensors", [paths / "x.png"] * 2, [2.0, 5.5]))
    assert [(row.name, row.quality) for row in rows] == [("x.png", 2.0), ("x.png", 5.5)] * 2
    assert rows[:2] == rows[2:]
    assert rows[0].float_bpp < rows[1].float_bpp
    for row in rows:
        assert all(math.isfinite(v) and v > 0 for v in (row.float_bpp, row.integer_bpp, row.file_bpp))


def test_integers_cost_little_and_the_file_little_more(paths):
    (row,) = measure(paths / "tiny.safetensors", [paths / "x.png"], [4.0])
    assert abs(row.lost) < 0.01
    overhead = (row.file_bpp - row.integer_bpp) * 96 * 128 / 8
    assert 0 < overhead < 60  # bytes: header, lengths, and the last word of each stream


def test_a_shipped_file_is_measured_by_the_twin_of_its_integers(paths):
    (whole,) = measure(paths / "tiny.safetensors", [paths / "x.png"], [4.0])
    (row,) = measure(paths / "shipped.safetensors", [paths / "x.png"], [4.0])
    assert row.float_bpp == pytest.approx(whole.float_bpp, rel=0.002)
    assert abs(row.lost) < 0.01


def test_a_table_between_two_is_rounded_to_the_nearer_one(paths):
    (on_table,) = measure(paths / "tiny.safetensors", [paths / "x.png"], [4.0])
    (between,) = measure(paths / "between.safetensors", [paths / "x.png"], [4.0])
    assert between.integer_bpp == on_table.integer_bpp  # of table 20 again
    model = load_model(str(paths / "tiny.safetensors"), "cpu")
    symbols = np.concatenate(encode_picture(read_picture(paths / "x.png"), model, Encoding(quality=4.0)).symbols[1:])

    def bits(index):  # of what was coded, under the normal distribution of that table
        normal = NormalDist(sigma=0.11 * (16 / 0.11) ** (index / 23))
        values, counts = np.unique(symbols, return_counts=True)
        masses = [normal.cdf(value + 0.5) - normal.cdf(value - 0.5) for value in values.tolist()]
        return -counts @ np.log2(masses)

    difference = (bits(20.4) - bits(20)) / (96 * 128)
    assert abs(difference) > 0.001
    assert between.float_bpp - on_table.float_bpp == pytest.approx(difference, rel=0.05)
