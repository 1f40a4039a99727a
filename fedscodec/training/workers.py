"""Several single-threaded processes on one machine, with weights and gradients in shared memory (`--workers`).

Two such processes see 1.3 times the pixels of one process with two threads. Each computes the gradient of its part of
the batch and writes it where the others can read it. Then each updates its own part of the weights, for the whole
batch. Other messages go through a pipe between the leader and each worker. If a process ends for any reason, its pipe
breaks: a worker then ends too, and the leader reports it. Before a worker that fails ends, it says why through another
pipe, so that the leader can end with that one sentence.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import shutil
import signal
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn

import numpy as np
import torch
import torch.multiprocessing as mp
from torch import Tensor, nn

from ..errors import FedsError, is_lack_of_memory
from .health import DivergedError
from .parallel import Team
from .state import pack_state, unpack_state

_KINDS: dict[str, type[Exception]] = {"memory": MemoryError, "diverged": DivergedError, "other": FedsError}
"""What the leader raises for a failure of a worker."""
_MMAP_MAX, _TRIM_THRESHOLD = -4, -1  # of mallopt


@dataclass(frozen=True)
class Workers(Team):
    """One of these processes; `links` are the leader's ends of the pipes, or the one end of a worker."""

    links: tuple[Connection, ...] = ()
    buffers: tuple[Tensor, ...] = ()  # the gradients of each process, as one vector
    processes: list[BaseProcess] = field(default_factory=list)  # the leader's: the workers
    places: dict[int, int] = field(default_factory=dict)  # id of a parameter → where its gradient lies in a buffer
    faults: tuple[Connection, ...] = ()  # the leader's: through which each worker says why it failed

    def _all(self, data: bytes) -> list[bytes]:
        """The message of every process, in every process; waits until all have sent one."""
        try:
            if not self.leads:
                self.links[0].send_bytes(data)
                return [self.links[0].recv_bytes() for _ in range(self.size)]
            said = [data, *(link.recv_bytes() for link in self.links)]
            for link in self.links:
                for part in said:
                    link.send_bytes(part)
            return said
        except (EOFError, OSError):
            return self._mourn()

    def _mourn(self) -> NoReturn:
        if not self.leads:
            os._exit(1)  # the leader is gone, and nobody is left to tell
        for process in self.processes:
            process.join(2)
        for fault in self.faults:
            with suppress(EOFError, OSError):  # of a worker that did not fail, or had no time to say why
                if fault.poll():
                    kind, sentence = json.loads(fault.recv_bytes())
                    raise _KINDS[kind](sentence)
        ended = [process for process in self.processes if process.exitcode is not None]
        codes = ", ".join(str(process.exitcode) for process in ended) or "unknown"
        raise FedsError(f"a worker of the training run ended (exit code {codes}); the last checkpoint is kept")

    def _tensors(self, values: Tensor) -> Tensor:
        """The values of every process [size, ...]."""
        own = values.detach().cpu().contiguous().double().numpy()
        parts = [np.frombuffer(said, np.float64).reshape(own.shape) for said in self._all(own.tobytes())]
        return torch.from_numpy(np.stack(parts)).to(values)

    def agree(self, *values: float) -> tuple[float, ...]:
        """The leader's values, in every process."""
        return tuple(np.frombuffer(self._all(np.array(values, np.float64).tobytes())[0], np.float64).tolist())

    def largest(self, values: Tensor) -> Tensor:
        """The maximum over all processes, element by element, also written in place."""
        return values.copy_(self._tensors(values).amax(0))

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes, element by element."""
        return self._tensors(values).mean(0)

    def mine(self, costs: Mapping[str, float]) -> set[str]:
        """A share of the parameters with about the same cost as those of the other processes."""
        loads, chosen = [0.0] * self.size, set[str]()
        for name, cost in sorted(costs.items(), key=lambda item: (-item[1], item[0])):
            least = loads.index(min(loads))
            loads[least] += cost
            if least == self.rank:
                chosen.add(name)
        return chosen

    def exchange(self, parameters: Sequence[nn.Parameter], moved: Set[int]) -> None:
        """Leave the mean gradient of all processes in the parameters of this one (their ids)."""
        used = [p for p in parameters if p.grad is not None]
        if used:
            own = [self._view(self.rank, p) for p in used]
            torch._foreach_copy_(own, [p.grad for p in used if p.grad is not None])
        self.wait()
        for p in used:
            if id(p) in moved:
                parts = [self._view(rank, p) for rank in range(self.size)]
                p.grad = torch.stack(parts).mean(0) if self.size > 2 else (parts[0] + parts[1]).mul_(0.5)
            else:
                p.grad = None

    def _view(self, rank: int, parameter: nn.Parameter) -> Tensor:
        at = self.places[id(parameter)]
        return self.buffers[rank].as_strided(parameter.shape, parameter.stride(), at)

    def squared_norm(self, own: Tensor) -> Tensor:
        """The sum over all processes; by then all have read each other's gradients."""
        return self._tensors(own).sum(0)

    def wait(self) -> None:
        """Wait until all processes are here."""
        self._all(b"")

    def gather(self, value: Any) -> list[Any]:
        """The values of every process; the leader's own is not copied."""
        try:
            if self.leads:
                return [value, *(unpack_state(link.recv_bytes()) for link in self.links)]
            self.links[0].send_bytes(pack_state(value))
            return [value]
        except (EOFError, OSError):
            return self._mourn()

    def leave(self) -> None:
        """Wait for the workers, which end by themselves."""
        for link in self.links:
            link.close()
        for process in self.processes:
            process.join(10)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for the next step: 12 to 15 % more pixels per second."""
    with suppress(AttributeError, OSError, TypeError):  # of other systems
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def lead(count: int, module: nn.Module, work: Callable[..., None], *arguments: Any) -> Workers:
    """Start `count - 1` workers beside this process; each calls `work(team, *arguments)`.

    Moves the parameters and buffers of every module in `arguments` into shared memory. module: what is trained. Raises
    FedsError if there is too little of it.
    """
    with _shared_memory(count):
        for part in (module, *arguments):
            if isinstance(part, nn.Module):
                part.share_memory()
        total = sum(p.numel() for p in module.parameters())
        buffers = tuple(torch.zeros(total).share_memory_() for _ in range(count))
        context, links, faults, processes = mp.get_context("spawn"), [], [], []
        for rank in range(1, count):
            here, there = context.Pipe()
            read, write = context.Pipe(duplex=False)
            process = context.Process(
                target=_worker, args=(rank, count, there, write, buffers, module, work, arguments), daemon=True
            )  # fmt: skip
            process.start()
            there.close()
            write.close()
            links.append(here)
            faults.append(read)
            processes.append(process)
    torch.set_num_threads(1)
    team = Workers(0, count, tuple(links), buffers, processes, _places(module), tuple(faults))
    # A leader that fails alone leaves its workers waiting for it, and multiprocessing waits for them at the end.
    atexit.register(_end, weakref.ref(team))
    return team


@contextmanager
def _shared_memory(count: int) -> Iterator[None]:
    """Say in a sentence that shared memory is too small, as in most containers."""
    try:
        yield
    except RuntimeError as error:
        if "shared memory" not in str(error):
            raise
        found = ""
        with suppress(OSError):
            found = f", /dev/shm has {shutil.disk_usage('/dev/shm').total / 1e6:,.0f} MB"
        raise FedsError(
            f"--workers {count} needs more shared memory{found}: give the container more (docker run --shm-size 2g), "
            "or use --workers 1"
        ) from error


def _end(reference: weakref.ref[Workers]) -> None:
    """End the workers of a team that is still there at the end of the process."""
    if (team := reference()) is not None:
        for link in team.links:
            link.close()
        for process in team.processes:
            process.join(1)
            process.kill()


def _worker(
    rank: int, count: int, link: Connection, fault: Connection, buffers: tuple[Tensor, ...], module: nn.Module,
    work: Callable[..., None], arguments: tuple[Any, ...],
) -> None:  # fmt: skip
    """The main function of a worker. Ctrl-C reaches all processes of a terminal; only the leader handles it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    torch.set_num_threads(1)
    keep_freed_memory()
    try:
        work(Workers(rank, count, (link,), buffers, [], _places(module)), module, *arguments)
    except Exception as failure:
        with suppress(OSError):  # a leader that is gone has failed by itself, and says so
            fault.send_bytes(json.dumps(_told(failure)).encode())
        raise SystemExit(1) from None  # without a traceback: the leader has the one sentence


def _told(failure: Exception) -> tuple[str, str]:
    """The kind and the sentence with which the leader ends for a failure of a worker."""
    if is_lack_of_memory(failure) and not isinstance(failure, FedsError):
        return "memory", str(failure)
    if isinstance(failure, FedsError):
        return "diverged" if isinstance(failure, DivergedError) else "other", str(failure)
    what = f"{type(failure).__name__}: {failure}"
    return "other", f"a worker of the training run failed ({what}); the last checkpoint is kept"


def _end_with_the_parent() -> None:
    """End this worker when the leader ends, even in the middle of a long step."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _places(module: nn.Module) -> dict[int, int]:
    places, at = {}, 0
    for parameter in module.parameters():
        places[id(parameter)] = at
        at += parameter.numel()
    return places
