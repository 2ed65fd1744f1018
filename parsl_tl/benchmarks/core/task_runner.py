"""Where a benchmark's tasks run: on this machine, or as Parsl tasks on the nodes of another."""

from __future__ import annotations

import contextlib
import math
import os
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parsl_tl.benchmarks.core.meeting import StartBarrier, take_part, team_of
from parsl_tl.benchmarks.core.options import option
from parsl_tl.errors import BenchmarkError
from parsl_tl.task_process import TaskProcess, reason_of

LONGEST_SECONDS = 24 * 3600.0
_LEAVE_SECONDS = 3.0


@dataclass(frozen=True)
class Where:
    """Where tasks run; Parsl writes its logs into ``run_dir``."""

    config: str | None = option(
        None, "as Parsl tasks, on this executor configuration: a name or a file (without Parsl)"
    )
    workers: int | None = option(None, "worker processes of the configuration, per node", least=1)
    timeout: float = option(
        600.0, "what a task may take before it counts as failed", metavar="SECONDS", above=0
    )
    run_dir: Path = Path("runinfo")


@dataclass(frozen=True)
class TaskRunner:
    """Runs tasks, each in a process that may die without harm to the others."""

    addresses: tuple[str, ...]  # network addresses under which tasks may reach this process
    # Starts a task: its function, the arguments, and whether it gets a fresh process.
    run: Callable[[Callable[..., Any], tuple[Any, ...], bool], Future[Any]]

    def submit(
        self, function: Callable[..., Any], *arguments: Any, fresh: bool = False
    ) -> Future[Any]:
        """Starts a task; gives its result, or a ``BenchmarkError`` that says why there is none.

        The function is at the top level of a module; with ``fresh``, in a new process.
        """
        return self.run(function, arguments, fresh)

    def together(
        self,
        count: int,
        seconds: float,
        function: Callable[..., Any],
        *arguments: Any,
        fresh: bool = False,
    ) -> tuple[list[Any], float | None]:
        """Runs a task ``count`` times at once; tasks wait for each other for some seconds.

        The function takes its ``Participant``, and the arguments. With ``fresh``, each is in a new
        process, and the time counts from before these start.

        Returns:
            The result of each, or why there is none, and the seconds of ``StartBarrier``.
        """
        with StartBarrier(count, self.addresses, seconds, together=not fresh) as barrier:

            def leave_if_failed(number: int, future: Future[Any]) -> None:
                if future.cancelled() or future.exception() is not None:
                    barrier.leave(number)

            futures = []
            for number in range(count):
                given = (barrier.address, number, function, arguments)
                futures.append(self.submit(take_part, *given, fresh=fresh))
                futures[-1].add_done_callback(lambda done, n=number: leave_if_failed(n, done))  # type: ignore[misc]
            return [_outcome(future) for future in futures], barrier.seconds

    def team(self, count: int, task: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Lets processes of this machine do a task; it takes its ``Team`` and the arguments.

        Raises:
            BenchmarkError: one of them failed, or died. The others may wait for it, until the
                runner is left.
        """
        with team_of(count) as team:
            futures = [self.submit(member.do, task, arguments) for member in team]
            ended, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for error in (future.exception() for future in futures if future in ended):
                if error is not None:
                    raise BenchmarkError(f"{task.__name__}: {error}") from error
            return [future.result() for future in futures]


@contextlib.contextmanager
def task_runner(where: Where, at_once: int = 1) -> Iterator[TaskRunner]:
    """Starts workers for so many tasks at the same time, and ends them.

    Raises:
        BenchmarkError: the configuration has fewer workers.
        ConfigError: it cannot be loaded.
    """
    if where.config is None:
        with _processes(at_once, where.timeout) as run:
            yield TaskRunner(("127.0.0.1",), run)
        return
    from parsl.addresses import get_all_addresses

    from parsl_tl.configuration import load_config
    from parsl_tl.parsl_kernel import parsl_kernel
    from parsl_tl.tasks import own_process_app

    config = load_config(where.config, max_workers=where.workers)
    config.run_dir = str(where.run_dir.resolve())
    config.retries = 0  # a task that fails is a result
    workers = sum(_workers_of(executor) for executor in config.executors)
    if workers < at_once:
        raise BenchmarkError(
            f"config {where.config} has {workers:g} workers, but {at_once} tasks must run at "
            "once; give --workers, or fewer processes"
        )
    named = [getattr(executor, "address", None) for executor in config.executors]
    found = [address for address in named if address] or sorted(get_all_addresses())
    with parsl_kernel(config) as kernel:
        app = own_process_app(kernel=kernel)
        yield TaskRunner(
            tuple(dict.fromkeys(found)),
            lambda function, arguments, fresh: app(function, arguments, where.timeout, fresh),
        )


def _workers_of(executor: Any) -> float:
    """Counts the workers that an executor may have; infinite where that is not known."""
    from parsl_tl.federation.worker_count import num_workers_of_executor

    is_known = getattr(executor, "provider", None) is not None
    return num_workers_of_executor(executor) if is_known else math.inf


@contextlib.contextmanager
def _processes(count: int, seconds: float) -> Iterator[Callable[..., Future[Any]]]:
    """As many processes as run at once, each with its share of the cores and its GPU."""
    threads = ThreadPoolExecutor(count, thread_name_prefix="benchmark-task")
    processes = [TaskProcess(_environment(index, count)) for index in range(count)]
    idle: queue.SimpleQueue[TaskProcess] = queue.SimpleQueue()
    for process in processes:
        idle.put(process)

    def run(function: Callable[..., Any], arguments: tuple[Any, ...], fresh: bool) -> Any:
        process = idle.get()
        try:
            if fresh:
                process.close()
            return process.run(function, arguments, seconds)
        finally:
            idle.put(process)

    at_work: set[Future[Any]] = set()

    def submit(*task: Any) -> Future[Any]:
        future = threads.submit(run, *task)
        at_work.add(future)
        future.add_done_callback(at_work.discard)
        return future

    try:
        yield submit
    finally:
        if at_work:
            # Whoever still waits for an answer then sees the end of its process.
            threads.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()
            threads.shutdown()
        # Who leaves by itself takes along what a transport has in the machine's shared memory.
        with ThreadPoolExecutor(count) as leaving:
            list(leaving.map(lambda process: process.close(_LEAVE_SECONDS), processes))
        threads.shutdown()  # not before: processes end with the thread that started them


def _environment(index: int, count: int) -> dict[str, str]:
    threads = str(max(1, len(os.sched_getaffinity(0)) // count))
    found = {"OMP_NUM_THREADS": threads, "TF_NUM_INTRAOP_THREADS": threads}
    from parsl_tl.sites.gpus import own_gpus  # which loads Parsl

    if gpus := own_gpus():
        found["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
    return found


def run_each(
    where: Where, calls: Sequence[tuple[Any, ...]], progress: Callable[[float, str], None]
) -> Iterator[Any]:
    """Runs tasks one after the other; yields their results, or the reason why there is none.

    A call is its name, the function, and the arguments; ``progress`` is told before each.

    Raises:
        ConfigError: the executor configuration cannot be loaded.
    """
    with task_runner(where) as runner:
        for number, (name, function, arguments) in enumerate(calls):
            progress(number / len(calls), name)
            yield _outcome(runner.submit(function, *arguments))
    progress(1.0, "done")


def _outcome(future: Future[Any]) -> Any:
    """Returns a task's result, or the reason why there is none."""
    try:
        return future.result()
    except Exception as error:  # whatever a task, or Parsl, comes up with
        return reason_of(error)


def reasons_in(results: Iterable[Any]) -> tuple[list[Any], list[str]]:
    """Returns the results of tasks, and the reasons why others have none."""
    found = list(results)
    reasons = [result for result in found if isinstance(result, str)]
    return [result for result in found if not isinstance(result, str)], reasons
