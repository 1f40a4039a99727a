"""`feds train`, `distill` and `finetune` from a folder of pictures to a weights file that encodes."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fedscodec.codec.model import Model, load_model
from fedscodec.commands.training import run_job
from fedscodec.errors import FedsError, OutputError
from fedscodec.images import from_array
from fedscodec.metrics.psnr import psnr
from fedscodec.networks.spec import TINY, VARIANTS
from fedscodec.networks.weights import read_weights
from fedscodec.training import calibration, loop, session
from fedscodec.training.health import DivergedError
from fedscodec.training.job import Job
from fedscodec.training.session import Nobody, export
from fedscodec.training.state import read_state, write_state
from fedscodec.version import __version__

NOBODY = Nobody()
SHORT = {"steps": 3, "crop": 64, "batch": 2, "optimizer": "adam"}


def train(data, out, network="tiny", overrides=None, audience=NOBODY, **more):
    """Run a job as the commands do, on the CPU."""
    more = {"network": network, **more} if "init" not in more and not more.get("resume") else more
    overrides = {**SHORT, **(overrides or {})}
    session.run(Job([data], out, overrides=overrides, device="cpu", **more), audience)


@pytest.fixture(autouse=True, scope="module")
def _few_batches():
    """Looking at four batches, not sixteen, is enough where nothing is learned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "BATCHES", 4)
        patch.setattr(loop, "BATCHES", 4)
        yield


