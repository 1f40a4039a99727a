"""Many files at once: the gate, the pipeline with stages that are scripted, and with a network."""

from __future__ import annotations

import os
import pickle
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fedscodec
from fedscodec.batch import pipeline
from fedscodec.batch.decoder import Decoder
from fedscodec.batch.done import Done, Facts, Total, Worked, as_record
from fedscodec.batch.encoder import Encoder
from fedscodec.batch.pipeline import Batch, Gate
from fedscodec.batch.plan import Task
from fedscodec.codec.settings import Decoding, Encoding
from fedscodec.codec.targets import Target
from fedscodec.errors import FedsError, FormatError, ImageError, OutputError, UnknownModelError
from fedscodec.fileformat import read_header

FACTS = Facts(8, 6, False, 3.0, "none", "00")

# ── The gate ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("threads", "pixels", "most"), [(1, 10**9, 1), (3, 10**9, 3), (5, 250, 2), (5, 99, 1)])
def test_the_gate_counts_threads_and_pixels(threads, pixels, most):
    gate, inside, seen, lock = Gate(threads, pixels), [0], [], threading.Lock()
    enough = threading.Event()

    def go():
        with gate.inside(100):
            with lock:
                inside[0] += 1
                seen.append(inside[0])
                if inside[0] == most:
                    enough.set()
            assert enough.wait(10)
            time.sleep(0.002)
            with lock:
                inside[0] -= 1

    visitors = [threading.Thread(target=go) for _ in range(8)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert (max(seen), len(seen), inside) == (most, 8, [0])


def test_the_gate_lets_out_what_fails_inside():
    gate = Gate(1, 1)
    with pytest.raises(ZeroDivisionError), gate.inside(5):
        raise ZeroDivisionError
    with gate.inside(5):
        pass


# ── The pipeline ──────────────────────────────────────────────────────────────────────────────────────────


class Scripted:
    """Stages that fail or wait by the name of the file."""

    status, device = "encoded", "cpu"

    def __init__(self, up_to_date=()):
        self.up_to_date, self.opened, self.calls = up_to_date, 0, []
        self.release = threading.Event()

    def open(self):
        self.opened += 1

    def is_up_to_date(self, task):
        return task.source.stem in self.up_to_date

    def expected(self, task):
        return 48

    def read(self, task):
        self.calls.append(("read", task.source.stem))
        if task.source.stem == "unreadable":
            raise ImageError("unreadable.png: no picture")
        return task.source.stem

    def pixels(self, content):
        return 48

    def work(self, task, content):
        self.calls.append(("work", content))
        if content == "bug":
            raise ZeroDivisionError
        if content == "slow":
            assert self.release.wait(10)
        return None if content == "found" else Worked(content.upper(), 0.25, FACTS)

    def finish(self, task, payload):
        return payload.encode()


def tasks(folder, *names):
    for name in names:
        (folder / f"{name}.png").write_bytes(b"1234")
    return [Task(folder / f"{name}.png", folder / "out" / f"{name}.feds") for name in names]


def test_every_file_is_reported_once(tmp_path):
    work = Scripted(up_to_date=["old"])
    todo = tasks(tmp_path, "a", "old", "unreadable", "bug", "found", "b")
    todo.append(Task(tmp_path / "c.png", tmp_path / "c.feds", "c.feds: two sources"))
    with Batch(todo, work, jobs=2) as batch:
        done = {one.source.stem: one for one in batch}
    assert {name: one.status for name, one in done.items()} == {
        "a": "encoded", "old": "skipped", "unreadable": "failed", "bug": "failed", "found": "skipped",
        "b": "encoded", "c": "failed",
    }  # fmt: skip
    assert done["a"] == Done(todo[0].source, todo[0].target, "encoded", 4, 1, 0.25, FACTS)
    assert [type(done[name].error) for name in ("unreadable", "bug", "c")] == [ImageError, ZeroDivisionError, FedsError]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.feds", "b.feds"]
    assert (tmp_path / "out" / "a.feds").read_bytes() == b"A"
    assert work.opened == 1


def test_nothing_is_loaded_where_nothing_is_to_be_done(tmp_path):
    work = Scripted(up_to_date=["a"])
    with Batch(tasks(tmp_path, "a"), work) as batch:
        assert [one.status for one in batch] == ["skipped"]
    assert (work.opened, work.calls) == (0, [])


def test_what_cannot_be_opened_ends_the_batch(tmp_path):
    work = Scripted()
    work.open = lambda: fail_with(UnknownModelError("no such model"))
    with pytest.raises(UnknownModelError), Batch(tasks(tmp_path, "a"), work) as batch:
        list(batch)


def fail_with(error):
    raise error


def test_others_read_and_write_while_one_is_in_the_network(tmp_path):
    work = Scripted()
    with Batch(tasks(tmp_path, "slow", "a", "b"), work, jobs=1) as batch:
        results = iter(batch)
        first = threading.Thread(target=lambda: work.release.set() if wait_for_reads(work, 3) else None)
        first.start()
        assert {one.source.stem for one in results} == {"slow", "a", "b"}
        first.join()
    assert work.calls.index(("read", "b")) < work.calls.index(("work", "a"))


def wait_for_reads(work, count):
    deadline = time.monotonic() + 10
    while sum(stage == "read" for stage, _ in work.calls) < count and time.monotonic() < deadline:
        time.sleep(0.001)
    return True


@pytest.mark.parametrize(
    ("sizes", "threads", "most"),
    [
        ([100] * 12, 10, 250),  # pixels: two of a hundred are within 250, and eight jobs have room for ten pictures
        ([30, 100, 100, 30, 30, 100, 30, 100, 100], 9, 240),  # 30 + 100 + 100, or fewer
        ([30, 1000, 30, 30, 1000, 30], 6, 1000),  # what is larger than all room is let in alone
        ([10] * 12, 10, 250),  # threads
    ],
)
def test_pictures_in_memory_are_limited_by_their_pixels(tmp_path, monkeypatch, sizes, threads, most):
    monkeypatch.setattr(pipeline, "room", lambda: 60)
    monkeypatch.setattr(pipeline, "waiting_room", lambda: 190)
    work, there, seen, lock = Scripted(), {}, [], threading.Lock()
    size_of = {f"n{number}": size for number, size in enumerate(sizes)}
    work.expected = lambda task: size_of[task.source.stem]

    def read(task):
        with lock:
            there[task.source.stem] = size_of[task.source.stem]
            seen.append(list(there.values()))
        time.sleep(0.02)  # for others to come in, if they may
        return task.source.stem

    def finish(task, payload):
        time.sleep(0.01)
        with lock:
            del there[task.source.stem]
        return b""

    work.read, work.finish = read, finish
    with Batch(tasks(tmp_path, *size_of), work, jobs=8) as batch:
        assert [one.status for one in batch] == ["encoded"] * len(sizes)
    assert max(map(sum, seen)) <= most
    assert max(map(len, seen)) <= threads
    assert all(len(one) == 1 for one in seen if 1000 in one)
    assert there == {}


def test_two_of_a_hundred_megapixels_are_in_memory_where_ten_threads_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "room", lambda: 43 * 10**6)  # of a machine with 24 GiB
    monkeypatch.setattr(pipeline, "waiting_room", lambda: 200 * 10**6)
    work, here, most, lock, two = Scripted(), [0], [0], threading.Lock(), threading.Event()
    work.expected = work.pixels = lambda _: 100 * 10**6

    def read(task):
        with lock:
            here[0] += 1
            most[0] = max(most[0], here[0])
        if here[0] == 2:
            two.set()
        assert two.wait(10)  # so that there are two for certain
        return task.source.stem

    def finish(task, payload):
        with lock:
            here[0] -= 1
        return b""

    work.read, work.finish = read, finish
    with Batch(tasks(tmp_path, *"abcdefgh"), work, jobs=8) as batch:
        assert len(list(batch)) == 8
    assert (most, here) == ([2], [0])


