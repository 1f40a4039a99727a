"""What `encode` and `decode` show of many files: a bar with totals, a line or a JSON object a file, the failures."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..batch.done import FAILED, SKIPPED, Done, Total, as_record
from ..errors import OutputError
from ..files.outputs import STANDARD
from . import report
from .failures import explained

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..batch.cluster import Cluster
    from ..batch.pipeline import Batch
    from ..batch.plan import Task
    from ..codec.settings import Decoding, Encoding


def require_folder(sources: Iterable[Path], output: Path | None) -> None:
    """Refuse what many files cannot come from or go to: standard streams, or a file in place of a folder."""
    if STANDARD in sources or output == STANDARD:
        raise typer.BadParameter("- stands for one file and cannot be among many")
    if output is not None and output.exists() and not output.is_dir():
        raise OutputError(f"{output}: is a file, expected a folder for many outputs")


def show(
    tasks: list[Task], how: Encoding | Decoding, *, ray: str | None, jobs: int | None, as_json: bool, quiet: bool
) -> None:
    """Do all files, here or on a cluster, and tell of each as it is done; ends with the exit code of the failures.

    Ctrl-C leaves at once, and only whole files behind.
    """
    total, failures, begin = Total(), list[Done](), time.monotonic()
    with _opened(tasks, how, ray, jobs) as batch:
        try:
            with _bar(len(tasks), quiet) as progress:
                for done in batch:
                    total.add(done)
                    failures += [done] if done.status == FAILED else []
                    _tell(done, progress, as_json=as_json, quiet=quiet)
                    _advance(progress, total)
        except KeyboardInterrupt:
            batch.halt()
            sys.stdout.flush()
            os._exit(130)  # threads in the middle of a network cannot be told to stop; none of them writes any more
    seconds = time.monotonic() - begin
    if as_json:
        typer.echo(json.dumps({"total": report.total_record(total, seconds)}))
    if not quiet:
        typer.echo(report.total_line(total, seconds), err=True)
    if failures:
        _list_failures(failures, total.files)


def _opened(tasks: list[Task], how: Encoding | Decoding, ray: str | None, jobs: int | None) -> Batch | Cluster:
    from ..batch.cluster import Cluster, work_of
    from ..batch.pipeline import Batch

    return Batch(tasks, work_of(how), jobs=jobs) if ray is None else Cluster(tasks, how, address=ray, jobs=jobs)


def _tell(done: Done, progress: Progress | None, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        record = as_record(done) | ({"error": explained(done.error)[0]} if done.error else {})
        typer.echo(json.dumps(record))
        sys.stdout.flush()
    if quiet or done.status in (SKIPPED, FAILED):
        return
    lines = [f"feds: {done.source}: {note}" for note in (done.facts.notes if done.facts else ())]
    if larger := report.larger_line(str(done.source), done.bytes_in, done.bytes_out):
        lines += [larger] if done.target.suffix == ".feds" else []
    if progress is None and not as_json:
        lines.append(f"{done.target}: {report.done_line(done)}")
    for line in lines:
        (progress.console.print(line, soft_wrap=True) if progress else typer.echo(line, err=True))


def _list_failures(failures: list[Done], files: int) -> None:
    typer.echo(f"feds: {len(failures)} of {files} files failed:", err=True)
    worst = 1
    for done in failures:
        sentence, code = explained(done.error or RuntimeError("for no reason that is known"))
        named = sentence if sentence.startswith(str(done.source)) else f"{done.source}: {sentence}"
        typer.echo(f"  {' '.join(named.split())}", err=True)
        worst = max(worst, code)
    raise typer.Exit(worst)


@contextmanager
def _bar(files: int, quiet: bool) -> Iterator[Progress | None]:
    """A bar on standard error, where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        with nullcontext():
            yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn()
    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    with Progress(*columns, console=console) as progress:
        progress.add_task("", total=files)
        yield progress


def _advance(progress: Progress | None, total: Total) -> None:
    if progress is not None:
        task = progress.tasks[0]
        words = report.running_words(total, task.elapsed or 0.0)
        progress.update(task.id, completed=total.files, description=words)
