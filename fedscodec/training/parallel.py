"""Several processes that train one network, each on its part of every batch.

`Team` is a process on its own, `Distributed` one of those that `torchrun` starts (several GPUs), and `workers.Workers`
one of those that `--workers` starts on one machine, with the weights in shared memory. The loop uses only this
interface.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..codec.devices import choose_device
from ..errors import FedsError


@dataclass(frozen=True)
class Team:
    """The number of this process and how many there are; by default it is the only one."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def part(self, batch: int) -> slice:
        """The samples of a batch for this process. Raises FedsError if they cannot be shared evenly."""
        if batch % self.size:
            raise FedsError(f"a batch of {batch} cannot be shared by {self.size} processes evenly")
        share = batch // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def agree(self, *values: float) -> tuple[float, ...]:
        """The leader's values, in every process."""
        return values

    def largest(self, values: Tensor) -> Tensor:
        """The maximum over all processes, element by element, also written in place."""
        return values

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes, element by element."""
        return values

    def share(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module to call in training."""
        return module

    def mine(self, costs: Mapping[str, float]) -> set[str]:
        """The parameters that this process updates, shared out by cost."""
        return set(costs)

    def exchange(self, parameters: Sequence[nn.Parameter], moved: Set[int]) -> None:
        """After a backward pass: turn the gradients of the parameters of this process (ids) into those of the whole
        batch.
        """

    def squared_norm(self, own: Tensor) -> Tensor:
        """The sum of squares of all gradients, from that of this process's gradients."""
        return own

    def wait(self) -> None:
        """Wait until all processes are here."""

    def gather(self, value: Any) -> list[Any]:
        """The values of every process, for the leader."""
        return [value]

    def leave(self) -> None:
        """Leave the other processes at the end of a run."""


class Distributed(Team):
    """One of the processes that `torchrun` started; DistributedDataParallel averages the gradients."""

    def agree(self, *values: float) -> tuple[float, ...]:
        """The leader's values, in every process."""
        shared = torch.tensor(values, dtype=torch.float64)
        dist.broadcast(shared, 0)
        return tuple(shared.tolist())

    def largest(self, values: Tensor) -> Tensor:
        """The maximum over all processes, element by element, also written in place."""
        dist.all_reduce(values, dist.ReduceOp.MAX)
        return values

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes, element by element."""
        dist.all_reduce(values)
        return values / self.size

    def share(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module whose gradients are those of the whole batch."""
        ids = [device.index] if device.type == "cuda" else None
        # Which parameters a step uses depends on the part of the run it lies in.
        return DistributedDataParallel(module, device_ids=ids, find_unused_parameters=True)

    def leave(self) -> None:
        """Leave the other processes at the end of a run."""
        dist.destroy_process_group()


def join_team(device_name: str) -> tuple[Team, torch.device]:
    """The team that `torchrun` has set up, and this process's device; without it, a team of one."""
    size, number = (int(os.environ.get(name, least)) for name, least in (("WORLD_SIZE", "1"), ("LOCAL_RANK", "0")))
    if size > 1 and device_name != "cpu" and torch.cuda.is_available():
        torch.cuda.set_device(number)  # before it is tried, as all processes would take memory of the first one
    device = choose_device(device_name)
    if size == 1:
        return Team(), device
    if device.type == "cuda":
        device = torch.device("cuda", number)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    return Distributed(dist.get_rank(), size), device
