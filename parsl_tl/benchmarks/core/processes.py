"""Processes of a benchmark's own, which do one task after the other, all at the same time.

They live as long as the benchmark, so that libraries are loaded once. Unlike tasks, they start
every step together, at a barrier in shared memory.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from threading import BrokenBarrierError
from typing import Any, Self

from parsl_tl.errors import BenchmarkError
from parsl_tl.parent_death import end_with_parent

# Longer than the slowest step; a process that was killed does not hold up the others for ever.
_BARRIER_SECONDS = 300.0
_LEAVE_SECONDS = 3.0
_END_SECONDS = 5.0
_DONE, _FAILED, _WAITED = "done", "failed", "waited"


class Worker:
    """What runs in a process: its methods of one argument are tasks."""

    def __init__(self, index: int, barriers: dict[int, Any]) -> None:
        """Has nothing yet.

        Args:
            index: which process.
            barriers: by the number of processes that take part.
        """
        self.index = index
        self._barriers = barriers

    def meet(self, count: int) -> None:
        """Waits until so many processes are here."""
        self._barriers[count].wait(_BARRIER_SECONDS)

    def give_up(self) -> None:
        """Lets nobody wait for this process."""
        for barrier in self._barriers.values():
            barrier.abort()

    def end(self) -> None:
        """Gives back what the process has when nobody asks any more."""


class Processes:
    """Processes with a worker each; use it in a ``with``, which ends them whatever happens."""

    def __init__(self, worker: type[Worker], counts: Sequence[int]) -> None:
        """Nothing is started yet.

        Args:
            worker: what each has.
            counts: how many processes will take part in a task; all that will be asked for.
        """
        self._worker = worker
        self._context = multiprocessing.get_context("spawn")
        self._barriers = {count: self._context.Barrier(count) for count in counts if count}
        self._processes: list[Any] = []
        self._pipes: list[Connection] = []

    def __enter__(self) -> Self:
        try:
            for index in range(max(self._barriers, default=0)):
                ours, theirs = self._context.Pipe()
                process = self._context.Process(
                    target=_serve,
                    args=(self._worker, index, theirs, self._barriers, os.getpid()),
                    daemon=True,
                )
                self._pipes.append(ours)
                self._processes.append(process)
                process.start()
                # Only the process itself holds its end, so that its death ends the pipe.
                theirs.close()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """The ids of the processes."""
        return [process.pid for process in self._processes]

    def ask(self, count: int, task: str, argument: Any = None) -> list[Any]:
        """Lets the first processes do a task; returns what each gives.

        Raises:
            BenchmarkError: one of them failed, or died.
        """
        pipes = self._pipes[:count]
        replies: dict[Any, Any] = {}
        try:
            for pipe in pipes:
                pipe.send((task, argument))
            while len(replies) < count:
                ready = wait([pipe for pipe in pipes if pipe not in replies])
                answers = {pipe: pipe.recv() for pipe in ready if isinstance(pipe, Connection)}
                # Those that waited in vain only tell that another one failed.
                for kind in (_FAILED, _WAITED):
                    for answer, value in answers.values():
                        if answer == kind:
                            raise BenchmarkError(f"{task}: {value}")
                replies.update({pipe: value for pipe, (_, value) in answers.items()})
        except (EOFError, OSError) as error:
            raise BenchmarkError(
                f"a worker process ended while it should {task} ({self._exit_codes()}); if "
                "memory ran out, choose smaller --sizes, or fewer processes"
            ) from error
        return [replies[pipe] for pipe in pipes]

    def _exit_codes(self) -> str:
        for process in self._processes:
            process.join(0.2)
        codes = [process.exitcode for process in self._processes]
        return "exit codes " + ", ".join("running" if code is None else str(code) for code in codes)

    def close(self) -> None:
        """Ends the processes."""
        for pipe in self._pipes:
            pipe.close()
        started = [process for process in self._processes if process.pid is not None]
        # Who leaves by itself takes along what a transport has in the machine's shared memory.
        deadline = time.monotonic() + _LEAVE_SECONDS
        for process in started:
            process.join(max(0.0, deadline - time.monotonic()))
        # Who is in the middle of something does not see the end of its pipe.
        for process in started:
            process.terminate()
        for process in started:
            process.join(_END_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
        self._processes, self._pipes = [], []


def _serve(
    kind: type[Worker], index: int, pipe: Connection, barriers: dict[int, Any], parent: int
) -> None:
    """What a process does: answers tasks until the pipe ends."""
    # Ctrl-C reaches the whole group; the benchmark's own process decides what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent)
    worker = kind(index, barriers)
    while True:
        try:
            task, argument = pipe.recv()
        except (EOFError, ConnectionResetError):
            break  # reset: with an answer on the way that nobody had read
        try:
            reply = (_DONE, getattr(worker, task)(argument))
        except BrokenBarrierError:
            reply = (_WAITED, "a process did not come to where all start together")
        except Exception as error:
            reply = (_FAILED, f"{type(error).__name__}: {error}")
        try:
            # Before the others stop waiting, so that theirs is not the first message.
            pipe.send(reply)
        except OSError:
            break  # nobody is there any more
        if reply[0] == _FAILED:
            worker.give_up()
    worker.end()
