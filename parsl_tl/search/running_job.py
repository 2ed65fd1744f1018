"""What a run function is called with in a worker: DeepHyper's ``RunningJob``, or its like."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any, NamedTuple


class TravellingJob(NamedTuple):
    """A job on its way to a worker.

    Attributes:
        job_id: its identifier in the storage.
        parameters: what is evaluated.
        storage: of the search, as a worker sees it.
        stopper: DeepHyper's, if the search has one.
        seconds: limit of the evaluation, if it has one.
    """

    job_id: str
    parameters: dict[str, Any]
    storage: Any
    stopper: Any
    seconds: float | None


class WorkerJob(MutableMapping[str, Any]):
    """DeepHyper's ``RunningJob`` for workers that have not imported DeepHyper.

    That takes seconds and nearly 200 MB a worker, and few run functions need it. For
    ``isinstance`` it is a ``RunningJob`` wherever there is that class to ask with.
    """

    def __init__(self, job: TravellingJob) -> None:
        """Takes over a job; the attributes are those of ``RunningJob``."""
        self.id = job.job_id
        self.parameters = job.parameters
        self.storage = job.storage
        self.stopper = None
        self._record: tuple[float, Any] | None = None

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return getattr(sys.modules.get("deephyper.evaluator"), "RunningJob", WorkerJob)

    def __reduce__(self) -> tuple[Any, ...]:
        job = TravellingJob(self.id, self.parameters, self.storage, None, None)
        return WorkerJob, (job,), {"_record": self._record}

    def __repr__(self) -> str:
        return f"RunningJob(id={self.id}, status={self.status}, parameters={self.parameters})"

    def __getitem__(self, key: str) -> Any:
        return int(self.id.split(".")[-1]) if key == "job_id" else self.parameters[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "job_id":
            raise KeyError("job_id, the number of a running job, cannot be changed")
        self.parameters[key] = value

    def __delitem__(self, key: str) -> None:
        del self.parameters[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parameters)

    def __len__(self) -> int:
        return len(self.parameters)

    @property
    def status(self) -> Any:
        """The job's ``JobStatus``; ``CANCELLING`` when the search's time is over."""
        from parsl_tl.mpi import mpi_left_alone

        with mpi_left_alone():
            from deephyper.evaluator import JobStatus

        return JobStatus(self.storage.load_job_status(self.id))

    def record(self, budget: float, objective: Any) -> None:
        """Notes what was reached with a budget."""
        self._record = (budget, objective)

    def stopped(self) -> bool:
        """Returns False: the search has no stopper."""
        return False

    @property
    def objective(self) -> Any:
        """What was recorded last, None before."""
        return None if self._record is None else self._record[1]


def open_job(job: TravellingJob) -> Any:
    """Returns what the run function gets."""
    if job.stopper is None and "deephyper.evaluator" not in sys.modules:
        return WorkerJob(job)
    from deephyper.evaluator import RunningJob  # loaded already: with the stopper, if not before

    running = RunningJob(job.job_id, job.parameters, job.storage, job.stopper)
    if job.stopper is not None and hasattr(job.stopper, "job"):
        job.stopper.job = running
    return running


def run_job(function: Callable[..., Any], job: TravellingJob, kwargs: dict[str, Any]) -> Any:
    """Calls a run function in a worker, and waits for what it returns if it is asynchronous.

    Raises:
        AppTimeout: the limit of an asynchronous one is over. Parsl sees to the others.
    """
    result = function(open_job(job), **kwargs)
    return asyncio.run(_await(result, job.seconds)) if inspect.isawaitable(result) else result


async def _await(result: Awaitable[Any], seconds: float | None) -> Any:
    from parsl.app.errors import AppTimeout

    try:
        async with asyncio.timeout(seconds) as limit:
            return await result
    except TimeoutError as error:
        if limit.expired():
            raise AppTimeout(f"Timed out after {seconds} s") from error
        raise
