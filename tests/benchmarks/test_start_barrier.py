"""Participants that start together, and those that do not come."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from parsl_tl.benchmarks.core.meeting import Participant, StartBarrier
from parsl_tl.errors import BenchmarkError

HERE = ("127.0.0.1",)
LONG = 300.0


def attend(address, number, before=lambda: None, after=lambda: None):
    """Takes part; gives when it started, and whether all left."""
    with Participant(address, number) as participant:
        before()
        participant.wait()
        started = time.perf_counter()
        after()
        participant.done()
        return started, participant.leave()


def test_nobody_starts_before_the_last_one_is_there():
    gate = threading.Event()
    with ThreadPoolExecutor(4) as pool, StartBarrier(4, HERE, LONG) as barrier:
        early = [pool.submit(attend, barrier.address, number) for number in range(3)]
        assert barrier.seconds is None
        late = pool.submit(attend, barrier.address, 3, gate.wait)
        opened = time.perf_counter()
        gate.set()
        results = [future.result() for future in (*early, late)]
        assert all(started >= opened for started, _ in results)
        assert all(left for _, left in results)
        assert 0 < barrier.seconds < time.perf_counter() - opened


def test_participants_that_fail_are_not_waited_for():
    def fail():
        raise ValueError

    with ThreadPoolExecutor(3) as pool, StartBarrier(3, HERE, LONG) as barrier:
        there = pool.submit(attend, barrier.address, 0)
        failing = pool.submit(attend, barrier.address, 1, fail)  # its connection ends
        barrier.leave(2)  # never came
        assert there.result()[1] is True
        assert isinstance(failing.exception(), ValueError)
        assert barrier.seconds is not None


def test_a_participant_that_dies_at_work_is_not_waited_for():
    def fail():
        raise ValueError

    with ThreadPoolExecutor(2) as pool, StartBarrier(2, HERE, LONG) as barrier:
        futures = [
            pool.submit(attend, barrier.address, 0),
            pool.submit(attend, barrier.address, 1, after=fail),
        ]
        assert futures[0].result()[1] is True
        assert isinstance(futures[1].exception(), ValueError)


def test_who_hangs_is_waited_for_no_longer_than_patience_lasts():
    gate = threading.Event()
    with ThreadPoolExecutor(2) as pool, StartBarrier(2, HERE, 0.3) as barrier:
        there = pool.submit(attend, barrier.address, 0)
        hanging = pool.submit(attend, barrier.address, 1, gate.wait)
        assert there.result()[1] is True  # the one that hangs has written nothing
        gate.set()
        with pytest.raises(BenchmarkError, match="too late"):
            hanging.result()


def test_who_hangs_at_work_makes_the_others_leave_its_files_alone():
    gate, started, at_work = threading.Event(), threading.Event(), threading.Event()

    def hang():
        started.set()
        gate.wait()

    with ThreadPoolExecutor(2) as pool, StartBarrier(2, HERE, LONG) as barrier:
        there = pool.submit(attend, barrier.address, 0, after=at_work.wait)
        hanging = pool.submit(attend, barrier.address, 1, after=hang)
        started.wait()
        barrier.address = barrier.address._replace(seconds=0.0)  # no patience from here on
        at_work.set()
        assert there.result()[1] is False
        gate.set()
        hanging.result()


def test_without_a_barrier_each_starts_at_once():
    with StartBarrier(2, HERE, LONG, together=False) as barrier:
        with Participant(barrier.address, 0) as participant:
            participant.wait()
            participant.done()
            assert barrier.seconds is None or barrier.seconds > 0
            barrier.leave(1)
            assert participant.leave()
        assert barrier.seconds > 0


def test_strangers_and_latecomers():
    with StartBarrier(1, HERE, 0.3) as barrier:
        stranger = barrier.address._replace(key=b"x" * 32)
        with pytest.raises(BenchmarkError, match="the start was missed"):
            Participant(stranger, 0)
        attend(barrier.address._replace(addresses=("192.0.2.1.invalid", *HERE)), 0)
    with pytest.raises(BenchmarkError, match=r"cannot be reached \(127\.0\.0\.1:"):
        Participant(barrier.address, 0)


def test_a_benchmark_that_leaves_ends_the_waiting():
    with ThreadPoolExecutor(1) as pool:
        with StartBarrier(2, HERE, LONG) as barrier:
            waiting = pool.submit(attend, barrier.address, 0)
            time.sleep(0.05)
        # Whether it had arrived by then or not, it does not wait for the other one.
        error = waiting.exception(LONG)
        assert error is None or isinstance(error, BenchmarkError)
