"""Processes that share memory train as one process does, and none outlives the others."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from fedscodec.errors import FedsError
from fedscodec.networks.weights import read_weights
from fedscodec.training import session, workers
from fedscodec.training.health import DivergedError
from fedscodec.training.job import Job
from fedscodec.training.state import pack_state, read_state, unpack_state
from fedscodec.training.workers import Workers, lead

ROOT = Path(__file__).parent.parent
QUICK = ["--crop", "64", "--batch", "2", "--network", "tiny", "--shapes-every", "0", "--precision", "float32"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rows, columns = np.mgrid[:80, :96]
    waves = [rows * 2.0, columns * 1.5, 128 + 100 * np.sin((rows + columns) / 15)]
    Image.fromarray(np.stack(waves, 2).clip(0, 255).astype(np.uint8)).save(folder / "a.png")
    return folder


def environment():
    """Of processes that need this package and one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def feds(photos, out, *flags):
    """A training run as a process of its own."""
    command = [sys.executable, "-m", "fedscodec", "train", "--data", photos, "--out", out, *QUICK, *flags]
    return subprocess.Popen([str(word) for word in command], env=environment(), stderr=subprocess.PIPE, text=True)


def children(process):
    """Numbers of the processes that a process has started."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(number) for number in found.read_text().split()]


def alive(number):
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.05)


def test_parameters_are_shared_out_by_what_they_cost():
    costs = {"a": 10.0, "b": 6.0, "c": 5.0, "d": 1.0}
    shares = [Workers(rank, 2).mine(costs) for rank in range(2)]
    assert shares == [{"a", "d"}, {"b", "c"}]


def test_what_processes_tell_each_other_comes_back_as_it_was():
    state = {"moments": {"x": torch.arange(6.0).view(2, 3).T}, "none": None, "empty": {}}
    found = unpack_state(pack_state(state))
    assert torch.equal(found["moments"]["x"], state["moments"]["x"])
    assert found["moments"]["x"].stride() == state["moments"]["x"].stride()
    assert (found["none"], found["empty"]) == (None, {})


def exchanged(team, module):
    """What is left in the gradients of a module, and the norm, where process number r found r + 1 everywhere."""
    parameters = list(module.parameters())
    for number, parameter in enumerate(parameters):
        parameter.grad = torch.full_like(parameter, team.rank + 1.0) if number != 1 else None
    moved = {id(parameters[team.rank]), id(parameters[2 + team.rank])}
    team.exchange(parameters, moved)
    left = [None if p.grad is None else p.grad.unique().tolist() for p in parameters]
    return left, float(team.squared_norm(torch.tensor(4.0 + team.rank)))


def in_a_worker(team, module):
    """What a worker does in the test below; what it finds wrong breaks the pipe."""
    assert exchanged(team, module) == ([None, None, None, [1.5]], 9.0)
    assert team.agree(7.0, 1.0) == (0.5, 0.0)
    assert torch.equal(team.largest(torch.tensor([1.0, 5.0])), torch.tensor([4.0, 5.0]))
    assert torch.equal(team.mean(torch.tensor([1.0, 5.0])), torch.tensor([2.5, 3.5]))
    team.gather({"own": torch.ones(2)})
    with torch.no_grad():
        module[0].weight.fill_(3.0)
    team.wait()


def test_gradients_weights_and_words_are_shared():
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last))
    threads = torch.get_num_threads()
    team = lead(2, module, in_a_worker)
    assert exchanged(team, module) == ([[1.5], None, [1.5], None], 9.0)
    assert team.agree(0.5, 0.0) == (0.5, 0.0)
    assert torch.equal(team.largest(torch.tensor([4.0, 2.0])), torch.tensor([4.0, 5.0]))
    assert torch.equal(team.mean(torch.tensor([4.0, 2.0])), torch.tensor([2.5, 3.5]))
    own, other = team.gather("mine")
    assert own == "mine"
    assert torch.equal(other["own"], torch.ones(2))
    team.wait()
    assert (module[0].weight == 3.0).all()  # written by the worker
    team.leave()
    assert [process.exitcode for process in team.processes] == [0]
    torch.set_num_threads(threads)


def dies(team, module):
    """A worker that is killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_dies_is_reported():
    team = lead(2, torch.nn.Linear(1, 1), dies)
    with pytest.raises(FedsError, match=r"worker of the training run ended \(exit code -9\); the last checkpoint is"):
        team.wait()
    team.leave()


def fails(team, module, kind, sentence):
    """A worker that fails."""
    raise kind(sentence)


