"""Processes of a benchmark's own, which do one task after the other, all at the same time.

They live as long as the benchmark, so that libraries are loaded once. Unlike tasks of
``task_runner``, they meet at a barrier in shared memory, as often as they like.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from threading import BrokenBarrierError
from typing import Any, Self

from parsl_tl.errors import BenchmarkError
from parsl_tl.parent_death import end_with_parent

# Longer than the slowest step; a process that was killed does not hold up the others for ever.
_BARRIER_SECONDS = 300.0
_LEAVE_SECONDS = 3.0
_END_SECONDS = 5.0
_NOBODY_CAME = "a process did not come to where all start together"
# In each process: barriers by the number of those who meet, and a number that they share.
_barriers: dict[int, Any] = {}
_shared: list[Any] = []


@dataclass(frozen=True)
class Team:
    """The processes that do a task at the same time, as one of them sees it: number ``index``."""

    index: int
    count: int

    def meet(self) -> None:
        """Returns when all are here."""
        if self.count > 1:
            _barriers[self.count].wait(_BARRIER_SECONDS)

    def agree(self, number: int) -> int:
        """Returns the number that the first process has."""
        if self.index == 0:
            _shared[0].value = number
        self.meet()
        number = int(_shared[0].value)
        self.meet()
        return number


class Processes:
    """Processes for tasks; use them in a ``with``, which ends them whatever happens."""

    def __init__(self, counts: Sequence[int]) -> None:
        """Nothing is started yet; ``counts`` are all numbers of processes that tasks will have."""
        context = multiprocessing.get_context("spawn")
        barriers = {count: context.Barrier(count) for count in counts}
        given = (barriers, context.Value("q"), os.getpid())
        self._pool = ProcessPoolExecutor(max(counts), context, _begin, given)
        self._others = set(multiprocessing.active_children())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        own = set(multiprocessing.active_children()) - self._others
        # Who leaves by itself takes along what a transport has in the machine's shared memory.
        deadline = time.monotonic() + _LEAVE_SECONDS
        for process in own:
            process.join(max(0.0, deadline - time.monotonic()))
        for process in own:
            process.terminate()
        for process in own:
            process.join(_END_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()

    def run(self, count: int, task: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Lets so many processes do a task; it takes its ``Team`` and the arguments.

        Raises:
            BenchmarkError: one of them failed, or died.
        """
        futures: list[Future[Any]] = []
        errors: list[BaseException] = []
        for index in range(count):
            try:
                futures.append(self._pool.submit(_work, Team(index, count), task, arguments))
            except BrokenProcessPool as broken:  # one died while the others were being started
                errors.append(broken)
        wait(futures)
        errors += [error for future in futures if (error := future.exception())]
        # Those that waited in vain only tell that another one failed.
        for error in sorted(errors, key=lambda error: str(error) == _NOBODY_CAME):
            if isinstance(error, BrokenProcessPool):
                raise BenchmarkError(
                    f"a worker process ended while it should {task.__name__}; if memory ran out, "
                    "choose smaller --sizes, or fewer processes"
                ) from error
            raise BenchmarkError(f"{task.__name__}: {error}") from error
        return [future.result() for future in futures]


def _begin(barriers: dict[int, Any], shared: Any, parent: int) -> None:
    # Ctrl-C reaches the whole group; the benchmark's own process decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        end_with_parent(parent)
    except SystemExit:  # which the pool would report
        os._exit(0)
    _barriers.update(barriers)
    _shared.append(shared)


def _work(team: Team, task: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return task(team, *arguments)
    except BrokenBarrierError:
        raise BenchmarkError(_NOBODY_CAME) from None
    except Exception as error:
        for barrier in _barriers.values():
            barrier.abort()
        raise BenchmarkError(f"{type(error).__name__}: {error}") from error
