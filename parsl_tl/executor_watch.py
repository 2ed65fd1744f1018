"""What executors are up to, asked in the background: how many workers they have, if any."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from contextvars import copy_context
from typing import Any

from parsl_tl.block_watch import BlockWatch
from parsl_tl.errors import InfrastructureError
from parsl_tl.interchange_stand_in import InterchangeStandIn
from parsl_tl.kernel_end import fail_executor, has_dead_interchange

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 1.0
# An interchange answers within milliseconds. One that does not for this long is stopped, or hangs.
_LONGEST_SILENCE = 60.0


class _Line:
    """Asks one HighThroughputExecutor for its managers, without an end."""

    def __init__(self, executor: Any, stopped: threading.Event) -> None:
        self.workers = 0
        self.asked_at: float | None = None  # while there is no answer
        self.blocks = BlockWatch(executor)
        self._executor = executor
        self._stopped = stopped
        # For who records: blocks are a part of his search.
        self.thread = threading.Thread(target=copy_context().run, args=(self._ask,), daemon=True)
        self.thread.start()

    def _ask(self) -> None:
        while not self._executor.bad_state_is_set:
            self.asked_at = time.monotonic()
            try:
                managers = self._executor.connected_managers()
            except Exception as error:
                logger.info("executor %s does not answer: %s", self._executor.label, error)
                managers = []
                self.asked_at = None
            else:
                self.asked_at = None
                self.blocks.look(managers)
            self.workers = sum(
                manager["worker_count"]
                for manager in managers
                if manager["active"] and not manager["draining"]
            )
            if self._stopped.wait(_SECONDS_BETWEEN_LOOKS):
                return
        self.workers = 0


class ExecutorWatch:
    """Watches the executors of a kernel while tasks run.

    An executor whose interchange has ended, or is silent, is given up: Parsl would wait for it
    for ever.
    """

    def __init__(self, executors: Mapping[str, Any]) -> None:
        """Begins to watch.

        Args:
            executors: by label.
        """
        self._executors = executors
        self._stopped = threading.Event()
        self._lines = {
            label: _Line(executor, self._stopped)
            for label, executor in executors.items()
            if hasattr(executor, "connected_managers")
        }
        self._thread = threading.Thread(target=self._look, name="executor-watch", daemon=True)
        self._thread.start()

    def workers(self, label: str) -> int | None:
        """Returns how many workers are connected; None for an executor that does not tell."""
        line = self._lines.get(label)
        return None if line is None else line.workers

    def is_bad(self, label: str) -> bool:
        """Returns whether an executor takes no tasks any more."""
        return bool(getattr(self._executors[label], "bad_state_is_set", False))

    def close(self) -> None:
        """Ends the watch."""
        self._stopped.set()
        self._thread.join(timeout=5.0)
        # Parsl's sockets may be closed when nobody uses them.
        for line in self._lines.values():
            line.thread.join(timeout=2.0)
            line.blocks.close()

    def _look(self) -> None:
        while not self._stopped.wait(_SECONDS_BETWEEN_LOOKS):
            for label, line in self._lines.items():
                executor = self._executors[label]
                if not executor.bad_state_is_set and (why := _why_dead(executor, line)):
                    logger.error("executor %s is given up: %s", label, why)
                    # A process that hangs may come back, and answer beside the stand-in.
                    executor.interchange_proc.kill()
                    executor.interchange_proc.wait()
                    InterchangeStandIn(executor)
                    fail_executor(executor, InfrastructureError(why))


def _why_dead(executor: Any, line: _Line) -> str | None:
    if has_dead_interchange(executor):
        code = executor.interchange_proc.returncode
        return f"its interchange process has ended with exit code {code}"
    asked_at = line.asked_at
    if asked_at is not None and time.monotonic() - asked_at > _LONGEST_SILENCE:
        return f"its interchange has not answered for {_LONGEST_SILENCE:g} seconds"
    return line.blocks.why_given_up()
