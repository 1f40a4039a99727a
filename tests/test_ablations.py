"""The paper's ablations: what the tables are, and a toy of them from beginning to end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from fedscodec.ablations import pacing, results, session
from fedscodec.ablations.pacing import Paced
from fedscodec.ablations.plan import command, cost, counts_of, define, job_of, plan
from fedscodec.ablations.session import Session, Settings, difference
from fedscodec.ablations.sources import Given, Sources
from fedscodec.ablations.tables import GIVEN, TABLES, Table, Variant, changed, fresh, table
from fedscodec.bench.datasets import gathered
from fedscodec.cli import app
from fedscodec.errors import FedsError
from fedscodec.networks.counts import parameters
from fedscodec.networks.spec import STUDENT, TEACHER, TINY_LIGHT, VARIANTS, Passes, WindowAttention
from fedscodec.training import calibration, loop
from fedscodec.training.job import Job
from fedscodec.training.recipe import RECIPES
from fedscodec.training.session import Nobody, Trainer, export
from fedscodec.training.session import run as train

pytest.importorskip("bjontegaard", reason="BD-rates need the bjontegaard library, of the bench extra")

SMALL = {"crop": 64, "batch": 2, "shapes_every": 0.5}
WINDOWS = WindowAttention(window=4, heads=2)
RG = replace(TINY_LIGHT, stages=tuple(replace(stage, blocks=2) for stage in TINY_LIGHT.stages))
ALL = replace(
    RG, stages=(*RG.stages[:2], replace(RG.stages[2], attention=WINDOWS), RG.stages[3]), latents=32,
    entropy=Passes(base=4, new=8, base_streams=2, side=12, width=16),
)  # fmt: skip
TOY = Table(
    "toy", "A toy", "Nothing.",
    (
        Variant("baseline", "Baseline", "tiny-light"),
        Variant("rg", "+ RG", "toy+rg"),
        Variant("all", "+ RG + SA + IC", "toy+all"),
        Variant("taught", "Taught", "tiny-light", recipe="distill", changes={"taught_share": 0.5}, teacher="all"),
    ),
    SMALL,
)  # fmt: skip
PACES = {"baseline": 1.0, "rg": 1.5, "all": 3.0, "taught": 2.0}
"""Seconds a step; of 15 of them each variant has 15, 10, 5 and 7 steps, and 5 at equal steps."""


@pytest.fixture(autouse=True, scope="module")
def _toy():
    """The toy's networks and table, and fewer looks at pictures where nothing is learned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "BATCHES", 2)
        patch.setattr(loop, "BATCHES", 2)
        patch.setattr(loop, "FINAL_BATCHES", 2)
        patch.setitem(VARIANTS, "toy+rg", RG)
        patch.setitem(VARIANTS, "toy+all", ALL)
        patch.setitem(TABLES, "toy", TOY)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """photos/ to train on, pictures/ to measure, and weights to start from."""
    place = tmp_path_factory.mktemp("ablations")
    for name, seeds in (("photos", (1, 2, 3)), ("pictures", (4, 5))):
        (place / name).mkdir()
        for seed in seeds:
            rng = np.random.default_rng(seed)
            rows, columns = np.mgrid[:96, :80]
            waves = 128 + 80 * np.sin(rows[..., None] / (3 + seed) + columns[..., None] / 5 + rng.uniform(0, 6, 3))
            pixels = np.clip(waves + rng.normal(0, 6, waves.shape), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / name / f"{seed}.png")
    out = place / "start" / "student.safetensors"
    overrides = {**SMALL, "steps": 4}
    train(Job([place / "photos"], out, network="tiny-light", overrides=overrides, device="cpu"), Nobody())
    export(out, place / "student.safetensors")
    return place


@pytest.fixture(scope="module")
def sources(folder):
    found = Sources([folder / "photos"], Given.named(str(folder / "student.safetensors")), None, folder / "pixels")
    return replace(found, device="cpu", pixels=found.digest(64))


