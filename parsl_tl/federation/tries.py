"""Tasks at sites: which of them are to be taken away from where they are."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from parsl_tl.errors import EvaluationTimeoutError, InfrastructureError
from parsl_tl.federation.infrastructure import DESERTED_SECONDS
from parsl_tl.federation.sites import Sites

SECONDS_BETWEEN_LOOKS: Final = 0.5
"""How often ``Tries.look`` is to be called."""

T = TypeVar("T")


@dataclass(eq=False)
class Try(Generic[T]):
    """A task at a site.

    Attributes:
        task: whose it is.
        site: label of where it is.
        begun: when it got there, as ``time.monotonic`` says.
        seconds: that it may take there while the site has workers for its tasks; None for no limit.
        worked: seconds that the site had had workers when it got there.
    """

    task: T
    site: str
    begun: float
    seconds: float | None
    worked: float


class Tries(Generic[T]):
    """The tasks that sites have. One look at the sites serves all of them, however many there are.

    Args:
        sites: that are open.
    """

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._all: dict[Try[T], None] = {}
        self._worked: dict[str, float] = {}  # seconds in which a site had workers for its tasks
        self._had_workers: dict[str, float] = {}  # when a site had them last
        self._looked = 0.0

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, one: object) -> bool:
        return one in self._all

    def begin(
        self, task: T, site: str, *, work: float = 1.0, seconds: float | None = None
    ) -> Try[T]:
        """Notes that a site has got a task.

        Args:
            task: whatever the caller knows it by.
            site: label of the site.
            work: see ``Sites.start``.
            seconds: that it may take there, without those in which the site lacks workers.
        """
        now = time.monotonic()
        if not self._all:
            self._looked = now
        one = Try(task, site, now, seconds, self._worked.setdefault(site, 0.0))
        self._all[one] = None
        self._sites.start(site, one, work)
        return one

    def end(self, one: Try[T], *, measured: bool) -> None:
        """Notes that a site does not have a task any more; see ``Sites.end``."""
        del self._all[one]
        self._sites.end(one.site, one, measured=measured)

    def tasks(self) -> list[T]:
        """Returns the tasks that sites have."""
        return [one.task for one in self._all]

    def look(self) -> list[tuple[Try[T], Exception]]:
        """Returns what is to be given up now, and why; the caller ends these tries.

        That is an ``EvaluationTimeoutError`` for a task whose seconds are over, and an
        ``InfrastructureError`` for those of a site that has had no workers for long, while another
        site may have some.
        """
        now = time.monotonic()
        elapsed, self._looked = now - self._looked, now
        deserted = set()
        for site in {one.site for one in self._all}:
            if self._sites.has_workers(site):
                self._worked[site] += elapsed
                self._had_workers[site] = now
            elif self._sites.has_alternative(site):
                deserted.add(site)
        given_up: list[tuple[Try[T], Exception]] = []
        for one in self._all:
            worked = min(self._worked[one.site] - one.worked, now - one.begun)
            if one.seconds is not None and worked > one.seconds:
                text = f"more than {one.seconds:g} seconds"
                given_up.append((one, EvaluationTimeoutError(text)))
            elif one.site in deserted:
                since = max(one.begun, self._had_workers.get(one.site, 0.0))
                if now - since > DESERTED_SECONDS:
                    why = f"site {one.site} has had no workers for {DESERTED_SECONDS:g} s"
                    given_up.append((one, InfrastructureError(why)))
        return given_up
