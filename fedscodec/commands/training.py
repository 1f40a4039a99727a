"""The messages of the commands that train: sentences, a progress bar, and the training curve."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.status import Status

from ..errors import FedsError
from ..files.outputs import write_file
from ..training.interrupts import ending_tidily
from ..training.job import Job
from ..training.log import read_log
from ..training.session import run


def run_job(job: Job) -> None:
    """Run a job and report it on standard error."""
    with ending_tidily(), ExitStack() as stack:
        run(job, Terminal(stack))


class Terminal:
    """The audience of a run: standard error, with a moving last line if it is a terminal."""

    def __init__(self, stack: ExitStack) -> None:
        self.console, self._stack = Console(stderr=True), stack
        self._status: Status | None = None
        self._bar: Progress | None = None
        self._warned = set[str]()

    def say(self, sentence: str, *, warning: bool = False) -> None:
        """Print a sentence; a warning in yellow, and once."""
        if warning and sentence in self._warned:
            return
        if warning:
            self._warned.add(sentence)
        self.console.print(sentence, style="yellow" if warning else None, soft_wrap=True, markup=False)

    def reading(self, pictures: int) -> None:
        """Show the number of pictures read so far."""
        if self._status is None:
            self._status = self._stack.enter_context(self.console.status("reading pictures"))
        self._status.update(f"reading pictures: {pictures}")

    def progress(self, share: float, words: str) -> None:
        """Show a bar with the latest report."""
        if self._status is not None:
            self._status.stop()
        if self._bar is None:
            columns = TextColumn("{task.percentage:>3.0f}%"), BarColumn(10), TextColumn("{task.description}")
            self._bar = self._stack.enter_context(Progress(*columns, console=self.console))
            self._bar.add_task(words, total=1.0)
        self._bar.update(self._bar.task_ids[0], completed=share, description=words)

    def saved(self, log: Path) -> None:
        """Draw the training curve beside the log."""
        from ..reports.training_curve import training_curve

        try:
            write_file(log.with_suffix(".svg"), training_curve(read_log(log), log.stem), force=True)
        except (FedsError, OSError, ValueError) as error:  # hours of training do not end for a drawing
            self.say(str(error), warning=True)
