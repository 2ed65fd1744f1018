"""What an evaluation costs the process that searches, and what a slow executor costs a search.

Evaluations that do nothing run on Parsl by ParslEvaluator, on DeepHyper's processes, and as plain
Parsl apps, a thousand of each by turns, so that all see the same machine. With --two-speeds,
evaluations that sleep run on two executors, one of which is four times slower. With --campaign,
they are those of a whole campaign, with its journal and its tables, on --workers.

python apps/bench_search.py --at 1000 10000 20000
python apps/bench_search.py --campaign 2000
python apps/bench_search.py --two-speeds 120
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import ExitStack
from operator import length_hint
from typing import TYPE_CHECKING, Never

import parsl
from parsl.dataflow.dflow import DataFlowKernel
from parsl.executors import HighThroughputExecutor

from parsl_tl import Campaign, ParslEvaluator, load_config
from parsl_tl.arguments import ArgumentParser, positive_float, positive_int
from parsl_tl.exit_codes import run_program
from parsl_tl.parsl_kernel import parsl_kernel
from parsl_tl.problems import Problem
from parsl_tl.search.callbacks import Evaluation, SearchCallback
from parsl_tl.spaces import SearchSpace
from parsl_tl.stop_signals import stopping_in_order

if TYPE_CHECKING:  # workers that look up the campaign's results do without DeepHyper
    from deephyper.evaluator import Evaluator

_WORKERS = 2
_BLOCK = 1000
Step = Callable[[], None]


def steps_of(evaluator: Evaluator) -> Step:
    """Returns what evaluates a block as DeepHyper's searches do."""
    from deephyper.evaluator import HPOJob

    evaluator._job_class = HPOJob

    def step() -> None:
        waiting, running = _BLOCK, 0
        while waiting or running:
            count = min(_WORKERS - running, waiting)
            evaluator.submit([{"x": 0.5}] * count)
            waiting, running = waiting - count, running + count
            running -= len(evaluator.gather("BATCH", 1))

    return step


def steps_of_apps(kernel: DataFlowKernel) -> Step:
    """Returns what runs a block of plain Parsl apps, as many at a time as there are workers."""
    app = parsl.python_app(length_hint, data_flow_kernel=kernel, executors=["workers"])

    def step() -> None:
        running = {app(()) for _ in range(_WORKERS)}
        for _ in range(_BLOCK - _WORKERS):
            if len(running) == _WORKERS:
                running -= wait(running, return_when=FIRST_COMPLETED).done
            running.add(app(()))
        wait(running)

    return step


def seconds_per_block(ways: dict[str, Step], blocks: int) -> Iterator[tuple[int, dict[str, float]]]:
    """Runs block after block, each way in turn, and gives the processor seconds of this process."""
    for block in range(1, blocks + 1):
        seconds = {}
        for name, step in ways.items():
            before = time.process_time()
            step()
            seconds[name] = time.process_time() - before
        yield block * _BLOCK, seconds


def sleep(job: Mapping[str, float]) -> float:
    """Takes as long as its executor's workers are told to."""
    import os
    import time

    time.sleep(float(os.environ["SECONDS_PER_EVALUATION"]))
    return 0.0


