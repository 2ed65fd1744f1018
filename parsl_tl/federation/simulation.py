"""A workflow on sites that need not exist: discrete events, with the router's own decisions."""

from __future__ import annotations

import functools
import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from parsl_tl.errors import InvalidValueError
from parsl_tl.federation.placement import (
    Placement,
    SiteState,
    WaitingTask,
    expected_ends,
    place,
)

Place = Callable[[Sequence[WaitingTask], Sequence[SiteState]], Placement | None]
_REMEMBERED = 32


@dataclass(frozen=True)
class SimulatedSite:
    """A site.

    Attributes:
        label: its name.
        workers: tasks that it runs at a time.
        speed: units of work that a worker does in a second.
        starts: when its workers are there, in seconds from the start of the workflow.
        delay: seconds between a task's end at the site and the driver's hearing of it, and again
            until the next task is there: the network both ways.
    """

    label: str
    workers: int
    speed: float = 1.0
    starts: float = 0.0
    delay: float = 0.0


@dataclass(frozen=True)
class Costs:
    """What a task costs whoever serves all tasks alike, in seconds; 0 for nothing.

    Attributes:
        driver: of the driver, which handles one result at a time.
        store: of a server of the model store, for queries and puts of one task.
        servers: of the store, among which tasks are spread.
        bandwidth: bytes a second from all sites to the servers together; 0 for no limit.
        bytes: that a task reads and writes.
    """

    driver: float = 0.0
    store: float = 0.0
    servers: int = 1
    bandwidth: float = 0.0
    bytes: float = 0.0


NO_COSTS: Final = Costs()
BY_SPEED: Final[Place] = functools.partial(place, more_to_come=False)
"""As the router places tasks."""


class Outcome(NamedTuple):
    """What came of a simulated workflow.

    Attributes:
        seconds: until the last task ended.
        steady: until the last task was given away; the shares below are of that time, since
            workers that run out of tasks at the end say nothing about what limits a search.
        utilization: share of the workers' time, from when they are there, that tasks took, without
            waiting for driver, network or store.
        tasks: ended at each site.
        driver: share of the time in which the driver was busy.
        store: share of the time in which the servers were busy, on average.
        network: share of the time in which the network was.
    """

    seconds: float
    steady: float
    utilization: float
    tasks: dict[str, int]
    driver: float
    store: float
    network: float


def simulate(
    sites: Sequence[SimulatedSite],
    work: Sequence[float],
    *,
    costs: Costs = NO_COSTS,
    place_one: Place = BY_SPEED,
) -> Outcome:
    """Runs tasks on sites in simulated time.

    All tasks are known at the start. The driver gives tasks away, and hears of their ends, one at
    a time; at its end a task goes to the network and the store, and its worker waits for that.

    Args:
        sites: where tasks run.
        work: of each task, in units.
        costs: of what all share.
        place_one: decides what is given away next.

    Raises:
        InvalidValueError: no site has a worker.
    """
    if not any(site.workers > 0 for site in sites):
        raise InvalidValueError("no site has a worker; give at least one")
    return _Simulation(sites, work, costs, place_one).run()


def at_random(seed: int, sites: Sequence[str]) -> Place:
    """Returns how Parsl places tasks: at a site that is drawn, whether it is free or not."""
    draw = random.Random(seed)

    def place_one(waiting: Sequence[WaitingTask], states: Sequence[SiteState]) -> Placement | None:
        return Placement(0, draw.choice(sites)) if waiting else None

    return place_one


class _Server:
    """Serves one task at a time, in the order in which they come."""

    def __init__(self) -> None:
        self.free_at = 0.0
        self._served: list[tuple[float, float]] = []

    def serve(self, now: float, seconds: float) -> float:
        """Returns when a task that comes now is done."""
        begun = max(now, self.free_at)
        self.free_at = begun + seconds
        if seconds:
            self._served.append((begun, self.free_at))
        return self.free_at

    def busy_at(self, time: float) -> float:
        """Returns how long it was busy until then."""
        return sum(max(0.0, min(end, time) - begun) for begun, end in self._served)


