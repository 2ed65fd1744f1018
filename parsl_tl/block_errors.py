"""When an executor is given up: if its blocks cannot start, and not if they end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_MAX_FAILED_STARTS = 3


def after_failed_starts(
    count: int = _MAX_FAILED_STARTS,
) -> Callable[[Any, Mapping[str, Any]], None]:
    """Makes a ``block_error_handler`` for HighThroughputExecutors.

    Parsl's own gives an executor up, and its tasks, when all its blocks so far have failed, as one
    that was killed at its walltime has. This one does when ``count`` blocks in a row have ended
    before their workers were connected.

    Args:
        count: blocks in a row.
    """

    def handle(executor: Any, status: Mapping[str, Any]) -> None:
        from parsl.jobs.error_handlers import _get_error
        from parsl.jobs.states import JobState

        latest = sorted(status, key=int)[-count:]
        # MISSING: over before its workers were seen. FAILED without a job: it was not submitted.
        failed = [
            block
            for block in latest
            if status[block].state is JobState.MISSING
            or (status[block].state is JobState.FAILED and block not in executor.blocks_to_job_id)
        ]
        if len(failed) == count and not executor.bad_state_is_set:
            executor.set_bad_state_and_fail_all(_get_error({b: status[b] for b in failed}))

    return handle
