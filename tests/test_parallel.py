"""Two processes that share a batch have the gradients of one that has it whole."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_pixels import pixels_of

from fedscodec.errors import FedsError
from fedscodec.networks.model import FedsModel
from fedscodec.networks.spec import TINY
from fedscodec.training import calibration, loop, session
from fedscodec.training.crops import Crops
from fedscodec.training.job import Job
from fedscodec.training.loop import Trainer
from fedscodec.training.parallel import Team, join_team
from fedscodec.training.recipe import Recipe
from fedscodec.training.stages import Alone, Distilled

ROOT = Path(__file__).parent.parent
RECIPE = Recipe(
    batch=4, crop=64, steps=4, optimizer="adam", precision="float32", linear_share=0.25, quantised_share=0.5, free_z=0.0
)  # fmt: skip


def one_run(team, device):
    """A short run of distillation in all phases, and the gradients of its steps."""
    calibration.BATCHES = loop.BATCHES = 2
    torch.manual_seed(0)
    student, teacher = FedsModel(TINY), FedsModel(TINY)
    rows, columns = torch.meshgrid(torch.arange(90), torch.arange(100), indexing="ij")
    picture = torch.stack([rows * 2, columns * 2, (rows * columns) % 251], 2).to(torch.uint8)
    torch.rand_like = lambda x: torch.full_like(x, 0.5)  # the noise is each process's own
    trainer = Trainer(Distilled(student, teacher, RECIPE), Crops(pixels_of(picture), device, 1), RECIPE, team)
    trainer.warm_start(4)
    trainer.prepare()
    found, step = {}, trainer.optimizers.step

    def keeping(rate):
        for name, parameter in trainer.stage.named_parameters():
            if parameter.grad is not None:
                found[f"{trainer.step}.{name}"] = parameter.grad.clone(memory_format=torch.contiguous_format)
        return step(0.0)  # so that the steps that follow are those of the same weights

    trainer.optimizers.step = keeping
    trainer.run(lambda report: None, lambda run, state: None)
    return {**found, **{k: v.contiguous() for k, v in trainer.average.state_dict().items()}}


def test_two_processes_are_as_one(tmp_path, monkeypatch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for rank in range(2):
        environment = {
            **os.environ, "RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        command = [sys.executable, __file__, str(tmp_path / f"{rank}.safetensors")]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
    monkeypatch.setattr(torch, "rand_like", torch.rand_like)  # so that both are put back
    monkeypatch.setattr(loop, "BATCHES", loop.BATCHES)
    monkeypatch.setattr(calibration, "BATCHES", calibration.BATCHES)
    whole = one_run(Team(), torch.device("cpu"))
    told = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys() == whole.keys()
    assert [sum(name.startswith(f"{step}.") for name in whole) > 50 for step in range(4)] == [True] * 4
    for name, value in whole.items():
        assert torch.equal(first[name], second[name]), name
        scale = float(value.abs().max()) if value.numel() else 0.0
        torch.testing.assert_close(first[name], value, rtol=1e-3, atol=1e-4 * scale + 1e-7, msg=name)


def test_a_single_process_agrees_with_itself(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    team, device = join_team("cpu")
    assert (team, device) == (Team(0, 1), torch.device("cpu"))
    assert team.leads
    assert team.agree(0.25) == (0.25,)
    assert team.part(7) == slice(0, 7)
    module = Alone(FedsModel(TINY), RECIPE)
    assert team.share(module, device) is module


def test_one_process_decodes_into_a_cache_and_the_others_wait(monkeypatch, tmp_path):
    order = []

    class Told(Team):
        def agree(self, *values):
            order.append("leader done" if self.leads else "waited")
            return values

    monkeypatch.setattr(session, "read_pixels", lambda *_: order.append("read") or pixels_of(torch.zeros(64, 64, 3)))
    for rank, cache, expected in (
        (0, tmp_path, ["read", "leader done"]), (1, tmp_path, ["waited", "read"]),
        (0, None, ["read"]), (1, None, ["read"]),
    ):  # fmt: skip
        order.clear()
        session._pixels(
            Job([tmp_path], tmp_path / "a.safetensors", cache=cache), RECIPE, session.Nobody(), Told(rank, 2)
        )
        assert order == expected


def test_a_batch_is_shared_evenly_or_not_at_all():
    assert [Team(rank, 4).part(8) for rank in (0, 3)] == [slice(0, 2), slice(6, 8)]
    with pytest.raises(FedsError, match="^a batch of 6 cannot be shared by 4 processes evenly$"):
        Team(0, 4).part(6)


def main() -> None:
    """One of the two processes: `torchrun` would start it the same way."""
    torch.set_num_threads(1)
    team, device = join_team("cpu")
    save_file(one_run(team, device), sys.argv[1])
    team.leave()


if __name__ == "__main__":
    main()
