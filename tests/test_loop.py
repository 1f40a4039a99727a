"""The loop learns, goes through its phases in order, survives bad batches, and always leaves something to keep."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from training_pixels import pixels_of

from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import TINY, TINY_LIGHT, WindowAttention, paper_stages
from fedscodec.training import loop
from fedscodec.training.crops import Crops
from fedscodec.training.loop import Trainer
from fedscodec.training.recipe import DECODER, FULL, LINEAR, QUANTISED, Recipe
from fedscodec.training.stages import FIGURES, Alone, Distilled

ONE_QUALITY = replace(TINY, lambdas=(0.015,))


def picture():
    """One smooth 64 × 64 picture, so that every batch shows the same, up to mirroring."""
    x = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    x = F.interpolate(x, size=(64, 64), mode="bicubic").clamp(0, 1)
    return (x[0] * 255).to(torch.uint8).permute(1, 2, 0).contiguous()


def trainer(spec=TINY, *, taught=False, **recipe):
    """A trainer on that picture, of small batches."""
    torch.manual_seed(0)
    usual = {"batch": 2, "crop": 64, "minutes": 1.0, "linear_share": 0.15, "graphics": 0.0, "jitter": 0.0}
    usual |= {"rest_lr": 0.0}
    recipe = Recipe(**{**usual, **recipe})
    crops = Crops(pixels_of(picture()), torch.device("cpu"), recipe.seed)
    stage = Distilled(FedsModel(spec), FedsModel(spec), recipe) if taught else Alone(FedsModel(spec), recipe)
    return Trainer(stage, crops, recipe)


def no_report(report):
    """A sink for reports that nobody reads."""


class Clock:
    """A clock of which every look takes `tick` seconds."""

    def __init__(self, tick):
        self.now, self.tick = 0.0, tick

    def __call__(self):
        self.now += self.tick
        return self.now


@pytest.mark.parametrize("optimizer", ["adam", "soap"])
def test_steps_lower_the_loss(optimizer):
    if optimizer == "soap":
        pytest.importorskip("pytorch_optimizer")
    run = trainer(ONE_QUALITY, optimizer=optimizer, linear_share=0.0)
    run.warm_start(8)
    losses = [float(run.train_step(1.0)[0]) for _ in range(9)]
    assert (run.step, int(run.skipped)) == (9, 0)
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_the_linear_phase_trains_the_shortcut_and_leaves_the_rest():
    run = trainer()
    assert run.phase is LINEAR
    run.warm_start(4)
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    run.train_step(1.0)
    changed = {name for name, p in run.model.named_parameters() if not torch.equal(p, before[name])}
    assert {"g_a.shortcut.0.weight", "g_s.shortcut.3.weight", "h_a.conv.weight"} <= changed
    assert not any(name.startswith(("g_a.down", "g_s.up", "g_a.last", "g_s.last")) for name in changed)


def test_a_network_without_shortcut_starts_in_full():
    assert trainer(replace(TINY, shortcut="none"), linear_share=0.2).phase is FULL


def test_phases_follow_each_other(monkeypatch):
    run = trainer(linear_share=0.2, quantised_share=0.3)
    seen = []

    def step(rate, price_of_z):
        modes = {layer.quantised for layer in run.model.float_side.entropy_layers()}
        seen.append((run.phase.name, *modes))
        run.step += 1

    monkeypatch.setattr(run, "train_step", step)
    run._clock = Clock(3.0)  # two looks a step, and one at the save before the end begins
    assert run.run(no_report, lambda run, state: None)
    assert [phase for phase, _ in seen] == ["linear"] * 2 + ["full"] * 5 + ["quantised"] * 2
    assert all(quantised is (phase == "quantised") for phase, quantised in seen)
    assert run.average.float_side.quantised


def test_a_network_without_shortcut_has_no_linear_phase():
    run = trainer(replace(TINY, shortcut="none"))
    run.enter(LINEAR)
    assert run.phase is FULL


def test_with_and_without_a_teacher_a_student_sees_the_same_crops(monkeypatch):
    seen = {"alone": [], "taught": []}
    for name, of in seen.items():
        run = trainer(taught=name == "taught")
        batch = run._batch
        monkeypatch.setattr(run, "_batch", lambda *given, batch=batch, of=of: of.append(batch(*given)) or of[-1])
        run.prepare()
        for _ in range(2):
            run.train_step(1.0)
    assert len(seen["alone"]) == 2
    assert all(torch.equal(a, b) for a, b in zip(seen["alone"], seen["taught"], strict=True))


def test_the_last_part_of_a_run_is_untaught():
    run = trainer(taught=True, linear_share=0.0, taught_share=0.5, alpha=1.0)
    run.enter(run.recipe.phase(0.4))
    taught = dict(zip(FIGURES, run.train_step(1.0).tolist(), strict=True))
    run.enter(run.recipe.phase(0.6))
    alone = dict(zip(FIGURES, run.train_step(1.0).tolist(), strict=True))
    assert taught["output"] > 0 and taught["feature"] > 0 and taught["latent"] > 0
    assert alone["output"] == alone["feature"] == alone["latent"] == 0
    run.enter(replace(LINEAR, taught=False))
    assert run.phase == replace(LINEAR, taught=False)


@pytest.mark.parametrize("optimizer", ["adam", "soap"])
def test_a_step_that_is_not_finite_is_skipped_and_counted(optimizer, monkeypatch):
    if optimizer == "soap":
        pytest.importorskip("pytorch_optimizer")
    run = trainer(linear_share=0.0, optimizer=optimizer)
    for _ in range(2):
        run.train_step(1.0)
    before = {name: v.clone() for name, v in run.model.state_dict().items()}
    with monkeypatch.context() as patch:
        patch.setattr(run, "_batch", lambda size, crop: torch.full((2, 3, 64, 64), float("nan")))
        figures = run.train_step(1.0)
    assert not torch.isfinite(figures[0])
    assert (run.step, int(run.skipped)) == (3, 1)
    assert all(torch.equal(v, before[name]) for name, v in run.model.state_dict().items())
    assert torch.isfinite(run._figures).all()
    assert all(torch.isfinite(v).all() for v in run.average.state_dict().values())
    assert torch.isfinite(run.train_step(1.0)).all()
    assert (run.step, int(run.skipped)) == (4, 1)
    assert not torch.equal(run.model.g_a.last.weight, before["g_a.last.weight"])
    report = run._report(1.0)
    assert report.skipped == 1
    assert 1 < report.loss < 1e4


def test_the_learning_rate_is_a_share_of_each_groups_peak():
    run = trainer(lr=1e-3, side_lr=2e-3, shortcut_lr=4e-3)
    run.train_step(0.5)
    groups = [group for optimizer in run.optimizers.all for group in optimizer.param_groups]
    assert sorted(group["lr"] for group in groups) == pytest.approx([5e-4, 1e-3, 2e-3, 1e-2])
    named = {id(p): name for name, p in run.model.named_parameters()}
    prior = {named[id(p)] for group in groups if group["peak"] == Recipe().prior_lr for p in group["params"]}
    assert prior == {f"float_side.prior.{part}" for part in ("logits", "means", "log_scales")}
    assert Recipe().prior_lr == 0.02
    assert sum(len(group["params"]) for group in groups) == len(list(run.model.parameters()))


@pytest.mark.parametrize(
    ("step", "earlier", "expected"),
    [(0, 0, 0.9), (10, 0, 0.45), (10**6, 0, 0.25), (0, 10, 0.45), (4, 6, 0.45), (0, 10**6, 0.25)],
)
def test_the_average_follows_slower_and_slower(step, earlier, expected):
    run = trainer(ema=0.75)
    run.step, run.earlier = step, earlier  # of this run, and of those that it goes on from
    with torch.no_grad():
        for p, q in zip(run.model.parameters(), run.average.parameters(), strict=True):
            p.fill_(1.0)
            q.fill_(0.0)
    run._update_average()
    for p in run.average.parameters():
        torch.testing.assert_close(p, torch.full_like(p, expected))  # 1 - min(0.75, (1 + age) / (10 + age))


def test_calibration_fixes_the_steps_of_both_networks():
    run = trainer()
    fresh = 4.0 / 127
    run.calibration.fix_steps()
    pairs = zip(run.average.float_side.entropy_layers(), run.model.float_side.entropy_layers(), strict=True)
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
    run.average.gains.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0].tolist()))
    run.calibration.fix_steps()
    expected = [1 + 6 * n / 15 for n in range(16)]
    assert seen == [pytest.approx([quality, quality]) for quality in expected]  # batches of two
    assert (seen[0], seen[-1]) == ([1.0, 1.0], [7.0, 7.0])


def test_calibration_forgets_the_peaks_of_earlier_ones():
    run = trainer()
    first = run.average.float_side.h_s[0]
    run.calibration.fix_steps()
    before = first.steps.clone()
    with torch.no_grad():
        first.weight.mul_(0.25)
        first.bias.mul_(0.25)
    run.calibration.fix_steps()
    assert float(first.steps.max()) < 0.5 * float(before.max())


def test_calibration_does_not_touch_what_a_run_draws():
    one, same = trainer(), trainer()
    one.calibration.fix_steps()
    assert torch.equal(one._batch(2, 64), same._batch(2, 64))


def test_reports_and_saves_come_by_the_clock():
    run = trainer(save_every=0.25)
    reports, saved = [], []
    run._clock = Clock(3.5)
    run.run(reports.append, lambda run, state: saved.append(run.step))
    assert run.step == 8
    assert saved == [2, 5, 8]  # a step takes 7 s, and a save another look: after 17.5 s, after 21 s, and at the end
    assert [r.step for r in reports] == list(range(1, 9))
    assert {r.phase for r in reports} == {"linear", "full", "quantised"}
    assert all(0 < r.bpp < 1000 and r.psnr > 0 and r.loss > 0 for r in reports)
    assert reports[0].pixels_per_second == pytest.approx(2 * 64 * 64 / 7)
    assert [r.minutes + r.minutes_left for r in reports] == pytest.approx([1.0] * 8)


def test_a_report_is_the_mean_since_the_one_before(monkeypatch):
    run = trainer()
    seen = [run.train_step(1.0) for _ in range(3)]
    report = run._report(2.0)
    mean = dict(zip(FIGURES, torch.stack(seen).mean(0).tolist(), strict=True))
    assert (report.loss, report.bpp) == pytest.approx((mean["loss"], mean["bpp"]), rel=1e-5)
    assert report.psnr == pytest.approx(float(-10 * torch.log10(torch.tensor(mean["mse"]))), rel=1e-5)
    assert report.pixels_per_second == pytest.approx(3 * 2 * 64 * 64 / 2.0)
    last = run.train_step(1.0)
    assert run._report(1.0).loss == pytest.approx(float(last[0]), rel=1e-5)


def test_a_run_of_steps_is_over_after_them():
    run = trainer(steps=4, minutes=1e9, quantised_share=0.25, linear_share=0.5)
    phases = []
    step = run.train_step
    run.train_step = lambda *args: (phases.append(run.phase.name), step(*args))
    assert run.run(no_report, lambda run, state: None)
    assert phases == ["linear", "linear", "full", "quantised"]


def test_ctrl_c_ends_the_step_and_saves(monkeypatch):
    run = trainer()
    saved, step = [], run.train_step

    def interrupted(rate, price_of_z):
        if run.step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(rate, price_of_z)

    monkeypatch.setattr(run, "train_step", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert not run.run(no_report, lambda run, state: saved.append(run.average.float_side.h_s[0].steps.clone()))
    (steps,) = saved
    assert run.step == 2
    assert not (steps == 4.0 / 127).all()  # calibrated, so that it can be turned into integers
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_interrupts_at_once(monkeypatch):
    run, saved = trainer(), []

    def interrupted(rate, price_of_z):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(run, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.run(no_report, saved.append)
    assert saved == []


def test_a_sitting_ends_when_it_should():
    run = trainer()
    run._clock = Clock(3.0)  # six seconds a step
    assert not run.run(no_report, lambda run, state: None, stop_after=0.35)
    assert run.step == 3
    assert run.minutes == pytest.approx(0.35)


def test_z_that_is_free_is_not_paid_for():
    """With z free, the gradient of its prior is zero; with its price, it is not."""
    for price, moves in ((0.0, False), (1.0, True)):
        run = trainer()
        prior = run.model.float_side.prior
        before = prior.log_scales.detach().clone()
        run.train_step(1.0, price)
        assert bool((prior.log_scales != before).any()) is moves


def test_the_decoder_phase_trains_g_s_alone():
    run = trainer(decoder_share=0.5, quantised_share=0.2, linear_share=0.0)
    before = {name: p.detach().clone() for name, p in run.model.named_parameters()}
    run.enter(QUANTISED)
    run.enter(DECODER)
    for _ in range(3):  # the first step of the optimizer of the transforms only looks
        run.train_step(1.0)
    moved = {name.split(".")[0] for name, p in run.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {"g_s"}


class Waits(TorchDispatchMode):
    """Notes what would make the host wait for a GPU: a tensor read as a number, a constant made on the way."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        name = str(operation)
        if any(part in name for part in ("_local_scalar_dense", "lift_fresh", "nonzero", "masked_select")):
            self.seen.append(name)
        return operation(*arguments, **(keywords or {}))


