"""The sites of a federation: executors of a Parsl kernel, their workers, tasks and speeds."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

from parsl_tl.errors import ExecutorsLostError
from parsl_tl.executor_watch import ExecutorWatch
from parsl_tl.federation.infrastructure import describe_executors
from parsl_tl.federation.placement import (
    Placement,
    SiteState,
    WaitingTask,
    expected_ends,
    place,
)

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel

# Speeds change: with the kind of task, and with what else a machine does.
_REMEMBERED = 32


def present() -> None:
    """Does nothing; that it comes back says that the executor has a worker."""


class Sites:
    """Knows what every site could run, runs and has run.

    A task is given to a site only when it has a worker free: a site that never starts holds no
    tasks, and a slow one has no more than it can do. Meanwhile, a site that could have more workers
    is sent tasks that do nothing, so that Parsl's strategy sees the demand and starts blocks.

    Args:
        kernel: the loaded kernel.
        capacities: how many tasks each executor can run at a time, by label.
    """

    def __init__(self, kernel: DataFlowKernel, capacities: Mapping[str, int]) -> None:
        import parsl

        self._executors = {label: kernel.executors[label] for label in capacities}
        self._capacities = dict(capacities)
        self._present: dict[str, Callable[[], Any]] = {
            label: parsl.python_app(
                present, executors=[label], data_flow_kernel=kernel, cache=False
            )
            for label in capacities
        }
        self._probes: dict[str, list[Any]] = {label: [] for label in capacities}
        self._running: dict[str, dict[object, tuple[float, float]]] = {
            label: {} for label in capacities
        }
        self._measured: dict[str, deque[float]] = {
            label: deque(maxlen=_REMEMBERED) for label in capacities
        }
        self._watch: ExecutorWatch | None = None

    def __len__(self) -> int:
        return len(self._executors)

    def open(self) -> None:
        """Begins to watch the executors, if that was not done yet."""
        if self._watch is None:
            self._watch = ExecutorWatch(self._executors)

    def close(self) -> None:
        """Ends the watch."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()

    def is_bad(self, label: str) -> bool:
        """Returns whether a site takes no tasks any more."""
        assert self._watch is not None
        return self._watch.is_bad(label)

    def taking(self) -> list[str]:
        """Returns the labels of the sites that take tasks.

        Raises:
            ExecutorsLostError: there is none.
        """
        labels = [label for label in self._executors if not self.is_bad(label)]
        if not labels:
            raise ExecutorsLostError(f"no executor takes tasks any more\n{self.describe()}")
        return labels

    def describe(self) -> str:
        """Says what the executors have to say about themselves."""
        return describe_executors(self._executors.values())

    def slots(self, label: str) -> int:
        """Returns how many tasks a site can run at a time now."""
        assert self._watch is not None
        workers = self._watch.workers(label)
        return self._capacities[label] if workers is None else workers

    def choose(self, waiting: Collection[WaitingTask], *, more_to_come: bool) -> Placement | None:
        """Decides which task is to be given to which site now; see ``place``.

        Where nothing can be given away, sites are asked for more workers.

        Raises:
            ExecutorsLostError: no site takes tasks any more.
        """
        labels = self.taking()
        found = place(waiting, [self._state(label) for label in labels], more_to_come=more_to_come)
        if found is None:
            for label in labels:
                self._ask_for_workers(label, waiting)
        return found

    def start(self, label: str, task: object, work: float = 1.0) -> None:
        """Notes that a site has got a task."""
        self._running[label][task] = (time.monotonic(), work)

    def end(self, label: str, task: object, *, measured: bool) -> None:
        """Notes that a site does not have a task any more.

        Args:
            label: of the site.
            task: as it was started.
            measured: whether it came to its end there, so that its time counts.
        """
        started, work = self._running[label].pop(task)
        if measured and work > 0:
            self._measured[label].append((time.monotonic() - started) / work)

    def seconds_per_unit(self, label: str) -> float | None:
        """Returns how long a unit of work takes at a site; None before a task ended there."""
        measured = self._measured[label]
        return statistics.fmean(measured) if measured else None

    def has_workers(self, label: str) -> bool:
        """Returns whether there is a worker for each task that a site has."""
        return self.slots(label) >= len(self._running[label])

    def has_alternative(self, label: str) -> bool:
        """Returns whether a site has no workers and another one may."""
        assert self._watch is not None
        return not self._watch.workers(label) and any(
            self._watch.workers(other) != 0 and not self.is_bad(other)
            for other in self._executors
            if other != label
        )

    def _state(self, label: str) -> SiteState:
        seconds = self.seconds_per_unit(label)
        running = self._running[label]

        def ends() -> list[float]:
            return expected_ends(running.values(), seconds, time.monotonic())

        return SiteState(label, self.slots(label), len(running), seconds, ends)

    def _ask_for_workers(self, label: str, waiting: Collection[WaitingTask]) -> None:
        assert self._watch is not None
        workers = self._watch.workers(label)
        self._probes[label] = [probe for probe in self._probes[label] if not probe.done()]
        if workers is None:
            return
        room = self._capacities[label] - workers - len(self._probes[label])
        wanting = (task for task in waiting if task.runs_on(label))
        for _ in islice(wanting, max(0, room)):
            self._probes[label].append(self._present[label]())
