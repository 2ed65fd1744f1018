"""Lanes for spans: in each, what overlaps is nested, as a timeline draws it."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from parsl_tl.events.record import Record, RecordedSpan

_ROLES: Final = {"driver": 0, "worker": 1, "server": 2}


class Doer(NamedTuple):
    """Who does what stands in lanes: a process, and those that took its place on the node.

    Attributes:
        host: the node.
        role: ``driver``, ``worker`` or ``server``.
        name: a worker's place in its pool, a store's folder, a number for others.
    """

    host: str
    role: str
    name: str


@dataclass
class Slice:
    """A span, and the spans that are drawn within it.

    Attributes:
        span: that is drawn.
        inner: what is within it, in the order of time.
    """

    span: RecordedSpan
    inner: list[Slice] = field(default_factory=list)

    def walk(self) -> Iterator[Slice]:
        """Yields the slice, and all within it."""
        yield self
        for one in self.inner:
            yield from one.walk()


@dataclass
class Lane:
    """One row of slices.

    Attributes:
        doer: who did it.
        number: of the row among those of the doer, from 0.
        slices: in the order of time; none overlap.
    """

    doer: Doer
    number: int
    slices: list[Slice] = field(default_factory=list)
    _open: list[Slice] = field(default_factory=list)

    def add(self, span: RecordedSpan) -> None:
        """Draws a span that begins no earlier than those before it."""
        made = Slice(span)
        (self._open[-1].inner if self._open else self.slices).append(made)
        self._open.append(made)

    def has_around(self, span: RecordedSpan) -> bool:
        """Returns whether a span can be drawn within the span that it is a part of."""
        self.end_before(span)
        around = self._open[-1].span if self._open else None
        return around is not None and around.key == span.parent and span.end <= around.end

    def end_before(self, span: RecordedSpan) -> None:
        """Takes what has ended when a span begins for ended."""
        while self._open and self._open[-1].span.end <= span.start:
            self._open.pop()


def lanes_of(record: Record) -> list[Lane]:
    """Returns the lanes of all nodes, in the order in which they are shown.

    A span is drawn within the span that it is a part of, if both are the same doer's and one is
    within the other in time. What is done beside that, such as the evaluations that a driver has
    under way or the requests of a server, has as many lanes as are needed.
    """
    spans: dict[Doer, list[RecordedSpan]] = {}
    for span in record.spans.values():
        of = span.process
        spans.setdefault(Doer(of.host, of.role, of.name), []).append(span)
    return [lane for doer in sorted(spans, key=_order) for lane in _lanes(doer, spans[doer])]


def _order(doer: Doer) -> tuple[str, int, str]:
    return (doer.host, _ROLES.get(doer.role, len(_ROLES)), doer.name)


def _lanes(doer: Doer, spans: Iterable[RecordedSpan]) -> list[Lane]:
    lanes: list[Lane] = []
    lane_of: dict[str | None, Lane] = {}
    busy: list[tuple[int, int]] = []  # until when, and the lane's number
    free: list[int] = []
    # Of two that start together, the longer one is around the other.
    for span in sorted(spans, key=lambda one: (one.start, -one.end)):
        lane = lane_of.get(span.parent)
        if lane is None or not lane.has_around(span):
            while busy and busy[0][0] <= span.start:
                heapq.heappush(free, heapq.heappop(busy)[1])
            if not free:
                heapq.heappush(free, len(lanes))
                lanes.append(Lane(doer, len(lanes)))
            lane = lanes[heapq.heappop(free)]
            lane.end_before(span)
            heapq.heappush(busy, (span.end, lane.number))
        lane.add(span)
        lane_of[span.key] = lane
    return lanes