@pytest.mark.parametrize("phase", [LINEAR, FULL, QUANTISED], ids=lambda phase: phase.name)
def test_a_step_waits_for_nothing(phase):
    recipe = Recipe(batch=2, crop=64, optimizer="adam", delta=1.0)
    spec = replace(TINY, stages=paper_stages(1, WindowAttention(heads=2), width=8))
    run = Trainer(
        Distilled(FedsModel(TINY), FedsModel(spec), recipe), Crops(pixels_of(picture()), torch.device("cpu"), 1), recipe
    )
    run.enter(phase)
    run.train_step(1.0)  # in which the state of the optimizers is made
    with Waits() as waits:
        run.train_step(1.0)
    assert waits.seen == []
    with Waits() as waits:
        assert run._report(1.0).loss > float(torch.tensor(0.0))
    assert len(waits.seen) > 1  # so that the test sees what it looks for


@pytest.mark.parametrize("metric", ["mse", "ms-ssim", "visual"])
@pytest.mark.parametrize("phase", [LINEAR, FULL, QUANTISED, DECODER], ids=lambda phase: phase.name)
def test_a_step_of_a_light_network_waits_for_nothing(phase, metric):
    side = 64 if metric == "mse" else 192
    image = F.interpolate(picture().permute(2, 0, 1)[None].float(), size=(side, side))[0].permute(1, 2, 0)
    recipe = Recipe(batch=1, crop=side, graphics=0.0, jitter=0.0)
    model = FedsModel(replace(TINY_LIGHT, metric=metric))
    run = Trainer(Alone(model, recipe), Crops(pixels_of(image.to(torch.uint8)), torch.device("cpu"), 1), recipe)
    run.enter(phase)
    run.train_step(1.0)
    with Waits() as waits:
        run.train_step(1.0)
    assert waits.seen == []


