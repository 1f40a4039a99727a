"""Progress of one large picture, on standard error if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LARGE = 2**22  # pixels; smaller pictures take a second or two


@contextmanager
def shown_progress(pixels: int, quiet: bool) -> Iterator[Callable[[float], None] | None]:
    """Yield a function to call with the share of work done, 0 to 1; None for small pictures and without a terminal."""
    if quiet or pixels < _LARGE or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda done: bar.update(task, completed=done)
