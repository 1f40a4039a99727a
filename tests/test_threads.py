"""Threads sleep while they wait, and a small picture gets only one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import pytest
import torch

import fedscodec
from fedscodec.codec import decoding, encoding, threads
from fedscodec.codec.model import Model


def environment_of(script: str, **given: str) -> str:
    """What a script prints in a process of its own, where the environment says nothing but what is given."""
    clean = {key: value for key, value in os.environ.items() if key not in threads.PASSIVE}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=clean | given, check=True)
    return run.stdout.strip()


SHOWN = "import os; print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('KMP_BLOCKTIME'))"


@pytest.mark.parametrize("loaded", ["fedscodec", "fedscodec.cli", "fedscodec.codec.model", "fedscodec.training.loop"])
def test_whatever_is_imported_first_has_threads_sleep(loaded: str) -> None:
    assert environment_of(f"import {loaded}; {SHOWN}") == "PASSIVE 0"


def test_the_environment_has_the_last_word() -> None:
    assert environment_of(f"import fedscodec; {SHOWN}", OMP_WAIT_POLICY="ACTIVE") == "ACTIVE 0"
    assert environment_of(f"import torch, fedscodec; {SHOWN}") == "None None"  # too late: torch has read it


def test_a_torch_that_another_thread_still_loads_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    half = ModuleType("torch")  # without anything in it, as at the beginning of its import
    half.__spec__ = ModuleSpec("torch", None)
    half.__spec__._initializing = True  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", half)
    with threads.threads_for(1):
        assert threads.loaded_torch() is None
    half.__spec__._initializing = False  # type: ignore[attr-defined]
    assert threads.loaded_torch() is half


def test_a_batch_that_refines_loads_torch_before_its_threads_begin() -> None:
    script = """
import sys
from fedscodec.batch.encoder import Encoder
from fedscodec.codec.settings import Encoding
for effort in (0, 1):
    encoder = Encoder(Encoding("student", 3.0, device="cpu", effort=effort))
    encoder.open()
    print(effort, "torch" in sys.modules, type(encoder._opened).__module__)
"""
    first, second = environment_of(script).splitlines()
    assert first.rpartition(" ")[0] == "0 False"
    assert second == first.replace("0 False", "1 True")  # and the network stays with ONNX Runtime


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_a_small_picture_gets_one_thread(codec: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    for module, name in ((encoding, "analyse"), (decoding, "synthesise")):
        honest = getattr(module, name)
        watched = lambda *given, honest=honest: seen.append(torch.get_num_threads()) or honest(*given)  # noqa: E731
        monkeypatch.setattr(module, name, watched)
    picture = np.random.default_rng(1).integers(0, 256, (48, 64, 3), np.uint8)
    data = fedscodec.encode(picture, codec)
    fedscodec.decode(data, model=codec)
    assert (set(seen), torch.get_num_threads()) == ({1}, 2)
    seen.clear()
    monkeypatch.setattr(threads, "SMALL", 48 * 64 - 1)
    assert fedscodec.encode(picture, codec) == data
    fedscodec.decode(data, model=codec)
    assert (set(seen), torch.get_num_threads()) == ({2}, 2)


@pytest.mark.usefixtures("two_threads")
def test_a_thread_that_was_born_within_a_block_has_the_usual_number() -> None:
    seen = []

    def number() -> int:
        seen.append(torch.get_num_threads())
        return seen[-1]

    def born_within() -> None:
        number()  # that of the block
        with threads.threads_for(threads.SMALL + 1):
            number()
        with threads.threads_for(1):
            number()
        number()

    with threads.threads_for(1), threads.threads_for(threads.SMALL + 1):
        assert number() == 1  # a block in a block changes nothing
        for work in (born_within, lambda: number()):
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
    assert (seen, torch.get_num_threads()) == ([1, 1, 2, 1, 2, 2], 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
def test_a_forked_process_does_not_wait_for_threads_of_its_parent() -> None:
    script = (
        "import fedscodec, os, torch\n"
        "torch.set_num_threads(2)\n"
        "product = lambda: torch.rand(400, 400) @ torch.rand(400, 400)\n"
        "product()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    product()\n"
        "    os._exit(torch.get_num_threads())\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=60, check=False)
    assert done.returncode == 1


@pytest.mark.usefixtures("two_threads")
def test_the_number_comes_back_after_errors_and_from_several_threads() -> None:
    with pytest.raises(ValueError, match="x"), threads.threads_for(1):
        raise ValueError("x")
    assert torch.get_num_threads() == 2
    first_is_in, second_is_in = threading.Event(), threading.Event()

    def second() -> None:
        first_is_in.wait(10)
        with threads.threads_for(1):
            second_is_in.set()

    other = threading.Thread(target=second)
    other.start()
    with threads.threads_for(1):
        first_is_in.set()
        assert second_is_in.wait(10)
        other.join(10)
    assert torch.get_num_threads() == 2
