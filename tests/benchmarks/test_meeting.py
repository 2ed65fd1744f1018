"""Members that start together, and members that do not come."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from parsl_tl.benchmarks.meeting import Meeting, Seat
from parsl_tl.errors import BenchmarkError

HERE = ("127.0.0.1",)
LONG = 300.0


def attend(invitation, number, before=lambda: None, after=lambda: None):
    """Takes part; gives when it started, and whether all left."""
    with Seat(invitation, number) as seat:
        before()
        seat.wait()
        started = time.perf_counter()
        after()
        seat.done()
        return started, seat.leave()


def test_nobody_starts_before_the_last_one_is_there():
    gate = threading.Event()
    with ThreadPoolExecutor(4) as pool, Meeting(4, HERE, LONG) as meeting:
        early = [pool.submit(attend, meeting.invitation, number) for number in range(3)]
        assert meeting.seconds is None
        late = pool.submit(attend, meeting.invitation, 3, gate.wait)
        opened = time.perf_counter()
        gate.set()
        results = [future.result() for future in (*early, late)]
        assert all(started >= opened for started, _ in results)
        assert all(left for _, left in results)
        assert 0 < meeting.seconds < time.perf_counter() - opened


def test_members_that_fail_are_not_waited_for():
    def fail():
        raise ValueError

    with ThreadPoolExecutor(3) as pool, Meeting(3, HERE, LONG) as meeting:
        there = pool.submit(attend, meeting.invitation, 0)
        failing = pool.submit(attend, meeting.invitation, 1, fail)  # its connection ends
        meeting.leave(2)  # never came
        assert there.result()[1] is True
        assert isinstance(failing.exception(), ValueError)
        assert meeting.seconds is not None


def test_a_member_that_dies_at_work_is_not_waited_for():
    def fail():
        raise ValueError

    with ThreadPoolExecutor(2) as pool, Meeting(2, HERE, LONG) as meeting:
        futures = [
            pool.submit(attend, meeting.invitation, 0),
            pool.submit(attend, meeting.invitation, 1, after=fail),
        ]
        assert futures[0].result()[1] is True
        assert isinstance(futures[1].exception(), ValueError)


def test_who_hangs_is_waited_for_no_longer_than_patience_lasts():
    gate = threading.Event()
    with ThreadPoolExecutor(2) as pool, Meeting(2, HERE, 0.3) as meeting:
        there = pool.submit(attend, meeting.invitation, 0)
        hanging = pool.submit(attend, meeting.invitation, 1, gate.wait)
        assert there.result()[1] is True  # the one that hangs has written nothing
        gate.set()
        with pytest.raises(BenchmarkError, match="too late"):
            hanging.result()


def test_who_hangs_at_work_makes_the_others_leave_its_files_alone():
    gate, started, at_work = threading.Event(), threading.Event(), threading.Event()

    def hang():
        started.set()
        gate.wait()

    with ThreadPoolExecutor(2) as pool, Meeting(2, HERE, LONG) as meeting:
        there = pool.submit(attend, meeting.invitation, 0, after=at_work.wait)
        hanging = pool.submit(attend, meeting.invitation, 1, after=hang)
        started.wait()
        meeting.invitation = meeting.invitation._replace(seconds=0.0)  # no patience from here on
        at_work.set()
        assert there.result()[1] is False
        gate.set()
        hanging.result()


def test_without_a_barrier_each_starts_at_once():
    with Meeting(2, HERE, LONG, together=False) as meeting:
        with Seat(meeting.invitation, 0) as seat:
            seat.wait()
            seat.done()
            assert meeting.seconds is None or meeting.seconds > 0
            meeting.leave(1)
            assert seat.leave()
        assert meeting.seconds > 0


def test_strangers_and_latecomers():
    with Meeting(1, HERE, 0.3) as meeting:
        stranger = meeting.invitation._replace(key=b"x" * 32)
        with pytest.raises(BenchmarkError, match="the start was missed"):
            Seat(stranger, 0)
        attend(meeting.invitation._replace(addresses=("192.0.2.1.invalid", *HERE)), 0)
    with pytest.raises(BenchmarkError, match=r"cannot be reached \(127\.0\.0\.1:"):
        Seat(meeting.invitation, 0)


def test_a_benchmark_that_leaves_ends_the_waiting():
    with ThreadPoolExecutor(1) as pool:
        with Meeting(2, HERE, LONG) as meeting:
            waiting = pool.submit(attend, meeting.invitation, 0)
            time.sleep(0.05)
        # Whether it had arrived by then or not, it does not wait for the other one.
        error = waiting.exception(LONG)
        assert error is None or isinstance(error, BenchmarkError)