def colours(height, width):
    """A smooth picture, uint8 [H, W, 3]."""
    rows, columns = np.mgrid[:height, :width]
    waves = [rows * 2.0, columns * 1.5, 128 + 100 * np.sin((rows + columns) / 15)]
    return np.stack(waves, 2).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(colours(80, 96)).save(folder / "a.png")
    Image.fromarray(colours(96, 70)[::-1].copy()).save(folder / "b.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def checkpoint(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "deep" / "mine.safetensors"
    train(photos, out)
    return out


@pytest.fixture(scope="module")
def shipped(checkpoint):
    out = checkpoint.with_name("shipped.safetensors")
    export(checkpoint, out)
    return out


def code(path):
    """A picture through the bytes of a file, by the network of a weights file; the picture, the result, the bytes."""
    model = Model(read_weights(path), name="mine", quality=4.0, device="cpu", precision=torch.float32)
    picture = from_array(colours(70, 90))
    data = model.encode(picture)
    return picture, model.decode(data), data


def test_an_unknown_network_is_named_before_anything_is_read(tmp_path):
    with pytest.raises(FedsError, match="^giant: no such network; known are student, teacher, "):
        train(tmp_path / "nowhere", tmp_path / "out.safetensors", "giant")
    assert list(tmp_path.iterdir()) == []


def test_training_leaves_a_weights_file_and_a_log(checkpoint):
    files = sorted(path.name for path in checkpoint.parent.iterdir() if path.stem.startswith("mine"))
    assert files == ["mine.jsonl", "mine.safetensors", "mine.state.safetensors"]
    trajectory = read_state(checkpoint.with_suffix(".state.safetensors"))["run"]
    assert (trajectory["step"], trajectory["ending"]) == (3, False)  # the rate of three steps had no time to fall
    weights = read_weights(checkpoint)
    assert weights.spec == TINY
    words = weights.metadata
    assert (words["network"], words["start"], words["version"]) == ("tiny", "fresh", __version__)
    assert json.loads(words["recipe"])["crop"] == 64
    assert words["steps"] == "3"
    (line,) = checkpoint.with_suffix(".jsonl").read_text().splitlines()  # too short for a report
    assert json.loads(line)["recipe"]["steps"] == 3


class Listener(Nobody):
    """Keeps what a run says."""

    def __init__(self):
        self.said, self.shares = [], []

    def say(self, sentence, *, warning=False):
        self.said.append((warning, sentence))

    def progress(self, share, words):
        self.shares.append(share)


def test_training_reports_what_it_skipped(photos, tmp_path):
    listener = Listener()
    train(photos, tmp_path / "x.safetensors", overrides={"steps": 1}, audience=listener)
    skipped, pictures, end = listener.said
    assert skipped[0]
    assert "broken.png: expected a picture" in skipped[1]
    assert pictures == (False, "2 pictures, 1 skipped, on cpu")
    assert end == (False, f"{tmp_path / 'x.safetensors'}: 1 steps, 0 skipped as not finite")
    assert listener.shares == [0.0]


def test_the_commands_draw_the_curve(photos, tmp_path):
    overrides = {**SHORT, "steps": 1}
    run_job(Job([photos], tmp_path / "x.safetensors", network="tiny", overrides=overrides, device="cpu"))
    assert "Training curve of x" in (tmp_path / "x.svg").read_text()


def test_of_many_skipped_files_all_are_counted(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "measure", lambda trainer: "")
    folder, listener = tmp_path / "many", Listener()
    folder.mkdir()
    (folder / "a.png").write_bytes((photos / "a.png").read_bytes())
    for number in range(23):
        (folder / f"x{number}.png").write_bytes(b"no picture")
    train(folder, tmp_path / "x.safetensors", measure=True, overrides={"steps": 1}, audience=listener)
    assert listener.said[20] == (True, "skipped: 3 more")


def test_a_checkpoint_encodes_and_decodes(checkpoint):
    picture, decoded, data = code(checkpoint)
    assert decoded.pixels.shape == (70, 90, 3)
    assert psnr(picture.pixels, decoded.pixels) > 15
    assert len(data) < picture.pixels.size / 2


def test_an_export_is_smaller_and_has_the_same_integers(checkpoint, shipped):
    assert shipped.stat().st_size < checkpoint.stat().st_size / 2
    before, after = read_weights(checkpoint), read_weights(shipped)
    assert after.fingerprint == before.fingerprint
    assert after.metadata == before.metadata
    assert not any(name.startswith("float_side.") for name in after.floats)
    assert {array.dtype for array in after.floats.values()} == {np.dtype(np.float16)}


def test_an_export_decodes_what_its_checkpoint_wrote(checkpoint, shipped):
    _, decoded, data = code(checkpoint)
    model = Model(read_weights(shipped), name="shipped", quality=4.0, device="cpu", precision=torch.float32)
    assert psnr(model.decode(data).pixels, decoded.pixels) > 45  # float16 transforms, the same symbols


def test_an_export_of_an_export_is_the_same(shipped, tmp_path):
    export(shipped, tmp_path / "again.safetensors")
    assert read_weights(tmp_path / "again.safetensors").fingerprint == read_weights(shipped).fingerprint


@pytest.mark.parametrize("which", ["checkpoint", "shipped"])
def test_training_continues_from_a_weights_file(which, photos, tmp_path, request):
    init, out = request.getfixturevalue(which), tmp_path / "more.safetensors"
    train(photos, out, "student", {"steps": 1}, init=init)
    before, after = read_weights(init), read_weights(out)
    assert after.spec == TINY  # of the file, whatever network was asked for
    assert (after.metadata["network"], after.metadata["start"]) == ("tiny", init.name)
    recipe = json.loads(after.metadata["recipe"])
    assert recipe["linear_share"] == 0.0
    for name, array in before.floats.items():
        if name.split(".")[0] in ("g_a", "g_s", "h_a", "gains"):
            peak = "shortcut_lr" if ".shortcut." in name else "lr" if name[:2] == "g_" else "side_lr"
            step = 0.9 * recipe[peak] + 1e-6  # what the average moves in one step of Adam; a fresh network is 0.1 away
            np.testing.assert_allclose(after.floats[name], array.astype(np.float32), rtol=0, atol=step)


def test_a_start_from_weights_trains_all_of_the_network_at_once(checkpoint, photos, tmp_path, monkeypatch):
    stages = []
    monkeypatch.setattr(session.Trainer, "run", lambda run, tell, save, left: stages.append(run.phase.name))
    train(photos, tmp_path / "a.safetensors", recipe="soap", init=checkpoint)
    train(photos, tmp_path / "b.safetensors", recipe="soap")
    assert stages == ["full", "linear"]


def test_fresh_starts_with_one_seed_are_equal(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(
        session.Trainer, "run", lambda run, tell, save, left: save(run, run.state())
    )  # as it is before any step
    starts = []
    for number, seed in enumerate((3, 3, 4)):
        torch.manual_seed(100 + number)  # whatever went before
        out = tmp_path / f"{number}.safetensors"
        train(photos, out, "tiny", {"seed": seed})
        starts.append(read_weights(out).floats)
    one, same, other = starts
    assert one.keys() == same.keys()
    assert all(np.array_equal(array, same[name]) for name, array in one.items())
    assert not np.array_equal(one["g_a.down.0.conv.weight"], other["g_a.down.0.conv.weight"])
    assert not np.array_equal(one["float_side.h_s.0.weight"], other["float_side.h_s.0.weight"])


def test_a_stopped_run_continues_exactly(photos, tmp_path):
    """Stopped at every kind of place, a run ends with the same weights as one that was not."""
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    pytest.importorskip("pytorch_optimizer")
    recipe = {"optimizer": "soap", "steps": 9, "linear_share": 0.25, "quantised_share": 0.3, "precondition_every": 2}
    train(photos, whole, overrides=recipe)
    train(photos, parts, overrides=recipe, stop_after=0.0)  # before anything
    assert read_state(parts.with_suffix(".state.safetensors"))["run"]["step"] == 0
    for stop in (2, 4, 7):  # in the linear phase, in the full one, in the quantised one
        _resume_until(stop, photos, parts)
    _resume_until(9, photos, parts)
    one, other = read_weights(whole), read_weights(parts)
    assert one.floats.keys() == other.floats.keys()
    assert all(np.array_equal(array, other.floats[name]) for name, array in one.floats.items())
    assert one.fingerprint == other.fingerprint
    assert not parts.with_suffix(".falling.safetensors").exists()
    resumed = [json.loads(line).get("resumed") for line in parts.with_suffix(".jsonl").read_text().splitlines()]
    assert [step for step in resumed if step is not None] == [0, 2, 4, 7]


def _resume_until(stop, photos, out, **overrides):
    """Go on with a run and interrupt it before that step."""
    step = session.Trainer.train_step

    def until(run, *arguments):
        if run.step == stop - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(run, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session.Trainer, "train_step", until)
        session.run(Job([photos], out, overrides=overrides, device="cpu", resume=True), NOBODY)
    newest = Job([photos], out).newest
    assert read_state(newest)["run"]["step"] == stop or "finished" in read_weights(out).metadata


def test_a_continued_run_takes_new_arguments(photos, tmp_path):
    out = tmp_path / "x.safetensors"
    train(photos, out, stop_after=0.0)
    session.run(Job([photos], out, overrides={"steps": 2, "lr": 1e-5}, device="cpu", resume=True), NOBODY)
    recipe = json.loads(read_weights(out).metadata["recipe"])
    assert (recipe["steps"], recipe["lr"], recipe["crop"], recipe["optimizer"]) == (2, 1e-5, 64, "adam")


def test_a_finished_run_continues_from_before_its_end(checkpoint, photos, tmp_path):
    for path in checkpoint.parent.glob("mine*"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    out = tmp_path / "mine.safetensors"
    with pytest.raises(FedsError, match="mine.safetensors: is finished; give more --steps to continue from "):
        session.run(Job([photos], out, device="cpu", resume=True), NOBODY)
    session.run(Job([photos], out, overrides={"steps": 5}, device="cpu", resume=True), NOBODY)
    assert read_state(out.with_suffix(".state.safetensors"))["run"]["step"] == 4  # 0.7 of five is passed after four
    assert read_weights(out).metadata["steps"] == "5"


def test_a_branch_falls_from_a_trajectory(checkpoint, photos, tmp_path):
    source, out = checkpoint.with_suffix(".state.safetensors"), tmp_path / "branch.safetensors"
    before = source.read_bytes()
    small = {"steps": 3, "crops": (), "quantised_share": 0.4}
    session.run(Job([photos], out, "branch", small, source=source, device="cpu"), NOBODY)
    words = read_weights(out).metadata
    recipe = json.loads(words["recipe"])
    assert (recipe["batch"], recipe["crop"], recipe["decay_from"], recipe["warm_up"]) == (2, 64, 0.0, 0.0)
    assert (recipe["compile"], recipe["precision"]) == (False, "auto")  # of this device, not of that run's
    assert (words["steps"], words["start"]) == ("6", "mine.state.safetensors")  # three of them of the trajectory
    assert int(words["pixels"]) == 6 * 2 * 64 * 64
    assert source.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["branch.jsonl", "branch.safetensors"]
    made = out.read_bytes()
    for more in ({"source": source}, {}):  # it has no state from which it could go on
        with pytest.raises(FedsError, match="branch.safetensors: is finished, and its run left no state to continue"):
            session.run(Job([photos], out, "branch", small, device="cpu", resume=True, **more), NOBODY)
    assert out.read_bytes() == made


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"network": "teacher"}, "is a run with --network tiny, which cannot continue with --network teacher"),
        ({"init": Path("other.safetensors")}, "--init fresh, which cannot continue with --init other.safetensors"),
        ({"lam": 0.01}, "is a run with --lambda 0.0016 … 0.06, which cannot continue with --lambda 0.01"),
        ({"metric": "ms-ssim"}, "is a run with --metric mse, which cannot continue with --metric ms-ssim"),
    ],
)
def test_a_run_cannot_become_another(given, complaint, checkpoint, photos):
    with pytest.raises(FedsError, match=complaint):
        session.run(Job([photos], checkpoint, device="cpu", resume=True, **given), NOBODY)


