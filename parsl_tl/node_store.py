"""The process that serves a store from a node, as its pool of workers starts and ends it.

A pool that is told so (``--node-store PLAN``) has ``parsl_tl.cluster.node`` beside it, starts it
anew if it is killed, and waits for it at an end in order: it may have models to take to a place
that stays.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Final

import psutil

from parsl_tl.parent_death import ending_with
from parsl_tl.worker_start import with_pool_option

OPTION: Final = "--node-store"
CANNOT_SERVE: Final = 3
"""Exit code of the process where a server does not start on its node."""
_PROGRAM = "parsl_tl.cluster.node"


def with_node_store(command: str, plan: Path) -> str:
    """Returns a launch command of ``parsl-tl-worker-pool`` that names the plan to it.

    Args:
        command: as Parsl's executors have it.
        plan: file of the plan.
    """
    command = re.sub(rf"{OPTION} ('[^']*'|\S+) ", "", command)  # of an earlier cluster
    return with_pool_option(command, OPTION, str(plan))


class NodeStore:
    """The process beside a pool.

    Args:
        plan: file of the cluster's plan.
        driver: addresses of the driver, with commas between.
    """

    def __init__(self, plan: str, driver: str) -> None:
        self._command = [sys.executable, "-m", _PROGRAM, plan, driver]
        self._turn = threading.Lock()
        self._is_ending = False
        self._process = self._start()

    def pids(self) -> set[int]:
        """Returns the ids of the process and of those that it started."""
        try:
            below = psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return set()
        return {self._process.pid, *(child.pid for child in below)}

    def look(self) -> None:
        """Starts it anew if it was killed, or failed; one that cannot work here stays ended."""
        with self._turn:
            code = self._process.poll()
            if code not in (None, 0, CANNOT_SERVE) and not self._is_ending:
                self._process = self._start()

    def end(self) -> None:
        """Ends it, and waits for that."""
        with self._turn:
            self._is_ending = True
        self._process.terminate()
        self._process.wait()

    def _start(self) -> subprocess.Popen[Any]:
        # Of its own session: what ends the processes of a block at once leaves it the time to end
        # in order, as it does when the pool has ended, whatever that came of.
        return subprocess.Popen(
            ending_with(os.getpid(), self._command),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
