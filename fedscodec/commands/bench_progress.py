"""Progress of `feds bench` on standard error: a bar on a terminal, else a line for every picture."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from .streams import say

if TYPE_CHECKING:
    from ..bench.run import Job


class Show(Protocol):
    """Called before each job, and at the end."""

    def __call__(self, done: int) -> None:
        """Show that this many jobs are done."""


@contextmanager
def following(jobs: Sequence[Job]) -> Iterator[Show]:
    """Show how many of these jobs are done and the time left; call the yielded function after every job."""
    from ..bench.pace import Pace, in_words

    pace, last = Pace(), time.monotonic()

    def words(done: int) -> str:
        nonlocal last
        now = time.monotonic()
        if done:
            pace.add(jobs[done - 1], now - last)
        last = now
        return in_words(pace.left(jobs[done:]))

    if sys.stderr.isatty():
        with _bar(len(jobs)) as advance:

            def show(done: int) -> None:
                job = jobs[min(done, len(jobs) - 1)]
                advance(done, f"{shortened(job.path.name)} {job.codec} {job.setting:g}", words(done))

            yield show
    else:

        def tell(done: int) -> None:
            left = words(done)
            if done and (done == len(jobs) or jobs[done].path != jobs[done - 1].path):
                what = f"{jobs[done - 1].path.name}: {done} of {len(jobs)} measurements"
                say(f"{what}, {left}" if done < len(jobs) else what)

        yield tell


def shortened(name: str, most: int = 24) -> str:
    """A name of at most `most` letters, with its middle left out: both ends tell pictures of a series apart."""
    half = most // 2
    return name if len(name) <= most else f"{name[: half - 1]}…{name[-half:]}"


@contextmanager
def _bar(total: int) -> Iterator[_Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total, left="")

        def advance(done: int, doing: str, left: str) -> None:
            progress.update(task, completed=done, description=doing, left=left)

        yield advance


class _Advance(Protocol):
    def __call__(self, done: int, doing: str, left: str) -> None: ...


@contextmanager
def downloading() -> Iterator[_Download]:
    """Show a bar for downloads; without a terminal, a line for every file."""
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn

    columns = *Progress.get_default_columns()[:2], DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        tasks = {}

        def show(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
                if bar.disable:
                    say(f"downloading {name}" + (f", {total:,} bytes" if total else ""))
            bar.update(tasks[name], completed=done, visible=done != total)

        yield show


class _Download(Protocol):
    def __call__(self, name: str, done: int, total: int | None) -> None: ...