def test_a_branch_keeps_the_network_that_it_starts_from(checkpoint, photos, tmp_path):
    source, out = checkpoint.with_suffix(".state.safetensors"), tmp_path / "branch.safetensors"
    with pytest.raises(FedsError, match="is a run with --network tiny, which cannot continue with --network student"):
        session.run(Job([photos], out, "branch", source=source, device="cpu", network="student"), NOBODY)
    with pytest.raises(FedsError, match="is a run with --metric mse, which cannot continue with --metric ms-ssim"):
        session.run(Job([photos], out, "branch", source=source, device="cpu", metric="ms-ssim"), NOBODY)


def test_a_new_run_removes_the_states_of_an_earlier_one(photos, tmp_path):
    out, falls = tmp_path / "x.safetensors", {"steps": 400, "decay_from": 0.0}
    train(photos, out, overrides=falls, stop_after=0.0)
    _resume_until(2, photos, out)
    assert out.with_suffix(".falling.safetensors").exists()
    train(photos, out, overrides={"steps": 400, "decay_from": 1.0, "quantised_share": 0.0}, stop_after=0.0)
    assert sorted(path.suffixes[0] for path in tmp_path.glob("x.*safetensors")) == [".safetensors", ".state"]


def test_a_longer_run_leaves_no_state_of_its_earlier_fall(photos, tmp_path):
    out = tmp_path / "x.safetensors"
    train(photos, out, overrides={"steps": 400, "decay_from": 0.001, "quantised_share": 0.0}, stop_after=0.0)
    _resume_until(2, photos, out)
    assert Job([photos], out).newest.suffixes[0] == ".falling"
    _resume_until(3, photos, out, steps=5000, decay_from=1.0)
    job = Job([photos], out)
    assert (job.newest, job.falling.exists()) == (job.state, False)