def test_compiled_transforms_train_as_they_are(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **more: compiled.append(type(module).__name__))
    run = trainer(compile=True)
    assert run.compile() is None
    assert compiled == ["Analysis", "Synthesis"]
    figures = run.train_step(1.0)
    assert torch.equal(figures, trainer().train_step(1.0))  # the trial changed nothing


def test_a_trial_has_the_settings_of_the_steps(monkeypatch):
    entered = []

    @contextmanager
    def noted(device):
        entered.append("in")
        yield
        entered.append("out")

    monkeypatch.setattr(loop, "quick_arithmetic", noted)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **more: None)
    run = trainer(compile=True)
    real = run.stage.forward
    monkeypatch.setattr(run.stage, "forward", lambda *given: entered.append("step") or real(*given))
    assert run.compile() is None
    assert entered == ["in", "step", "out"]


def test_other_crops_follow_a_run_on_another_kind_of_device():
    run = trainer()
    run.train_step(1.0)
    state = run.state()
    taken, again = trainer(), trainer()
    taken.take(state)
    assert torch.equal(taken.crops.generator.get_state(), run.crops.generator.get_state())
    again.take({**state, "draws": torch.zeros(3, dtype=torch.uint8)})
    assert again.crops.generator.initial_seed() == 2  # its seed, and the step