class Listener:
    """Keeps what is said, and the number of runs done whenever one is kept."""

    def __init__(self):
        self.said, self.kept_runs, self.words = [], [], []

    def say(self, sentence, *, warning=False):
        self.said.append(sentence)

    @contextmanager
    def training(self):
        yield self

    def reading(self, pictures):
        """Nobody looks."""

    def progress(self, share, words):
        self.words.append((share, words))

    def saved(self, log):
        """Nobody draws."""

    @contextmanager
    def measuring(self, jobs):
        yield lambda done: None

    def kept(self, ablation):
        self.kept_runs.append(len(ablation.runs))


def opened(folder, sources, place, monkeypatch, of=TOY, listener=None, **changes):
    """A session whose results and runs lie in a place of their own, with the paces of PACES."""
    monkeypatch.setattr(session, "paces", lambda table, *given: {v.name: _paced(v) for v in table.variants})
    asked = {"minutes": 0.25, "seeds": (1,), **changes}
    settings = Settings(sources, gathered([folder / "pictures"]), out=place, work=place / "runs", **asked)
    return Session(of, settings, listener or Listener())


def _paced(variant):
    return Paced(PACES[variant.name], 2 * PACES[variant.name])


@pytest.fixture(scope="module")
def whole(folder, sources):
    """The toy from beginning to end without a stop: where it lies, and who listened."""
    place, listener = folder / "whole", Listener()
    with pytest.MonkeyPatch.context() as patch:
        opened(folder, sources, place, patch, listener=listener).run()
    return place, listener


# ── What the tables are ───────────────────────────────────────────────────────────────────────────────────


def test_every_variant_of_the_paper_is_a_light_network_of_its_own():
    counts = {
        name: {variant.name: parameters(VARIANTS[variant.network]) for variant in TABLES[name].variants}
        for name in ("fig6", "table3", "table4", "fig7")
    }
    assert counts == {
        "fig6": {"baseline": 5_974_764, "rg": 15_507_948, "rg-sa": 16_519_692, "rg-sa-ic": 17_068_620},
        "table3": {
            "baseline": 6_223_228, "teacher": 11_601_900, "student-direct": 5_675_612, "student": 5_675_612,
        },
        "table4": {"none": 16_056_876, "swin-v1": 17_053_260, "swin-v2": 17_068_620},
        "fig7": dict.fromkeys(("direct", "output", "fu2024kd", "printed", "units"), 5_974_764),
    }  # fmt: skip


def test_the_variants_of_fig_6_add_one_thing_after_the_other():
    baseline, rg, attention, channels = (VARIANTS[variant.network] for variant in table("fig6").variants)
    assert (baseline, channels) == (STUDENT, TEACHER)
    assert [stage.blocks for stage in baseline.stages] == [1, 2, 3, 1]
    assert rg == replace(baseline, stages=rg.stages)
    assert [stage.blocks for stage in rg.stages] == [1, 6, 10, 6]
    assert [stage.attention for stage in rg.stages] == [None] * 4
    assert attention == replace(rg, stages=attention.stages)
    assert [stage.attention for stage in attention.stages] == [None, WindowAttention(), WindowAttention(), None]
    assert (attention.latents, channels.latents) == (320, 400)
    assert channels.stages == attention.stages


def test_the_variants_of_table_4_differ_in_attention_alone():
    variants = [VARIANTS[variant.network] for variant in table("table4").variants]
    versions = [stage.attention.version if (stage := spec.stages[1]).attention else None for spec in variants]
    assert versions == [None, "swin-v1", "swin-v2"]
    assert {replace(spec, stages=TEACHER.stages) for spec in variants} == {TEACHER}


