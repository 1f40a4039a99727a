"""One benchmark from start to end: continue earlier results, measure what is missing, save everything.

If it ends early, even by Ctrl-C, every finished row is in results.json.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ..codec.model import Model
from ..errors import FedsError
from . import keeping, matching, run
from .coders import Coder, FedsCoder
from .datasets import Pictures, row_name
from .results import Codec, Results, Row, Where
from .run import Job
from .zoo import ZooCoder

SECONDS_BETWEEN_WRITES = 10.0


@dataclass
class Session:
    """Codecs and pictures, the rows so far, and the folder (if any) for the results."""

    pictures: Pictures
    coders: Mapping[str, Coder]
    here: Where
    folder: Path | None = None
    viewer: int = 0  # pictures whose decoded versions are kept
    rows: list[Row] = field(default_factory=list)
    codecs: dict[str, Codec] = field(default_factory=dict)
    matched: list[Row] = field(default_factory=list)
    metrics: Collection[str] = field(default_factory=lambda: run.metrics_at_hand()[0])

    def __post_init__(self) -> None:
        self.codecs |= {key: coder.codec for key, coder in self.coders.items()}

    def take_up(self, earlier: Results) -> None:
        """Continue from earlier results. Raises FedsError if they are of other pictures or another machine."""
        kept = run.resumed(earlier, self.here, self.pictures, self.codecs, self.metrics)
        if self.folder:
            again = {row.picture for row in earlier.rows} - {row.picture for row in kept.rows}
            keeping.drop_pictures(self.folder, again)
        self.rows, self.codecs = list(kept.rows), dict(kept.codecs)
        self.matched = list(kept.matched)

    def jobs(self) -> list[Job]:
        """The jobs that are still to do."""
        return run.plan(self.pictures.paths, self.coders, {run.key_of(row) for row in self.rows})

    def results(self) -> Results:
        """All results so far."""
        return replace(run.gathered(self.here, self.pictures, self.codecs, self.rows), matched=self.matched)

    def measure(self, jobs: Sequence[Job], show: Callable[[int], None], trouble: Callable[[str], None]) -> None:
        """Do these jobs; `show` gets the number of finished jobs, `trouble` a sentence for each failure of a peer."""
        if not jobs:
            return
        names = [row_name(path) for path in self.pictures.paths]
        watched = keeping.chosen_for_viewer(names, self.viewer) if self.folder else set()
        run.warm_up({key: self.coders[key] for key in dict.fromkeys(job.codec for job in jobs)}, jobs[0].path)
        show(0)
        written = time.monotonic()
        try:
            for done, measured in enumerate(run.measure(jobs, self.coders, trouble, self.metrics), start=1):
                if measured is not None:
                    self.rows.append(measured.row)
                    if self.folder and measured.row.picture in watched:
                        keeping.keep_pictures(self.folder, measured)
                show(done)
                if time.monotonic() - written > SECONDS_BETWEEN_WRITES:
                    self.keep()
                    written = time.monotonic()
        finally:
            self.keep()

    def match(self, progress: Callable[[str], None], trouble: Callable[[str], None]) -> None:
        """Code the viewer's pictures with every peer at nearly the bytes of our first network.

        `progress` gets a sentence for every file that is tried, `trouble` one for every failure of a peer.
        """
        ours = next((key for key, coder in self.coders.items() if coder.codec.kind == "feds"), None)
        names = [row_name(path) for path in self.pictures.paths]
        for name in keeping.chosen_for_viewer(names, self.viewer) if self.folder and ours else ():
            path = next(path for path in self.pictures.paths if row_name(path) == name)
            for own in matching.levels([row for row in self.rows if (row.codec, row.picture) == (ours, name)]):
                for key, coder in self.coders.items():
                    if coder.codec.kind == "peer":
                        self._match(path, key, own.bytes, progress, trouble)
        self.keep()

    def _match(
        self, path: Path, key: str, size: int, progress: Callable[[str], None], trouble: Callable[[str], None]
    ) -> None:
        coder = self.coders[key]

        def measure(setting: int) -> Row | None:
            if isinstance(coder, ZooCoder) and setting not in coder.settings:  # its weights would be downloaded
                return None
            (measured,) = run.measure([Job(path, key, float(setting))], self.coders, trouble, self.metrics)
            if measured is None:
                return None
            if self.folder:
                keeping.keep_pictures(self.folder, measured)
            return measured.row

        known = [row for row in (*self.rows, *self.matched) if (row.codec, row.picture) == (key, row_name(path))]
        for row in matching.search(known, size, measure):
            self.matched.append(row)
            name = self.codecs[key].setting
            progress(f"{row_name(path)}: {key} at {name} {row.setting:g} has {row.bytes:,} bytes beside our {size:,}")

    def keep(self) -> None:
        """Save everything, if there is a folder."""
        if self.folder and self.rows:
            results = self.results()
            keeping.keep_results(self.folder, results)
            keeping.keep_curves(self.folder, results)


def our_coders(
    models: Sequence[Model], qualities: Sequence[float], efforts: Sequence[int] = (), *, quick: bool = False
) -> dict[str, Coder]:
    """Our networks by name, at these qualities, or else at all their qualities (with `quick`, at 3 of many).

    Every effort above 0 is a separate codec for each network, beside the one without effort. Raises FedsError if a
    network lacks a quality, or two have the same name.
    """
    coders: dict[str, Coder] = {}
    for model in models:
        if model.name in coders:
            raise FedsError(f"{model.name}: expected networks with different names, found this name twice")
        count = len(model.spec.lambdas)
        own = sorted({1, (count + 1) // 2, count}) if quick else range(1, count + 1)
        for effort in sorted({0, *efforts}):
            name = f"{model.name}-effort{effort}" if effort else model.name
            coders[name] = FedsCoder(model, sorted({round(float(q), 3) for q in qualities or own}), effort)
    return coders


def threads() -> int:
    """How many threads every codec may use: as many as torch."""
    return torch.get_num_threads()
