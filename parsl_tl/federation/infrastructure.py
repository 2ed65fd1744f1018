"""Telling what happened to the machinery from what an evaluation did, and knowing when to stop."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from typing import Any

from parsl_tl.block_watch import describe_block
from parsl_tl.errors import (
    BlockEndedError,
    EvaluationFailedError,
    InfrastructureError,
    InvalidValueError,
)
from parsl_tl.events.notes import IN_RECORD

logger = logging.getLogger(__name__)

DESERTED_SECONDS = 60.0
"""After this time without workers, an executor's tasks go to another one that has some."""

# A worker that is lost with an evaluation may be its doing (memory, a crash in native code), if
# others come to their end meanwhile.
_MAX_WORKERS_LOST = 3
# One that had most of a block and did not end would never end.
_MAX_CUT_OFF = 2
_LONGEST_REST = 10.0
_BLOCKS_SHOWN = 2


def is_infrastructure(error: BaseException) -> bool:
    """Returns whether an error of a task says nothing about what the task did."""
    from parsl.executors.errors import ExecutorError, InvalidResourceSpecification
    from parsl.executors.high_throughput.errors import ManagerLost, VersionMismatch, WorkerLost
    from parsl.jobs.errors import TooManyJobFailuresError

    if isinstance(error, InvalidResourceSpecification):
        return False
    return isinstance(
        error,
        ExecutorError
        | ManagerLost
        | VersionMismatch
        | WorkerLost
        | TooManyJobFailuresError
        | InfrastructureError,
    )


def rest_after(times: int) -> float:
    """Returns the seconds before a task is run again that was lost so many times in a row."""
    return min(0.25 * 2.0**times, _LONGEST_REST)


class InfrastructureFaults:
    """Counts how often evaluations were lost since the last one that came to its end."""

    def __init__(self, max_losses: int) -> None:
        """Starts with nothing lost.

        Args:
            max_losses: how often one evaluation may be lost while no other one ends.

        Raises:
            InvalidValueError: less than 1.
        """
        if max_losses < 1:
            raise InvalidValueError(f"max_losses={max_losses} must be at least 1")
        self._max_losses = max_losses
        self._in_a_row: Counter[object] = Counter()
        self._workers_lost: Counter[object] = Counter()
        self._cut_off: Counter[object] = Counter()
        self._any_ended = False

    def ended(self, evaluation: object) -> None:
        """Notes that an evaluation came to its end, whatever it was."""
        self._any_ended = True
        self._in_a_row.clear()
        del self._workers_lost[evaluation], self._cut_off[evaluation]

    def lost(self, evaluation: object, label: str, error: BaseException) -> int:
        """Notes that an evaluation was lost; returns how often it was since another one ended.

        Args:
            evaluation: its name.
            label: of the executor that it was on.
            error: what its task came to.

        Raises:
            InfrastructureError: that was once too often, and nothing else works either.
            EvaluationFailedError: it alone loses its workers, or takes longer than a block.
        """
        from parsl.executors.high_throughput.errors import WorkerLost

        logger.warning(
            "evaluation %s was lost on executor %s and is asked again: %s: %s",
            evaluation,
            label,
            type(error).__name__,
            error,
            extra=IN_RECORD,
        )
        if isinstance(error, BlockEndedError):
            return self._came_to_a_blocks_end(evaluation, error)
        self._in_a_row[evaluation] += 1
        if isinstance(error, WorkerLost):
            self._workers_lost[evaluation] += 1
            if self._any_ended and self._workers_lost[evaluation] >= _MAX_WORKERS_LOST:
                text = f"{_MAX_WORKERS_LOST} workers were lost with this evaluation: {error}"
                raise EvaluationFailedError(type(error).__name__, text)
        if self._in_a_row[evaluation] >= self._max_losses:
            raise InfrastructureError(
                f"evaluation {evaluation} was lost {self._max_losses} times in a row, and no "
                f"other one has ended meanwhile; at last: {type(error).__name__}: {error}"
            )
        return self._in_a_row[evaluation]

    def _came_to_a_blocks_end(self, evaluation: object, error: BlockEndedError) -> int:
        """Blocks end as they must, which counts as no loss."""
        self._cut_off[evaluation] += error.seconds > error.block_seconds / 2
        if self._cut_off[evaluation] >= _MAX_CUT_OFF:
            text = f"{error}, for the second time; give blocks a longer walltime"
            raise EvaluationFailedError("BlockEnded", text)
        return 0


def describe_executors(executors: Iterable[Any]) -> str:
    """Says what executors and their blocks have to say about themselves, in some lines."""
    parts = []
    for executor in executors:
        error = getattr(executor, "executor_exception", None)
        if error is not None:
            parts.append(f"executor {executor.label}: {str(error).strip()}")
        ended = [
            (block, status)
            for block, status in getattr(executor, "status_facade", {}).items()
            if status.terminal and status.status_name != "SCALED_IN"
        ]
        for block, status in ended[-_BLOCKS_SHOWN:]:
            parts.append(f"block {block} of executor {executor.label}: {describe_block(status)}")
        if ended and hasattr(executor, "worker_logdir"):
            parts.append(f"logs of its workers: {executor.worker_logdir}")
    return "\n".join(part for part in parts if part)
