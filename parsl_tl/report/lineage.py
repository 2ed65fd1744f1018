"""Who gave what to whom, up to the best models: the ancestors as a drawing's rows and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from parsl_tl.report.views import transfers
from parsl_tl.search.results import best_first

if TYPE_CHECKING:
    from parsl_tl.analysis.transfers import Transfers
    from parsl_tl.report.run import Run

# More cannot be told apart in a drawing.
_MOST_MODELS = 400


class Gift(NamedTuple):
    """What a model has from another: ``layers`` from its donor; none from a parent that was not."""

    giver: str
    receiver: str
    layers: int
    is_donor: bool


class Ancestor(NamedTuple):
    """A model in the lineage.

    Attributes:
        model_id: 16 hex digits.
        job: its number in the search.
        objective: of its own.
        rank: 1 for the best model, 2 for the next, 0 for ancestors that are none of these.
        generation: length of the longest way to it from a model without ancestors.
        row: where it is drawn; the line of donors of the best model is row 0.
        layers: layers with weights.
        transferred: those of them that came from its donor.
    """

    model_id: str
    job: int
    objective: float
    rank: int
    generation: int
    row: int
    layers: int
    transferred: int


class Lineage(NamedTuple):
    """Ancestors, oldest first, and what they gave; ``left_out`` tells how many were too many."""

    ancestors: list[Ancestor]
    gifts: list[Gift]
    left_out: int


def lineage(run: Run, top: int = 5, most: int = _MOST_MODELS) -> Lineage:
    """Returns the lineage of the best models.

    Args:
        run: whose models.
        top: how many of the best.
        most: models in it; of more, the oldest are left out.
    """
    found = transfers(run)
    if found is None:
        return Lineage([], [], 0)
    best = run.good.index.get_indexer(best_first(run.frame).index[:top]).tolist()
    members = _ancestors(found, best)
    left_out = max(0, len(members) - most)
    members = members[left_out:]
    kept = set(members)
    rows = _rows(found, best, kept)
    generation: dict[int, int] = {}
    for number in members:
        before = [generation[one] for one in _sources(found, number) if one in generation]
        generation[number] = max(before, default=-1) + 1
    ranks = {number: rank for rank, number in enumerate(best, 1)}
    jobs = run.good["job"].to_numpy(np.int64)
    objectives = run.good["objective"].to_numpy(np.float64)
    ancestors = [
        Ancestor(
            found.names[number],
            int(jobs[number]),
            float(objectives[number]),
            ranks.get(number, 0),
            generation[number],
            rows[number],
            int(found.layers[number]),
            int(found.transferred[number]),
        )
        for number in members
    ]
    return Lineage(ancestors, _gifts(found, members, kept), left_out)


def _sources(found: Transfers, number: int) -> list[int]:
    """Returns donor and parent of a model, where it has them; never a later one."""
    pair = dict.fromkeys([int(found.donors[number]), int(found.parents[number])])
    return [one for one in pair if 0 <= one < number]


def _ancestors(found: Transfers, best: Sequence[int]) -> list[int]:
    seen, open_ones = set(best), list(best)
    while open_ones:
        for one in _sources(found, open_ones.pop()):
            if one not in seen:
                seen.add(one)
                open_ones.append(one)
    return sorted(seen)


def _rows(found: Transfers, best: Sequence[int], kept: set[int]) -> dict[int, int]:
    """Gives each line of donors a row of its own, the best model's first."""
    rows: dict[int, int] = {}
    next_row = 0
    for start in [*best, *sorted(kept, reverse=True)]:
        number, line = start, []
        while number in kept and number not in rows:
            line.append(number)
            rows[number] = next_row
            sources = _sources(found, number)
            number = sources[0] if sources else -1
        next_row += bool(line)
    return rows


def _gifts(found: Transfers, members: Sequence[int], kept: set[int]) -> list[Gift]:
    return [
        Gift(
            found.names[source],
            found.names[number],
            int(found.transferred[number]) if source == found.donors[number] else 0,
            source == int(found.donors[number]),
        )
        for number in members
        for source in _sources(found, number)
        if source in kept
    ]
