"""Tasks in processes that die, hang or raise."""

import math
import os
import signal
import time

import pytest

from parsl_tl.benchmarks.core.options import check_values
from parsl_tl.benchmarks.core.task_runner import Where, run_each, task_runner
from parsl_tl.errors import BenchmarkError, InvalidValueError, TransferError
from parsl_tl.task_process import TaskProcess, reason_of, run_in_own_process

LONG = 300.0
_LAST_WORDS = "import os, sys; print('last words', flush=True); os._exit(1)"


def test_a_process_takes_one_task_after_the_other():
    with TaskProcess({"FLAVOUR": "lime"}) as process:
        first = process.run(os.getpid, (), LONG)
        assert first == process.pid != os.getpid()
        assert process.run(math.gcd, (12, 18), LONG) == 6
        assert process.run(os.getenv, ("FLAVOUR",), LONG) == "lime"
        assert process.run(os.getpid, (), LONG) == first
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_what_a_task_raises_is_told_and_the_process_goes_on():
    with TaskProcess() as process:
        with pytest.raises(BenchmarkError, match=r"^ValueError: "):
            process.run(math.sqrt, (-1,), LONG)
        pid = process.pid
        with pytest.raises(BenchmarkError, match=r"^FileNotFoundError: .*nowhere"):
            process.run(os.listdir, ("/nowhere",), LONG)
        with pytest.raises(BenchmarkError, match="pickle"):  # a result that cannot travel
            process.run(os.scandir, ("/",), LONG)
        assert process.run(os.getpid, (), LONG) == pid


def test_a_process_that_dies_tells_how_and_another_one_takes_over():
    with TaskProcess() as process:
        with pytest.raises(BenchmarkError, match="ended with exit code 3"):
            process.run(os._exit, (3,), LONG)
        with pytest.raises(BenchmarkError, match="exit code 1: last words"):
            process.run(exec, (_LAST_WORDS,), LONG)
        with pytest.raises(BenchmarkError, match="killed by SIGABRT"):
            process.run(os.abort, (), LONG)
        assert process.run(math.gcd, (12, 18), LONG) == 6
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(BenchmarkError, match=r"killed by SIGKILL .if memory ran out"):
            process.run(os.getpid, (), LONG)


def test_a_process_that_hangs_is_ended():
    with TaskProcess() as process:
        pid = process.run(os.getpid, (), LONG)
        with pytest.raises(BenchmarkError, match=r"no answer within 0\.2 s"):
            process.run(time.sleep, (LONG,), 0.2)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert process.run(os.getpid, (), LONG) != pid


def test_a_fresh_process_is_another_one():
    first = run_in_own_process(os.getpid, (), LONG)
    assert run_in_own_process(os.getpid, (), LONG) == first
    other = run_in_own_process(os.getpid, (), LONG, fresh=True)
    assert other != first
    with pytest.raises(BenchmarkError, match="exit code 0"):
        run_in_own_process(os._exit, (0,), LONG)


def test_tasks_run_on_this_machine():
    with task_runner(Where(timeout=LONG), at_once=2) as runner:
        futures = [runner.submit(os.getpid) for _ in range(6)]
        assert 1 <= len({future.result() for future in futures}) <= 2
        failed = runner.submit(os.listdir, "/nowhere")
        with pytest.raises(BenchmarkError, match="nowhere"):
            failed.result()


def test_one_task_that_fails_leaves_the_others():
    seen = []
    calls = [
        ("gcd", math.gcd, (12, 18)),
        ("gone", os.listdir, ("/nowhere",)),
        ("pid", os.getpid, ()),
    ]
    found = list(run_each(Where(timeout=LONG), calls, lambda share, text: seen.append(text)))
    assert found[0] == 6
    assert found[1].startswith("FileNotFoundError: ")
    assert isinstance(found[2], int)
    assert seen == ["gcd", "gone", "pid", "done"]


def test_leaving_does_not_wait_for_what_runs():
    with task_runner(Where(timeout=LONG)) as runner:
        runner.submit(os.getpid).result()  # the process is there
        futures = [runner.submit(time.sleep, LONG) for _ in range(2)]
    assert all(future.cancelled() or future.exception() is not None for future in futures)


def test_leaving_before_a_process_has_started():
    with task_runner(Where(timeout=LONG), at_once=3) as runner:
        futures = [runner.submit(time.sleep, LONG) for _ in range(3)]
    assert all(future.cancelled() or future.exception() is not None for future in futures)


def test_wrong_values():
    with pytest.raises(InvalidValueError, match="workers=0"):
        check_values(Where(workers=0))
    with pytest.raises(InvalidValueError, match="timeout=nan"):
        check_values(Where(timeout=math.nan))


def test_reasons_are_one_line():
    assert reason_of(BenchmarkError("a\n b")) == "a b"
    assert reason_of(TransferError("x")) == "TransferError: x"
    assert len(reason_of(ValueError("y" * 9999))) == 400
    full = OSError(28, "Can't write data " + "0x55 " * 100)
    assert reason_of(full).startswith("OSError: No space left on device (")
