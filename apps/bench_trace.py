"""What a record of spans costs: evaluations with and without one, by turns, in processor seconds.

Each architecture is evaluated both ways, one after the other in an order that changes, each way
with a store of its own, so that both find the same donors. What other programs do to the machine
meanwhile is more than what recording does: as many spans as an evaluation has are timed alone, too,
and what the driver of a search records of an evaluation. What the journal always has, the stages in
the driver and the steps in the worker, is timed in the same way.

python apps/bench_trace.py --evaluations 100
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from parsl_tl import get_problem, get_space
from parsl_tl.arguments import ArgumentParser, positive_int
from parsl_tl.events import Slices, stages
from parsl_tl.events.record import read_record
from parsl_tl.events.recorder import Recorder, worker_recorder
from parsl_tl.events.spans import Carried, recorded_by, stages_kept
from parsl_tl.events.stage_log import StageLog
from parsl_tl.exit_codes import run_program
from parsl_tl.outcome import pack, run_packed, unpack
from parsl_tl.spaces.mutation import random_arch_seq
from parsl_tl.training import run_transfer_trainer

_WARM_UP = 3  # pairs that are not counted
_DRIVEN = 2000  # evaluations whose stages are timed
_STEPS = 12  # of an evaluation, beside its epochs
_WITHIN = 0.01


def seconds_of(job: dict[str, Any], trace: Carried | None) -> float:
    """Evaluates a job as a worker does; returns its processor seconds."""
    call = pack((run_transfer_trainer, (job,), {}))
    before = time.process_time()
    result = unpack(run_packed(call, trace=trace))
    seconds = time.process_time() - before
    if isinstance(result["objective"], str):
        raise SystemExit(f"an evaluation failed: {result['metadata']['error']}")
    return seconds


class TimedRecorder:
    """Adds up the processor seconds in the calls of this process' recorder, where they are made.

    Attributes:
        seconds: so far.
    """

    def __init__(self, folder: Path) -> None:
        recorder: Any = worker_recorder(str(folder))
        self.seconds = 0.0
        self._span = recorder.span
        recorder.span = self._timed_span
        recorder.annotate = partial(self._timed, recorder.annotate)
        recorder.flush = partial(self._timed, recorder.flush)

    def _timed(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        before = time.thread_time()
        try:
            return call(*args, **kwargs)
        finally:
            self.seconds += time.thread_time() - before

    @contextmanager
    def _timed_span(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        span_here = self._span(*args, **kwargs)
        here = self._timed(span_here.__enter__)
        try:
            yield here
        finally:
            self._timed(span_here.__exit__, *sys.exc_info())


def pairs(evaluations: int, epochs: int, record: Path) -> tuple[np.ndarray, float]:
    """Evaluates architectures without and with a record.

    Returns:
        [evaluations, 2] processor seconds, and those within the calls that record, per evaluation.
    """
    trace = Carried(f"00-{'ab' * 16}-{'cd' * 8}-01", str(record))
    recorder = TimedRecorder(record)
    stores = record.parent
    problem = get_problem("digits")
    space = get_space("dense-skip")
    rng = np.random.default_rng(0)
    rows = []
    for number in range(_WARM_UP + evaluations):
        if number == _WARM_UP:
            recorder.seconds = 0.0
        arch_seq = random_arch_seq(space, rng)
        seconds = [0.0, 0.0]
        for way in (0, 1) if number % 2 else (1, 0):
            job = {
                "problem": problem.name,
                "space": space.name,
                "arch_seq": arch_seq,
                "model_id": number,
                "store": f"embedded:{stores / str(way)}",
                "epochs": epochs,
                "threads": 1,  # as a worker with one core has; threads that wait for work spin
            }
            seconds[way] = seconds_of(job, trace if way else None)
        rows.append(seconds)
    return np.array(rows[_WARM_UP:]), recorder.seconds / evaluations


def seconds_of_driver(folder: Path) -> tuple[float, float]:
    """Returns the processor seconds that a driver takes for the stages of an evaluation.

    The first are those of the stages that the journal always has, the others of recording spans.
    """

    def drive(number: int) -> None:
        stages.begin(number, "evaluation", "propose", job=number)
        with stages.about(number):
            for stage in ("submit", "queue", "task", "report"):
                stages.go_on(stage)
                stages.carried()
        stages.annotate(number, model_id=f"{number:016x}", objective=0.5)
        with stages.last(number):
            pass

    def timed(work: Callable[[int], None]) -> float:
        before = time.process_time()
        for number in range(_DRIVEN):
            work(number)
        return (time.process_time() - before) / _DRIVEN

    nobody = timed(drive)
    with stages_kept(StageLog()):
        always = timed(drive)
    with recorded_by(Recorder(folder, "driver")):
        return always - nobody, timed(drive) - always


def seconds_of_steps(epochs: int) -> float:
    """Returns the processor seconds that a worker takes to note the steps of an evaluation."""
    before = time.process_time()
    for _ in range(_DRIVEN):
        parts = Slices(time.time_ns())
        for _ in range(_STEPS):
            with parts.part("step"):
                pass
        for _ in range(2 * epochs):
            parts.mark("epoch", time.time_ns())
    return (time.process_time() - before) / _DRIVEN


def verdict(added: float, error: float) -> str:
    """Says whether what recording adds is within 1%, as shares of an evaluation."""
    if added + error < _WITHIN:
        return f"within {_WITHIN:.0%}"
    if added - error > _WITHIN:
        return f"more than {_WITHIN:.0%}"
    return f"undecided about {_WITHIN:.0%}: evaluate more, or on a machine that does nothing else"


def main() -> None:
    """Prints the processor seconds of an evaluation, and what recording adds to them."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evaluations", type=positive_int, default=100)
    parser.add_argument("--epochs", type=positive_int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-trace-") as folder:
        record = Path(folder) / "events"
        record.mkdir()
        found, within = pairs(args.evaluations, args.epochs, record)
        spans = round(len(read_record([record]).spans) / (_WARM_UP + len(found)))
        size = sum(path.stat().st_size for path in record.iterdir())
        always, driver = seconds_of_driver(Path(folder))
    added = found[:, 1] - found[:, 0]
    mean = found[:, 0].mean()
    error = 1.96 * added.std(ddof=1) / np.sqrt(len(added)) if len(added) > 1 else float("nan")
    print(f"{len(found)} evaluations, {1e3 * mean:.1f} ms of processor time each without a record")
    print(
        f"recorded: {1e3 * added.mean():+.2f} ms, 95% within {1e3 * error:.2f} ms of that "
        f"({added.mean() / mean:+.2%} with {error / mean:.2%}), median "
        f"{1e3 * np.median(added):+.2f} ms: {verdict(added.mean() / mean, error / mean)}"
    )
    print(
        f"the calls that record {spans} spans: {1e3 * within:.2f} ms ({within / mean:.2%}), and "
        f"{1e3 * driver:.2f} ms of the driver; {size / (_WARM_UP + len(found)):.0f} bytes: "
        f"{verdict((within + driver) / mean, 0.0)}"
    )
    print(
        f"always, for the journal: {1e6 * seconds_of_steps(args.epochs):.0f} us of the worker, "
        f"{1e6 * always:.0f} us of the driver"
    )


if __name__ == "__main__":
    sys.exit(run_program(main))
