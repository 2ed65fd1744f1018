"""Tasks of any workflow, each run at the site where it ends soonest, whatever becomes of sites."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Self

from parsl_tl.errors import (
    ConfigError,
    ExecutorsLostError,
    InfrastructureError,
    InvalidValueError,
    ParslTLError,
)
from parsl_tl.federation.infrastructure import (
    InfrastructureFaults,
    is_infrastructure,
    rest_after,
)
from parsl_tl.federation.placement import WaitingTask
from parsl_tl.federation.sites import Sites
from parsl_tl.federation.tries import SECONDS_BETWEEN_LOOKS, Tries, Try
from parsl_tl.federation.worker_count import evaluation_executors, num_workers_of
from parsl_tl.suggestions import did_you_mean

if TYPE_CHECKING:
    from parsl.dataflow.dflow import DataFlowKernel


@dataclass(eq=False)
class _Task:
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    about: WaitingTask
    number: int
    result: Future[Any] = field(default_factory=Future)
    not_before: float = 0.0


class _Waiting(Collection[WaitingTask]):
    """What is known of the tasks that wait, without a list of them made for each decision."""

    def __init__(self, first: Collection[_Task], others: Collection[_Task]) -> None:
        self._parts = first, others

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[WaitingTask]:
        return (task.about for task in chain(*self._parts))

    def __contains__(self, about: object) -> bool:
        return any(one is about for one in self)

    def task(self, number: int) -> _Task:
        """Returns a task by its number among those that wait."""
        return next(islice(chain(*self._parts), number, None))


class Router:
    """Runs tasks on the sites of a Parsl kernel, which are its executors.

    Parsl draws the executor of a task when it is submitted, and tries it again on the same one. A
    router decides when a worker is free, by the measured speed of the sites, by where a task's
    data is, and by which sites are well; what a site loses is run by another one, and counts once.
    A site that joins later, or comes back, gets tasks from then on.

    ::

        with parsl.load(federate(polaris.config(...), perlmutter.config(...))) as kernel:
            with Router(kernel) as router:
                futures = [router.submit(train, model) for model in models]
                results = [future.result() for future in futures]

    Args:
        kernel: a Parsl kernel.
        sites: labels of the executors to use; by default all that have worker processes.
        groups: names for labels, such as ``{"gpu": ["polaris", "sophia"], "cpu": ["crux"]}``, that
            tasks ask for.
        max_losses: how often a task may be lost with its worker, block or site while no other
            one comes to its end.

    Raises:
        ConfigError: a label that the kernel does not have.
    """

    def __init__(
        self,
        kernel: DataFlowKernel,
        *,
        sites: Sequence[str] | None = None,
        groups: Mapping[str, Iterable[str]] | None = None,
        max_losses: int = 5,
    ) -> None:
        labels = evaluation_executors(kernel, "all" if sites is None else sites)
        self._groups = {name: frozenset(own) for name, own in (groups or {}).items()}
        for name, own in self._groups.items():
            if unknown := own - set(labels):
                raise ConfigError(
                    f"group {name!r} names {sorted(unknown)}, which are no sites; choose from "
                    f"{', '.join(labels)}"
                )
        self._kernel = kernel
        self._sites = Sites(kernel, {label: num_workers_of(kernel, label) for label in labels})
        self._labels = labels
        self._faults = InfrastructureFaults(max_losses)
        self._apps: dict[tuple[Callable[..., Any], str], Callable[..., Any]] = {}
        # In the order in which they came; those that were lost go before them, after a rest.
        self._waiting: dict[_Task, None] = {}
        self._lost_ones: list[_Task] = []
        self._unchecked: list[_Task] = []  # whether any site takes them
        self._took: list[str] = []  # sites that took tasks at the last look
        self._tries = Tries[_Task](self._sites)
        self._next_look = 0.0
        self._submitted = 0
        self._unready = 0  # tasks that wait for arguments
        self._news = threading.Condition(threading.RLock())
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(
        self,
        function: Callable[..., Any],
        *args: Any,
        on: str | None = None,
        work: float = 1.0,
        costs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> Future[Any]:
        """Runs a function at the site that suits it best.

        Args:
            function: what to run; importable by the workers, or small enough to travel.
            *args: for it. Futures among them are waited for before a site is chosen.
            on: a group, or a site's label; any site by default.
            work: the task's size beside others; speeds are seconds per unit of it.
            costs: seconds that the task takes longer at a site, by label, as where its data has to
                be brought first.
            **kwargs: for the function.

        Returns:
            A future of what the function returns, or raises. It fails with an
            ``InfrastructureError`` if the task was lost too often, or no site is left.

        Raises:
            InvalidValueError: there is no such group, or no such size.
            ParslTLError: the router is closed.
        """
        if not work > 0:
            raise InvalidValueError(f"work is {work!r}; a task's size must be positive")
        about = WaitingTask(work, self._labels_of(on), dict(costs or {}))
        with self._news:
            if self._closed:
                raise ParslTLError("the router is closed; make another one")
            self._submitted += 1
            task = _Task(function, args, kwargs, about, self._submitted)
            if self._thread is None:
                self._sites.open()
                self._thread = threading.Thread(target=self._run, name="router", daemon=True)
                self._thread.start()
        inputs = [one for one in (*args, *kwargs.values()) if isinstance(one, Future)]
        self._when_ready(task, [one for one in inputs if not one.done()])
        return task.result

    def app(self, function: Callable[..., Any], **routing: Any) -> Callable[..., Future[Any]]:
        """Makes an app of a function, which is called as Parsl's are; usable as a decorator.

        Args:
            function: what to run.
            **routing: ``on``, ``work`` and ``costs`` of ``submit``.
        """

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Future[Any]:
            return self.submit(function, *args, **routing, **kwargs)

        return call

    def speeds(self) -> dict[str, float | None]:
        """Returns the seconds that a unit of work takes at each site, as far as is known."""
        return {label: self._sites.seconds_per_unit(label) for label in self._labels}

    def close(self) -> None:
        """Gives up what has not ended: its futures fail. Tasks with Parsl end with its kernel."""
        with self._news:
            self._closed = True
            left = [*self._lost_ones, *self._waiting, *self._tries.tasks()]
            self._lost_ones, self._waiting = [], {}
            self._news.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._sites.close()
        for task in left:
            _fail(task, InfrastructureError("the router was closed before the task ended"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _labels_of(self, on: str | None) -> frozenset[str] | None:
        if on is None:
            return None
        if on in self._groups:
            return self._groups[on]
        if on not in self._labels:
            known = [*self._groups, *self._labels]
            raise InvalidValueError(
                f"{on!r} is no group and no site{did_you_mean(on, known)}; choose from "
                f"{', '.join(known)}"
            )
        return frozenset([on])

    def _when_ready(self, task: _Task, inputs: list[Future[Any]]) -> None:
        """Queues a task when the futures that it takes are done."""
        left = len(inputs)
        lock = threading.Lock()
        if not inputs:
            self._queue(task)
            return
        with self._news:
            self._unready += 1

        def one_is_done(_: Future[Any]) -> None:
            nonlocal left
            with lock:
                left -= 1
                is_ready = left == 0
            if is_ready:
                with self._news:
                    self._unready -= 1
                self._queue(task)

        for one in inputs:
            one.add_done_callback(one_is_done)

    def _queue(self, task: _Task) -> None:
        with self._news:
            if not self._closed:
                self._waiting[task] = None
                self._unchecked.append(task)
                self._news.notify_all()
                return
        _fail(task, InfrastructureError("the router was closed before the task was ready"))

    def _run(self) -> None:
        """Places tasks and looks after them, in a thread of its own, until the router is closed."""
        while True:
            with self._news:
                if self._closed:
                    return
                try:
                    placed = self._place_next()
                    self._look_after()
                except InfrastructureError as error:  # no site is left
                    waiting = [*self._lost_ones, *self._waiting]
                    self._lost_ones, self._waiting = [], {}
                    for task in waiting:
                        _fail(task, error)
                    placed = False
                if not placed:
                    self._news.wait(SECONDS_BETWEEN_LOOKS)

    def _place_next(self) -> bool:
        if not (self._lost_ones or self._waiting):
            return False
        self._fail_what_nobody_takes()
        now = time.monotonic()
        again = [task for task in self._lost_ones if task.not_before <= now]
        waiting = _Waiting(again, self._waiting)
        if not waiting:
            return False
        more = self._unready > 0 or len(again) < len(self._lost_ones)
        found = self._sites.choose(waiting, more_to_come=more)
        if found is None:
            return False
        task = waiting.task(found.task)
        self._remove(task)
        self._start(task, found.site)
        return True

    def _fail_what_nobody_takes(self) -> None:
        """Looks at new tasks only, unless other sites take tasks than at the last look."""
        taking = self._sites.taking()
        if taking != self._took:
            self._took = taking
            self._unchecked = [*self._lost_ones, *self._waiting]
        unchecked, self._unchecked = self._unchecked, []
        for task in unchecked:
            if any(task.about.runs_on(label) for label in taking) or not self._remove(task):
                continue
            own = ", ".join(sorted(task.about.sites or ()))
            text = f"no site that the task can run on takes any more ({own})"
            _fail(task, ExecutorsLostError(f"{text}\n{self._sites.describe()}"))

    def _remove(self, task: _Task) -> bool:
        """Takes a task out of those that wait; returns whether it was there."""
        if task in self._waiting:
            del self._waiting[task]
            return True
        if task in self._lost_ones:
            self._lost_ones.remove(task)
            return True
        return False

    def _start(self, task: _Task, site: str) -> None:
        import parsl

        key = (task.function, site)
        if key not in self._apps:
            self._apps[key] = parsl.python_app(
                task.function, executors=[site], data_flow_kernel=self._kernel, cache=False
            )
        try:
            future = self._apps[key](*task.args, **task.kwargs)
        except Exception as error:  # what Parsl cannot send
            _fail(task, error)
            return
        one = self._tries.begin(task, site, work=task.about.work)
        future.add_done_callback(functools.partial(self._ended, one))

    def _ended(self, one: Try[_Task], future: Future[Any]) -> None:
        error = future.exception()
        task = one.task
        with self._news:
            was_running = one in self._tries
            is_lost = error is not None and (
                is_infrastructure(error) or self._sites_is_bad(one.site)
            )
            if was_running:
                self._tries.end(one, measured=error is None)
            if not is_lost:
                self._remove(task)  # it may have been given up there, and ended after all
            if is_lost and was_running and not self._closed:
                self._lost(one, error)
            self._news.notify_all()
        if is_lost:
            return
        self._faults.ended(task.number)
        if error is not None:
            _fail(task, error)
        elif _is_awaited(task):
            task.result.set_result(future.result())

    def _sites_is_bad(self, label: str) -> bool:
        return not self._closed and self._sites.is_bad(label)

    def _lost(self, one: Try[_Task], error: BaseException | None) -> None:
        """Has a task run again, after a rest that grows with how often it was lost."""
        task = one.task
        try:
            times = self._faults.lost(task.number, one.site, error or InfrastructureError("lost"))
        except ParslTLError as stop:
            _fail(task, stop)
            return
        if not self._sites.is_bad(one.site):
            task.not_before = time.monotonic() + rest_after(times)
        self._lost_ones.append(task)
        self._unchecked.append(task)

    def _look_after(self) -> None:
        """Takes tasks away from sites that have had no workers for long, where others have some."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + SECONDS_BETWEEN_LOOKS
        for one, error in self._tries.look():
            self._tries.end(one, measured=False)
            self._lost(one, error)


def _fail(task: _Task, error: BaseException) -> None:
    if _is_awaited(task):
        task.result.set_exception(error)


def _is_awaited(task: _Task) -> bool:
    """Whether nobody has cancelled a task, and no other try of it has ended before."""
    return not task.result.done() and task.result.set_running_or_notify_cancel()