class _Simulation:
    def __init__(
        self, sites: Sequence[SimulatedSite], work: Sequence[float], costs: Costs, place_one: Place
    ) -> None:
        self._sites = {site.label: site for site in sites}
        self._work = deque(enumerate(work))
        self._waiting = deque(WaitingTask(one) for one in work)
        self._costs, self._place_one = costs, place_one
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._now, self._counted = 0.0, 0
        self._slots = {site.label: 0 for site in sites}
        # Tasks at each site, by number: when each is expected to end there.
        self._given: dict[str, dict[int, tuple[float, float]]] = {one: {} for one in self._sites}
        self._queues: dict[str, deque[tuple[int, float]]] = {one: deque() for one in self._sites}
        self._at_work = dict.fromkeys(self._sites, 0)
        self._measured = {one: deque[float](maxlen=_REMEMBERED) for one in self._sites}
        self._seconds: dict[str, float | None] = dict.fromkeys(self._sites)
        self._ended = dict.fromkeys(self._sites, 0)
        self._worked: list[tuple[float, float]] = []
        self._given_last = 0.0
        self._driver, self._network = _Server(), _Server()
        self._servers = [_Server() for _ in range(max(1, costs.servers))]

    def run(self) -> Outcome:
        for site in self._sites.values():
            self._at(site.starts, functools.partial(self._site_starts, site))
        self._give_away()
        while self._events:
            self._now, _, happen = heapq.heappop(self._events)
            happen()
        steady = self._given_last
        available = sum(
            site.workers * max(0.0, steady - site.starts) for site in self._sites.values()
        )
        useful = sum(max(0.0, min(end, steady) - begun) for begun, end in self._worked)
        seconds = steady or 1.0
        return Outcome(
            self._now,
            steady,
            useful / available if available else 1.0,
            self._ended,
            min(1.0, self._driver.busy_at(steady) / seconds),
            sum(one.busy_at(steady) for one in self._servers) / len(self._servers) / seconds,
            self._network.busy_at(steady) / seconds,
        )

    def _at(self, time: float, happen: Callable[[], None]) -> None:
        self._counted += 1
        heapq.heappush(self._events, (time, self._counted, happen))

    def _site_starts(self, site: SimulatedSite) -> None:
        self._slots[site.label] = site.workers
        self._fill(site)
        self._give_away()

    def _give_away(self) -> None:
        while self._work:
            states = [self._state(label) for label in self._sites]
            found = self._place_one(self._waiting, states)
            if found is None:
                return
            number, work = self._work[found.task]
            del self._work[found.task], self._waiting[found.task]
            site = self._sites[found.site]
            self._given[site.label][number] = (self._now, work)
            self._given_last = self._now
            sent = self._driver.serve(self._now, self._costs.driver / 2) + site.delay
            self._at(sent, functools.partial(self._arrives, site, number, work))

    def _state(self, label: str) -> SiteState:
        given, seconds = self._given[label], self._seconds[label]

        def ends() -> list[float]:
            return expected_ends(given.values(), seconds, self._now)

        return SiteState(label, self._slots[label], len(given), seconds, ends)

    def _arrives(self, site: SimulatedSite, number: int, work: float) -> None:
        self._queues[site.label].append((number, work))
        self._fill(site)

    def _fill(self, site: SimulatedSite) -> None:
        """Lets free workers begin what has arrived."""
        queue = self._queues[site.label]
        while queue and self._at_work[site.label] < self._slots[site.label]:
            number, work = queue.popleft()
            self._at_work[site.label] += 1
            seconds = work / site.speed
            self._worked.append((self._now, self._now + seconds))
            self._at(
                self._now + seconds,
                functools.partial(self._stores, site, number, work),
            )

    def _stores(self, site: SimulatedSite, number: int, work: float) -> None:
        costs, done = self._costs, self._now
        if costs.bandwidth:
            done = self._network.serve(done, costs.bytes / costs.bandwidth)
        if costs.store:
            done = self._servers[number % len(self._servers)].serve(done, costs.store)
        self._at(done, functools.partial(self._ends, site, number, work))

    def _ends(self, site: SimulatedSite, number: int, work: float) -> None:
        self._at_work[site.label] -= 1
        self._ended[site.label] += 1
        self._fill(site)
        heard = self._driver.serve(self._now + site.delay, self._costs.driver / 2)
        self._at(heard, functools.partial(self._heard, site, number, work))

    def _heard(self, site: SimulatedSite, number: int, work: float) -> None:
        begun, _ = self._given[site.label].pop(number)
        if work > 0:
            measured = self._measured[site.label]
            measured.append((self._now - begun) / work)
            self._seconds[site.label] = sum(measured) / len(measured)
        self._give_away()
