"""Processes of a benchmark's own, which do one task after the other, all at the same time.

They live as long as the benchmark, so that libraries are loaded once. Unlike tasks of
``task_runner``, they meet within microseconds, by pipes with names, as often as they like.
"""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Final, Self

from parsl_tl.errors import BenchmarkError
from parsl_tl.task_process import TaskProcess

_LONGEST_SECONDS: Final = 24 * 3600.0
_LEAVE_SECONDS: Final = 3.0
# Who arrives says so in the first; the way on opens in the others by turns, so that nobody who
# comes back early takes the place of one who has not left yet.
_PIPES: Final = ("arrivals", "even", "odd")


@dataclass(frozen=True)
class Team:
    """The processes that do a task at the same time, as one of them sees it: number ``index``."""

    index: int
    count: int
    folder: str = ""  # of the pipes, if there are several

    @functools.cached_property
    def _pipes(self) -> tuple[int, Iterator[int], list[int]]:
        own = [os.open(f"{self.folder}/{name}", os.O_RDWR) for name in _PIPES]
        return own[0], itertools.cycle(own[1:]), own

    def meet(self) -> None:
        """Returns when all are here."""
        self.agree(0)

    def agree(self, number: int) -> int:
        """Returns the number that the first process has, when all are here."""
        if self.count == 1:
            return number
        arrivals, gates, _ = self._pipes
        gate, others = next(gates), self.count - 1
        if self.index > 0:
            os.write(arrivals, b"*")
            return int.from_bytes(os.read(gate, 8), "little", signed=True)
        while others:
            others -= len(os.read(arrivals, others))
        os.write(gate, number.to_bytes(8, "little", signed=True) * (self.count - 1))
        return number

    def do(self, task: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Does the part of a task that is this process's."""
        try:
            return task(self, *arguments)
        finally:
            for pipe in self._pipes[2] if self.count > 1 else ():
                os.close(pipe)


class Processes:
    """Processes for tasks; use them in a ``with``, which ends them whatever happens."""

    def __init__(self, counts: Sequence[int]) -> None:
        """Nothing is started yet; ``counts`` are all numbers of processes that tasks will have."""
        self._processes = [TaskProcess() for _ in range(max(counts))]
        self._threads = ThreadPoolExecutor(len(self._processes))
        self._is_at_work = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes if self._is_at_work else ():
            process.kill()
        if self._is_at_work:
            self._threads.shutdown()  # so that nobody waits for an answer any more
        # Who leaves by itself takes along what a transport has in the machine's shared memory.
        with ThreadPoolExecutor(len(self._processes)) as leaving:
            list(leaving.map(lambda process: process.close(_LEAVE_SECONDS), self._processes))
        self._threads.shutdown()  # not before: processes end with the thread that started them

    def run(self, count: int, task: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Lets so many processes do a task; it takes its ``Team`` and the arguments.

        Raises:
            BenchmarkError: one of them failed, or died.
        """
        with tempfile.TemporaryDirectory(prefix="parsl_tl_team_") as folder:
            for name in _PIPES:
                os.mkfifo(f"{folder}/{name}")
            self._is_at_work = True
            futures = [
                self._threads.submit(
                    process.run, Team(index, count, folder).do, (task, arguments), _LONGEST_SECONDS
                )
                for index, process in enumerate(self._processes[:count])
            ]
            ended, _ = wait(futures, return_when=FIRST_EXCEPTION)
            # The others wait for one that failed, until they are ended.
            for error in (future.exception() for future in futures if future in ended):
                if error is not None:
                    raise BenchmarkError(f"{task.__name__}: {error}") from error
            self._is_at_work = False
            return [future.result() for future in futures]