@pytest.mark.parametrize(
    ("kind", "raised", "expected"),
    [
        (DivergedError, DivergedError, "a.png: is too small"),
        (KeyError, FedsError, "a worker of the training run failed (KeyError: 'a.png: is too small'); the last "
         "checkpoint is kept"),
    ],
)  # fmt: skip
def test_what_fails_in_a_worker_is_said_by_the_leader_alone(kind, raised, expected, capfd):
    team = lead(2, torch.nn.Linear(1, 1), fails, kind, "a.png: is too small")
    with pytest.raises(raised) as failure:
        team.wait()
    assert (type(failure.value), str(failure.value)) == (raised, expected)
    team.leave()
    assert [process.exitcode for process in team.processes] == [1]
    assert capfd.readouterr().err == ""


def waits(team, module):
    """A worker that waits for its leader."""
    team.wait()


def test_too_little_shared_memory_is_said_in_a_sentence(monkeypatch):
    def full(tensor):
        raise RuntimeError(
            "unable to allocate shared memory(shm) for file </torch_1_2_3>: No space left on device (28)"
        )

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    monkeypatch.setattr(
        workers.shutil, "disk_usage", lambda path: SimpleNamespace(total={"/dev/shm": 64 * 2**20}[path])
    )
    more = "give the container more (docker run --shm-size 2g), or use --workers 1"
    with pytest.raises(FedsError) as caught:
        lead(2, torch.nn.Linear(3, 2), print)
    assert str(caught.value) == f"--workers 2 needs more shared memory, /dev/shm has 67 MB: {more}"


def test_a_leader_that_fails_alone_ends_at_once():
    with subprocess.Popen([sys.executable, __file__, "fails"], env=environment(), stderr=subprocess.PIPE) as leader:
        try:
            assert leader.communicate(timeout=60) == (None, b"the leader failed\n")
        finally:
            leader.kill()
    assert leader.returncode == 1


def works_for_long(team, module):
    """A worker in the middle of a step that takes a minute."""
    print("at work", flush=True)
    time.sleep(60)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes in /proc")
def test_no_worker_outlives_a_leader_that_is_killed():
    command = [sys.executable, __file__]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as leader:
        assert leader.stdout.readline() == "at work\n"
        workers = children(leader)
        assert any(map(alive, workers))
        leader.kill()
    wait_for(lambda: not any(map(alive, workers)), 20)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes in /proc")
def test_ctrl_c_saves_the_state_of_all_workers_and_the_run_continues(photos, tmp_path):
    out = tmp_path / "x.safetensors"
    with feds(photos, out, "--workers", 2, "--minutes", 60) as run:
        wait_for(lambda: out.with_suffix(".jsonl").exists() and len(children(run)) >= 2)
        workers = children(run)
        run.send_signal(signal.SIGINT)
        assert run.wait(60) == 0, run.stderr.read()
    wait_for(lambda: not any(map(alive, workers)), 20)
    before = read_state(out.with_suffix(".state.safetensors"))["run"]
    assert before["step"] > 0
    with feds(photos, out, "--workers", 2, "--resume", "--steps", before["step"] + 2, "--decay-from", 1) as more:
        assert more.wait(120) == 0, more.stderr.read()
    assert read_weights(out).metadata["steps"] == str(before["step"] + 2)
    after = read_state(Job([], out).state)["run"]
    assert set(after["optimizers"]["moments"]) == set(before["optimizers"]["moments"])
    assert len(after["optimizers"]["moments"]) > 40  # those of both processes
    for name in ("model.g_a.last.weight", "model.g_s.last.weight", "model.float_side.prior.means"):
        assert after["optimizers"]["moments"][name]["step"] == before["step"] + 2


def test_a_worker_without_a_leader_is_no_team():
    with pytest.raises(FedsError, match="^a batch of 5 cannot be shared by 2 processes evenly$"):
        Workers(0, 2).part(5)


if __name__ == "__main__" and "fails" in sys.argv:  # a leader that keeps its ends of the pipes
    kept = lead(2, torch.nn.Linear(1, 1), waits)
    sys.exit("the leader failed")
elif __name__ == "__main__":  # a leader, to be killed
    lead(2, torch.nn.Linear(1, 1), works_for_long).wait()


def test_a_pace_is_that_of_all_processes_together(photos, tmp_path):
    recipe = {"crop": 64, "batch": 2, "shapes_every": 0.0}
    threads = torch.get_num_threads()
    found = session.pace(Job([photos], tmp_path / "x.safetensors", "train", recipe, "tiny", workers=2), 0.0)
    torch.set_num_threads(threads)
    assert 0 < found.core_seconds < 2.5 * found.seconds  # of two processes of one thread
    assert list(tmp_path.iterdir()) == []


def test_a_team_that_is_still_there_at_the_end_of_the_process_is_ended():
    done = []
    process = SimpleNamespace(join=lambda seconds: done.append(seconds), kill=lambda: done.append("kill"))
    team = Workers(0, 2, (SimpleNamespace(close=lambda: done.append("close")),), processes=[process])
    reference = weakref.ref(team)
    workers._end(reference)
    assert done == ["close", 1, "kill"]
    del team
    gc.collect()
    workers._end(reference)
    assert len(done) == 3
