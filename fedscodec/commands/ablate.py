"""`feds ablate`: what each part of the paper is worth, on the light networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..training.interrupts import ending_tidily
from .failures import one_sentence
from .options import Debug, Device, OnDevice, examples
from .streams import say

if TYPE_CHECKING:
    from ..ablations.results import Ablation
    from ..ablations.session import Session
    from ..ablations.sources import Sources
    from ..ablations.tables import Table
    from ..bench.run import Job as Measurement
    from .training import Terminal

EXAMPLES = examples(
    "feds ablate --list",
    "feds ablate fig6 --data photos --minutes 20 --workers 2",
    "feds ablate fig7 --data photos --teacher teacher.safetensors --only direct --only units --seeds 3",
)


class View(StrEnum):
    """What is held equal."""

    MINUTES = "minutes"
    STEPS = "steps"


Data = Annotated[
    list[Path] | None, typer.Option(metavar="PATH", help="Folder or .tar of training pictures; repeatable.")
]
At = Annotated[
    list[View] | None, typer.Option(help="Train for equal minutes or equal steps; repeatable.  [default: both]")
]
Only = Annotated[list[str] | None, typer.Option(metavar="VARIANT", help="Train only this one; repeatable.")]
Change = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="Change a field of every variant's recipe; repeatable."),
]
Out = Annotated[Path, typer.Option("-o", "--out", metavar="FOLDER", help="For the results and their page.")]
Work = Annotated[Path, typer.Option(metavar="WORK", help="A folder for weights and states of the runs.")]
Cache = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Keeps the decoded pictures.  [default: WORK/pixels]")
]


def ablate(
    name: Annotated[str | None, typer.Argument(metavar="TABLE", help="fig6, table3, table4, fig7 or more.")] = None,
    data: Data = None,
    minutes: Annotated[float, typer.Option(min=0.001, help="Training time per variant, at equal minutes.")] = 20.0,
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Train each variant with seeds 1 to N.")] = 2,
    at: At = None,
    only: Only = None,
    dataset: Annotated[str, typer.Option(metavar="NAME", help="Pictures to measure on: kodak, ..., or a folder.")] = (
        "kodak"
    ),
    init: Annotated[str, typer.Option(metavar="NAME", help="Weights that variants start from.")] = "student",
    teacher: Annotated[str, typer.Option(metavar="NAME", help="The teacher's weights, for fig7 and more.")] = "teacher",
    start_fresh: Annotated[bool, typer.Option("--fresh", help="Start every variant fresh, not from weights.")] = False,
    change: Change = None,
    out: Out = Path("results/ablations"),
    work: Work = Path("runs/ablations"),
    cache: Cache = None,
    sharpness: Annotated[float, typer.Option(help="Leave out training pictures softer than this.")] = 0.0,
    halves: Annotated[float, typer.Option(help="Add sharper training pictures at half their size.")] = 0.0,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Processes that share a step, on a CPU.")] = 1,
    device: OnDevice = Device.AUTO,
    stop_after: Annotated[float, typer.Option(metavar="MINUTES", help="Stop after this time.")] = math.inf,
    listed: Annotated[bool, typer.Option("--list", help="Show the variants and train nothing.")] = False,
    force: Annotated[bool, typer.Option("-f", "--force", help="Replace results of other settings.")] = False,
    debug: Debug = False,
) -> None:
    """Train and measure the variants of a table of the paper.

    Every variant is trained for equal minutes and for equal steps. The results get a page. Give the same command again
    to continue after a stop.
    """
    if not listed and (name is None or not data):
        raise typer.BadParameter("give the name of a TABLE and training pictures with --data, or --list")
    if not math.isfinite(minutes):
        raise typer.BadParameter(f"--minutes must be a number, found {minutes:g}")
    if not stop_after >= 0:
        raise typer.BadParameter(f"--stop-after must be a number of 0 or more, found {stop_after:g}")
    with one_sentence(debug), ending_tidily():
        from ..ablations.tables import TABLES, changed, fresh, table

        tables = [changed(table(each), change or []) for each in ([name] if name else TABLES)]
        tables = [fresh(each) for each in tables] if start_fresh else tables
        if listed:
            _list(tables, minutes)
            return
        _require_a_report()
        from ..ablations.session import Session, Settings
        from ..ablations.sources import Sources
        from .bench import pictures_of

        place = "cpu" if workers > 1 and device is Device.AUTO else device.value
        sources = Sources(data or [], None, None, cache or work / "pixels", sharpness, halves, workers, place)
        settings = Settings(
            _found(tables[0], sources, init, teacher), pictures_of([], dataset), minutes, range(1, seeds + 1), out,
            work, tuple(view.value for view in View if not at or view in at), only or (), force, stop_after,
        )  # fmt: skip
        _run(Session(tables[0], settings, _Told(out)))


def _list(tables: Sequence[Table], minutes: float) -> None:
    from . import printing

    for table in tables:
        printing.print_table(printing.ablation_table(table, minutes))


def _require_a_report() -> None:
    """FedsError where what comes at the end of hours would be missing."""
    from ..errors import FedsError
    from ..reports.needs import missing

    if sentence := missing():
        raise FedsError(sentence)


def _found(table: Table, sources: Sources, init: str, teacher: str) -> Sources:
    """The sources with the weights that a table needs, and with the digest of the pictures, which are read."""
    from ..ablations.sources import Given
    from .training import Terminal

    student = Given.named(init) if table.needs_weights else None
    sources = replace(sources, student=student, teacher=Given.named(teacher) if table.needs_teacher else None)
    with ExitStack() as stack:
        return replace(sources, pixels=sources.digest(table.crop, Terminal(stack).reading))


def _run(session: Session) -> None:
    runs = session.todo()
    if not runs:
        say(f"{session.path}: all runs are done")
        session.listener.kept(session.ablation)
        return
    try:
        session.run()
    except KeyboardInterrupt:
        say(f"feds: stopped; {_done(session)}")
        raise
    say(_done(session))


def _done(session: Session) -> str:
    left = len(session.todo())
    goes_on = f", {left} are left; the same command goes on" if left else ""
    return f"{session.path}: {len(session.ablation.runs)} runs are done{goes_on}"


class _Told:
    """Standard error, and a page after every run."""

    def __init__(self, out: Path) -> None:
        self._out = out

    def say(self, sentence: str, *, warning: bool = False) -> None:
        """A line."""
        say(sentence)

    @contextmanager
    def training(self) -> Iterator[Terminal]:
        """As `feds train` has it."""
        from .training import Terminal

        with ExitStack() as stack:
            yield Terminal(stack)

    def measuring(self, jobs: Sequence[Measurement]) -> AbstractContextManager[Callable[[int], None]]:
        """As `feds bench` has it."""
        from .bench_progress import following

        return following(jobs)

    def kept(self, ablation: Ablation) -> None:
        """The page, anew."""
        from ..reports import ablation as page

        if ablation.runs:
            say(str(page.write(self._out, ablation.table["name"])[0]))
