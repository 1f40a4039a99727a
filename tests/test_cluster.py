"""A batch on a local cluster of Ray: two workers, of which one is killed half-way."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_cli import feds, told

import fedscodec
from fedscodec.batch.plan import Task
from fedscodec.codec.settings import Encoding
from fedscodec.errors import FedsError

TINY = Encoding("tiny-q3", device="cpu")


def test_without_ray_it_is_said_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    code, out, err = told(feds("encode", tmp_path, "--model", "tiny", "--ray", "local"))
    assert (code, out, err) == (1, b"", "feds: Ray is not installed: pip install 'fedscodec[ray]'\n")


@pytest.fixture(scope="module")
def cluster():
    """Two cores of a cluster on this machine."""
    with warnings.catch_warnings(action="ignore"):  # of Ray's own
        ray = pytest.importorskip("ray", reason="comes with the extra ray")
        os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}  # which is 15 by default
        ray.init(num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield ray
        ray.shutdown()


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(2)
    for number in range(40):
        pixels = rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
    return [Task(tmp_path / f"{n:02}.png", tmp_path / "out" / f"{n:02}.feds") for n in range(40)]


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_loses_nothing(cluster, photos):
    from fedscodec.batch.cluster import Cluster

    done = []
    with Cluster(photos, TINY, address="auto", jobs=1) as batch:
        for one in batch:
            done.append(one)
            if len(done) == 8:
                os.kill(next(iter(batch.processes.values())), signal.SIGKILL)
    assert batch.lost == 1
    assert sorted(one.source for one in done) == [task.source for task in photos]
    assert {one.status for one in done} == {"encoded"}
    for task in photos:
        assert task.target.read_bytes() == fedscodec.encode(task.source, "tiny-q3", device="cpu")
    assert sorted(path.name for path in photos[0].target.parent.glob("*.feds")) == [t.target.name for t in photos]
    with Cluster(photos, TINY, address="auto", jobs=1) as again:
        assert {one.status for one in again} == {"skipped"}


@pytest.mark.filterwarnings("ignore")
def test_a_folder_there_and_back_on_a_cluster(cluster, photos, monkeypatch):
    monkeypatch.chdir(photos[0].source.parent)
    Path("00.png").write_bytes(b"no picture")
    code, out, err = told(feds("encode", ".", "-o", "out", "--model", "tiny-q3", "--device", "cpu", "--ray", "auto"))
    assert (code, out) == (1, b"")
    assert err.splitlines()[-3].startswith("39 done, 0 up to date, 1 failed: ")
    assert err.splitlines()[-1] == "  00.png: expected a picture, found a file in no format that Pillow reads"
    assert Path("out/01.feds").read_bytes() == fedscodec.encode("01.png", "tiny-q3", device="cpu")
    code, _, err = told(feds("decode", "out", "-o", "back", "--device", "cpu", "--ray", "auto", "-j", "1"))
    assert (code, len(list(Path("back").glob("*.png")))) == (0, 39)


@pytest.mark.filterwarnings("ignore")
def test_what_fails_everywhere_fails_once(cluster, photos):
    from fedscodec.batch.cluster import Cluster

    wrong = Encoding("tiny-q3", 8.0, device="cpu")
    with (
        pytest.raises(FedsError, match="quality must lie between 1 and 7"),
        Cluster(photos, wrong, address="auto") as b,
    ):
        list(b)
