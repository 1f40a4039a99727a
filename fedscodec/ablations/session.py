"""One table from beginning to end: steps are timed, runs trained and measured, and each is kept when it is done.

    OUT/NAME.json                  the results of the runs, see `results`
    WORK/pace.json                 seconds of a step, see `pacing`
    WORK/NETWORK-DIGEST/           a run, called by a digest of its definition
        definition.json            what decides what it learns
        checkpoint.safetensors     where training stands, with its log and curve
        weights.safetensors        what ships, which is what is measured
        DATASET/results.json       its files, as `feds bench` keeps them

Whatever ends it early, Ctrl-C included, it goes on from there when it is called again.
"""

from __future__ import annotations

import gc
import json
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from ..bench import keeping
from ..bench.datasets import Pictures
from ..bench.results import Dataset, Results
from ..bench.run import Job as Measurement
from ..bench.run import where
from ..bench.session import Session as Bench
from ..bench.session import our_coders
from ..codec.model import load_model
from ..errors import FedsError
from ..files.outputs import write_file
from ..networks.counts import kmacs_per_pixel, parameters
from ..networks.metadata import read_metadata
from ..networks.spec import VARIANTS
from ..training import session as training
from ..training.health import DivergedError
from ..training.log import minutes_and_seconds
from . import rates, results
from .pacing import Paced, paces
from .plan import CHECKPOINT, SHIPPED, VIEWS, Run, command, counts_of, job_of, plan
from .results import Ablation, About, Asked, Done, Point
from .sources import Sources
from .tables import Table, Variant


@dataclass(frozen=True)
class Settings:
    """What is asked of a table. only: names of variants, or all of them; stop_after: minutes."""

    sources: Sources
    pictures: Pictures
    minutes: float
    seeds: Sequence[int]
    out: Path
    work: Path
    views: Sequence[str] = tuple(VIEWS)
    only: Collection[str] = ()
    force: bool = False
    stop_after: float = math.inf


class Listener(Protocol):
    """Reports progress to the user."""

    def say(self, sentence: str, *, warning: bool = False) -> None:
        """Print a sentence."""

    def training(self) -> AbstractContextManager[training.Audience]:
        """The audience of one training run."""

    def measuring(self, jobs: Sequence[Measurement]) -> AbstractContextManager[Callable[[int], None]]:
        """A function that takes the number of measurements done."""

    def kept(self, ablation: Ablation) -> None:
        """Called when a run is done and NAME.json is written."""


