"""Gathering results at a cost that does not grow with what was gathered before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from parsl_tl.mpi import mpi_left_alone
from parsl_tl.search.evaluation_loop import EvaluationLoop
from parsl_tl.search.in_order import InOrder
from parsl_tl.search.job_storage import JobStorage

with mpi_left_alone():
    from deephyper.evaluator import Evaluator, Job


class GatheringEvaluator(Evaluator):  # type: ignore[misc]
    """DeepHyper's ``Evaluator``, whose own ways list all jobs of a search for each result.

    With any storage, waiting for a result takes the same time however many evaluations run. With
    a ``JobStorage``, which is the default, jobs are counted and those of other evaluators found
    without listing them; other storages may have jobs of other processes, and are asked as
    DeepHyper does it. Jobs that were gathered are the search's to keep.
    """

    loop: asyncio.AbstractEventLoop | None
    jobs: InOrder[Job]

    def __init__(
        self,
        run_function: Any,
        num_workers: int,
        callbacks: list[Any] | None,
        run_function_kwargs: dict[str, Any] | None,
        storage: Any,
        search_id: Any,
    ) -> None:
        """Prepares an evaluator; see DeepHyper's ``Evaluator`` for the arguments."""
        super().__init__(
            run_function,
            num_workers,
            callbacks,
            run_function_kwargs,
            JobStorage() if storage is None else storage,
            search_id,
        )
        # DeepHyper keeps lists, and removes from them what was gathered.
        self.jobs = InOrder()
        self._tasks_running = InOrder[asyncio.Task[Any]]()
        self.job_id_submitted = InOrder[str]()
        self._num_created = 0
        self._num_foreign = 0
        self._finished: list[asyncio.Task[Any]] = []
        self._news: asyncio.Future[None] | None = None

    @property
    def num_jobs_submitted(self) -> int:
        """Jobs of the search, without those of earlier calls of ``search``."""
        if isinstance(self._storage, JobStorage):
            return int(self._storage.num_jobs(self._search_id) - self._num_jobs_offset)
        return int(super().num_jobs_submitted)

    def set_event_loop(self) -> None:
        """Makes an event loop if there is none; never the caller's, who may be inside it."""
        if self.loop is None or self.loop.is_closed():
            self.loop = EvaluationLoop()
            self.sem = asyncio.Semaphore(self.num_workers)
            self._news = None

    def submit(self, args_list: Sequence[dict[str, Any]]) -> None:
        """Sends configurations to be evaluated.

        They begin with the next ``gather``. Before that, callbacks that have ``on_submit`` are told
        that all of them were launched.
        """
        before = len(self._tasks_running)
        try:
            super().submit(args_list)
        finally:  # DeepHyper raises when the search has enough of them
            for task in self._tasks_running.latest(len(self._tasks_running) - before):
                task.add_done_callback(self._note_finished)
            for callback in self._callbacks:
                if hasattr(callback, "on_submit"):
                    callback.on_submit()

    def _create_job(self, job_id: Any, args: Any, run_function: Any, storage: Any) -> Job:
        if run_function is None:
            self._num_foreign += 1
        else:
            self._num_created += 1
        return super()._create_job(job_id, args, run_function, storage)

    def _note_finished(self, task: asyncio.Task[Any]) -> None:
        self._finished.append(task)
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _await_at_least_n_tasks(self, n: int) -> None:
        if not self._tasks_running:
            raise ValueError("No jobs pending, call Evaluator.submit(jobs)!")
        wanted = min(n, len(self._tasks_running))
        while len(self._finished) < wanted:
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        self._tasks_done, self._finished = self._finished, []

    def gather_other_jobs_done(self) -> list[Job]:
        """Returns what other evaluators have finished in the same search."""
        if isinstance(self._storage, JobStorage):
            known = self._num_created + self._num_foreign
            if self._storage.num_jobs(self._search_id) == known:
                return []
        return list(super().gather_other_jobs_done())

    def _process_local_tasks_done(self, tasks: Sequence[asyncio.Task[Any]]) -> list[Job]:
        gathered = list(super()._process_local_tasks_done(tasks))
        for job in gathered:
            self.jobs.remove(job)
        return gathered

    def close(self) -> list[Job]:
        """Cancels what runs, and returns the jobs that were cancelled by it."""
        cancelled = list(super().close())
        self._tasks_running.clear()
        self._finished.clear()
        self.jobs.clear()
        return cancelled