def test_a_longer_run_goes_on_from_before_the_fall_in_which_it_was_stopped(photos, tmp_path):
    out, job = tmp_path / "x.safetensors", Job([photos], tmp_path / "x.safetensors")
    schedule = {"steps": 12, "decay_from": 0.5, "quantised_share": 0.3, "shapes_every": 0.1}
    train(photos, out, overrides=schedule, stop_after=0.0)
    _resume_until(11, photos, out)
    assert (read_state(job.state)["run"]["step"], read_state(job.newest)["run"]["quantised"]) == (6, True)
    _resume_until(8, photos, out, steps=100)
    run = read_state(job.state)["run"]
    found = {name: run[name] for name in ("step", "phase", "quantised", "fitted", "ending")}
    assert found == {"step": 8, "phase": "full", "quantised": False, "fitted": 0, "ending": False}
    assert not job.falling.exists()
    _resume_until(11, photos, out, steps=100, shapes_every=0.05)
    assert read_state(job.state)["run"]["fitted"] == 2  # 5 and 10 of 100


def test_a_run_that_goes_on_with_other_pictures_says_so(photos, tmp_path):
    out, listener = tmp_path / "x.safetensors", Listener()
    train(photos, out, stop_after=0.0)
    train(photos, out, resume=True, stop_after=0.0, audience=listener)
    assert not any("other pictures" in sentence for _, sentence in listener.said)
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    (fewer / "a.png").write_bytes((photos / "a.png").read_bytes())
    train(fewer, out, resume=True, audience=listener)
    (told,) = [sentence for warning, sentence in listener.said if warning and "other pictures" in sentence]
    assert re.fullmatch(
        r".*x\.state\.safetensors: was trained on other pictures \(data \w{16}, found \w{16}\);"
        " --data, --sharpness and --halves decide which",
        told,
    )


