"""DeepHyper evaluations as Parsl tasks: they run wherever a Parsl configuration can reach."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

from parsl.app.errors import AppTimeout

from parsl_tl.errors import (
    ConfigError,
    EvaluationFailedError,
    EvaluationTimeoutError,
    InfrastructureError,
    InvalidValueError,
)
from parsl_tl.mpi import mpi_left_alone
from parsl_tl.outcome import pack, text_of, unpack
from parsl_tl.search.dispatch import Dispatcher, capacities_of

with mpi_left_alone():
    from deephyper.evaluator import Evaluator, HPOJob, Job, JobStatus

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel

logger = logging.getLogger(__name__)

# How much longer than its limit an evaluation may take before it is given up from outside: the
# limit is enforced in the worker, which cannot interrupt a long call into native code.
_GRACE_SECONDS = 30.0


class ParslEvaluator(Evaluator):  # type: ignore[misc]
    """Runs DeepHyper's evaluations as Parsl tasks.

    For any DeepHyper search::

        with parsl.load(load_config("local")):
            evaluator = ParslEvaluator(run)          # def run(parameters: dict) -> float
            results = CBO(problem).search(evaluator, max_evals=100)

    The run function gets a plain dict of the parameters. It must be importable by the workers, or
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
            run_function: evaluates a dict of parameters.
            num_workers: evaluations at a time; by default as many as the executors have workers.
            callbacks: DeepHyper callbacks.
            run_function_kwargs: further arguments of the run function, the same for all.
            storage: see DeepHyper's ``Evaluator``.
            search_id: see DeepHyper's ``Evaluator``.
            executors: labels of the executors to use.
            evaluation_timeout: seconds that one evaluation may take, waiting excluded.
            kernel: the Parsl kernel; the one that is loaded when None.
            max_losses: how often an evaluation may be lost with its worker, block or executor
                while no other one comes to its end; then the search ends.

        Raises:
            ConfigError: no Parsl configuration is loaded.
            InvalidValueError: a number of workers or a timeout that is not positive.
        """
        # DeepHyper's destructor looks at these, even when the constructor fails.
        self.loop = None
        self._callbacks: list[Any] = []
        kernel = kernel or _loaded_kernel()
        workers = num_workers or num_workers_of(kernel, executors)
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
        self._dispatcher = Dispatcher(
            kernel, capacities_of(kernel, executors), max_losses=max_losses
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
        if _is_in_a_loop():  # the caller's own, which sees to its tasks
            return
        if unfinished:
            loop.run_until_complete(asyncio.gather(*unfinished, return_exceptions=True))
        loop.close()

    def __del__(self) -> None:
        self.abandon()

    async def execute(self, job: Job) -> Job:
        """Submits a job and waits for it; never raises for what the evaluation did."""
        async with self.sem:
            job.status = JobStatus.RUNNING
            output = await self._evaluate(job)
            try:
                done = self._update_job_when_done(job, output)
                _check_objective(done)
            except (TypeError, ValueError) as error:
                logger.warning("evaluation %s returned no objective: %s", job.id, error)
                failure = _failure("InvalidResult", text_of(error))
                return self._update_job_when_done(job, failure)
            return done

    async def _evaluate(self, job: Job) -> Any:
        limits = {}
        if self._evaluation_timeout is not None:
            limits["walltime"] = math.ceil(self._evaluation_timeout)
        try:
            call = pack((self.run_function, (dict(job.args),), dict(self.run_function_kwargs)))
        except Exception as error:
            return _failure(type(error).__name__, f"the run function cannot be sent: {error}")
        running = self._dispatcher.run(job.id, call, self._patience(), **limits)
        try:
            packed = await asyncio.wait_for(running, timeout=self._time_left())
        except TimeoutError:
            job.status = JobStatus.CANCELLED
            return _failure("Cancelled", "the search's time was over")
        except InfrastructureError:
            raise
        except (AppTimeout, EvaluationTimeoutError):  # the first comes from the worker
            return _failure("EvaluationTimeout", f"more than {self._evaluation_timeout} seconds")
        except EvaluationFailedError as error:
            logger.warning("evaluation %s failed: %s", job.id, error)
            return _failure(error.reason, error.text)
        except Exception as error:
            logger.warning("evaluation %s failed: %s: %s", job.id, type(error).__name__, error)
            return _failure(type(error).__name__, text_of(error))
        try:
            return unpack(packed)
        except (Exception, SystemExit) as error:
            text = f"what the run function returned cannot be read here: {text_of(error)}"
            logger.warning("evaluation %s failed: %s", job.id, text)
            return _failure(type(error).__name__, text)

    def _patience(self) -> float | None:
        """Seconds that a worker has for an evaluation before it is given up."""
        return (
            None if self._evaluation_timeout is None else self._evaluation_timeout + _GRACE_SECONDS
        )

    def _time_left(self) -> float | None:
        """Seconds that the search has left."""
        return None if self.time_left is None else max(0.0, self.time_left)


def _check_objective(job: Job) -> None:
    """Refuses what no search can compare.

    Raises:
        TypeError: the objective is neither a number, nor some of them, nor the text of a failure.
    """
    if not isinstance(job, HPOJob):
        return
    objective = job.objective
    several = objective if isinstance(objective, tuple | list) else [objective]
    if not several or not all(isinstance(value, str | Real) for value in several):
        raise TypeError(f"the objective is of type {type(objective).__name__}, and not a number")


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _failure(reason: str, text: str) -> dict[str, Any]:
    name = reason.removesuffix("Error") or "Error"
    return {"objective": f"F_{name}", "metadata": {"error": f"{reason}: {text}"[:2000]}}


def _loaded_kernel() -> DataFlowKernel:
    import parsl
    from parsl.errors import NoDataFlowKernelError

    try:
        kernel: DataFlowKernel = parsl.dfk()
    except NoDataFlowKernelError as error:
        raise ConfigError(
            "no Parsl configuration is loaded: write `with parsl.load(load_config('local')):` "
            "around the search"
        ) from error
    return kernel


def num_workers_of(kernel: DataFlowKernel, executors: str | Sequence[str] = "all") -> int:
    """Returns how many tasks the executors of a loaded configuration run at a time.

    Args:
        kernel: the loaded kernel.
        executors: labels to count; ``"all"`` for every executor that runs tasks.
    """
    total = 0
    for label, executor in kernel.executors.items():
        if label.startswith("_parsl_internal") or (executors != "all" and label not in executors):
            continue
        per_node: float | None = getattr(executor, "max_workers_per_node", None)
        if per_node is None or math.isinf(per_node):  # threads, or "as many as there are cores"
            per_node = float(getattr(executor, "max_threads", 1))
        provider = getattr(executor, "provider", None)
        nodes = provider.max_blocks * provider.nodes_per_block if provider is not None else 1
        total += int(per_node) * nodes
    return max(total, 1)
