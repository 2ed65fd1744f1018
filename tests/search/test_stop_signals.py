"""SIGTERM and SIGINT, to the search or to all its processes, end it in order at any moment."""

import os
import signal
import time

import parsl
import pytest
from fault_runs import FaultRun, wait_for

from parsl_tl import parsl_kernel
from parsl_tl.loaded_kernel import start_kernel
from parsl_tl.stop_signals import stopping_in_order

pytestmark = pytest.mark.slow


@pytest.fixture
def start(tmp_path):
    runs = []

    def started(max_evals):
        runs.append(FaultRun.campaign(tmp_path, max_evals))
        return runs[-1]

    yield started
    for run in runs:
        run.kill_all()


def test_a_signal_that_comes_while_a_kernel_starts_ends_it(tmp_path, monkeypatch):
    started = []

    def load(config):
        started.append(start_kernel(config))
        os.kill(os.getpid(), signal.SIGTERM)
        return started[0]

    monkeypatch.setattr(parsl_kernel, "_load", load)
    config = parsl.Config(executors=[parsl.ThreadPoolExecutor()], run_dir=str(tmp_path))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            stopping_in_order(),
            parsl_kernel.parsl_kernel(config),
        ):
            pytest.fail("nothing runs on a kernel that is to end")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert started[0].cleanup_called


MOMENTS = {
    "as the interchange starts": lambda run: run.interchanges(),
    "before the first evaluation": lambda run: run.managers() and run.events(),
    "in the middle": lambda run: len(run.finished()) >= 3,
    "at the end": lambda run: len(run.finished()) == 6,
}


def check(start, moment, number, to_group, times):
    run = start(6 if moment == "at the end" else 200)
    wait_for(lambda: MOMENTS[moment](run) or run.process.poll() is not None, moment)
    for _ in range(times):
        (os.killpg if to_group else os.kill)(run.process.pid, number)
        time.sleep(0.1)
    code = run.wait()
    text = run.text()
    assert code in ((0, 130) if moment == "at the end" else (130,)), text
    assert "Traceback" not in text
    assert "took more than" not in text  # it ended in order, and was not given up
    # The journal is whole, and the lock free.
    done = len(run.finished())
    again = start(done + 1)
    assert again.wait() == 0, again.text()
    jobs = [event["config"]["job"] for event in again.finished()]
    assert sorted(jobs) == sorted(set(jobs))
    assert len(jobs) == done + 1


def test_sigterm_twice_to_all_processes_in_the_middle(start):
    check(start, "in the middle", signal.SIGTERM, to_group=True, times=2)


def test_sigterm_to_all_processes_as_the_interchange_starts(start):
    check(start, "as the interchange starts", signal.SIGTERM, to_group=True, times=1)


@pytest.mark.full
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("to_group", [False, True], ids=["process", "group"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_ends_a_search_in_order(start, moment, number, to_group, times):
    check(start, moment, number, to_group, times)
