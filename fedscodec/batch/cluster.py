"""Run a batch on many machines with Ray: one worker for each GPU or group of cores, each with its own network.

The workers read and write the files, so all machines must see them under the same paths, and must have this package and
the same weights. A worker gets a few files at a time. If it dies, its files are given out again one by one, and a new
worker is started. Results that it had written are up to date and are not made again.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..codec.settings import Decoding, Encoding
from ..errors import FedsError
from ..files.names import shown
from ..machine import usable_cores
from .decoder import Decoder
from .done import FAILED, SKIPPED, Done
from .encoder import Encoder
from .pipeline import Batch, Work, settled
from .plan import Task

RETRIES = 3
"""How often a file is given out again after its worker died."""

CORES = 4
"""Default number of cores of a worker without a GPU."""

MOST_AT_ONCE = 32
"""Files that a worker gets at a time, which is also the most that is lost if it dies."""


def work_of(how: Encoding | Decoding) -> Work:
    """The stages for these settings."""
    return Encoder(how) if isinstance(how, Encoding) else Decoder(how)


class Worker:
    """What runs in each process of the cluster: a Ray actor."""

    def __init__(self, how: Encoding | Decoding, cores: int) -> None:
        self._how, self._cores = how, cores
        self._work: Work | None = None
        self._batch: Batch | None = None

    def ready(self) -> int:
        """Load the network; return the process number."""
        self._work = work_of(self._how)  # here, where what goes wrong is told; in a constructor it is a dead worker
        self._work.open()
        return os.getpid()

    def do(self, tasks: list[Task]) -> list[Done]:
        """Process some files and return what became of each."""
        if self._work is None:
            raise RuntimeError("a worker begins with ready()")
        share = min(1.0, self._cores / usable_cores())  # other workers have the other cores of this machine
        with Batch(tasks, self._work, jobs=self._cores, cores=self._cores, share=share) as self._batch:
            return [_portable(done) for done in self._batch]

    def halt(self) -> None:
        """Stop writing files."""
        if self._batch is not None:
            self._batch.halt()


class Cluster:
    """Files in work on a Ray cluster; use it like `Batch`.

    address: of the cluster ("auto" finds the one that runs here, "local" starts one on this machine). jobs: cores of a
    worker. `lost` counts the workers that died, `processes` has the process numbers of the living ones.
    """

    def __init__(
        self, tasks: Sequence[Task], how: Encoding | Decoding, *, address: str, jobs: int | None = None
    ) -> None:
        self.tasks, self.lost = tasks, 0
        self.processes: dict[Any, int] = {}
        self._work, self._how = work_of(how), _anywhere(how)
        self._ray, self._ours = _connected(address)
        self._cores, self._count, self._gpus = _groups(self._ray, how.device, jobs)
        self._attempts: Counter[Task] = Counter()
        self._waiting: deque[list[Task]] = deque()
        self._running: dict[Any, tuple[Any, list[Task]]] = {}  # by reference: the worker, and what it has in hand

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for worker in {*self.processes, *(worker for worker, _ in self._running.values())}:
            self._ray.kill(worker)
        if self._ours:
            self._ray.shutdown()

    def __iter__(self) -> Iterator[Done]:
        pending = yield from settled(self.tasks, self._work)
        size = max(1, min(MOST_AT_ONCE, len(pending) // (4 * self._count)))
        self._waiting.extend(pending[at : at + size] for at in range(0, len(pending), size))
        for _ in range(min(self._count, len(self._waiting))):
            self._hire()
        left = len(pending)
        while left:
            for done in self._next():
                left -= 1
                yield done

    def halt(self) -> None:
        """Stop writing files, and wait for those that are being written."""
        halts = [worker.halt.remote() for worker in self.processes]
        self._ray.wait(halts, num_returns=len(halts), timeout=10)

    def _hire(self) -> None:
        """Start one more worker; it gets files once it is ready."""
        remote = self._ray.remote(num_cpus=self._cores, num_gpus=self._gpus, max_concurrency=2)(Worker)
        worker = remote.remote(self._how, self._cores)
        self._running[worker.ready.remote()] = (worker, [])

    def _next(self) -> list[Done]:
        """Wait for one worker and give it more files; return what it has done, or what was given up."""
        (reference,), _ = self._ray.wait(list(self._running), num_returns=1)
        worker, tasks = self._running.pop(reference)
        try:
            result = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:  # what cannot be opened fails all, as it does in a `Batch`
            raise error.cause if isinstance(error.cause, FedsError) else error from None
        except self._ray.exceptions.RayError as error:
            return self._without(worker, tasks, error)
        done = []
        if tasks:
            done = [self._own(task, one) for task, one in zip(tasks, _in_order(tasks, result), strict=True)]
        else:
            self.processes[worker] = result
        if self._waiting:
            tasks = self._waiting.popleft()
            self._running[worker.do.remote([_absolute(task) for task in tasks])] = (worker, tasks)
        return done

    def _without(self, worker: Any, tasks: list[Task], error: Exception) -> list[Done]:
        """Replace a dead worker and give out its files again; return those that are given up."""
        self.processes.pop(worker, None)
        self.lost += 1
        if self.lost > RETRIES * (self._count + len(self.tasks)):
            raise FedsError(f"the workers keep dying: {error}")
        self._attempts.update(tasks)
        given_up = [task for task in tasks if self._attempts[task] > RETRIES]
        self._waiting.extend([task] for task in tasks if task not in given_up)
        self._hire()
        died = FedsError(f"its worker died, {RETRIES + 1} times in a row")
        return [Done(task.source, task.target, FAILED, error=died) for task in given_up]

    def _own(self, task: Task, done: Done) -> Done:
        """Give a result the paths of its task. A file that a dead worker had finished counts as done, not skipped."""
        by_the_dead = done.status == SKIPPED and self._attempts[task] > 0
        status = self._work.status if by_the_dead else done.status
        error = done.error
        if isinstance(error, FedsError):
            words = (
                str(error)
                .replace(shown(done.source), shown(task.source))
                .replace(shown(done.target), shown(task.target))
            )
            error = type(error)(words)
        return replace(done, source=task.source, target=task.target, status=status, error=error)


def _connected(address: str) -> tuple[Any, bool]:
    """Ray, and whether this call connected to it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise FedsError("Ray is not installed: pip install 'fedscodec[ray]'") from None
    if ray.is_initialized():
        return ray, False
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise FedsError(f"no Ray cluster at {address}: {error}") from error
    return ray, True