def test_the_variants_of_fig_7_are_taught_otherwise():
    fig7 = table("fig7")
    recipes = {variant.name: fig7.recipe(variant) for variant in fig7.variants}
    weights = {name: (r.alpha, r.beta, r.gamma, r.delta, r.latent_order, r.relative) for name, r in recipes.items()}
    del weights["direct"]
    assert weights == {
        "output": (1.0, 0.0, 0.0, 0.0, "teacher", True),
        "fu2024kd": (1.0, 0.0, 0.0, 1.0, "teacher", True),
        "printed": (1.0, 0.5, 0.5, 0.0, "entropy", False),
        "units": (1.0, 0.5, 0.5, 0.0, "teacher", True),
    }
    assert [variant.teacher for variant in fig7.variants] == [None, *4 * [GIVEN]]
    assert {variant.network for variant in fig7.variants} == {"student"}
    schedules = {(r.lr, r.warm_up, r.decay_from, r.quantised_share, r.free_z, r.shapes_every) for r in recipes.values()}
    assert schedules == {(1e-3, 0.1, 0.3, 0.12, 0.0, 0.25)}
    assert {r.taught_share for name, r in recipes.items() if name != "direct"} == {0.7}


def test_what_starts_fresh_learns_as_train_does():
    table3 = table("table3")
    recipe = table3.recipe(table3.baseline, steps=100, seed=2)
    assert recipe == replace(RECIPES["train"], shapes_every=0.25, save_every=10.0, steps=100, seed=2)
    assert (table3.needs_weights, table3.needs_teacher) == (False, False)
    assert (table("fig7").needs_weights, fresh(table("fig7")).needs_weights) == (True, False)


def test_fields_of_every_recipe_can_be_changed():
    given = changed(table("fig7"), ["lr=0.0005", "crops=[256, 384]", "latent-order=entropy"])
    recipes = [given.recipe(variant) for variant in given.variants]
    assert {(r.lr, r.crops, r.latent_order) for r in recipes} == {(5e-4, (256, 384), "entropy")}
    for words, complaint in {
        "lr": "^lr: expected NAME=VALUE, such as lr=0.0005$", "speed=3": "^a recipe has no field speed; it has ",
        "crop=100": "^crop must be a positive multiple of 64, found 100$",
        "crop=x": "^crop must be a whole number, found 'x'$", "lr=x": "^lr must be a number, found 'x'$",
        "crops=a": "^crops must be a list of whole numbers, found 'a'$",
        "steps=5": "^steps=5: --minutes and --seeds decide that, expected another field$",
        "minutes=5": "^minutes=5: --minutes and", "seed=9": "^seed=9: --minutes and",
    }.items():  # fmt: skip
        with pytest.raises(FedsError, match=complaint):
            changed(table("fig7"), [words])


def test_unknown_names_are_told():
    with pytest.raises(FedsError, match="^fig8: no such table; there are fig6, table3, table4, fig7, more, toy$"):
        table("fig8")
    with pytest.raises(FedsError, match="^giant: no such variant in toy; there are baseline, rg, all, taught$"):
        TOY.variant("giant")


# ── Which runs there are ──────────────────────────────────────────────────────────────────────────────────


def test_equal_minutes_are_steps_at_a_pace_and_equal_steps_those_of_the_slowest():
    assert counts_of(PACES, 0.25, ("steps", "minutes")) == {
        "minutes": {"baseline": 15, "rg": 10, "all": 5, "taught": 7},
        "steps": dict.fromkeys(PACES, 5),
    }
    with pytest.raises(FedsError, match="^0.04 minutes are too short for a step of all; give more --minutes$"):
        counts_of(PACES, 0.04, ("steps",))


