"""Process all files of a batch at the same time: reading, network, coder and writing overlap, and memory stays bounded.

Each thread takes one file through all its stages, so no queue is needed. Two gates limit the pictures in memory. A
picture passes the outer gate before it is read and leaves it when its result is written; this gate admits as many
pictures as there are threads, up to a number of pixels. The inner gate is for the network, where a pixel costs most
memory; it admits as many pictures as there are jobs, and fewer pixels. Meanwhile the other threads read the next
pictures and write results. A picture larger than a gate's limit passes it alone. Torch, Pillow and zlib release the
interpreter's lock while they work.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Protocol, Self

from ..codec.backends import gpu_is_wanted, share_cores
from ..errors import FedsError
from ..files.outputs import require_folder, write_file
from ..machine import memory, usable_cores
from .done import FAILED, SKIPPED, Done, Worked
from .plan import Task

BYTES_PER_PIXEL = 150
"""Bytes of memory per pixel in the network: 4 megapixels take 535 MiB to decode with the student, 134 a pixel."""

BYTES_OUTSIDE = 15
"""Bytes of memory per pixel while a picture is read, waits or is written: 3 to wait, 10 to read (14 with alpha), 20 as
WebP.
"""

_WAKE = 0.5  # seconds
ON_A_GPU = 3
"""Files at once with a GPU: one in the network, one in the coder, one on its way. Not measured yet."""


class Work(Protocol):
    """The stages of one file, implemented by `Encoder` and `Decoder`. All but `open` may run in several threads."""

    status: str
    device: str

    def open(self) -> None:
        """Load what all files need; an exception here ends the batch before it begins."""

    def is_up_to_date(self, task: Task) -> bool:
        """Whether there is nothing to do."""

    def expected(self, task: Task) -> int:
        """Number of pixels that `read` will return; 0 if it will refuse the file, which then says why."""

    def read(self, task: Task) -> Any:
        """The content of the source."""

    def pixels(self, content: Any) -> int:
        """How much of the limit on pixels in the network the content takes."""

    def work(self, task: Task, content: Any) -> Worked | None:
        """Run network and coder; return None if the target turns out to be up to date."""

    def finish(self, task: Task, payload: Any) -> bytes:
        """The bytes to write."""


class Gate:
    """Admits a number of threads and of pixels at once; admits a single picture of any size alone.

    First come, first served, so that a large picture waits only for those before it.
    """

    def __init__(self, threads: int, pixels: int) -> None:
        self._threads, self._pixels = threads, pixels
        self._inside, self._taken = 0, 0
        self._turn, self._change = threading.Lock(), threading.Condition()

    @contextmanager
    def inside(self, pixels: int) -> Iterator[None]:
        """Wait for room, and release it at the end."""
        with self._turn, self._change:
            self._change.wait_for(lambda: self._has_room(pixels))
            self._inside, self._taken = self._inside + 1, self._taken + pixels
        try:
            yield
        finally:
            with self._change:
                self._inside, self._taken = self._inside - 1, self._taken - pixels
                self._change.notify_all()

    def _has_room(self, pixels: int) -> bool:
        return self._inside == 0 or (self._inside < self._threads and self._taken + pixels <= self._pixels)


class Batch:
    """Files in work. Iterate over it to get one `Done` per file, in the order in which files finish.

    with Batch(tasks, Encoder(Encoding(quality=5))) as batch:
        for done in batch:
            ...

    Whoever leaves the block before the end waits for the files in work; `halt` does not. jobs: how many files are
    in the network at once, by default one for each core, or on a GPU enough to keep it fed. cores: how many there are,
    by default all that this process may use. share: the part of this machine's memory that it may fill.
    """

    def __init__(
        self, tasks: Sequence[Task], work: Work, *,
        jobs: int | None = None, cores: int | None = None, share: float = 1.0,
    ) -> None:  # fmt: skip
        self.tasks, self.work, self._share = tasks, work, share
        self._jobs, self._cores = jobs, cores or usable_cores()
        self._results: SimpleQueue[Done] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._restore: Callable[[], None] = lambda: None
        self._writing, self._stopped = 0, False
        self._writers = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()
        for thread in self._threads:
            thread.join()
        self._restore()

    def __iter__(self) -> Iterator[Done]:
        pending = yield from settled(self.tasks, self.work)
        if pending:
            self.work.open()
            self._start(pending)
            for _ in pending:
                yield self._next()

    def _next(self) -> Done:
        """The next result; wakes up now and then, because Windows hands on no Ctrl-C while it waits."""
        while True:
            with suppress(Empty):
                return self._results.get(timeout=_WAKE)

    def halt(self) -> None:
        """Stop writing files, and wait for those that are being written, so that all files are complete.

        Threads that are in the network stay there; call this just before the process ends.
        """
        self._stop()
        with self._writers:
            self._writers.wait_for(lambda: self._writing == 0)

    def _stop(self) -> None:
        with self._writers:
            self._stopped = True

    def _start(self, pending: list[Task]) -> None:
        on_gpu = gpu_is_wanted(self.work.device)
        jobs = self._jobs or (ON_A_GPU if on_gpu else self._cores)
        helpers = self._cores if on_gpu else 2
        self._restore = share_cores(max(1, self._cores // jobs))
        count = min(jobs + helpers, len(pending))
        inside, outside = (int(self._share * pixels) for pixels in (room(), waiting_room()))
        outer, network = Gate(count, inside + outside), Gate(jobs, inside)
        tasks, lock = iter(pending), threading.Lock()

        def take() -> Task | None:
            with lock:
                return None if self._stopped else next(tasks, None)

        def go() -> None:
            while (task := take()) is not None:
                self._results.put(self._one(task, outer, network))

        self._threads = [threading.Thread(target=go, name=f"feds-{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    def _one(self, task: Task, outer: Gate, network: Gate) -> Done:
        try:
            with outer.inside(self.work.expected(task)):
                return self._through(task, network)
        except Exception as error:  # a file that fails, even by a bug, is no reason to leave out the others
            return Done(task.source, task.target, FAILED, error=error)

    def _through(self, task: Task, network: Gate) -> Done:
        content = self.work.read(task)
        with network.inside(self.work.pixels(content)):
            worked = None if self._stopped else self.work.work(task, content)
        if worked is None:
            return _skipped(task)
        data = self.work.finish(task, worked.payload)
        with self._while_writing():
            task.target.parent.mkdir(parents=True, exist_ok=True)
            write_file(task.target, data, force=True)
        sizes = _size(task.source), len(data)
        return Done(task.source, task.target, self.work.status, *sizes, worked.seconds, worked.facts)

    @contextmanager
    def _while_writing(self) -> Iterator[None]:
        with self._writers:
            if self._stopped:
                raise FedsError("stopped before the result was written")
            self._writing += 1
        try:
            yield
        finally:
            with self._writers:
                self._writing -= 1
                self._writers.notify_all()


def settled(tasks: Iterable[Task], work: Work) -> Generator[Done, None, list[Task]]:
    """Yield the results that need no work, and return the tasks that do. Raises OutputError if all are refused."""
    pending = []
    for task in tasks:
        done = _known(task, work)
        if done is None:
            pending.append(task)
        else:
            yield done
    pending, refused = _writable(pending)
    yield from refused
    return pending


def _known(task: Task, work: Work) -> Done | None:
    """The result of a file that needs no work: it is up to date, or cannot be done."""
    try:
        if task.fault:
            raise FedsError(task.fault)
        if work.is_up_to_date(task):
            return _skipped(task)
    except Exception as error:  # as in the network: not even a bug stops the others
        return Done(task.source, task.target, FAILED, error=error)
    return None


def _writable(tasks: list[Task]) -> tuple[list[Task], list[Done]]:
    """The tasks whose results can be written, and the results of the others. Raises OutputError if all are refused."""
    faults: dict[Path, FedsError] = {}
    folders = {task.target.parent for task in tasks}
    for folder in folders:
        try:
            require_folder(folder)
        except FedsError as error:
            faults[folder] = error
    if faults and len(faults) == len(folders):
        raise next(iter(faults.values()))
    refused = [
        Done(task.source, task.target, FAILED, error=faults[task.target.parent])
        for task in tasks
        if task.target.parent in faults
    ]
    return [task for task in tasks if task.target.parent not in faults], refused


def room() -> int:
    """How many pixels may be in the network at once: as many as fit into a quarter of the memory."""
    return memory() // 4 // BYTES_PER_PIXEL


def waiting_room() -> int:
    """How many more pixels may be read, wait or be written meanwhile: as many as fit into an eighth of the memory."""
    return memory() // 8 // BYTES_OUTSIDE


def _skipped(task: Task) -> Done:
    return Done(task.source, task.target, SKIPPED, _size(task.source), _size(task.target))


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
