"""Which executor gets an evaluation, and what becomes of one that is lost: it is asked again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from parsl.app.errors import AppTimeout

from parsl_tl.errors import (
    EvaluationFailedError,
    EvaluationTimeoutError,
    ExecutorsLostError,
    InfrastructureError,
)
from parsl_tl.executor_watch import ExecutorWatch
from parsl_tl.search.infrastructure import (
    InfrastructureFaults,
    describe_executors,
    is_infrastructure,
)
from parsl_tl.search.worker_count import evaluation_executors, num_workers_of
from parsl_tl.tasks import evaluation_app, presence_app

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 0.5
# After this time without workers, an executor's evaluations go to another one that has some.
_DESERTED = 60.0
_LONGEST_REST = 10.0


class Dispatcher:
    """Runs evaluations on the executors of a kernel.

    With several executors, an evaluation is given away only when a worker is free for it: an
    executor that never starts holds none, and a slow one has no more than it can do. Meanwhile, an
    executor that could have more workers is sent tasks that do nothing, so that Parsl's strategy
    sees the demand and starts blocks.
    """

    def __init__(
        self,
        kernel: DataFlowKernel,
        capacities: dict[str, int],
        *,
        max_losses: int,
    ) -> None:
        """Prepares to run evaluations.

        Args:
            kernel: the loaded kernel.
            capacities: how many evaluations each executor can run at a time, by label.
            max_losses: see ``InfrastructureFaults``.
        """
        self._executors = {label: kernel.executors[label] for label in capacities}
        self._capacities = capacities
        self._apps = {label: evaluation_app([label], kernel) for label in capacities}
        self._presence = {label: presence_app([label], kernel) for label in capacities}
        self._probes: dict[str, list[Any]] = {label: [] for label in capacities}
        self._given: Counter[str] = Counter()
        self._waiting = 0
        self._faults = InfrastructureFaults(max_losses)
        self._watch: ExecutorWatch | None = None
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
        if self._watch is None:
            self._watch = ExecutorWatch(self._executors)
        while True:
            label = await self._place()
            self._given[label] += 1
            try:
                result = await self._try(label, call, seconds, **limits)
            except Exception as error:
                if not (is_infrastructure(error) or self._comes_of_the_executor(label, error)):
                    self._faults.ended(name)
                    raise
                times = self._lost(name, label, error)
            else:
                self._faults.ended(name)
                return result
            finally:
                self._given[label] -= 1
                self._tell_news()
            if not self._watch.is_bad(label):
                await asyncio.sleep(min(0.25 * 2**times, _LONGEST_REST))

    def close(self) -> None:
        """Ends the watch over the executors."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    def _lost(self, name: object, label: str, error: Exception) -> int:
        self._check_executors()
        try:
            return self._faults.lost(name, label, error)
        except InfrastructureError as stop:
            raise type(stop)(f"{stop}\n{describe_executors(self._executors.values())}") from error

    def _comes_of_the_executor(self, label: str, error: Exception) -> bool:
        """Returns whether a task failed only because its executor takes none any more."""
        assert self._watch is not None
        own = (EvaluationFailedError, EvaluationTimeoutError, AppTimeout)
        return self._watch.is_bad(label) and not isinstance(error, own)

    def _check_executors(self) -> list[str]:
        """Returns the labels of those that take tasks."""
        assert self._watch is not None
        labels = [label for label in self._executors if not self._watch.is_bad(label)]
        if not labels:
            text = describe_executors(self._executors.values())
            raise ExecutorsLostError(f"no executor takes tasks any more\n{text}")
        return labels

    async def _place(self) -> str:
        """Waits until an executor has a worker free; returns its label."""
        self._waiting += 1
        try:
            while True:
                labels = self._check_executors()
                if len(self._executors) == 1:  # its own queue does the same
                    return labels[0]
                best = max(labels, key=self._free)
                if self._free(best) > 0:
                    return best
                for label in labels:
                    self._ask_for_workers(label)
                await self._hear_news()
        finally:
            self._waiting -= 1

    def _free(self, label: str) -> int:
        assert self._watch is not None
        workers = self._watch.workers(label)
        return (self._capacities[label] if workers is None else workers) - self._given[label]

    def _ask_for_workers(self, label: str) -> None:
        assert self._watch is not None
        workers = self._watch.workers(label)
        self._probes[label] = [probe for probe in self._probes[label] if not probe.done()]
        if workers is None:
            return
        wanted = min(self._waiting, self._capacities[label] - workers) - len(self._probes[label])
        for _ in range(wanted):
            self._probes[label].append(self._presence[label]())

    async def _try(self, label: str, call: bytes, seconds: float | None, **limits: Any) -> bytes:
        future = asyncio.wrap_future(self._apps[label](call, **limits))
        future.add_done_callback(_look_at)
        is_looked_after = seconds is not None or len(self._executors) > 1
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
            if self._has_workers(label):
                worked, deserted_since = worked + now - before, now
            if seconds is not None and worked > seconds:
                raise EvaluationTimeoutError(f"more than {seconds:g} seconds")
            if now - deserted_since > _DESERTED and self._has_alternative(label):
                raise InfrastructureError(
                    f"executor {label} has had no workers for {_DESERTED:g} s"
                )

    def _has_workers(self, label: str) -> bool:
        """Returns whether there is a worker for each evaluation that the executor has."""
        assert self._watch is not None
        workers = self._watch.workers(label)
        return workers is None or workers >= self._given[label]

    def _has_alternative(self, label: str) -> bool:
        assert self._watch is not None
        others = [other for other in self._executors if other != label]
        return not self._watch.workers(label) and any(
            self._watch.workers(other) != 0 and not self._watch.is_bad(other) for other in others
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
