"""Estimate the remaining time of a benchmark from the jobs so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import mean

from .run import Job


@dataclass
class Pace:
    """Seconds of jobs by codec and setting, because some take a hundred times as long as others."""

    _of: dict[tuple[str, float], list[float]] = field(default_factory=dict)

    def add(self, job: Job, seconds: float) -> None:
        """Add a finished job."""
        self._of.setdefault((job.codec, job.setting), []).append(seconds)

    def left(self, jobs: Iterable[Job]) -> float | None:
        """Seconds that these jobs will take; None before the first is done.

        A new setting is assumed to take as long as the others of its codec, or else as all jobs.
        """
        if not self._of:
            return None
        seen = {key: mean(seconds) for key, seconds in self._of.items()}
        codecs = {name: mean(s for (codec, _), s in seen.items() if codec == name) for name, _ in seen}
        overall = mean(seen.values())
        return sum(seen.get((job.codec, job.setting), codecs.get(job.codec, overall)) for job in jobs)


def in_words(seconds: float | None) -> str:
    """Rough time in words: `50 s left`, `12 min left`, or nothing if it is not known."""
    if seconds is None:
        return ""
    return f"{10 * round(seconds / 10 + 0.5)} s left" if seconds < 90 else f"{round(seconds / 60)} min left"
