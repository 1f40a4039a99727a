"""Measure codecs side by side: real files, the same pictures, in an order that favours none.

A row is one picture at one setting of one codec. All codecs are warmed up before the first row is timed. Their jobs are
interleaved picture by picture in a shuffled order, so that other load on the machine affects all of them alike. Only
pixels are coded: no codec spends bytes on ICC, Exif or XMP.
"""

from __future__ import annotations

import hashlib
import platform
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..codec.model import Model
from ..errors import FedsError
from ..images import Picture, read_picture
from ..metrics.table import METRICS
from ..version import __version__
from .coders import Coder
from .datasets import Pictures, row_name
from .results import Codec, Dataset, Results, Row, Where, summarise

_AT_ONCE = 2  # metrics
QUICK_PIXELS = 1_200_000  # three Kodak pictures

Key = tuple[str, str, float]
"""Codec, picture and setting of a row."""


@dataclass(frozen=True)
class Job:
    """A row that is still to measure."""

    path: Path
    codec: str
    setting: float


@dataclass(frozen=True)
class Measured:
    """A row and its pictures: samples uint8 [H, W, 3]."""

    row: Row
    original: NDArray[np.uint8]
    decoded: NDArray[np.uint8]


def key_of(row: Row) -> Key:
    """What identifies a row."""
    return row.codec, row.picture, row.setting


def plan(pictures: Sequence[Path], coders: Mapping[str, Coder], done: Collection[Key] = ()) -> list[Job]:
    """The jobs that are not done, picture by picture; those of one picture in a fixed random order."""
    jobs = []
    for number, path in enumerate(pictures):
        of = [Job(path, name, setting) for name, coder in coders.items() for setting in coder.settings]
        random.Random(number).shuffle(of)
        jobs += [job for job in of if (job.codec, row_name(path), job.setting) not in done]
    return jobs


