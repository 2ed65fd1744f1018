"""Which tasks Parsl tries again: those that lost their worker, and not those that failed."""

from __future__ import annotations

from typing import Any

from parsl_tl.errors import BlockEndedError


def retry_when_lost(error: Exception, task: Any) -> float:
    """Tells Parsl what another try of a task costs; a ``retry_handler``.

    What a function raised, it would raise again. Evaluations of a search come back at once: the
    search has them run again itself, on another executor if there is one.

    Args:
        error: what the task came to.
        task: Parsl's record of it.
    """
    from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

    if task["func_name"] == "run_packed":
        return float("inf")
    if isinstance(error, BlockEndedError):
        # One that has all of a block and does not end will not end in the next one, either.
        return 0.0 if error.seconds < error.block_seconds / 2 else 1.0
    return 1.0 if isinstance(error, WorkerLost | ManagerLost) else float("inf")