class Session:
    """A table, its plan, and what is done of it."""

    def __init__(self, table: Table, settings: Settings, listener: Listener) -> None:
        """Time what has no pace yet.

        Raises FedsError where NAME.json is of something else than is asked for, unless it is to be replaced.
        """
        self.table, self.settings, self.listener = table, settings, listener
        self.path = results.path_of(settings.out, table.name)
        for name in settings.only:
            table.variant(name)
        asked = _asked(table, settings)
        earlier = results.read(self.path)
        if earlier is not None and (changed := _changed(earlier, asked, settings.pictures)):
            if not settings.force:
                raise FedsError(f"{self.path}: {changed}; another --out keeps both, --force starts again")
            earlier = None
        variants = earlier.variants if earlier and not settings.force else {}
        known = {name: Paced(about.pace, about.clock) for name, about in variants.items()}
        paced = paces(table, settings.sources, settings.work, listener.say, known)
        self.paces = {name: pace.pace for name, pace in paced.items()}
        self.runs = plan(
            table, settings.sources, counts_of(self.paces, settings.minutes, settings.views), settings.seeds
        )
        words = {
            "name": table.name,
            "title": table.title,
            "paper": table.paper,
            "baseline": table.baseline.name,
        }
        about = {variant.name: _about(variant, paced[variant.name]) for variant in table.variants}
        pictures = settings.pictures
        dataset = Dataset(pictures.name, len(pictures.paths), 0, pictures.checked, pictures.left_out)
        dataset = earlier.dataset if earlier else dataset
        self.ablation = Ablation(words, asked, dataset, about, self._taken_up(earlier))
        self._pace = _Left(self.paces)

    def _taken_up(self, earlier: Ablation | None) -> tuple[Done, ...]:
        """Earlier runs; FedsError where one that is planned was defined otherwise, unless that is to be replaced."""
        planned = {(run.variant.name, run.seed, run.steps): run for run in self.runs}
        kept = []
        for old in earlier.runs if earlier else ():
            run = planned.get((old.variant, old.seed, old.steps))
            changed = difference(old.definition, run.definition) if run else ""
            if changed and not self.settings.force:
                raise FedsError(f"{self.path}: {run}: {changed}; --force trains it again")
            if run and not changed:
                kept.append(replace(old, views=tuple(view for view in VIEWS if view in (*old.views, *run.views))))
            elif not self.settings.force:  # of other seeds than those that are asked for now
                kept.append(old)
        return tuple(kept)

    def todo(self) -> list[Run]:
        """The runs that are asked for and not done, those that teach others included."""
        wanted = [run for run in self.runs if not self.settings.only or run.variant.name in self.settings.only]
        names = {(run.variant.name, run.digest) for run in (*wanted, *(r.teacher for r in wanted if r.teacher))}
        done = {(run.variant, run.seed, run.steps) for run in self.ablation.runs}
        return [
            run
            for run in self.runs
            if (run.variant.name, run.digest) in names and (run.variant.name, run.seed, run.steps) not in done
        ]

    def run(self) -> None:
        """Do what is to be done, and keep every run.

        KeyboardInterrupt where Ctrl-C ended it. FedsError at the end where the training of some runs diverged.
        """
        begin, failed = time.monotonic(), dict[str, str]()
        runs = self.todo()
        for number, run in enumerate(runs):
            left = self.settings.stop_after - (time.monotonic() - begin) / 60
            if left <= 0:
                return
            if run.teacher and run.teacher.digest in failed:
                failed[run.digest] = f"{run}: has no teacher"
                continue
            self.listener.say(f"run {number + 1} of {len(runs)}: {run}")
            try:
                if not self._train(run, runs[number:], left):
                    return
            except DivergedError as failure:
                failed[run.digest] = f"{run}: {failure}"
                self.listener.say(failed[run.digest], warning=True)
                continue
            self._keep(run, self._measure(run))
        if failed:
            raise FedsError(f"{len(failed)} of {len(runs)} runs failed: {'; '.join(failed.values())}")

    def _train(self, run: Run, runs: Sequence[Run], minutes: float) -> bool:
        """Train a run to its end, or for so many minutes; False where the time was up."""
        settings = self.settings
        folder = run.folder(settings.work)
        if (folder / SHIPPED).exists():
            return True
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / "definition.json", (json.dumps(run.definition, indent=1) + "\n").encode(), force=True)
        job = job_of(self.table, run, settings.sources, settings.work)
        if not job.is_finished:
            job = replace(job, resume=job.newest.exists(), stop_after=minutes)
            threads = torch.get_num_threads()
            try:
                with self.listener.training() as audience:
                    interrupted = training.run(job, _InAll(audience, self._pace.watch(runs)))
            finally:
                torch.set_num_threads(threads)  # with workers it is one
                gc.collect()  # the shared memory of a run, before the next one takes its own
            if interrupted:  # a run that was over by then is exported the next time
                raise KeyboardInterrupt
            if not job.is_finished:
                return False
        training.export(job.out, folder / SHIPPED)
        for state in (job.state, job.falling):  # nobody goes on from a run that is over
            state.unlink(missing_ok=True)
        return True

    def _measure(self, run: Run) -> Results:
        """Encode and decode the pictures at every quality, or what is missing of that."""
        settings, folder = self.settings, run.folder(self.settings.work)
        model = load_model(str(folder / SHIPPED), settings.sources.device, backend="torch")
        coders = our_coders([model], [])
        place = folder / Path(settings.pictures.name).name
        bench = Bench(settings.pictures, coders, where(model), place, metrics=rates.METRICS)
        try:
            if earlier := keeping.prepare(place, force=False, resume=True):
                bench.take_up(earlier)
        except FedsError:  # begun on another machine
            keeping.prepare(place, force=True, resume=False)
        jobs = bench.jobs()
        with self.listener.measuring(jobs) as show:
            bench.measure(jobs, show, self.listener.say)
        return bench.results()

    def _keep(self, run: Run, measured: Results) -> None:
        done = _done(self.table, run, self.settings, measured)
        self.ablation = replace(self.ablation, dataset=measured.dataset, runs=(*self.ablation.runs, done))
        results.write(self.path, self.ablation, rates.plain(list(rates.rates(self.ablation))))
        self.listener.kept(self.ablation)