def test_what_a_branch_learns_from_its_teacher_is_that_of_its_recipe(checkpoint, photos, tmp_path, monkeypatch):
    alone, taught, other = (tmp_path / f"{name}.safetensors" for name in ("alone", "taught", "other"))
    train(photos, alone, overrides={"alpha": 0.25})
    train(photos, taught, None, recipe="fu2024kd", teacher=checkpoint, source=Job([photos], alone).state)
    recipe = json.loads(read_weights(taught).metadata["recipe"])
    assert [recipe[name] for name in ("alpha", "beta", "gamma", "delta")] == [1.0, 0.0, 0.0, 1.0]
    monkeypatch.setitem(VARIANTS, "wide", replace(TINY, latents=2 * TINY.latents))
    wide = tmp_path / "wide.safetensors"
    train(photos, wide, "wide")
    train(photos, other, None, recipe="distill", teacher=wide, source=Job([photos], taught).state)
    assert read_weights(other).metadata["teacher"] == read_weights(wide).fingerprint.hex()


def test_a_run_cannot_get_lose_or_change_its_teacher(checkpoint, photos, tmp_path):
    taught, alone, other = (tmp_path / f"{name}.safetensors" for name in ("taught", "alone", "other"))
    train(photos, taught, recipe="distill", teacher=checkpoint, stop_after=0.0)
    train(photos, alone, stop_after=0.0)
    train(photos, other, overrides={"seed": 2})
    own, another = (read_weights(path).fingerprint.hex() for path in (checkpoint, other))
    for out, teacher, words in (
        (
            taught,
            None,
            f"taught.state.safetensors: is a run with a teacher .fingerprint {own}., expected its file with",
        ),
        (taught, other, f"other.safetensors: has the fingerprint {another}, expected {own}, which taught "),
        (alone, checkpoint, "alone.state.safetensors: is a run without a teacher, which cannot get "),
    ):
        with pytest.raises(FedsError, match=words):
            session.run(Job([photos], out, teacher=teacher, device="cpu", resume=True), NOBODY)


def test_a_run_does_not_start_from_its_own_state(photos, tmp_path):
    out = tmp_path / "x.safetensors"
    train(photos, out, stop_after=0.0)
    with pytest.raises(FedsError, match=r"x\.state\.safetensors: is the state of .*x\.safetensors itself, expected"):
        session.run(Job([photos], out, "branch", source=Job([photos], out).state, device="cpu"), NOBODY)
    assert Job([photos], out).state.exists()