def test_leaving_early_waits_for_files_in_work(tmp_path):
    work = Scripted()
    with Batch(tasks(tmp_path, "a", "slow", *map(str, range(50))), work, jobs=1) as batch:
        for one in batch:
            assert one.source.stem == "a"
            break
        work.release.set()
    assert not any(thread.name.startswith("feds-") for thread in threading.enumerate())
    assert len(list((tmp_path / "out").iterdir())) < 50


def test_after_a_halt_nothing_is_written(tmp_path):
    work = Scripted()
    with Batch(tasks(tmp_path, "a", "slow"), work, jobs=2) as batch:
        results = iter(batch)
        assert next(results).source.stem == "a"
        batch.halt()
        work.release.set()
        last = next(results)
    assert (last.status, str(last.error)) == ("failed", "stopped before the result was written")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.feds"]


def test_cores_are_shared_out_and_given_back(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "usable_cores", lambda: 6)
    work, seen, before = Scripted(), [], torch.get_num_threads()
    work.finish = lambda task, payload: seen.append(torch.get_num_threads()) or b""
    with Batch(tasks(tmp_path, "a", "b"), work, jobs=2) as batch:
        list(batch)
    assert seen == [3, 3]
    assert torch.get_num_threads() == before


def test_the_room_is_some_pictures_and_not_all_memory():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 10**6 < pipeline.room() < memory // 150
    assert pipeline.room() < pipeline.waiting_room() <= memory // 8 // 15


