"""`feds bench`: measure feds and other codecs on real files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..codec.effort.levels import MOST_EFFORT
from ..files.inputs import expanded
from .failures import one_sentence
from .options import Debug, Device, Force, OnDevice, examples
from .streams import say

if TYPE_CHECKING:
    from ..bench.datasets import Pictures
    from ..bench.session import Session

EXAMPLES = examples(
    "feds bench --dataset kodak --peers all --output out/kodak",
    "feds bench photos/ --quick",
    "feds bench photos/ --effort 5 --quality 3",
    "feds bench photos/ --peers jpeg,webp,avif --quality 2 --quality 4.5",
)


def bench(
    pictures: Annotated[list[Path] | None, typer.Argument(metavar="[PICTURES]...", help="Pictures or folders.")] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="kodak, tecnick, clic2020, clic2021, graphics, or a folder.")
    ] = None,
    peers: Annotated[
        str | None, typer.Option(metavar="P", help="all, none, or a list: jpeg,avif,vvc.  [default: none; quick: all]")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Model; repeatable.  [default: student]")
    ] = None,
    quality: Annotated[
        list[float] | None, typer.Option(metavar="Q", help="Quality; repeatable.  [default: 1 to 7; quick: 1, 4, 7]")
    ] = None,
    effort: Annotated[
        list[int] | None,
        typer.Option(min=1, max=MOST_EFFORT, metavar="E", help="Also measure feds with this effort; repeatable."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="For results, report and pictures.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few pictures and settings, under two minutes.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the benchmark in FOLDER.")] = False,
    viewer: Annotated[int, typer.Option(min=0, metavar="N", help="Keep N decoded pictures of each codec.")] = 4,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a short table for a README, not the long one.")
    ] = False,
    device: OnDevice = Device.AUTO,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Measure feds and other codecs on the same pictures.

    It measures bytes, quality, time and memory. Quality is PSNR, MS-SSIM, SSIMULACRA2 and, if libjxl's tool is
    installed, Butteraugli. Unreadable pictures are named and left out.
    """
    if bool(pictures) == bool(dataset):
        given = "both" if dataset else "neither"
        raise typer.BadParameter(f"expected either pictures (or folders of them) or --dataset, found {given}")
    if resume and output is None:
        raise typer.BadParameter("--resume needs the folder to continue: give it with --output")
    if resume and force:
        raise typer.BadParameter("--resume cannot be used with --force, which measures everything again")
    with one_sentence(debug):
        from ..bench import keeping
        from ..bench.peers import chosen

        wanted = chosen(peers or ("all" if quick else "none"))
        earlier = keeping.prepare(output, force=force, resume=resume) if output else None
        found = pictures_of(pictures or [], dataset, quick)
        _tell_what_is_missing(bool(output))
        session = _session(found, model or ["student"], quality or [], effort or [], wanted, device, quick)
        session.folder, session.viewer = output, viewer
        if earlier:
            session.take_up(earlier)
        _run(session, markdown)
        if output and session.rows:
            if not quick:
                _match(session)
            _report(output)


def pictures_of(places: list[Path], dataset: str | None, quick: bool = False) -> Pictures:
    """The pictures to measure on, those left out told by name."""
    from ..bench import datasets, run
    from .bench_progress import downloading

    if dataset:
        with downloading() as progress:
            found = datasets.dataset(dataset, progress)
    else:
        found = datasets.gathered(expanded(places))
    found = found.readable()
    for name, why in found.left_out.items():
        say(f"left out: {name} ({why})", quiet=False)
    return replace(found, paths=run.quick_choice(found.paths)) if quick else found


def _tell_what_is_missing(has_report: bool) -> None:
    """Print, before any picture is coded, which metrics will be missing and what the report needs."""
    from ..bench.run import metrics_at_hand
    from ..reports.needs import missing

    for how in metrics_at_hand()[1].values():
        say(f"not measured: {how}", quiet=False)
    if has_report and (sentence := missing()):
        say(f"no report: {sentence}", quiet=False)


def _session(
    found: Pictures,
    models: list[str],
    qualities: list[float],
    efforts: list[int],
    peers: list[str],
    device: Device,
    quick: bool,
) -> Session:
    from ..bench import run, session
    from ..bench.peers import opened
    from ..codec.model import load_model

    networks = [load_model(name, device.value) for name in models]
    ours = session.our_coders(networks, qualities, efforts, quick=quick)
    others, absent = opened(peers, session.threads(), quick=quick)
    for how in dict.fromkeys(absent.values()):
        say(f"left out: {', '.join(name for name in absent if absent[name] == how)} ({how})", quiet=False)
    return session.Session(found, {**ours, **others}, run.where(networks[0]))


def _run(session: Session, markdown: bool) -> None:
    from .bench_progress import following

    jobs = session.jobs()
    try:
        with following(jobs) as show:
            session.measure(jobs, show, lambda words: say(f"failed: {words}", quiet=False))
    except KeyboardInterrupt:
        from ..reports.figures import counted

        _print(session, markdown)
        kept = f"saved in {session.folder}, --resume continues" if session.folder else "not saved without --output"
        say(f"feds: stopped; {counted(len(session.rows), 'measurement')} {kept}", quiet=False)
        raise
    _print(session, markdown)


def _match(session: Session) -> None:
    with suppress(KeyboardInterrupt):  # the report goes without
        session.match(lambda words: say(words, quiet=False), lambda words: say(f"failed: {words}", quiet=False))


def _report(folder: Path) -> None:
    from ..errors import FedsError
    from ..reports import bench_report

    try:
        made = bench_report.write(folder)
    except FedsError as error:  # its libraries are not installed; the measurements are saved
        say(f"no report: {error}", quiet=False)
    else:
        for path in made:
            say(str(path), quiet=False)


def _print(session: Session, markdown: bool) -> None:
    from . import bench_tables
    from .printing import print_table

    results = session.results()
    if results.rows and markdown:
        from ..reports.brief import brief
        from ..reports.tables import markdown as as_markdown

        print(as_markdown(brief(results)), end="")
    elif results.rows:
        print(bench_tables.where_line(results))
        print_table(bench_tables.codecs_table(results))
        if results.dataset.name == "graphics":  # for which means say little
            for key in [key for key, codec in results.codecs.items() if codec.kind == "feds"]:
                print_table(bench_tables.pictures_table(results, key))
        print("\n".join([*bench_tables.stage_lines(results), "", *bench_tables.codec_lines(results)]))