def _groups(ray: Any, device: str, jobs: int | None) -> tuple[int, int, int]:
    """Number of cores of a worker, number of workers that fit into the cluster, and GPUs of each."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    if not nodes:
        raise FedsError("the Ray cluster has no free core")
    gpus = 0 if device == "cpu" else sum(int(node.get("GPU", 0)) for node in nodes)
    if gpus:
        return jobs or 1, gpus, 1
    cores = min(jobs or CORES, *(int(node["CPU"]) for node in nodes))
    return cores, sum(int(node["CPU"]) // cores for node in nodes), 0


def _in_order(tasks: list[Task], results: list[Done]) -> list[Done]:
    of = {done.source: done for done in results}
    return [of[task.source.absolute()] for task in tasks]


def _absolute(task: Task) -> Task:
    return Task(task.source.absolute(), task.target.absolute())


def _anywhere(how: Encoding | Decoding) -> Encoding | Decoding:
    """Make relative paths in the settings absolute, because workers run in their own folders."""
    if isinstance(how, Encoding) and Path(how.model).is_file():
        return replace(how, model=str(Path(how.model).absolute()))
    return how


def _portable(done: Done) -> Done:
    """Make sure that the error of a result can be sent; an error of an unknown kind becomes its text."""
    if done.error is None or isinstance(done.error, FedsError | OSError):
        return done
    return replace(done, error=RuntimeError(f"{type(done.error).__name__}: {done.error}"))