def quick_choice(pictures: Sequence[Path]) -> list[Path]:
    """Some pictures from all over a list, QUICK_PIXELS together, but at least one."""
    order = [pictures[len(pictures) * part // 4] for part in (1, 3, 2, 0)]
    chosen: list[Path] = []
    pixels = 0
    for path in dict.fromkeys(order):
        picture = read_picture(path)
        pixels += picture.width * picture.height
        if not chosen or pixels <= QUICK_PIXELS:
            chosen.append(path)
    return sorted(chosen, key=list(pictures).index)


def warm_up(coders: Mapping[str, Coder], path: Path) -> None:
    """Code a corner of a picture once with each codec, untimed, to load kernels, tables and programs.

    Failures of peers are reported when they are measured.
    """
    corner = Picture(np.ascontiguousarray(read_picture(path).pixels[:256, :256]))
    for coder in coders.values():
        with suppress(*([] if coder.codec.kind == "feds" else [Exception])):
            coder.decode(coder.encode(corner, coder.settings[0]).result)


def measure(
    jobs: Sequence[Job], coders: Mapping[str, Coder], trouble: Callable[[str], None], metrics: Collection[str] = METRICS
) -> Iterator[Measured | None]:
    """Do the jobs in order with these metrics, and yield each result.

    Raises FedsError if one of our decoders reads other symbols than its encoder wrote. If a peer fails at a picture,
    `trouble` gets a sentence and the job gives nothing.
    """
    opened: tuple[Path, Picture] | None = None
    for job in jobs:
        if opened is None or opened[0] != job.path:
            picture = read_picture(job.path)
            opened = job.path, Picture(picture.pixels, picture.grey)
        coder, picture = coders[job.codec], opened[1]
        measured = None
        try:
            measured = _measure(job, coder, picture, metrics)
        except FedsError as error:
            words = f"{job.path}: {job.codec} at {coder.codec.setting} {job.setting:g}: {error}"
            if coder.codec.kind == "feds":
                raise type(error)(words) from error
            trouble(words)
        except Exception as error:  # every library has its own way to fail
            if coder.codec.kind == "feds":
                raise
            trouble(f"{job.path}: {job.codec} at {coder.codec.setting} {job.setting:g}: {error}")
        yield measured


def metrics_at_hand() -> tuple[list[str], dict[str, str]]:
    """The metrics that can be measured here, and for each other one how to get what it needs."""
    absent = {name: how for name, metric in METRICS.items() if (how := metric.missing())}
    return [name for name in METRICS if name not in absent], absent


@contextmanager
def one_thread() -> Iterator[None]:
    """torch with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def qualities(original: NDArray[np.uint8], decoded: NDArray[np.uint8], names: Collection[str]) -> dict[str, float]:
    """Metrics by name, two at a time and each on one thread; the slowest start first."""
    order = sorted(names, key=lambda name: -METRICS[name].effort)
    with one_thread(), ThreadPoolExecutor(_AT_ONCE) as pool:
        tasks = {name: pool.submit(METRICS[name].measure, original, decoded) for name in order}
        return {name: round(tasks[name].result(), 6) for name in names}


def _measure(job: Job, coder: Coder, picture: Picture, metrics: Collection[str]) -> Measured:
    encoded = coder.encode(picture, job.setting)
    decoded = coder.decode(encoded.result)
    apart = np.abs(picture.pixels.astype(np.int16) - decoded.result)
    peaks = [half.peak_bytes for half in (encoded, decoded) if half.peak_bytes is not None]
    row = Row(
        codec=job.codec,
        picture=row_name(job.path),
        width=picture.width,
        height=picture.height,
        setting=job.setting,
        bytes=len(encoded.result),
        bpp=8 * len(encoded.result) / (picture.width * picture.height),
        quality=qualities(picture.pixels, decoded.result, metrics),
        encode_seconds=round(sum(encoded.seconds.values()), 5),
        decode_seconds=round(sum(decoded.seconds.values()), 5),
        encode=_rounded(encoded.seconds),
        decode=_rounded(decoded.seconds),
        estimated_bits=None if encoded.bits is None else round(encoded.bits, 1),
        peak_bytes=max(peaks, default=None),
        worst_error=int(apart.max()),
        samples=digest_of(picture),
    )
    return Measured(row, picture.pixels, decoded.result)


def digest_of(picture: Picture) -> str:
    """The first 16 digits of the SHA-256 of a picture's samples."""
    return hashlib.sha256(picture.pixels.tobytes()).hexdigest()[:16]


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {stage: round(value, 5) for stage, value in seconds.items()}


def where(model: Model) -> Where:
    """This machine and the versions that `model` uses."""
    return Where(
        feds=__version__,
        torch=torch.__version__,
        device=str(model.device) if str(model.device) == "cpu" else torch.cuda.get_device_name(model.device),
        precision=str(model.precision).removeprefix("torch."),
        threads=torch.get_num_threads(),
        cpu=cpu_name(),
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        machine=platform.machine(),
        python=platform.python_version(),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        tools={metric.title: metric.version() for metric in METRICS.values() if not metric.missing()},
    )


def cpu_name() -> str:
    """The processor, as the system calls it."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor()


def gathered(here: Where, pictures: Pictures, codecs: Mapping[str, Codec], rows: Sequence[Row]) -> Results:
    """Rows with all their context, codec by codec as in `codecs`; codecs without rows are left out."""
    sizes = {row.picture: row.width * row.height for row in rows}
    order = list(codecs)
    rows = sorted(rows, key=lambda row: (order.index(row.codec), row.picture, row.setting))
    used = {key: codecs[key] for key in dict.fromkeys(row.codec for row in rows)}
    dataset = Dataset(pictures.name, len(sizes), sum(sizes.values()), pictures.checked, pictures.left_out)
    return Results(here, dataset, used, rows, summarise(rows))


def resumed(
    earlier: Results, here: Where, pictures: Pictures, codecs: Mapping[str, Codec], metrics: Collection[str]
) -> Results:
    """The earlier results that can stand beside new rows.

    Drops rows of a codec that has changed (version, options, weights), of a picture that has changed, and those that
    lack one of the metrics, if their codec is measured again. Raises FedsError if the dataset or the machine differ,
    because then no figures could be compared.
    """
    if earlier.dataset.name != pictures.name:
        raise FedsError(f"expected results of {pictures.name}, found those of {earlier.dataset.name}")
    for field in ("device", "precision", "threads", "cpu", "torch"):
        now, then = getattr(here, field), getattr(earlier.where, field)
        if now != then:
            raise FedsError(
                f"measured with {field} {then}, this run has {now}; use --force to measure everything again"
            )
    same = {key for key, codec in earlier.codecs.items() if codecs.get(key, codec) == codec}
    whole = {key for key in same if key not in codecs}
    rows = [
        row for row in earlier.rows if row.codec in same and (row.codec in whole or set(metrics) <= set(row.quality))
    ]
    measured = {row.picture for row in rows if row.samples}
    digests = {row_name(path): digest_of(read_picture(path)) for path in pictures.paths if row_name(path) in measured}
    rows, matched = (
        [row for row in some if not row.samples or digests.get(row.picture, row.samples) == row.samples]
        for some in (rows, earlier.matched)
    )
    matched = [row for row in matched if row.codec in {row.codec for row in rows}]
    return replace(
        earlier,
        rows=rows,
        matched=matched,
        codecs=dict(codecs) | {key: earlier.codecs[key] for key in earlier.codecs if key in same},
    )
