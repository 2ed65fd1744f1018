"""DeepHyper evaluations as Parsl tasks: they run wherever a Parsl configuration can reach."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from parsl.app.errors import AppTimeout

from parsl_tl.errors import (
    ConfigError,
    EvaluationFailedError,
    EvaluationTimeoutError,
    InfrastructureError,
    InvalidValueError,
)
from parsl_tl.events import stages
from parsl_tl.events.notes import IN_RECORD
from parsl_tl.federation.worker_count import evaluation_executors, num_workers_of
from parsl_tl.loaded_kernel import loaded_kernel
from parsl_tl.mpi import mpi_left_alone
from parsl_tl.outcome import pack, text_of, timed, unpack
from parsl_tl.search.dispatch import Dispatcher, capacities_of
from parsl_tl.search.evaluation_output import checked_update, failure
from parsl_tl.search.gathering import GatheringEvaluator
from parsl_tl.search.running_job import TravellingJob, run_job
from parsl_tl.search.shared_storage import SharedStorage
from parsl_tl.search.time_for_more import TimeForMore

with mpi_left_alone():
    from deephyper.evaluator import Job, JobStatus

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel

logger = logging.getLogger(__name__)

# How much longer than its limit an evaluation may take before it is given up from outside: the
# limit is enforced in the worker, which cannot interrupt a long call into native code.
_GRACE_SECONDS = 30.0
# When the search's time is over, run functions have so long to look at their job's status.
_NOTICE_SECONDS = 0.5


class ParslEvaluator(GatheringEvaluator):
    """Runs DeepHyper's evaluations as Parsl tasks.

    For any DeepHyper search::

        with parsl.load(load_config("local")):
            evaluator = ParslEvaluator(run)          # def run(job) -> float
            results = CBO(problem).search(evaluator, max_evals=100)

    The run function, which may be asynchronous, gets what all of DeepHyper's evaluators give it: a
    ``RunningJob``, which is a mapping of the parameters and has ``parameters``, ``id``,
    ``status``, ``record`` and ``stopped``. It must be importable by the workers, or
    be small enough to travel. An evaluation that raises, takes too long, or is the only one that
    loses its workers, and three of them, becomes a failed one, with objective ``F_<reason>`` and
    the reason as ``error`` in its metadata; the search goes on. What happens to workers, blocks and
    executors is no evaluation's failure: the evaluation is asked again, on another executor if
    there is one, and the search ends with an ``InfrastructureError`` if nothing works any more.
    """

    def __init__(
        self,
        run_function: Callable[..., Any],
        num_workers: int | None = None,
        callbacks: Sequence[Any] | None = None,
        run_function_kwargs: dict[str, Any] | None = None,
        storage: Any = None,
        search_id: Any = None,
        *,
        executors: str | Sequence[str] = "all",
        evaluation_timeout: float | None = None,
        kernel: DataFlowKernel | None = None,
        max_losses: int = 5,
    ) -> None:
        """Connects a run function with the Parsl configuration that is loaded.

        Args:
            run_function: evaluates a job.
            num_workers: evaluations at a time; by default as many as the executors have workers.
            callbacks: DeepHyper callbacks.
            run_function_kwargs: further arguments of the run function, the same for all.
            storage: where jobs are noted; by default in this process, which the workers ask over
                the network. Several processes that search together need DeepHyper's
                ``RedisStorage``.
            search_id: see DeepHyper's ``Evaluator``.
            executors: labels of the executors to use. ``"all"`` are those with worker processes;
                threads and MPI mode run evaluations only where they are named.
            evaluation_timeout: seconds that one evaluation may take, waiting excluded.
            kernel: the Parsl kernel; the one that is loaded when None.
            max_losses: how often an evaluation may be lost with its worker, block or executor
                while no other one comes to its end; then the search ends.

        Raises:
            ConfigError: no Parsl configuration is loaded, or it has no such executors.
            InvalidValueError: a number of workers or a timeout that is not positive.
        """
        # DeepHyper's destructor looks at these, even when the constructor fails.
        self.loop = None
        self._callbacks: list[Any] = []
        kernel = kernel or _loaded_kernel()
        labels = evaluation_executors(kernel, executors)
        workers = num_workers_of(kernel, labels) if num_workers is None else num_workers
        if workers < 1:
            raise InvalidValueError(f"num_workers={num_workers!r} must be at least 1")
        if evaluation_timeout is not None and not evaluation_timeout > 0:
            raise InvalidValueError(f"evaluation_timeout={evaluation_timeout!r} must be positive")
        super().__init__(
            run_function,
            workers,
            None if callbacks is None else list(callbacks),
            run_function_kwargs,
            storage,
            search_id,
        )
        self._evaluation_timeout = evaluation_timeout
        self._time = TimeForMore()
        self._shared = SharedStorage(self._storage, kernel, labels)
        self._dispatcher = Dispatcher(
            kernel,
            capacities_of(kernel, labels),
            max_losses=max_losses,
            more_to_come=self._more_to_come,
        )

    def gather(self, type: str, size: int = 1) -> Any:
        """Waits for results, as DeepHyper's evaluators do; an interrupt abandons the others."""
        try:
            return super().gather(type, size)
        except KeyboardInterrupt:
            self.abandon()
            raise
        except InfrastructureError:
            # What has come to its end beside the evaluation that was lost is no loss.
            for task in list(self._tasks_running):
                if task.done() and not task.cancelled() and task.exception() is None:
                    self._process_local_tasks_done([task])
            self.abandon()
            raise

    def close(self) -> Any:
        """Cancels what runs, and returns the jobs that were cancelled by it."""
        jobs = super().close()
        self._dispatcher.close()
        return jobs

    def abandon(self) -> None:
        """Throws away what is not finished; the evaluator cannot be used again.

        For a search that was interrupted: nothing is gathered and no callback is called any more,
        as ``close`` would do. Tasks that are with Parsl end with its kernel.
        """
        loop, self.loop = self.loop, None
        self._callbacks = []
        if hasattr(self, "_dispatcher"):  # not if the constructor failed
            self._dispatcher.close()
        if loop is None or loop.is_closed():
            return
        for task in self._tasks_running:
            if task.done() and not task.cancelled():
                task.exception()  # asyncio reports exceptions that nobody has looked at
        # The evaluator's own list, too: the garbage collector empties asyncio's at first.
        unfinished = asyncio.all_tasks(loop).union(self._tasks_running)
        for task in unfinished:
            task.cancel()
        if unfinished:
            gathered = asyncio.gather(*unfinished, return_exceptions=True)
            try:
                loop.run_until_complete(gathered)
            except RuntimeError:
                # What was awaited may have ended at the moment of the interrupt: the loop then
                # stops at once, by a request that nobody has seen, and only once.
                if gathered.done():
                    raise
                loop.run_until_complete(gathered)
        loop.close()

    def __del__(self) -> None:
        self.abandon()

    async def execute(self, job: Job) -> Job:
        """Submits a job and waits for it; never raises for what the evaluation did."""
        with stages.about(job.args.get("job")):
            async with self.sem:
                job.status = JobStatus.RUNNING
                try:
                    return checked_update(job, await self._evaluate(job))
                finally:
                    self._shared.forget(job.id)
                    stages.go_on("report")

    async def _evaluate(self, job: Job) -> Any:
        if self._is_over() or not await self._time.has_enough(self._time_left()):
            self._timeout = 0.0  # nothing runs, and nothing will
            job.status = JobStatus.CANCELLED
            return _cancelled_output()
        limits = {}
        if self._evaluation_timeout is not None:
            limits["walltime"] = math.ceil(self._evaluation_timeout)
        try:
            call = self._pack(job, limits.get("walltime"))
        except Exception as error:
            return failure(type(error).__name__, f"the run function cannot be sent: {error}")
        running = asyncio.ensure_future(
            self._dispatcher.run(job.id, call, self._deadline(), **limits)
        )
        self._time.begun()
        try:
            packed = await asyncio.wait_for(asyncio.shield(running), self._time_left())
        except TimeoutError:
            return await self._cancel(job, running)
        except InfrastructureError:
            raise
        except (AppTimeout, EvaluationTimeoutError):  # the first comes from the worker
            return failure("EvaluationTimeout", f"more than {self._evaluation_timeout} seconds")
        except EvaluationFailedError as error:
            logger.warning("evaluation %s failed: %s", job.id, error, extra=IN_RECORD)
            return failure(error.reason, error.text)
        except Exception as error:
            reason = type(error).__name__
            logger.warning("evaluation %s failed: %s: %s", job.id, reason, error, extra=IN_RECORD)
            return failure(reason, text_of(error))
        finally:
            running.cancel()  # if it is not done
            self._time.ended()
        try:
            seconds, output = unpack(packed)
            self._time.note(seconds)
            return output
        except (Exception, SystemExit) as error:
            text = f"what the run function returned cannot be read here: {text_of(error)}"
            logger.warning("evaluation %s failed: %s", job.id, text, extra=IN_RECORD)
            return failure(type(error).__name__, text)

    def _pack(self, job: Job, seconds: float | None) -> bytes:
        storage = self._shared.storage
        travelling = TravellingJob(job.id, dict(job.args), storage, self._stopper, seconds)
        arguments = (run_job, self.run_function, travelling, dict(self.run_function_kwargs))
        return pack((timed, arguments, {}))

    async def _cancel(self, job: Job, future: asyncio.Future[bytes]) -> Any:
        """Ends a job when the search's time is over: run functions that look have some more."""
        job.status = JobStatus.CANCELLING
        stages.go_on("report", lost="the search's time was over")
        output = _cancelled_output()
        try:
            await asyncio.wait([future], timeout=_NOTICE_SECONDS)
            seconds = _GRACE_SECONDS if self._shared.is_watched(job.id) else 0.0
            _, output = unpack(await asyncio.wait_for(asyncio.shield(future), seconds))
        except Exception as error:  # what became of it is of no interest any more
            logger.info("evaluation %s was cancelled: %s", job.id, text_of(error))
        job.status = JobStatus.CANCELLED
        return output

    def _more_to_come(self) -> bool:
        """Returns whether the search may submit further jobs; without a limit, it always may."""
        most = int(self.maximum_num_jobs_submitted)
        return most <= 0 or self.num_jobs_submitted < most

    def _is_over(self) -> bool:
        """Returns whether the search's time is over."""
        return self.time_left is not None and self.time_left <= 0

    def _deadline(self) -> float | None:
        """Seconds that a worker has for an evaluation before it is given up."""
        return (
            None if self._evaluation_timeout is None else self._evaluation_timeout + _GRACE_SECONDS
        )

    def _time_left(self) -> float | None:
        """Seconds that the search has left."""
        return None if self.time_left is None else max(0.0, self.time_left)


def _cancelled_output() -> dict[str, Any]:
    return failure("Cancelled", "the search's time was over")


def _loaded_kernel() -> DataFlowKernel:
    kernel = loaded_kernel()
    if kernel is None:
        raise ConfigError(
            "no Parsl configuration is loaded in this process: write "
            "`with parsl.load(load_config('local')):` around the search"
        )
    return kernel