def test_views_share_a_run_where_they_ask_the_same(sources):
    runs = plan(TOY, sources, counts_of(PACES, 0.25, ("minutes", "steps")), (1, 2))
    told = [(run.variant.name, run.seed, run.steps, run.views) for run in runs if run.seed == 1]
    assert told == [
        ("baseline", 1, 15, ("minutes",)), ("rg", 1, 10, ("minutes",)), ("all", 1, 5, ("minutes", "steps")),
        ("taught", 1, 7, ("minutes",)), ("baseline", 1, 5, ("steps",)), ("rg", 1, 5, ("steps",)),
        ("taught", 1, 5, ("steps",)),
    ]  # fmt: skip
    assert len(runs) == 14
    assert len({run.digest for run in runs}) == 14
    taught = next(run for run in runs if (run.variant.name, run.seed) == ("taught", 2))
    assert (taught.teacher.variant.name, taught.teacher.seed) == ("all", 2)
    assert taught.definition["teacher"] == taught.teacher.digest


def test_tables_share_what_they_have_in_common(sources):
    definitions = [
        define(of, of.variant(name), sources, steps=100, seed=1)
        for of, name in ((table("fig6"), "rg-sa-ic"), (table("table4"), "swin-v2"))
    ]
    assert definitions[0] == definitions[1]
    fig6, fig7 = table("fig6"), table("fig7")
    assert define(fig6, fig6.baseline, sources) == define(fig7, fig7.baseline, sources)


def test_a_definition_is_all_that_decides_what_is_learned(sources):
    (run, *_) = plan(TOY, sources, counts_of(PACES, 0.25, ("steps",)), (3,))
    assert {key: run.definition[key] for key in ("network", "start", "teacher", "data")} == {
        "network": "tiny-light", "start": sources.student.digest, "teacher": None, "data": sources.pixels,
    }  # fmt: skip
    assert run.definition["recipe"] == {
        "batch": 2, "crop": 64, "decay_from": 0.3, "free_z": 0.0, "lr": 1e-3, "rest_lr": 7e-4, "save_every": 10.0,
        "seed": 3, "shapes_every": 0.5, "side_lr": 1e-3, "steps": 5,
        "warm_up": 0.1,
    }  # fmt: skip
    assert run.definition["spec"]["latents"] == 24


def test_a_run_is_a_command(sources, tmp_path):
    runs = plan(TOY, sources, counts_of(PACES, 0.25, ("steps",)), (1,))
    line = command(job_of(TOY, runs[-1], sources, tmp_path))
    assert line == (
        "feds distill --data photos --network tiny-light --init student.safetensors --teacher weights.safetensors "
        "--recipe distill --shapes-every 0.5 --save-every 10 --free-z 0 --warm-up 0.1 --lr 0.001 "
        "--side-lr 0.001 --rest-lr 0.0007 --decay-from 0.3 --crop 64 --batch 2 --taught-share 0.5 --steps 5 --seed 1 "
        "--out checkpoint.safetensors"
    )


def test_a_step_costs_what_it_multiplies():
    fig7 = table("fig7")
    direct, taught = (cost(fig7, fig7.variant(name)) for name in ("direct", "units"))
    assert taught - direct == pytest.approx(0.7 * cost(table("table4"), table("table4").variants[2]) / 3)


# ── From beginning to end ─────────────────────────────────────────────────────────────────────────────────


def test_the_toy_leaves_what_was_measured(whole, folder):
    place, listener = whole
    document = json.loads((place / "toy.json").read_text())
    assert document["format"] == "feds-ablation-1"
    assert document["dataset"]["pictures"] == 2
    told = {(run["variant"], run["steps"]): run for run in document["runs"]}
    assert sorted(told) == sorted(
        [("baseline", 15), ("rg", 10), ("all", 5), ("taught", 7), ("baseline", 5), ("rg", 5), ("taught", 5)]
    )
    assert {name: about["parameters"] for name, about in document["variants"].items()} == {
        name: parameters(spec) for name, spec in zip(PACES, (TINY_LIGHT, RG, ALL, TINY_LIGHT), strict=True)
    }
    for (_, steps), run in told.items():
        assert run["pixels"] == steps * 2 * 64 * 64
        assert [point["quality"] for point in run["points"]] == [1, 2, 3, 4, 5, 6, 7]
        assert run["seconds_a_step"] == pytest.approx(60 * run["minutes"] / steps, abs=1e-5)
    assert listener.kept_runs == [1, 2, 3, 4, 5, 6, 7]
    assert listener.said[0] == "run 1 of 7: baseline, seed 1, 15 steps"
    share, words = listener.words[0]
    assert (share, words) == (0.0, "starting; 1:22 of training left in all")  # of 81.5 s


