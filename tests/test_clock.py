"""The clock of a training run: a pause of the process takes no time."""

from __future__ import annotations

import threading
import time

from fedscodec.training.clock import LONGEST, TICK, RunningClock


def test_time_in_which_the_process_was_stopped_does_not_count():
    time_now = [1000.0]
    clock = RunningClock(lambda: time_now[0])
    begin, seen = clock(), []
    for later in (LONGEST, 100.0, 1.0, LONGEST + 0.1, 2.0):
        time_now[0] += later
        seen.append(clock() - begin)
    assert seen == [5.0, 5.0, 6.0, 6.0, 8.0]


def test_a_process_that_runs_loses_nothing_though_it_looks_rarely():
    clock, begin = RunningClock(), time.monotonic()
    first = clock()
    time.sleep(3 * TICK)
    assert abs(clock() - first - (time.monotonic() - begin)) < 0.1


def test_its_thread_ends_with_it():
    before = set(threading.enumerate())
    clock = RunningClock()
    (own,) = set(threading.enumerate()) - before
    del clock
    own.join(60 * TICK)
    assert not own.is_alive()
