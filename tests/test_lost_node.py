"""A batch on a cluster of Ray that loses a whole machine half-way: nothing is lost, and nothing is done twice."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fedscodec
from fedscodec.batch.plan import Task
from fedscodec.codec.settings import Encoding

HEALTH = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


@pytest.fixture
def machines():
    """A cluster of a head without a core and two machines with one each, all of them here."""
    with warnings.catch_warnings(action="ignore"):  # of Ray's own
        ray = pytest.importorskip("ray", reason="comes with the extra ray")
        from ray.cluster_utils import Cluster

        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
        head = {"num_cpus": 0, "num_gpus": 0, "include_dashboard": False, "_system_config": HEALTH}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        nodes = [cluster.add_node(num_cpus=1, num_gpus=0) for _ in range(2)]
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        cluster.wait_for_nodes(timeout=120)
        yield cluster, nodes
        ray.shutdown()
        cluster.shutdown()


def parent(process):
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the machine of a worker as Linux tells it")
def test_a_machine_that_is_lost_loses_nothing(machines, tmp_path):
    from fedscodec.batch.cluster import Cluster

    rng, (cluster, nodes) = np.random.default_rng(3), machines
    for number in range(40):
        Image.fromarray(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(tmp_path / f"{number:02}.png")
    photos = [Task(tmp_path / f"{n:02}.png", tmp_path / "out" / f"{n:02}.feds") for n in range(40)]
    done, written = [], {}
    with Cluster(photos, Encoding("tiny-q3", device="cpu"), address="auto", jobs=1) as batch:
        for one in batch:
            done.append(one)
            if len(done) == 8:
                its_machine = parent(next(iter(batch.processes.values())))  # of one that has been given more to do
                (lost,) = (node for node in nodes if node.all_processes["raylet"][0].process.pid == its_machine)
                cluster.remove_node(lost, allow_graceful=False)
                written = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.feds")}
    assert batch.lost == 1
    assert Counter(one.source for one in done) == Counter(task.source for task in photos)  # each once
    assert {one.status for one in done} == {"encoded"}
    for task in photos:
        assert task.target.read_bytes() == fedscodec.encode(task.source, "tiny-q3", device="cpu")
    assert len(written) >= 8
    again = [name for name, at in written.items() if (tmp_path / "out" / name).stat().st_mtime_ns != at]
    assert again == []
