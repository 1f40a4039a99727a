"""Several processes that train one network, each on its part of every batch, as `torchrun` starts them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import FedsError


@dataclass(frozen=True)
class Team:
    """Which of how many processes this one is; by default the only one."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def part(self, batch: int) -> slice:
        """The samples of a batch that fall to this process; FedsError where they cannot be shared evenly."""
        if batch % self.size:
            raise FedsError(f"a batch of {batch} cannot be shared by {self.size} processes evenly")
        share = batch // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def agree(self, value: float) -> float:
        """The leader's value, in every process."""
        if self.size == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64)
        dist.broadcast(shared, 0)
        return float(shared)

    def largest(self, values: Tensor) -> Tensor:
        """The largest of all processes, element by element."""
        if self.size > 1:
            dist.all_reduce(values, dist.ReduceOp.MAX)
        return values

    def mean(self, values: Tensor) -> Tensor:
        """The mean over all processes, element by element."""
        if self.size > 1:
            dist.all_reduce(values)
            values = values / self.size
        return values

    def share(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module whose gradients are those of the whole batch; alone, the module itself."""
        if self.size == 1:
            return module
        ids = [device.index] if device.type == "cuda" else None
        # Which parameters a step uses depends on the part of the run it lies in.
        return DistributedDataParallel(module, device_ids=ids, find_unused_parameters=True)

    def leave(self) -> None:
        """Part from the other processes at the end of a run."""
        if self.size > 1:
            dist.destroy_process_group()


def join_team(device: torch.device) -> tuple[Team, torch.device]:
    """The team that `torchrun` has set up, and this process's device; without it, a team of one."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Team(), device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    return Team(dist.get_rank(), size), device