def test_a_worker_beside_others_takes_its_share_of_the_room(tmp_path, monkeypatch):
    gates = []
    monkeypatch.setattr(pipeline, "Gate", lambda threads, pixels: gates.append(pixels) or Gate(threads, pixels))
    with Batch(tasks(tmp_path, "a"), Scripted(), jobs=1, share=0.25) as batch:
        list(batch)
    assert gates == [int(pipeline.room() / 4) + int(pipeline.waiting_room() / 4), int(pipeline.room() / 4)]


# ── Sums and records ──────────────────────────────────────────────────────────────────────────────────────


def test_totals_count_what_was_done():
    total, here = Total(), Path("a")
    for status in ("encoded", "encoded", "skipped", "failed"):
        total.add(Done(here, here, status, 1000, 10, 0.5, replace(FACTS, width=1000, height=500)))
    assert total == Total(4, 2, 1, 1, 2000, 20, 1.0)


def test_records_are_plain():
    facts = replace(FACTS, measured={"psnr": 30.5}, notes=("Something.",))
    assert as_record(Done(Path("a.png"), Path("a.feds"), "encoded", 7, 5, 0.123456, facts)) == {
        "source": "a.png", "output": "a.feds", "status": "encoded", "bytes_in": 7, "bytes_out": 5, "seconds": 0.1235,
        "psnr": 30.5, "width": 8, "height": 6, "grey": False, "quality": 3.0, "model": "none", "fingerprint": "00",
        "notes": ("Something.",),
        "lossless": False,
    }  # fmt: skip
    failed = as_record(Done(Path("a"), Path("b"), "failed", error=ZeroDivisionError()))
    assert failed == {"source": "a", "output": "b", "status": "failed", "error": "ZeroDivisionError"}


