"""What an evaluation gives back, in the forms that a search can use."""

from __future__ import annotations

import logging
from numbers import Real
from typing import Any

from parsl_tl.events.notes import IN_RECORD
from parsl_tl.mpi import mpi_left_alone
from parsl_tl.outcome import text_of

with mpi_left_alone():
    from deephyper.evaluator import HPOJob, Job

logger = logging.getLogger(__name__)


def failure(reason: str, text: str) -> dict[str, Any]:
    """Returns the output of an evaluation that failed.

    Args:
        reason: name of an exception's class; the objective is made from it.
        text: what went wrong.
    """
    name = reason.removesuffix("Error") or "Error"
    return {"output": f"F_{name}", "metadata": {"error": f"{reason}: {text}"[:2000]}}


def checked_update(job: Job, output: Any) -> Job:
    """Gives a job its output; what no search can use becomes a failure with its reason.

    Args:
        job: the job.
        output: what the run function returned.
    """
    try:
        if isinstance(output, Job):
            raise TypeError("the run function returned a job in place of an objective")
        job.set_output(output)
        _check_objective(job)
        # Searches read them as names of columns.
        job.metadata = {str(name): value for name, value in job.metadata.items()}
    except Exception as error:  # whatever a user's classes may raise when they are looked at
        text = "evaluation %s returned no objective: %s"
        logger.warning(text, job.id, text_of(error), extra=IN_RECORD)
        job.set_output(failure("InvalidResult", text_of(error)))
    return job


def _check_objective(job: Job) -> None:
    """Refuses what no search can compare.

    Raises:
        TypeError: the objective is neither a number, nor some of them, nor the text of a failure.
        ValueError: one of several objectives is not finite.
    """
    if not isinstance(job, HPOJob):
        return
    objective = job.objective
    several = objective if isinstance(objective, tuple | list) else [objective]
    if not several or not all(isinstance(value, str | Real) for value in several):
        raise TypeError(f"the objective is of type {type(objective).__name__}, and not a number")
    # DeepHyper makes a failure of a single one that is not finite, but leaves several as they are.
    if len(several) > 1 and not all(_is_finite(value) for value in several):
        raise ValueError(f"the objectives {objective!r} are not all finite")


def _is_finite(value: Any) -> bool:
    return isinstance(value, str) or abs(float(value)) < float("inf")
