"""By how much the clocks of nodes differ, as spans tell that are part of each other.

What a worker does for a driver happens between the driver's asking and its hearing of the end, and
what a server does, between its client's call and the answer. So each span whose parent ran by
another clock bounds the difference of the two clocks from both sides, as a round trip does in the
Network Time Protocol; many of them bound it tightly. All bounds together are a system of difference
constraints, whose extreme solutions are shortest paths (Bellman and Ford). Half way between the two
extremes every bound holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from parsl_tl.events.record import Record

Bounds = dict[tuple[str, str], int]
"""``(a, b): most``: what is to be added to clock b is at most so much more than to clock a."""


@dataclass(frozen=True)
class ClockCorrection:
    """What is added to the times of a clock.

    Attributes:
        nanoseconds: to be added.
        uncertainty: by how much it may be wrong; None where no span ties the clock to others.
    """

    nanoseconds: int
    uncertainty: int | None


def correct_clocks(record: Record) -> tuple[dict[str, ClockCorrection], bool]:
    """Corrects the times of all spans, so that parts are within what they are a part of.

    The driver's clock is taken for right, without a driver that of most spans. Clocks that may
    all be right are left alone.

    Args:
        record: its spans get their times corrected.

    Returns:
        What was added to each clock, and whether the bounds agree. They do not where a clock was
        set, or ran at another speed, while the record was made; parts may then stick out.
    """
    clocks = _clocks(record)
    bounds = _bounds(record)
    if all(most >= 0 for most in bounds.values()):
        return _as_they_are(clocks, bounds), True
    most, agree_above = _shortest(clocks, bounds)
    reversed_bounds = {(b, a): value for (a, b), value in bounds.items()}
    least, agree_below = _shortest(clocks, reversed_bounds)
    found = {}
    for clock in clocks:
        above, below = most.get(clock), least.get(clock)
        if above is None or below is None:
            found[clock] = ClockCorrection(0, None)
        else:
            found[clock] = ClockCorrection((above - below) // 2, max(0, (above + below) // 2))
    for span in record.spans.values():
        add = found[span.process.clock].nanoseconds
        span.start += add
        span.end += add
    return found, agree_above and agree_below


def _clocks(record: Record) -> list[str]:
    """Returns the clocks, the one that is taken for right before the others."""
    spans: dict[str, int] = {}
    drivers = set()
    for span in record.spans.values():
        spans[span.process.clock] = spans.get(span.process.clock, 0) + 1
        if span.process.role == "driver":
            drivers.add(span.process.clock)
    return sorted(spans, key=lambda clock: (clock not in drivers, -spans[clock], clock))


def _bounds(record: Record) -> Bounds:
    bounds: Bounds = {}

    def note(a: str, b: str, most: int) -> None:
        bounds[a, b] = min(most, bounds.get((a, b), most))

    for span in record.spans.values():
        parent = record.parent_of(span)
        # Of what was lost, timed out or was cancelled, a part may go on after the whole has ended.
        if parent is None or parent.process.clock == span.process.clock or parent.error:
            continue
        note(parent.process.clock, span.process.clock, parent.end - span.end)
        note(span.process.clock, parent.process.clock, span.start - parent.start)
    return bounds


def _as_they_are(clocks: list[str], bounds: Bounds) -> dict[str, ClockCorrection]:
    tied = {clock for pair in bounds for clock in pair} | {clocks[0]}
    most, _ = _shortest(clocks, bounds)
    return {
        clock: ClockCorrection(0, most.get(clock, 0) if clock in tied else None) for clock in clocks
    }


def _shortest(clocks: list[str], bounds: Bounds) -> tuple[dict[str, int], bool]:
    """Returns the length of the shortest path to each clock, and whether there is one."""
    length = {clocks[0]: 0}
    for _ in clocks:
        is_settled = True
        for (a, b), most in bounds.items():
            if a in length and length[a] + most < length.get(b, length[a] + most + 1):
                length[b] = length[a] + most
                is_settled = False
        if is_settled:
            return length, True
    return length, False