def test_a_failed_compilation_is_reported_and_the_network_runs_uncompiled(monkeypatch):
    def broken(module, **more):
        module._compiled_call_impl = lambda *inputs: torch.compile(lambda: 1 / 0)()

    monkeypatch.setattr(torch.nn.Module, "compile", broken)
    run = trainer(compile=True)
    assert run.compile() == ("--compile: torch.compile failed for g_a and g_s (division by zero); they run uncompiled")
    assert torch.isfinite(run.train_step(1.0)).all()


def test_shapes_are_fitted_as_the_run_goes_and_at_its_end(monkeypatch):
    run = trainer(steps=10, linear_share=0.2, quantised_share=0.0, shapes_every=0.25)
    batches = []
    monkeypatch.setattr(run.calibration, "fit_shapes", lambda count, step: batches.append((step, count)))
    assert run.run(no_report, lambda run, state: None)
    assert batches == [(3, 4), (5, 4), (8, 4), (10, 64)]


def test_both_networks_have_the_fitted_shapes(monkeypatch):
    run = trainer(linear_share=0.0)
    before = run.crops.generator.get_state()
    run.calibration.fit_shapes(3, 0)
    shapes = run.model.float_side.shapes
    assert torch.equal(shapes, run.average.float_side.shapes)
    assert not torch.equal(shapes[..., 2], torch.ones_like(shapes[..., 2]))
    torch.testing.assert_close(shapes.sum(-1), torch.ones_like(shapes[..., 0]))
    assert torch.equal(before, run.crops.generator.get_state())


def test_g_s_alone_leaves_the_shapes_and_the_paper_has_none():
    run = trainer(steps=2, linear_share=0.0, quantised_share=0.0, decoder_share=1.0, shapes_every=0.5)
    plain = run.model.float_side.shapes.clone()
    assert run.run(no_report, lambda run, state: None)
    assert torch.equal(run.average.float_side.shapes, plain)
    run = trainer(steps=2, linear_share=0.0, shapes_every=0.0)
    assert run.run(no_report, lambda run, state: None)
    assert torch.equal(run.average.float_side.shapes, plain)
