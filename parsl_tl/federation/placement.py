"""Which task goes to which site, of what is known of both; nothing here runs or waits."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Placement(NamedTuple):
    """A decision.

    Attributes:
        task: number of the task among those that wait.
        site: label of the site that gets it.
    """

    task: int
    site: str


@dataclass(frozen=True)
class SiteState:
    """What is known of a site.

    Attributes:
        label: its name.
        slots: tasks that it can run at a time now.
        busy: tasks that it runs.
        seconds_per_unit: how long a task of one unit of work takes there; None before any ended.
        ends: gives when each of its running tasks is expected to end, in seconds from now; at
            least 0. Called for the last tasks of a workflow only.
    """

    label: str
    slots: int
    busy: int = 0
    seconds_per_unit: float | None = None
    ends: Callable[[], Sequence[float]] = tuple

    @property
    def free(self) -> int:
        """Slots without a task."""
        return self.slots - self.busy


@dataclass(frozen=True)
class WaitingTask:
    """What is known of a task that no site has.

    Attributes:
        work: its size; seconds are proportional to it.
        sites: labels of the sites that can run it; None for all.
        costs: seconds that it takes longer at a site, by label, as where its data is far away.
    """

    work: float = 1.0
    sites: frozenset[str] | None = None
    costs: Mapping[str, float] = field(default_factory=dict)

    def runs_on(self, label: str) -> bool:
        """Whether a site can run it."""
        return self.sites is None or label in self.sites

    def seconds(self, site: SiteState, unknown: float) -> float:
        """Returns how long it takes at a site.

        Args:
            site: where.
            unknown: seconds per unit of a site that is not measured yet.
        """
        known = site.seconds_per_unit
        return self.work * (unknown if known is None else known) + self.costs.get(site.label, 0.0)


def place(
    waiting: Sequence[WaitingTask], sites: Sequence[SiteState], *, more_to_come: bool
) -> Placement | None:
    """Decides what is to be given away next.

    While more is to come, a free slot is never left idle: the first task that can run at all goes
    to the site where it takes the shortest time. Of the last tasks, each would end soonest
    somewhere (list scheduling by earliest completion time, as HEFT does it: Topcuoglu et al., IEEE
    TPDS 13(3), 2002); who would end sooner by waiting for a busy but faster site waits.

    Args:
        waiting: in the order in which they came.
        sites: that take tasks.
        more_to_come: whether tasks will follow that are not in ``waiting``.

    Returns:
        None where no task should be given away now.
    """
    free = [site for site in sites if site.free > 0]
    if not free:
        return None
    unknown = _unknown(sites)
    # With more tasks than this, every slot is needed.
    if more_to_come or len(waiting) > 4 * sum(max(0, site.slots) for site in sites):
        for number, task in enumerate(waiting):
            usable = [site for site in free if task.runs_on(site.label)]
            if usable:
                # Among equals, where most slots are free, so that load spreads.
                best = min(usable, key=lambda one: (task.seconds(one, unknown), -one.free))
                return Placement(number, best.label)
        return None
    return _earliest(waiting, sites, unknown)


def _earliest(
    waiting: Sequence[WaitingTask], sites: Sequence[SiteState], unknown: float
) -> Placement | None:
    """Schedules all that wait, and returns the first task that would start now."""
    queues = {site.label: _slots_of(site) for site in sites if site.slots > 0}
    for number, task in enumerate(waiting):
        ends = {
            site.label: queues[site.label][0] + task.seconds(site, unknown)
            for site in sites
            if site.label in queues and task.runs_on(site.label)
        }
        if not ends:
            continue
        free = {site.label: site.free for site in sites}
        label = min(ends, key=lambda one: (ends[one], -free[one]))
        if queues[label][0] == 0:
            return Placement(number, label)
        heapq.heapreplace(queues[label], ends[label])
    return None


def _slots_of(site: SiteState) -> list[float]:
    """Returns when each slot is free, as a heap; a site that lost workers has fewer than tasks."""
    slots = [0.0] * max(0, site.free) + sorted(max(end, 1e-9) for end in site.ends())
    slots = slots[: site.slots]
    heapq.heapify(slots)
    return slots


def _unknown(sites: Sequence[SiteState]) -> float:
    """A site that is not measured counts as the fastest one, so that it is tried."""
    known = [site.seconds_per_unit for site in sites if site.seconds_per_unit is not None]
    return min(known, default=1.0)