def test_divergence_keeps_the_last_good_checkpoint(photos, tmp_path):
    out = tmp_path / "x.safetensors"
    train(photos, out, stop_after=0.0)
    before = out.read_bytes()
    wild = {"steps": 9, "lr": 1e6, "side_lr": 1e6, "rest_lr": 1e6}
    with pytest.raises(DivergedError) as failure:
        session.run(Job([photos], out, overrides=wild, device="cpu", resume=True), NOBODY)
    kept = re.escape(f"; {out} keeps the last good checkpoint")
    assert re.fullmatch(r"training diverged at step \d \((loss .+|no gradient .+)\)" + kept, str(failure.value))
    assert out.read_bytes() == before


def test_memory_that_runs_out_is_called_so(photos, tmp_path, monkeypatch):
    def hungry(self, *arguments):
        raise MemoryError

    monkeypatch.setattr(session.Trainer, "train_step", hungry)
    with pytest.raises(FedsError, match="^not enough memory: try a smaller --batch or --crop$"):
        train(photos, tmp_path / "x.safetensors")


def test_resume_needs_something_to_continue(photos, tmp_path):
    with pytest.raises(FedsError, match="x.state.safetensors: not a readable state of a training run"):
        train(photos, tmp_path / "x.safetensors", resume=True)


