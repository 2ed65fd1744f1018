"""Which task goes to which site, of what is known of both; nothing here runs or waits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

_SAMPLE: Final = 256


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
        ends: gives when running tasks are expected to end, in seconds from now; at least 0. Of
            many, a sample is enough. Called for the last tasks of a workflow only.
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
    waiting: Collection[WaitingTask], sites: Sequence[SiteState], *, more_to_come: bool
) -> Placement | None:
    """Decides what is to be given away next.

    The first task that can run on a free slot goes to the site where it takes the shortest time.
    While more is to come, no slot is left idle. Of the last tasks, none is given to a site if
    faster ones, busy now, could do all that wait before that site had done one: each then ends
    where it ends soonest (list scheduling by earliest completion, as HEFT does it: Topcuoglu et
    al., IEEE TPDS 13(3), 2002).

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
    wait: set[frozenset[str] | None] = set()  # what is decided for one holds for its like
    for number, task in enumerate(waiting):
        usable = [site for site in free if task.runs_on(site.label)]
        if not usable or (task.sites in wait and not task.costs):
            continue
        # Among equals, where most slots are free, so that load spreads.
        best = min(usable, key=lambda one: (task.seconds(one, unknown), -one.free))
        if more_to_come or not _should_wait(task, best, sites, len(waiting), unknown):
            return Placement(number, best.label)
        wait.add(task.sites)
    return None


def _should_wait(
    task: WaitingTask, site: SiteState, sites: Sequence[SiteState], waiting: int, unknown: float
) -> bool:
    """Whether faster sites would do all that wait before a site had done one task."""
    seconds = task.seconds(site, unknown)
    faster = [
        (other, own)
        for other in sites
        if task.runs_on(other.label) and 0 < (own := task.seconds(other, unknown)) < seconds
    ]
    # Before anything is counted slot by slot: at most so many, if all were free now.
    if sum(other.slots * int(seconds / own) for other, own in faster) < waiting:
        return False
    room = 0.0
    for other, own in faster:
        ends = other.ends()
        share = other.busy / max(1, len(ends))
        room += share * sum(max(0, int((seconds - end) / own + 1e-9)) for end in ends)
    return room >= waiting


def expected_ends(
    running: Collection[tuple[float, float]], seconds_per_unit: float | None, now: float
) -> list[float]:
    """Returns when running tasks are expected to end, in seconds from now; of many, a sample.

    One that takes longer than expected is taken to go on for as long again, so that nobody waits
    without an end for a site that hangs.

    Args:
        running: when each began, and its work.
        seconds_per_unit: how long a unit takes at the site; None if that is not known.
        now: in seconds, on the clock of the beginnings.
    """
    step = max(1, len(running) // _SAMPLE)
    unit = seconds_per_unit or 0.0
    return [abs(begun + work * unit - now) for begun, work in islice(running, 0, None, step)]


def _unknown(sites: Sequence[SiteState]) -> float:
    """A site that is not measured counts as the fastest one, so that it is tried."""
    known = [site.seconds_per_unit for site in sites if site.seconds_per_unit is not None]
    return min(known, default=1.0)