def test_points_are_means_of_whole_files(whole):
    place, _ = whole
    ablation = results.read(place / "toy.json")
    run = ablation.of("steps", "rg")[0]
    measured = json.loads(next(place.glob("runs/toy+rg-*/pictures/results.json")).read_text())
    found = [
        json.loads(path.read_text())
        for path in place.glob("runs/toy+rg-*/pictures/results.json")
        if json.loads(path.read_text())["codecs"]["weights"]["fingerprint"] == run.fingerprint
    ]
    assert measured["where"] == {**run.measured, "date": measured["where"]["date"]}
    (rows,) = [each["rows"] for each in found]
    for point in run.points:
        sizes = [row["bytes"] for row in rows if row["setting"] == point.quality]
        assert len(sizes) == 2
        assert point.bpp == pytest.approx(8 * sum(sizes) / (2 * 96 * 80), abs=1e-6)


def test_the_baseline_over_itself_is_nothing(whole):
    place, _ = whole
    rates = json.loads((place / "toy.json").read_text())["rates"]
    assert len(rates) == 8
    own = [rate for rate in rates if rate["variant"] == "baseline"]
    assert [rate["view"] for rate in own] == ["minutes", "steps"]
    for rate in own:
        assert rate["over_baseline"]["psnr"]["percent"] == pytest.approx(0.0, abs=1e-9)
        assert rate["psnr_gain"] == pytest.approx(0.0, abs=1e-9)
        assert rate["over_vtm"] == {}  # nobody published VTM on these pictures


def test_runs_that_are_over_leave_weights_and_no_state(whole):
    place, _ = whole
    for run in place.glob("runs/*-*"):
        assert sorted(path.name for path in run.iterdir()) == [
            "checkpoint.jsonl", "checkpoint.safetensors", "definition.json", "pictures", "weights.safetensors",
        ]  # fmt: skip
    assert len(list(place.glob("runs/*-*"))) == 7


def same(one, other):
    """Whether two runs came to the same, bit for bit."""
    return one.fingerprint == other.fingerprint and [(p.bpp, p.figures) for p in one.points] == [
        (p.bpp, p.figures) for p in other.points
    ]


