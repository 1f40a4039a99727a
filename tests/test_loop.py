"""The loop learns, goes through its stages in order, survives bad batches, and always leaves something to keep."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch
import torch.nn.functional as F

from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import TINY
from fedscodec.training import loop
from fedscodec.training.data import Tiles
from fedscodec.training.loop import Report, Trainer, json_log
from fedscodec.training.recipe import Recipe

ONE_QUALITY = replace(TINY, lambdas=(0.015,))


def tiles():
    """One smooth 64 × 64 picture, so that every batch shows the same, up to mirroring."""
    x = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    x = F.interpolate(x, size=(64, 64), mode="bicubic").clamp(0, 1)
    return Tiles([(x[0] * 255).to(torch.uint8)])


def trainer(spec=TINY, **recipe):
    """A trainer on that picture, of small batches."""
    torch.manual_seed(0)
    recipe = {"batch": 2, "crop": 64, "minutes": 1.0, "optimizer": "adam", **recipe}
    return Trainer(FedsModel(spec), tiles(), Recipe(**recipe), torch.device("cpu"))


def no_report(report):
    """A sink for reports that nobody reads."""


class Clock:
    """Stands in for the time module: every look at it takes `tick` seconds."""

    def __init__(self, tick):
        self.now, self.tick = 0.0, tick

    def monotonic(self):
        self.now += self.tick
        return self.now


@pytest.mark.parametrize("optimizer", ["adam", "soap"])
def test_steps_lower_the_loss(optimizer):
    if optimizer == "soap":
        pytest.importorskip("pytorch_optimizer")
    run = trainer(ONE_QUALITY, optimizer=optimizer, linear_share=0.0)
    run.warm_start(8)
    losses = [float(run._train_step(1.0).loss) for _ in range(9)]
    assert (run.step, run.skipped) == (9, 0)
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_the_linear_stage_trains_the_shortcut_and_leaves_the_rest():
    run = trainer()
    assert run.stage == "linear"
    run.warm_start(4)
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    run._train_step(1.0)
    changed = {name for name, p in run.model.named_parameters() if not torch.equal(p, before[name])}
    assert {"g_a.shortcut.0.weight", "g_s.shortcut.3.weight", "h_a.conv.weight"} <= changed
    assert not any(name.startswith(("g_a.down", "g_s.up", "g_a.last", "g_s.last")) for name in changed)


def test_a_network_without_shortcut_starts_in_full():
    assert trainer(replace(TINY, wavelet=False)).stage == "full"


def test_stages_follow_each_other(monkeypatch):
    run = trainer(linear_share=0.2, quantised_share=0.3)
    seen = []

    def step(rate, price_of_z):
        modes = {layer.quantised for layer in run.model.float_side.entropy_convs()}
        seen.append((run.stage, *modes))
        run.step += 1
        return loop.losses.RateDistortion(torch.tensor(1.0), torch.tensor([1.0]), torch.tensor([0.01]))

    monkeypatch.setattr(run, "_train_step", step)
    monkeypatch.setattr(loop, "time", Clock(3.0))  # two looks a step: ten steps in the minute
    run.run(no_report, lambda run: None)
    assert seen == [("linear", False)] * 2 + [("full", False)] * 5 + [("quantised", True)] * 3
    assert run.average.float_side.quantised


def test_a_late_look_at_the_clock_passes_through_all_stages():
    run = trainer()
    run._enter_stage(0.95)
    assert run.stage == "quantised"


def test_without_a_quantised_share_that_stage_is_never_entered():
    run = trainer(quantised_share=0.0, linear_share=0.0)
    run._enter_stage(0.9999)
    assert run.stage == "full"


def test_a_step_that_is_not_finite_is_skipped_and_counted(monkeypatch):
    run = trainer(linear_share=0.0)
    before = {name: v.clone() for name, v in run.model.state_dict().items()}
    kept = {name: v.clone() for name, v in run.average.state_dict().items()}
    with monkeypatch.context() as patch:
        patch.setattr(run, "_batch", lambda size: torch.full((size, 3, 64, 64), float("nan")))
        result = run._train_step(1.0)
    assert not torch.isfinite(result.loss)
    assert (run.step, run.skipped) == (1, 1)
    assert all(torch.equal(v, before[name]) for name, v in run.model.state_dict().items())
    assert all(torch.equal(v, kept[name]) for name, v in run.average.state_dict().items())
    assert torch.isfinite(run._train_step(1.0).loss)
    assert (run.step, run.skipped) == (2, 1)
    assert not torch.equal(run.model.g_a.last.weight, before["g_a.last.weight"])


def test_the_learning_rate_is_a_share_of_each_groups_peak():
    run = trainer(lr=1e-3, side_lr=2e-3, shortcut_lr=4e-3)
    run._train_step(0.5)
    groups = [group for optimizer in run.optimizers for group in optimizer.param_groups]
    assert sorted(group["lr"] for group in groups) == pytest.approx([5e-4, 1e-3, 2e-3, 0.5 * loop.PRIOR_LR])
    named = {id(p): name for name, p in run.model.named_parameters()}
    prior = {named[id(p)] for group in groups if group["peak"] == loop.PRIOR_LR for p in group["params"]}
    assert prior == {f"float_side.prior.{part}" for part in ("logits", "means", "log_scales")}
    assert loop.PRIOR_LR == 0.02
    assert sum(len(group["params"]) for group in groups) == len(list(run.model.parameters()))


@pytest.mark.parametrize(("step", "expected"), [(0, 0.9), (10, 0.45), (10**6, 0.25)])
def test_the_average_follows_slower_and_slower(step, expected):
    run = trainer(ema=0.75)
    run.step = step
    with torch.no_grad():
        for p, q in zip(run.model.parameters(), run.average.parameters(), strict=True):
            p.fill_(1.0)
            q.fill_(0.0)
    run._update_average()
    for p in run.average.parameters():
        torch.testing.assert_close(p, torch.full_like(p, expected))  # 1 - min(0.75, (1 + step) / (10 + step))


def test_calibration_fixes_the_steps_of_both_networks():
    run = trainer()
    fresh = 4.0 / 127
    run.calibrate()
    pairs = zip(run.average.float_side.entropy_convs(), run.model.float_side.entropy_convs(), strict=True)
    for layer, trained in pairs:
        assert torch.equal(layer.steps, trained.steps)
        if layer.kind in ("relu", "signed"):
            assert (layer.steps > 0).all()
            assert not (layer.steps == fresh).any()
            fired = layer.peak > layer.peak.mean() * 0.01
            torch.testing.assert_close(layer.steps[fired], 1.1 * layer.peak[fired] / 127)
        else:
            assert (layer.steps == {"mean": 1 / 16, "index": 1.0}[layer.kind]).all()
        assert not layer.observing
        assert not layer.quantised


def test_calibration_sees_both_ends_of_the_qualities_and_all_between():
    run, seen = trainer(), []
    run.average.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[1].tolist()))
    run.calibrate()
    expected = [1 + 6 * n / 15 for n in range(16)]
    assert seen == [pytest.approx([quality, quality]) for quality in expected]  # batches of two
    assert (seen[0], seen[-1]) == ([1.0, 1.0], [7.0, 7.0])


def test_calibration_forgets_the_peaks_of_earlier_ones():
    run = trainer()
    first = run.average.float_side.h_s[0]
    run.calibrate()
    before = first.steps.clone()
    with torch.no_grad():
        first.weight.mul_(0.25)
        first.bias.mul_(0.25)
    run.calibrate()
    assert float(first.steps.max()) < 0.5 * float(before.max())


def test_reports_and_saves_come_by_the_clock(monkeypatch):
    run = trainer(save_every=0.25)
    reports, saved = [], []
    monkeypatch.setattr(loop, "time", Clock(3.5))
    run.run(reports.append, lambda run: saved.append(run.step))
    assert run.step == 8
    assert saved == [3, 6, 8]  # a step takes 7 s, and a save another look: after 21 s, after 24.5 s, and at the end
    assert [r.step for r in reports] == list(range(1, 9))
    assert {r.stage for r in reports} == {"linear", "full", "quantised"}
    assert all(0 < r.bpp < 1000 and r.psnr > 0 and r.loss > r.bpp for r in reports)
    assert reports[0].pixels_per_second == pytest.approx(2 * 64 * 64 / 7)


def test_an_interrupt_saves_what_there_is(monkeypatch):
    run = trainer()
    saved, step = [], run._train_step

    def interrupted(rate, price_of_z):
        if run.step == 1:
            raise KeyboardInterrupt
        return step(rate, price_of_z)

    monkeypatch.setattr(run, "_train_step", interrupted)
    run.run(no_report, lambda run: saved.append(run.average.float_side.h_s[0].steps.clone()))
    (steps,) = saved
    assert run.step == 1
    assert not (steps == 4.0 / 127).all()  # calibrated, so that it can be turned into integers


def test_equal_seeds_draw_equal_batches():
    assert torch.equal(trainer(seed=4)._batch(3), trainer(seed=4)._batch(3))
    assert not torch.equal(trainer(seed=4)._qualities(), trainer(seed=5)._qualities())


def test_qualities_lie_in_the_range_of_the_network():
    run = trainer(batch=200)
    drawn = run._qualities()
    assert drawn.shape == (200,)
    assert 1.0 <= float(drawn.min()) < 1.5
    assert 6.5 < float(drawn.max()) <= 7.0
    assert (trainer(ONE_QUALITY)._qualities() == 1).all()


def test_the_log_is_json_lines(tmp_path):
    path = tmp_path / "new" / "run.jsonl"
    tell = json_log(path, Recipe(minutes=2.0))
    report = Report(7, 0.5, 0.25, "full", 1.234567, 0.5, 30.0, 1.0, 1000.0, 2)
    tell(report)
    tell(replace(report, step=8, loss=float("inf")))
    first, second, third = (json.loads(line) for line in path.read_text().splitlines())
    assert first == {"recipe": asdict(Recipe(minutes=2.0))}
    assert second == {**asdict(report), "loss": 1.23457}
    assert third == {**asdict(report), "step": 8, "loss": None}
    assert path.read_text().splitlines()[2].count("null") == 1


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_what_is_not_finite_is_null_in_the_log(tmp_path, value):
    tell = json_log(tmp_path / "run.jsonl", Recipe())
    tell(Report(1, 0.5, 0.25, "full", value, value, value, 1.0, 1000.0, 2))
    refuse = {"parse_constant": pytest.fail}  # Infinity and NaN are no JSON
    row = json.loads((tmp_path / "run.jsonl").read_text().splitlines()[1], **refuse)
    assert (row["loss"], row["bpp"], row["psnr"], row["minutes"]) == (None, None, None, 0.5)


def test_a_log_starts_anew(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("old\n")
    json_log(path, Recipe())
    assert len(path.read_text().splitlines()) == 1
    assert "old" not in path.read_text()


def test_z_that_is_free_is_not_paid_for():
    """With z free, the gradient of its prior is zero; with its price, it is not."""
    for price, moves in ((0.0, False), (1.0, True)):
        run = trainer()
        prior = run.model.float_side.prior
        before = prior.log_scales.detach().clone()
        run._train_step(1.0, price)
        assert bool((prior.log_scales != before).any()) is moves


def test_the_decoder_stage_trains_g_s_alone():
    run = trainer(decoder_share=0.5, quantised_share=0.2, linear_share=0.0)
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    run._enter_stage(0.4)
    assert run.stage == "quantised"
    run._enter_stage(0.6)
    assert run.stage == "decoder"
    for _ in range(3):  # the first step of the optimizer of the transforms only looks
        run._train_step(1.0)
    moved = {name.split(".")[0] for name, p in run.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"g_s"}
