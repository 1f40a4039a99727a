"""A recipe can be timed, and a figure of it means what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from training_pixels import pixels_of

from fedscodec.networks.counts import kmacs_per_pixel
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import TINY
from fedscodec.training import measure
from fedscodec.training.crops import Crops
from fedscodec.training.loop import Trainer, quick_arithmetic
from fedscodec.training.measure import Speed
from fedscodec.training.recipe import FULL, LINEAR, Recipe
from fedscodec.training.stages import Alone, Distilled


def trainer(taught=False):
    torch.manual_seed(0)
    recipe = Recipe(batch=2, crop=64, optimizer="adam")
    model = FedsModel(TINY)
    stage = Distilled(model, FedsModel(TINY), recipe) if taught else Alone(model, recipe)
    return Trainer(stage, Crops(pixels_of(torch.zeros(64, 64, 3, dtype=torch.uint8)), torch.device("cpu"), 1), recipe)


@pytest.mark.parametrize(("taught", "passes"), [(False, 3), (True, 4)])
def test_a_speed_counts_what_was_multiplied(taught, passes, monkeypatch):
    rates = {trainer().precision: 1e12}  # another precision is a KeyError
    monkeypatch.setattr(measure, "matrix_rate", lambda device, precision: rates[precision])
    speed = measure.measure(trainer(taught), seconds=0.0)
    assert (speed.phase, speed.steps, speed.memory) == ("full", 2, 0)
    assert speed.milliseconds / 1000 * speed.pixels_per_second == pytest.approx(2 * 64 * 64)
    assert speed.flops == pytest.approx(speed.pixels_per_second * 2 * passes * 1000 * kmacs_per_pixel(TINY))
    assert speed.share == speed.flops / 1e12


def test_a_pace_weighs_the_parts_of_a_run_by_their_shares(monkeypatch):
    run, seen = trainer(taught=True), []
    run.recipe = replace(run.recipe, quantised_share=0.25, taught_share=0.5)
    timed = {"full": (2, 2.0, 3.0), "quantised": (4, 16.0, 20.0)}

    def time(trainer, seconds, phase, warm_up):
        seen.append((seconds, phase.name, phase.taught))
        return timed[phase.name]

    with monkeypatch.context() as patch:
        patch.setattr(measure, "_time", time)
        assert measure.pace(run, 7.0) == (0.75 * 1.0 + 0.25 * 4.0, 0.75 * 1.5 + 0.25 * 5.0)
    assert seen == [(7.0, "full", True), (7.0, "full", False), (7.0, "quantised", False)]
    real = measure.pace(run, 0.0)
    assert real.core_seconds > 0 and real.seconds > 0
    assert run.model.float_side.quantised  # its last part was


def test_a_speed_is_a_line():
    assert str(Speed("full", 90, 5.2e6, 101.3, 14.1e12, 700e12, 5 * 2**30)) == (
        "full: 5200 kpx/s, 101.3 ms a step (90 steps), 14.10 of 700.0 Tflop/s, 2.0 % of the device's rate, 5.0 GiB"
    )


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float32])
def test_the_rate_of_a_device_is_found(precision, monkeypatch):
    asked = []
    monkeypatch.setattr(measure.torch, "randn", lambda *of, **how: asked.append(how["dtype"]) or torch.ones(64, 64))
    assert measure.matrix_rate(torch.device("cpu"), precision) > 0
    assert asked == [precision] * 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tf32_ends_with_the_training():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    with quick_arithmetic(torch.device("cuda")):
        assert torch.get_float32_matmul_precision() == "high"
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark) == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_step_on_a_gpu_waits_for_nothing():
    torch.manual_seed(0)
    recipe = Recipe(batch=2, crop=64, optimizer="adam")
    run = Trainer(
        Alone(FedsModel(TINY), recipe),
        Crops(pixels_of(torch.zeros(64, 64, 3, dtype=torch.uint8)), torch.device("cuda"), 1),
        recipe,
    )
    for phase in (LINEAR, FULL):
        run.phase = phase
        run.train_step(1.0)
        torch.cuda.set_sync_debug_mode("error")
        try:
            run.train_step(1.0)
        finally:
            torch.cuda.set_sync_debug_mode("default")
