"""Which executor gets an evaluation, and what becomes of one that is lost: it is asked again."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from parsl.app.errors import AppTimeout

from parsl_tl.errors import (
    EvaluationFailedError,
    EvaluationTimeoutError,
    ExecutorsLostError,
    InfrastructureError,
)
from parsl_tl.events import note, stages
from parsl_tl.federation.infrastructure import (
    InfrastructureFaults,
    is_infrastructure,
    rest_after,
)
from parsl_tl.federation.placement import WaitingTask
from parsl_tl.federation.sites import Sites
from parsl_tl.federation.tries import SECONDS_BETWEEN_LOOKS, Tries, Try
from parsl_tl.federation.worker_count import evaluation_executors, num_workers_of
from parsl_tl.outcome import text_of
from parsl_tl.tasks import evaluation_app

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel

_Answer = asyncio.Future[bytes]


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
        self._tries = Tries[_Answer](self._sites)
        self._apps = {label: evaluation_app([label], kernel) for label in capacities}
        self._more_to_come = more_to_come
        # Each with the seconds that it may take.
        self._waiting: deque[tuple[asyncio.Future[Try[_Answer]], float | None]] = deque()
        self._faults = InfrastructureFaults(max_losses)
        self._is_closed = False
        self._looking: asyncio.AbstractEventLoop | None = None  # where looks are due

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
            one = await self._place(seconds)
            label = one.site
            stages.go_on("task", site=label)
            ended = False
            try:
                result = await self._try(one, call, **limits)
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
                self._tries.end(one, measured=ended)
                self._give_away()
            if not self._sites.is_bad(label):
                await asyncio.sleep(rest_after(times))

    def close(self) -> None:
        """Ends the watch over the executors; nothing is given away any more."""
        self._is_closed = True
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

    async def _place(self, seconds: float | None) -> Try[_Answer]:
        """Waits until an executor has a worker free, and gives it an evaluation."""
        labels = self._sites.taking()
        loop = asyncio.get_running_loop()
        if len(self._sites) == 1:  # its own queue does the same
            return self._begin(labels[0], seconds, loop)
        place = loop.create_future()
        self._waiting.append((place, seconds))
        self._look_now_and_then(loop)
        self._give_away()
        try:
            found: Try[_Answer] = await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._tries.end(place.result(), measured=False)
            raise
        return found

    def _begin(
        self, label: str, seconds: float | None, loop: asyncio.AbstractEventLoop
    ) -> Try[_Answer]:
        answer: _Answer = loop.create_future()
        answer.add_done_callback(_look_at)
        if seconds is not None or len(self._sites) > 1:
            self._look_now_and_then(loop)
        return self._tries.begin(answer, label, seconds=seconds)

    def _give_away(self) -> None:
        """Gives those that wait to free workers, in the order in which they came."""
        while self._waiting and not self._is_closed:
            place, seconds = self._waiting[0]
            if place.done():  # cancelled
                self._waiting.popleft()
                continue
            # Evaluations are alike: the first of those that wait is as good as any.
            waiting = [WaitingTask()] * len(self._waiting)
            try:
                found = self._sites.choose(waiting, more_to_come=self._more_to_come())
            except ExecutorsLostError as error:
                self._waiting.popleft()
                place.set_exception(error)
                continue
            if found is None:
                return
            self._waiting.popleft()
            one = self._begin(found.site, seconds, place.get_loop())
            place.set_result(one)

    async def _try(self, one: Try[_Answer], call: bytes, **limits: Any) -> bytes:
        if (trace := stages.carried()) is not None:
            limits = {**limits, "trace": trace}
        # Parsl's futures cannot be cancelled: a cancellation ends the wait, and not the task.
        answer, loop = one.task, asyncio.get_running_loop()

        def ended(future: Future[bytes]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_answer, answer, future)

        self._apps[one.site](call, **limits).add_done_callback(ended)
        return await answer

    def _look_now_and_then(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._looking is not loop:
            self._looking = loop
            loop.call_later(SECONDS_BETWEEN_LOOKS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Gives up what takes too long or has no workers; sites may have more of them, too."""
        if self._is_closed:
            return
        for one, error in self._tries.look():
            if not one.task.done():
                one.task.set_exception(error)
        self._give_away()
        if self._tries or self._waiting:
            loop.call_later(SECONDS_BETWEEN_LOOKS, self._look, loop)
        else:
            self._looking = None


def _answer(answer: _Answer, future: Future[bytes]) -> None:
    """Takes over what a task came to, if anybody still waits for it."""
    if answer.done():
        return
    if future.cancelled():
        answer.cancel()
        return
    error = future.exception()
    if error is None:
        answer.set_result(future.result())
    else:
        answer.set_exception(error)


def _look_at(future: _Answer) -> None:
    """Asyncio reports exceptions of futures that nobody has looked at."""
    if not future.cancelled():
        future.exception()


def capacities_of(kernel: DataFlowKernel, executors: str | Sequence[str]) -> dict[str, int]:
    """Returns how many evaluations each executor can run at a time, by label."""
    return {
        label: num_workers_of(kernel, label) for label in evaluation_executors(kernel, executors)
    }