def test_what_was_stopped_goes_on_to_the_same(whole, folder, sources, tmp_path, monkeypatch):
    """Interrupted in the first run, by the clock in the second, and in the measuring of the third."""
    step = Trainer.train_step

    def begun(patch, **more):
        return opened(folder, sources, tmp_path, patch, views=("minutes",), **more)

    def until(run, *arguments):
        if run.step == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return step(run, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_step", until)
        with pytest.raises(KeyboardInterrupt):
            begun(patch).run()
    assert not (tmp_path / "toy.json").exists()
    begun(monkeypatch, only=("baseline",)).run()
    assert len(results.read(tmp_path / "toy.json").runs) == 1
    begun(monkeypatch, stop_after=0.0).run()
    assert len(results.read(tmp_path / "toy.json").runs) == 1

    def interrupted(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(session.Bench, "measure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            begun(patch).run()
    last = begun(monkeypatch)
    assert len(last.todo()) == 3
    last.run()
    assert last.todo() == []
    once, again = (results.read(place / "toy.json") for place in (whole[0], tmp_path))
    assert len(again.runs) == 4
    for run in again.runs:
        (other,) = (r for r in once.runs if (r.variant, r.steps) == (run.variant, run.steps))
        assert same(run, other), f"{run.variant}, {run.steps} steps"
        assert run.views == ("minutes",)


@pytest.fixture
def copy(whole, tmp_path):
    """The results of the toy, and its runs, to be changed."""
    shutil.copytree(whole[0], tmp_path / "copy")
    return tmp_path / "copy"


def test_what_is_done_stays_and_more_can_be_asked_for(copy, folder, sources, monkeypatch):
    assert opened(folder, sources, copy, monkeypatch).todo() == []
    more = opened(folder, sources, copy, monkeypatch, seeds=(1, 2), only=("taught",), views=("minutes",))
    assert [str(run) for run in more.todo()] == ["all, seed 2, 5 steps", "taught, seed 2, 7 steps"]
    more.run()
    kept = results.read(copy / "toy.json")
    assert [(run.variant, run.seed) for run in kept.runs][-2:] == [("all", 2), ("taught", 2)]
    assert len(kept.runs) == 9
    assert kept.runs[-1].fingerprint != kept.of("minutes", "taught")[0].fingerprint


def test_a_changed_definition_is_noticed(copy, folder, sources, monkeypatch):
    other = replace(TOY, variants=(TOY.baseline, replace(TOY.variants[1], changes={"lr": 2e-3}), *TOY.variants[2:]))
    words = r"toy.json: rg, seed 1, 10 steps: recipe.lr was 0.001 and is 0.002; --force trains it again$"
    with pytest.raises(FedsError, match=words):
        opened(folder, sources, copy, monkeypatch, other)
    anew = opened(folder, sources, copy, monkeypatch, other, force=True)
    assert [str(run) for run in anew.todo()] == ["rg, seed 1, 10 steps", "rg, seed 1, 5 steps"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"minutes": 0.5},
            r"toy.json: expected minutes 0.25, found 0.5; another --out keeps both, --force starts a",
        ),
        ({"pixels": "other"}, r"toy.json: expected training data [0-9a-f]{16}, found other; another --out keeps both"),
    ],
)
def test_other_settings_are_noticed(changes, words, copy, folder, sources, monkeypatch):
    minutes, pixels = changes.get("minutes", 0.25), changes.get("pixels", sources.pixels)
    other = replace(sources, pixels=pixels)
    with pytest.raises(FedsError, match=words):
        opened(folder, other, copy, monkeypatch, minutes=minutes)
    assert len(opened(folder, other, copy, monkeypatch, minutes=minutes, force=True).todo()) >= 7


def test_a_run_that_diverges_stops_no_other(folder, sources, tmp_path, monkeypatch):
    wild = Variant("all", "Wild", "toy+all", changes={"lr": 1e6, "side_lr": 1e6, "rest_lr": 1e6})
    of = replace(TOY, variants=(TOY.baseline, wild, TOY.variants[3]))
    listener = Listener()
    begun = opened(folder, sources, tmp_path, monkeypatch, of, listener, views=("steps",))
    with pytest.raises(
        FedsError, match=r"^2 of 3 runs failed: all, seed 1, 5 steps: training diverged at step \d"
    ) as e:
        begun.run()
    assert str(e.value).endswith("; taught, seed 1, 5 steps: has no teacher")
    assert [run.variant for run in begun.ablation.runs] == ["baseline"]


def test_the_first_difference_is_told():
    assert difference({"a": 1, "b": {"c": [1]}}, {"b": {"c": [1]}, "a": 1}) == ""
    assert difference({"b": {"c": [1]}}, {"b": {"c": [2]}}) == "b.c was [1] and is [2]"
    assert difference({"b": {}}, {"b": {"c": 2}}) == "b.c was as by default and is 2"


def test_damaged_results_are_told(tmp_path):
    path = tmp_path / "toy.json"
    assert results.read(path) is None
    for text, found in (("{", "Expecting"), ('{"format": "x"}', "x"), ('{"format": "feds-ablation-1"}', "'table'")):
        path.write_text(text)
        with pytest.raises(FedsError, match=f"^{re.escape(str(path))}: expected .*, found:? {found}"):
            results.read(path)


