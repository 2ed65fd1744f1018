"""Which executor gets an evaluation, and what becomes of one that is lost: it is asked again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from parsl.app.errors import AppTimeout

from parsl_tl.errors import (
    EvaluationFailedError,
    EvaluationTimeoutError,
    InfrastructureError,
)
from parsl_tl.events import note, stages
from parsl_tl.federation.infrastructure import (
    DESERTED_SECONDS,
    InfrastructureFaults,
    is_infrastructure,
    rest_after,
)
from parsl_tl.federation.placement import WaitingTask
from parsl_tl.federation.sites import Sites
from parsl_tl.federation.worker_count import evaluation_executors, num_workers_of
from parsl_tl.outcome import text_of
from parsl_tl.tasks import evaluation_app

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel

_SECONDS_BETWEEN_LOOKS = 0.5


class Dispatcher:
    """Runs evaluations on the executors of a kernel; see ``Sites`` for which gets what."""

    def __init__(
        self,
        kernel: DataFlowKernel,
        capacities: dict[str, int],
        *,
        max_losses: int,
        more_to_come: Callable[[], bool] = lambda: True,
    ) -> None:
        """Prepares to run evaluations.

        Args:
            kernel: the loaded kernel.
            capacities: how many evaluations each executor can run at a time, by label.
            max_losses: see ``InfrastructureFaults``.
            more_to_come: tells whether evaluations will follow that were not asked for yet. Of the
                last ones, none goes to an executor so slow that it would end sooner by waiting for
                another one.
        """
        self._sites = Sites(kernel, capacities)
        self._apps = {label: evaluation_app([label], kernel) for label in capacities}
        self._more_to_come = more_to_come
        self._waiting = 0
        self._faults = InfrastructureFaults(max_losses)
        self._news: asyncio.Future[None] | None = None

    async def run(self, name: object, call: bytes, seconds: float | None, **limits: Any) -> bytes:
        """Runs an evaluation until it comes to its end; returns ``run_packed``'s result.

        Args:
            name: of the evaluation, for messages.
            call: what ``run_packed`` takes.
            seconds: that it may take at most; time in which its executor lacks workers is not
                counted.
            **limits: for ``run_packed``.

        Raises:
            EvaluationTimeoutError: it took longer.
            EvaluationFailedError: see ``run_packed`` and ``InfrastructureFaults.lost``.
            ExecutorsLostError: no executor is left.
            InfrastructureError: see ``InfrastructureFaults.lost``.
        """
        self._sites.open()
        why_lost = None
        while True:
            stages.go_on("queue", lost=why_lost)
            label = await self._place()
            self._sites.start(label, name)
            stages.go_on("task", site=label)
            ended = False
            try:
                result = await self._try(label, call, seconds, **limits)
            except Exception as error:
                why_lost = text_of(error)
                if not (is_infrastructure(error) or self._comes_of_the_executor(label, error)):
                    self._faults.ended(name)
                    stages.go_on("report", lost=why_lost)
                    raise
                times = self._lost(name, label, error)
            else:
                self._faults.ended(name)
                ended = True
                return result
            finally:
                self._sites.end(label, name, measured=ended)
                self._tell_news()
            if not self._sites.is_bad(label):
                await asyncio.sleep(rest_after(times))

    def close(self) -> None:
        """Ends the watch over the executors."""
        self._sites.close()

    def _lost(self, name: object, label: str, error: Exception) -> int:
        facts = {"site": label, "error": type(error).__name__, "text": text_of(error)}
        note("lost", job=stages.key(), **facts)
        self._sites.taking()
        try:
            return self._faults.lost(name, label, error)
        except InfrastructureError as stop:
            raise type(stop)(f"{stop}\n{self._sites.describe()}") from error

    def _comes_of_the_executor(self, label: str, error: Exception) -> bool:
        """Returns whether a task failed only because its executor takes none any more."""
        own = (EvaluationFailedError, EvaluationTimeoutError, AppTimeout)
        return self._sites.is_bad(label) and not isinstance(error, own)

    async def _place(self) -> str:
        """Waits until an executor has a worker free; returns its label."""
        self._waiting += 1
        try:
            while True:
                labels = self._sites.taking()
                if len(self._sites) == 1:  # its own queue does the same
                    return labels[0]
                # Evaluations are alike: whichever asks is the first of those that wait.
                waiting = [WaitingTask()] * self._waiting
                found = self._sites.choose(waiting, more_to_come=self._more_to_come())
                if found is not None:
                    return found.site
                await self._hear_news()
        finally:
            self._waiting -= 1

    async def _try(self, label: str, call: bytes, seconds: float | None, **limits: Any) -> bytes:
        if (trace := stages.carried()) is not None:
            limits = {**limits, "trace": trace}
        future = asyncio.wrap_future(self._apps[label](call, **limits))
        future.add_done_callback(_look_at)
        is_looked_after = seconds is not None or len(self._sites) > 1
        worked, deserted_since = 0.0, time.monotonic()
        while True:
            before = time.monotonic()
            # Parsl's futures cannot be cancelled: a cancellation ends the wait, and not the task.
            await asyncio.wait(
                {future}, timeout=_SECONDS_BETWEEN_LOOKS if is_looked_after else None
            )
            if future.done():
                outcome: bytes = future.result()
                return outcome
            now = time.monotonic()
            if self._sites.has_workers(label):
                worked, deserted_since = worked + now - before, now
            if seconds is not None and worked > seconds:
                raise EvaluationTimeoutError(f"more than {seconds:g} seconds")
            if now - deserted_since > DESERTED_SECONDS and self._sites.has_alternative(label):
                raise InfrastructureError(
                    f"executor {label} has had no workers for {DESERTED_SECONDS:g} s"
                )

    async def _hear_news(self) -> None:
        if self._news is None or self._news.done():
            self._news = asyncio.get_running_loop().create_future()
        await asyncio.wait({self._news}, timeout=_SECONDS_BETWEEN_LOOKS)

    def _tell_news(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


def _look_at(future: asyncio.Future[bytes]) -> None:
    """Asyncio reports exceptions of futures that nobody has looked at."""
    if not future.cancelled():
        future.exception()


def capacities_of(kernel: DataFlowKernel, executors: str | Sequence[str]) -> dict[str, int]:
    """Returns how many evaluations each executor can run at a time, by label."""
    return {
        label: num_workers_of(kernel, label) for label in evaluation_executors(kernel, executors)
    }