def difference(old: Any, new: Any, name: str = "") -> str:
    """The first thing that two definitions do not share, or nothing: `recipe.lr was 0.001 and is 0.002`."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in (*old, *(key for key in new if key not in old)):
            if found := difference(old.get(key), new.get(key), f"{name}.{key}" if name else key):
                return found
        return ""
    if old == new:
        return ""
    was, now = ("as by default" if value is None else str(value) for value in (old, new))
    return f"{name} was {was} and is {now}"


def _asked(table: Table, settings: Settings) -> Asked:
    sources = settings.sources
    return Asked(
        settings.minutes,
        sources.student.digest if sources.student and table.needs_weights else "",
        sources.teacher.digest if sources.teacher and table.needs_teacher else "",
        sources.pixels,
    )


def _changed(earlier: Ablation, asked: Asked, pictures: Pictures) -> str:
    """What the earlier results are of that is not asked for now, or nothing."""
    names = {
        "minutes": "minutes", "student": "weights to start from", "teacher": "the teacher", "data": "training data",
    }  # fmt: skip
    for name, value in asdict(asked).items():
        if (then := getattr(earlier.asked, name)) != value:
            return f"expected {names[name]} {then or 'none'}, found {value or 'none'}"
    was = f"{earlier.dataset.pictures} pictures of {earlier.dataset.name}"
    if was != (now := f"{len(pictures.paths)} pictures of {pictures.name}"):
        return f"expected {was}, found {now}"
    return ""


def _about(variant: Variant, paced: Paced) -> About:
    spec = VARIANTS[variant.network]
    macs = round(float(kmacs_per_pixel(spec)), 2)
    return About(variant.title, variant.network, parameters(spec), macs, paced.pace, paced.clock)


def _done(table: Table, run: Run, settings: Settings, measured: Results) -> Done:
    folder = run.folder(settings.work)
    words = read_metadata(folder / CHECKPOINT)
    points = tuple(
        Point(s.setting, round(s.bpp, 6), s.quality, round(s.encode_seconds, 5), round(s.decode_seconds, 5))
        for s in sorted(measured.summaries, key=lambda s: s.setting)
        if s.pictures == measured.dataset.pictures
    )
    trained = {"workers": settings.sources.workers, "commit": words.get("commit", ""), "version": words["version"]}
    return Done(
        run.variant.name, run.seed, run.steps, run.views, run.definition,
        command(job_of(table, run, settings.sources, settings.work)), float(words["minutes"]), int(words["pixels"]),
        words["fingerprint"], measured.dataset.pictures, points, trained, asdict(measured.where),
    )  # fmt: skip


class _Left:
    """How long what is left will take: its steps at their pace, as much slower as those so far were."""

    def __init__(self, paces: Mapping[str, float]) -> None:
        self._paces = paces
        self._expected, self._took = 0.0, 0.0

    def watch(self, runs: Sequence[Run]) -> Callable[[float], str]:
        """A function that says how much is left, from the share of the first of these runs that is done."""
        first, others = runs[0], sum(self._seconds(run) for run in runs[1:])
        before, begin = None, time.monotonic()
        expected, took = self._expected, self._took

        def words(share: float) -> str:
            nonlocal before
            before = share if before is None else before
            self._expected = expected + (share - before) * self._seconds(first)
            self._took = took + time.monotonic() - begin
            slower = self._took / self._expected if self._expected > 1 else 1.0
            left = ((1 - share) * self._seconds(first) + others) * slower
            return f"{minutes_and_seconds(left / 60)} of training left in all"

        return words

    def _seconds(self, run: Run) -> float:
        return run.steps * self._paces[run.variant.name]


class _InAll:
    """An audience whose progress also says how much is left in all."""

    def __init__(self, audience: training.Audience, left: Callable[[float], str]) -> None:
        self._audience, self._left = audience, left

    def say(self, sentence: str, *, warning: bool = False) -> None:
        """As it is."""
        self._audience.say(sentence, warning=warning)

    def reading(self, pictures: int) -> None:
        """As it is."""
        self._audience.reading(pictures)

    def progress(self, share: float, words: str) -> None:
        """With what is left in all."""
        self._audience.progress(share, f"{words}; {self._left(share)}")

    def saved(self, log: Path) -> None:
        """As it is."""
        self._audience.saved(log)