def edited(source, out, change):
    """A copy of a state, changed."""
    state = read_state(source)
    change(state)
    write_state(out, state)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda state: state["spec"].update(colour=1), "colour"),
        (lambda state: state["recipe"].update(epochs=3), "a recipe has no field epochs"),
        (lambda state: state["run"].pop("optimizers"), "expected optimizers in its run"),
        (
            lambda state: state["run"]["stage"].update({"model.gains.log_gain": torch.zeros(2, 2)}),
            "size mismatch for model.gains.log_gain",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_named(change, found, checkpoint, photos, tmp_path):
    out = tmp_path / "x.safetensors"
    edited(checkpoint.with_suffix(".state.safetensors"), out.with_suffix(".state.safetensors"), change)
    with pytest.raises(FedsError, match=f"x.state.safetensors: .*{found}"):
        train(photos, out, resume=True, overrides={"steps": 9})


def test_teachers_and_starts_that_do_not_fit_are_named(checkpoint, photos, tmp_path):
    with pytest.raises(FedsError, match="mine.safetensors: the teacher was trained for mse, the student is for "):
        train(photos, tmp_path / "x.safetensors", recipe="distill", teacher=checkpoint, metric="ssimulacra2")
    with pytest.raises(FedsError, match="mine.safetensors: expected networks with stages of the same kinds and widths"):
        job = Job([photos], tmp_path / "x.safetensors", overrides=SHORT, network="student", init=checkpoint)
        session.run(job, NOBODY)


def test_ctrl_c_in_the_last_fit_loses_nothing(photos, tmp_path, monkeypatch):
    fits = []

    def interrupted(*arguments):
        fits.append(arguments)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(calibration.Calibration, "fit_shapes", interrupted)
    job = Job(
        [photos], tmp_path / "x.safetensors", overrides={**SHORT, "shapes_every": 0.0}, network="tiny", device="cpu"
    )
    assert session.run(job, NOBODY) is True
    assert len(fits) == 1
    words = read_weights(tmp_path / "x.safetensors").metadata
    assert (words["steps"], words["finished"]) == ("3", "true")


def test_a_log_that_cannot_be_written_ends_no_training(photos, tmp_path, monkeypatch):
    def full(report):
        raise OutputError("x.jsonl: the disk is full")

    listener, out = Listener(), tmp_path / "x.safetensors"
    monkeypatch.setattr(loop, "REPORT_EVERY", 0.0)
    monkeypatch.setattr(session, "json_log", lambda *_, **__: full)
    train(photos, out, audience=listener)
    assert listener.said.count((True, "x.jsonl: the disk is full")) == 3
    assert read_weights(out).metadata["steps"] == "3"


def test_weights_may_train_their_linear_part_first_if_asked(checkpoint, photos, tmp_path):
    for given, share in (({}, 0.0), ({"linear_share": 0.5}, 0.5)):
        out = tmp_path / f"{share}.safetensors"
        train(photos, out, init=checkpoint, recipe="soap", overrides={"steps": 2, "quantised_share": 0.0, **given})
        assert json.loads(read_weights(out).metadata["recipe"])["linear_share"] == share


def test_a_student_learns_from_a_teacher(checkpoint, photos, tmp_path):
    out = tmp_path / "student.safetensors"
    train(photos, out, recipe="distill", teacher=checkpoint)
    weights = read_weights(out)
    assert weights.metadata["teacher"] == read_weights(checkpoint).fingerprint.hex()
    assert not any(name.startswith(("teacher", "projections")) for name in weights.floats)
    code(out)


def test_distillation_continues_exactly(shipped, photos, tmp_path):
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    job = {"recipe": "distill", "teacher": shipped, "overrides": {"steps": 4, "delta": 0.5}}
    train(photos, whole, **job)
    train(photos, parts, **job, stop_after=0.0)
    train(photos, parts, **job, resume=True)
    one, other = read_weights(whole), read_weights(parts)
    assert all(np.array_equal(array, other.floats[name]) for name, array in one.floats.items())


def test_finetuning_ends_with_quantised_steps(checkpoint, photos, tmp_path):
    out = tmp_path / "tuned.safetensors"
    train(photos, out, recipe="finetune", init=checkpoint)
    recipe = json.loads(read_weights(out).metadata["recipe"])
    assert (recipe["lr"], recipe["quantised_share"]) == (2e-4, 0.5)
    code(out)


def test_one_network_for_one_lambda(photos, tmp_path):
    out = tmp_path / "one.safetensors"
    train(photos, out, lam=0.0075)
    assert read_weights(out).spec.lambdas == (0.0075,)
    data = load_model(str(out), "cpu").encode(from_array(colours(70, 90)))
    assert load_model(str(out), "cpu").decode(data).pixels.shape == (70, 90, 3)


def test_ms_ssim_needs_large_crops(photos, tmp_path):
    with pytest.raises(FedsError, match="^ms-ssim needs crops of at least 192 pixels, found 64$"):
        train(photos, tmp_path / "x.safetensors", metric="ms-ssim")
    with pytest.raises(FedsError, match="^ms-ssim needs crops of at least 192 pixels, found 128$"):
        Image.fromarray(colours(200, 200)).save(tmp_path / "large.png")
        train(tmp_path, tmp_path / "x.safetensors", metric="ms-ssim", overrides={"crop": 192, "crops": (128,)})


def test_crops_that_no_picture_has_are_told_before_the_first_step(photos, tmp_path):
    with pytest.raises(FedsError, match="^no training picture has 4096x4096 pixels, which --crop or --crops asks for$"):
        train(photos, tmp_path / "x.safetensors", overrides={"crops": (4096,)})
    assert list(tmp_path.iterdir()) == []


def test_measuring_reports_a_speed_and_writes_nothing(photos, tmp_path, monkeypatch):
    listener = Listener()
    monkeypatch.setattr(session, "measure", lambda trainer: f"fast, at batches of {trainer.recipe.batch}")
    train(photos, tmp_path / "x.safetensors", measure=True, audience=listener)
    assert listener.said[-1] == (False, "fast, at batches of 2")
    assert list(tmp_path.iterdir()) == []


def test_one_command_starts_a_run_and_continues_it(checkpoint, photos, tmp_path):
    out = tmp_path / "relay.safetensors"
    for steps in (1, 2):
        train(photos, out, overrides={"steps": steps}, recipe="relay", init=checkpoint, resume=True)
        assert read_weights(out).metadata["steps"] == str(steps)
    assert json.loads(read_weights(out).metadata["recipe"])["decay_from"] == 1.0
