"""Which tasks Parsl tries again: those that lost their worker, and not those that failed."""

from __future__ import annotations

from typing import Any


def retry_when_lost(error: Exception, task: Any) -> float:
    """Tells Parsl what another try of a task costs; a ``retry_handler``.

    What a function raised, it would raise again. Evaluations of a search come back at once: the
    search has them run again itself, on another executor if there is one.

    Args:
        error: what the task came to.
        task: Parsl's record of it.
    """
    from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

    is_lost = isinstance(error, WorkerLost | ManagerLost)
    return 1.0 if is_lost and task["func_name"] != "run_packed" else float("inf")