class SleepingTable(Problem):
    """Looks results up, and takes its time for that: nothing is trained."""

    name = "sleeping-table"
    input_shape = (8,)
    output_shape = (2,)

    def __init__(self, *, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def _load(self) -> Never:
        raise NotImplementedError("there is no data")

    def look_up(self, space: SearchSpace, arch_seq: Sequence[int]) -> dict[str, float]:
        """Returns the sum of the choices."""
        time.sleep(self.seconds)
        return {"objective": float(sum(arch_seq)), "seconds": self.seconds}


class DriverClock(SearchCallback):
    """Notes when evaluations end: processor seconds of this process, and those of the clock."""

    def __init__(self) -> None:
        self.seconds: list[tuple[float, float]] = []

    def on_evaluation_end(self, evaluation: Evaluation) -> None:
        """Notes one more."""
        self.seconds.append((time.process_time(), time.monotonic()))


def print_cost_of_a_campaign(evaluations: int, workers: int, seconds: float) -> None:
    """Prints what evaluations cost the driver, and how busy they keep the workers."""
    clock = DriverClock()
    with tempfile.TemporaryDirectory(prefix="bench-search-") as folder, stopping_in_order():
        config = load_config("local", max_workers=workers)
        config.executors[0].cores_per_worker = 1e-3
        config.run_dir = f"{folder}/parsl"
        campaign = Campaign(
            *(f"{__file__}:SleepingTable", "dense-skip", config),
            out=f"{folder}/campaign",
            problem_args={"seconds": seconds},
            callbacks=[clock],
        )
        campaign.search(evaluations)
    # The first tenth is for the workers to start, and the last ones leave some without work.
    first, last = evaluations // 10, evaluations - workers
    (own, began), (own_end, ended) = clock.seconds[first], clock.seconds[last]
    count = last - first
    busy = count * seconds / workers / (ended - began)
    print(
        f"{1e3 * (own_end - own) / count:.2f} ms of the driver's processors an evaluation, "
        f"{count / (ended - began):.1f} evaluations a second, {workers} workers busy {busy:.1%}"
    )


def print_rate_of_two_speeds(evaluations: int) -> None:
    """Prints the rate of two executors together as a share of the sum of their own rates."""
    from deephyper.evaluator import HPOJob

    executors: list[HighThroughputExecutor] = []
    ideal = 0.0
    for label, seconds in (("fast", 1), ("slow", 4)):
        (executor,) = load_config("local", max_workers=_WORKERS).executors
        executor.label = label
        executor.provider.worker_init += f"\nexport SECONDS_PER_EVALUATION={seconds}"
        executors.append(executor)
        ideal += _WORKERS / seconds
    with stopping_in_order(), ExitStack() as stack:
        run_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-search-"))
        config = parsl.Config(executors=executors, strategy="simple", run_dir=run_dir)
        kernel = stack.enter_context(parsl_kernel(config))
        evaluator = ParslEvaluator(sleep, kernel=kernel)
        evaluator._job_class = HPOJob
        evaluator.submit([{"x": 0.5}] * evaluator.num_workers)
        ended: list[float] = []
        while len(ended) < 2 * evaluations:
            count = len(evaluator.gather("BATCH", 1))
            ended += [time.monotonic()] * count
            # No worker runs out of work before the last evaluation that counts.
            evaluator.submit([{"x": 0.5}] * count)
        evaluator.abandon()
    # The first half is for the workers to start.
    rate = evaluations / (ended[2 * evaluations - 1] - ended[evaluations - 1])
    print(f"{rate:.3f} evaluations a second of {ideal:.3f}: {rate / ideal:.1%}")


def main() -> None:
    """Prints the processor seconds of the thousand evaluations that end at each number."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--at", type=positive_int, nargs="+", default=[1000, 10_000, 20_000])
    parser.add_argument("--without-deephyper", action="store_true", help="minutes less")
    parser.add_argument("--campaign", type=positive_int, help="evaluations of a whole campaign")
    parser.add_argument("--workers", type=positive_int, default=8, help="of the campaign")
    parser.add_argument("--seconds", type=positive_float, default=0.3, help="each of them sleeps")
    parser.add_argument("--two-speeds", type=positive_int, help="evaluations to measure")
    args = parser.parse_args()
    if args.campaign:
        print_cost_of_a_campaign(max(args.campaign, 2 * args.workers), args.workers, args.seconds)
        return
    if args.two_speeds:
        print_rate_of_two_speeds(args.two_speeds)
        return
    with stopping_in_order(), ExitStack() as stack:
        run_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-search-"))
        config = load_config("local", max_workers=_WORKERS, run_dir=run_dir)
        kernel = stack.enter_context(parsl_kernel(config))
        ways = {
            "ParslEvaluator": steps_of(ParslEvaluator(length_hint)),
            "plain Parsl apps": steps_of_apps(kernel),
        }
        if not args.without_deephyper:
            from deephyper.evaluator import ProcessPoolEvaluator

            own = ProcessPoolEvaluator(length_hint, num_workers=_WORKERS)
            stack.enter_context(own.executor)
            ways["DeepHyper's processes"] = steps_of(own)
        print("evaluations", *ways, sep=" | ")
        for number, seconds in seconds_per_block(ways, max(args.at) // _BLOCK):
            if number in args.at:
                print(number, *(f"{one:.2f}" for one in seconds.values()), sep=" | ", flush=True)


if __name__ == "__main__":
    sys.exit(run_program(main))