# ── With the toy network ──────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(1)
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 256, (40, 56, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    return [Task(tmp_path / f"{name}.png", tmp_path / "out" / f"{name}.feds") for name in ("a", "b", "c")]


def run(todo, work):
    with Batch(todo, work, jobs=2) as batch:
        done = sorted(batch, key=lambda one: one.source)
    assert [one.error for one in done] == [None] * len(todo)
    return [one.status for one in done]


def tiny(**how):
    return Encoder(Encoding("tiny-q3", device="cpu", **how))


def test_files_are_those_of_the_library(photos):
    assert run(photos, tiny()) == ["encoded"] * 3
    for task in photos:
        assert task.target.read_bytes() == fedscodec.encode(task.source, "tiny-q3", device="cpu")
    back = [Task(task.target, task.target.with_suffix(".bmp")) for task in photos]
    assert run(back, Decoder(Decoding("bmp", "cpu"))) == ["decoded"] * 3
    for task in back:
        expected = np.asarray(fedscodec.decode(task.source, device="cpu"))
        np.testing.assert_array_equal(np.asarray(Image.open(task.target)), expected)


def test_pixels_are_counted_by_headers_alone(photos):
    assert run(photos[:1], tiny()) == ["encoded"]
    back = Task(photos[0].target, photos[0].source)
    assert (tiny().expected(photos[0]), Decoder(Decoding()).expected(back)) == (2240, 2240)
    assert (tiny(max_pixels=2239).expected(photos[0]), Decoder(Decoding(max_pixels=2239)).expected(back)) == (0, 0)
    for head, work, task in ((50, tiny(), photos[0]), (30, Decoder(Decoding()), back)):
        task.source.write_bytes(task.source.read_bytes()[:head])  # without what makes a picture of it
        assert work.expected(task) == 2240
    photos[0].source.write_bytes(b"no picture")
    assert tiny().expected(photos[0]) == Decoder(Decoding()).expected(photos[0]) == 0
    nothing = Task(Path("none"), Path("a"))
    assert tiny().expected(nothing) == Decoder(Decoding()).expected(nothing) == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_nothing_is_taken_from_a_pipe_to_foretell_its_pixels(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for work in (tiny(), Decoder(Decoding())):
        assert work.expected(Task(tmp_path / "pipe", tmp_path / "out")) == 0


def test_files_that_are_up_to_date_are_skipped(photos):
    assert run(photos, tiny()) == ["encoded"] * 3
    before = [task.target.stat().st_mtime_ns for task in photos]
    assert run(photos, tiny()) == ["skipped"] * 3
    later = photos[1].target.stat().st_mtime + 10
    os.utime(photos[1].source, (later, later))  # changed since
    photos[2].target.unlink()
    assert run(photos, tiny()) == ["skipped", "encoded", "encoded"]
    assert photos[0].target.stat().st_mtime_ns == before[0]
    assert run(photos[:1], tiny(force=True)) == ["encoded"]
    assert photos[0].target.stat().st_mtime_ns > before[0]
    assert run(photos[:1], tiny(quality=3.0)) == ["skipped"]
    assert run(photos[:1], tiny(quality=3.001)) == ["encoded"]
    assert read_header(photos[0].target.read_bytes()).quality == 3001


def test_another_network_is_not_up_to_date(photos, tiny_file):
    assert run(photos, tiny()) == ["encoded"] * 3
    assert run(photos, Encoder(Encoding(str(tiny_file), 3.0, device="cpu"))) == ["encoded"] * 3


def test_sizes_are_up_to_date_within_the_target(photos):
    low, high = (len(fedscodec.encode(photos[0].source, "tiny", quality=quality, device="cpu")) for quality in (1, 7))
    middle = tiny(target=Target("size", (low + high) // 2))
    assert run(photos[:1], middle) == ["encoded"]
    assert run(photos[:1], middle) == ["skipped"]
    assert run(photos[:1], tiny(target=Target("size", 10 * high))) == ["encoded"]  # at q7, with room that none uses
    assert run(photos[:1], tiny(target=Target("size", 9 * high))) == ["skipped"]
    assert run(photos[:1], middle) == ["encoded"]


def test_fidelities_are_up_to_date_where_the_picture_reaches_them(photos):
    loose = tiny(target=Target("psnr", 3.0))  # q1 does more
    assert run(photos[:1], loose) == ["encoded"]
    assert run(photos[:1], loose) == ["skipped"]
    photos[0].target.write_bytes(photos[0].target.read_bytes()[:-1])  # damaged: it can be made again
    assert run(photos[:1], loose) == ["encoded"]
    assert run(photos[:1], tiny()) == ["encoded"]
    assert run(photos[:1], loose) == ["encoded"]  # a better one than asked for


def test_a_file_that_is_not_feds_is_left_alone(photos):
    photos[0].target.parent.mkdir()
    photos[0].target.write_bytes(b"a diary")
    with Batch(photos, tiny()) as batch:
        done = {one.source.stem: one for one in batch}
    assert [done[name].status for name in "abc"] == ["failed", "encoded", "encoded"]
    told = f"{photos[0].target}: already exists and is not a .feds file, use --force to overwrite it"
    assert (type(done["a"].error), str(done["a"].error)) == (OutputError, told)
    assert photos[0].target.read_bytes() == b"a diary"
    assert run(photos[:1], tiny(force=True)) == ["encoded"]


def test_pictures_older_than_their_files_are_left_alone(photos):
    run(photos, tiny())
    back = [Task(task.target, task.source) for task in photos]  # over what they were made from
    with Batch(back, Decoder(Decoding(device="cpu"))) as batch:
        assert [str(one.error) for one in batch] == [
            f"{task.source}: already exists and is older than {task.target}, use --force to overwrite it"
            for task in photos
        ]
    assert run(back, Decoder(Decoding(device="cpu", force=True))) == ["decoded"] * 3
    assert run(back, Decoder(Decoding(device="cpu"))) == ["skipped"] * 3


def test_facts_notes_and_measures(photos):
    Image.open(photos[0].source).convert("L").save(photos[0].source)
    with Batch(photos[:1], tiny(measure=True, verify=True)) as batch:
        (done,) = batch
    data = photos[0].target.read_bytes()
    header = read_header(data)
    decoded = np.asarray(fedscodec.decode(data, device="cpu"), np.float64)
    error = np.mean((decoded - np.asarray(Image.open(photos[0].source))) ** 2)
    psnr = pytest.approx(10 * np.log10(255**2 / error), abs=1e-6)
    assert done.facts == Facts(56, 40, True, 3.0, "tiny", header.fingerprint.hex(), {"psnr": psnr}, ())
    assert (done.bytes_in, done.bytes_out) == (photos[0].source.stat().st_size, len(data))
    loose = tiny(target=Target("psnr", 3.0), force=True)
    with Batch(photos[:1], loose) as batch:
        (note,) = next(iter(batch)).facts.notes
    assert note.startswith("q1, the lowest quality of tiny, comes to ")


def test_wrong_settings_fail_once_and_before_any_file(photos):
    with pytest.raises(UnknownModelError):
        Encoder(Encoding("nobody"))
    with pytest.raises(FedsError, match="quality must lie between 1 and 7"), Batch(photos, tiny(quality=9)) as batch:
        list(batch)


def test_a_damaged_file_names_itself(photos):
    run(photos, tiny())
    data = bytearray(photos[0].target.read_bytes())
    data[-3] ^= 0x10
    photos[0].target.write_bytes(data)
    todo = [Task(photos[0].target, photos[0].target.with_suffix(".png"))]
    with Batch(todo, Decoder(Decoding(device="cpu"))) as batch:
        (done,) = batch
    assert isinstance(done.error, FormatError)
    assert str(done.error).startswith(f"{photos[0].target}: ")


def test_settings_and_results_travel():
    how = Encoding("tiny-q3", 2.5, Target("psnr", 30))
    done = Done(Path("a"), Path("b"), "failed", error=ImageError("a: no picture"))
    for thing in (how, Task(Path("a"), Path("b")), Done(Path("a"), Path("b"), "encoded", facts=FACTS)):
        assert pickle.loads(pickle.dumps(thing)) == thing
    assert str(pickle.loads(pickle.dumps(done)).error) == "a: no picture"
