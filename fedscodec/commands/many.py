"""The output of `encode` and `decode` for many files: a bar with totals, a line or object per file, the failures."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..batch.done import FAILED, SKIPPED, Done, Total, as_record
from ..batch.plan import Plan, Task, is_batch, plan
from ..errors import OutputError
from ..files.names import STANDARD, name_of, printable, shown
from ..files.outputs import Place, writable_path
from ..images import WRITABLE_SUFFIXES
from . import printing
from .failures import explained
from .streams import json_lines, say

_WITH_BAR = 60
"""Columns of a terminal from which on there is room for a bar beside the figures."""

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..batch.cluster import Cluster
    from ..batch.pipeline import Batch
    from ..codec.settings import Decoding, Encoding


def planned(
    sources: list[Path],
    output: Place | None,
    suffix: str,
    wanted: Callable[[], Collection[str]],
    *,
    recursive: bool,
    force: bool,
    keep: bool = False,
) -> Plan:
    """The tasks of a command. One file goes where it goes without --json and --ray, several go to a folder."""
    if not is_batch(sources):
        if STANDARD in (sources[0], output.path if output else None):
            raise typer.BadParameter("- cannot be used with --json or --ray")
        return Plan([Task(sources[0], writable_path(sources[0], output, suffix, force=force, keep=keep))])
    if STANDARD in sources or (output is not None and output.path == STANDARD):
        raise typer.BadParameter("- cannot be used with several files")
    if output is not None and output.path.exists() and not output.path.is_dir():
        raise OutputError(f"{name_of(output.path)}: is a file, expected a folder for several outputs")
    found = plan(sources, output.path if output else None, suffix, wanted(), recursive=recursive, keep=keep)
    any_work = any(not task.fault for task in found.tasks)
    if any_work and output is not None and not output.is_folder and _names_a_file(output.path):
        name = name_of(output.path)
        raise OutputError(f"{name}: names a file, expected a folder for several outputs ({name}{os.sep} if it is one)")
    return found


def _names_a_file(path: Path) -> bool:
    """Whether a name ends as those of results do."""
    return path.suffix.lower() in (".feds", *WRITABLE_SUFFIXES)


def show(
    plan: Plan, how: Encoding | Decoding, *, ray: str | None, jobs: int | None, as_json: bool, quiet: bool
) -> None:
    """Process all files, here or on a cluster, and report each; ends with the exit code of the failures.

    Ctrl-C ends at once and leaves only complete files.
    """
    for sentence in plan.sentences:
        say(f"feds: {sentence}", quiet)
    if as_json:
        with json_lines() as write:
            total, failures, seconds = _do(plan.tasks, how, ray, jobs, quiet, write)
            passed_over = {"left": dict(plan.left), "notes": plan.notes}
            write({"total": printing.total_record(total, seconds) | passed_over})
    else:
        total, failures, seconds = _do(plan.tasks, how, ray, jobs, quiet, None)
    say(printing.total_line(total, seconds), quiet)
    if failures:
        _list_failures(failures, total.files)


def _do(
    tasks: list[Task],
    how: Encoding | Decoding,
    ray: str | None,
    jobs: int | None,
    quiet: bool,
    write: Callable[[object], None] | None,
) -> tuple[Total, list[Done], float]:
    """Process all files and report them; return the total, the failures and the seconds."""
    total, failures, begin = Total(), list[Done](), time.monotonic()
    with _opened(tasks, how, ray, jobs) as batch:
        try:
            with _bar(len(tasks), quiet) as progress:
                for done in batch:
                    total.add(done)
                    failures += [done] if done.status == FAILED else []
                    if write:
                        write(
                            as_record(done) | ({"error": explained(done.error, limited=True)[0]} if done.error else {})
                        )
                    _tell(done, progress, as_json=write is not None, quiet=quiet)
                    _advance(progress, total)
        except KeyboardInterrupt:
            batch.halt()
            sys.stdout.flush()
            os._exit(130)  # threads in the middle of a network cannot be told to stop; none of them writes any more
    return total, failures, time.monotonic() - begin


def _opened(tasks: list[Task], how: Encoding | Decoding, ray: str | None, jobs: int | None) -> Batch | Cluster:
    from ..batch.cluster import Cluster, work_of
    from ..batch.pipeline import Batch

    return Batch(tasks, work_of(how), jobs=jobs) if ray is None else Cluster(tasks, how, address=ray, jobs=jobs)


def _tell(done: Done, progress: Progress | None, *, as_json: bool, quiet: bool) -> None:
    if quiet or done.status in (SKIPPED, FAILED):
        return
    lines = [f"feds: {shown(done.source)}: {note}" for note in (done.facts.notes if done.facts else ())]
    if larger := printing.larger_line(shown(done.source), done.bytes_in, done.bytes_out):
        lines += [larger] if done.target.suffix == ".feds" else []
    if progress is None and not as_json:
        lines.append(f"{shown(done.target)}: {printing.done_line(done)}")
    for line in lines:
        (progress.console.print(printable(line), soft_wrap=True) if progress else say(line))


def _list_failures(failures: list[Done], files: int) -> None:
    say(f"feds: {len(failures)} of {files} files failed:")
    worst = 1
    for done in failures:
        sentence, code = explained(done.error or RuntimeError("unknown reason"), limited=True)
        name = shown(done.source)
        named = sentence if sentence.startswith(name) else f"{name}: {sentence}"
        say(f"  {' '.join(named.split())}")
        worst = max(worst, code)
    raise typer.Exit(worst)


@contextmanager
def _bar(files: int, quiet: bool) -> Iterator[Progress | None]:
    """A progress bar on standard error, if that is a terminal."""
    if quiet or not sys.stderr.isatty():
        with nullcontext():
            yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    words = TextColumn("{task.description}"), TimeRemainingColumn()
    bar = (BarColumn(),) if console.width >= _WITH_BAR else ()
    with Progress(MofNCompleteColumn(), *bar, *words, console=console) as progress:
        progress.add_task("", total=files)
        yield progress


def _advance(progress: Progress | None, total: Total) -> None:
    if progress is not None:
        task = progress.tasks[0]
        words = printing.running_words(total, task.elapsed or 0.0)
        progress.update(task.id, completed=total.files, description=words)
