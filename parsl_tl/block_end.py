"""The end of a block, as its pool of workers meets it: nothing is begun that would be cut off.

A pool that knows how long its block runs (``--block-seconds N``) measures how long tasks take, and
takes no new ones when one of them would probably not end in time: it drains, and ends when its
tasks have ended, so that the next block can start. What is at work all the same when the block ends
is given back at once, as lost with the block and not by its own doing.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import re
import statistics
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any, Final

from parsl_tl.errors import BlockEndedError
from parsl_tl.worker_start import with_pool_option

logger = logging.getLogger(__name__)

OPTION: Final = "--block-seconds"

# Before a block's end: its processes have begun later than its time, and results take theirs.
_RESERVE_SHARE, _LONGEST_RESERVE = 0.03, 60.0
_REMEMBERED = 32
_SPREAD = 2.0  # standard deviations above the mean: most tasks take less
# A block that has less time than tasks take begins some all the same: it may be the tasks that are
# too long, and then they are to be told so.
_FIRST_SECONDS = 2.0
_FILE = "task_seconds"  # in the folder of the executor's logs, one line a task


def with_block_seconds(command: str, provider: Any) -> str:
    """Returns a launch command of ``parsl-tl-worker-pool`` that tells it how long a block runs.

    Args:
        command: as Parsl's executors have it.
        provider: of the executor; where it has no walltime, the command stays as it is.
    """
    seconds = seconds_of(str(getattr(provider, "walltime", "")))
    if not seconds or OPTION in command:
        return command
    return with_pool_option(command, OPTION, str(seconds))


def seconds_of(walltime: str) -> int:
    """Reads HH:MM:SS; 0 for what is another form."""
    found = re.fullmatch(r"(\d+):(\d\d):(\d\d)", walltime)
    if found is None:
        return 0
    hours, minutes, seconds = map(int, found.groups())
    return 3600 * hours + 60 * minutes + seconds


def likely_seconds(measured: deque[float]) -> float:
    """Returns the seconds within which a task ends, most likely; 0 where none was measured."""
    if not measured:
        return 0.0
    return min(max(measured), statistics.fmean(measured) + _SPREAD * statistics.pstdev(measured))


class BlockEnd:
    """Watches the tasks of a pool and the time of its block.

    Args:
        seconds: that a block runs.
        folder: that all pools of the executor write their logs to.
        began: when the block began, in seconds since the epoch.
    """

    def __init__(self, seconds: float, folder: Path, began: float) -> None:
        told = os.environ.get("SLURM_JOB_END_TIME", "")
        self._end = float(told) if told.isdigit() else began + seconds
        self._reserve = min(_RESERVE_SHARE * seconds, _LONGEST_RESERVE)
        self._file = folder / _FILE
        self._measured: deque[float] = deque(maxlen=_REMEMBERED)
        self._read_to = 0
        self._running: dict[int, tuple[object, float]] = {}  # task and beginning, by worker
        self._own_drain_time: float | None = None
        self._first = 0.0
        self._has_given_back = False

    def look(self, pool: Any) -> None:
        """Measures what runs, and does what is due; to be called about once a second.

        Args:
            pool: Parsl's ``Manager``.
        """
        now = time.time()
        tasks = {worker: task["task_id"] for worker, task in dict(pool._tasks_in_progress).items()}
        self._note_ended(tasks, now)
        last = self._end - self._reserve
        if not self._has_given_back and now >= last:
            self._has_given_back = True
            self._give_back(pool, tasks, now)
        self._plan(pool, min(last, last - likely_seconds(self._measured)))

    def _note_ended(self, tasks: dict[int, object], now: float) -> None:
        running = {}
        for worker, task in tasks.items():
            known = self._running.get(worker)
            running[worker] = known if known is not None and known[0] == task else (task, now)
        ended = [
            now - begun
            for worker, (task, begun) in self._running.items()
            if running.get(worker) != (task, begun)
        ]
        self._running = running
        try:
            with self._file.open("a+") as file:  # lines this short are written whole
                file.write("".join(f"{seconds:.1f}\n" for seconds in ended))
                file.seek(self._read_to)
                self._measured.extend(float(line) for line in file.read().split())
                self._read_to = file.tell()
        except (OSError, ValueError) as error:
            logger.info("what other pools have measured cannot be read: %s", error)
            self._measured.extend(ended)

    def _plan(self, pool: Any, drain_time: float) -> None:
        """Has the pool drain at a time, or earlier if its user said so."""
        if self._own_drain_time is None:
            self._own_drain_time = float(pool.drain_time)
            self._first = time.time() + _FIRST_SECONDS
        elif pool.drain_time == math.inf:  # it drains: what is over, Parsl forgets
            return
        pool.drain_time = min(self._own_drain_time, max(drain_time, self._first))

    def _give_back(self, pool: Any, tasks: dict[int, object], now: float) -> None:
        """Answers for the tasks at work, as Parsl does for those of a worker that died.

        One that ends all the same in the seconds that are left answers for the second time, which
        Parsl passes over.
        """
        from parsl.app.errors import RemoteExceptionWrapper
        from parsl.serialize import serialize

        for worker, task in tasks.items():
            _, begun = self._running[worker]
            try:
                raise BlockEndedError(now - begun, now - self._first + _FIRST_SECONDS)
            except BlockEndedError:
                packed = serialize(RemoteExceptionWrapper(*sys.exc_info()))
            pool.pending_result_queue.put(
                pickle.dumps({"type": "result", "task_id": task, "exception": packed})
            )