# ── Paces ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_paces_are_measured_once_and_kept(sources, tmp_path, monkeypatch):
    monkeypatch.setattr(pacing, "SECONDS", 0.0)
    monkeypatch.setattr(pacing, "ROUNDS", 1)
    told = []
    first = pacing.paces(TOY, sources, tmp_path, told.append)
    assert list(first) == list(PACES)
    assert all(paced.pace > 0 and paced.clock > 0 for paced in first.values())
    words = [f"timed {name}, turn 1 of 1: {first[name].pace:.3f} s a step" for name in PACES]
    assert told == words
    monkeypatch.setattr(pacing.session, "pace", lambda *given: pytest.fail("measured again"))
    assert pacing.paces(TOY, sources, tmp_path, told.append) == first
    assert told == words
    known = {name: Paced(7.0, 8.0) for name in PACES}
    assert pacing.paces(TOY, sources, tmp_path / "elsewhere", told.append, known) == known
    (tmp_path / "pace.json").write_text("[]")
    with pytest.raises(FedsError, match=r"pace.json: expected the seconds of steps, found .*; delete it$"):
        pacing.paces(TOY, sources, tmp_path, told.append)


# ── The command ───────────────────────────────────────────────────────────────────────────────────────────


def feds(*words):
    return CliRunner().invoke(app, ["ablate", *map(str, words)], prog_name="feds")


def test_the_command_goes_on_and_writes_a_page(copy, folder, monkeypatch):
    monkeypatch.setattr(session, "paces", lambda table, *given: {v.name: _paced(v) for v in table.variants})
    given = [
        "toy", "--data", folder / "photos", "--dataset", folder / "pictures", "--init", folder / "student.safetensors",
        "--minutes", 0.25, "--seeds", 1, "--out", copy, "--work", copy / "runs", "--cache", folder / "pixels",
        "--device", "cpu",
    ]  # fmt: skip
    done = feds(*given)
    assert (done.exit_code, done.stderr.splitlines()) == (
        0, [f"{copy / 'toy.json'}: all runs are done", str(copy / "toy.html")],
    )  # fmt: skip
    (copy / "toy.html").unlink()
    taken = json.loads((copy / "toy.json").read_text())
    taken["runs"] = [run for run in taken["runs"] if (run["variant"], run["steps"]) != ("rg", 5)]
    (copy / "toy.json").write_text(json.dumps(taken))
    again = feds(*given)
    assert again.exit_code == 0
    lines = again.stderr.splitlines()
    assert lines[0] == "run 1 of 1: rg, seed 1, 5 steps"
    assert lines[-2:] == [str(copy / "toy.html"), f"{copy / 'toy.json'}: 7 runs are done"]
    assert (copy / "toy.html").exists()
    other = feds(*given, "--minutes", 0.5)
    assert other.exit_code == 1
    assert "expected minutes 0.25, found 0.5" in other.stderr


def test_the_command_lists_and_refuses(tmp_path, monkeypatch):
    listed = feds("fig6", "--list", "--minutes", 30)
    assert listed.exit_code == 0
    row = next(line for line in listed.stdout.splitlines() if "rg-sa-ic" in line)
    assert re.split(r" {2,}", row.strip())[:4] == ["rg-sa-ic", "teacher", "17.07 M", "158"]
    assert "30" in row
    assert all(name in feds("--list").stdout for name in ("fig6", "table3", "table4", "fig7", "more"))
    assert feds().exit_code == 2
    assert feds("fig6").exit_code == 2
    unknown = feds("fig8", "--data", tmp_path)
    assert (unknown.exit_code, unknown.stderr[:29]) == (1, "feds: fig8: no such table; th")
    monkeypatch.setenv("FEDS_WEIGHTS", str(tmp_path))
    no_teacher = feds("fig7", "--data", tmp_path)
    assert no_teacher.exit_code == 1
    assert no_teacher.stderr.startswith("feds: teacher: its weights file teacher.safetensors is in none of ")
