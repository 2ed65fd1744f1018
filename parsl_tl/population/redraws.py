"""Members of a population that cannot exist are drawn again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import PopulationError
from parsl_tl.population.assembler import Assembler
from parsl_tl.reporting.sizes import counted

_ATTEMPTS: Final = 100

DrawAgain = Callable[[int, int], NDArray[np.int16]]


def replace_impossible(
    rows: NDArray[np.int16], assembler: Assembler, draw_again: DrawAgain, redrawn: Counter[str]
) -> NDArray[np.int16]:
    """Returns sequences of architectures that can exist.

    Args:
        rows: sequences, int16 [n, choices].
        assembler: tells which cannot exist.
        draw_again: gives another sequence for a row, by the number of the attempt, from 1.
        redrawn: counts what was drawn again, by reason.

    Raises:
        PopulationError: nothing possible was drawn for a row.
    """
    impossible = assembler.impossible(rows)
    if impossible:
        rows = rows.copy()
    for attempt in range(1, _ATTEMPTS + 1):
        if not impossible:
            return rows
        redrawn.update(impossible.values())
        indices = list(impossible)
        for index in indices:
            rows[index] = draw_again(index, attempt)
        found = assembler.impossible(rows[indices])
        impossible = {indices[place]: reason for place, reason in found.items()}
    if impossible:
        raise PopulationError(
            f"none of {_ATTEMPTS + 1} architectures that were drawn for a member can exist: "
            f"{next(iter(impossible.values()))}; choose a larger input_shape"
        )
    return rows


def redraws_text(redrawn: Iterable[Mapping[str, int]]) -> str:
    """Says how many members were drawn again, and why; nothing if none was.

    Args:
        redrawn: numbers by reason, of each part.
    """
    total: Counter[str] = Counter()
    for counts in redrawn:
        total.update(counts)
    if not total:
        return ""
    reasons = "; ".join(f"{count:,}: {reason}" for reason, count in total.most_common(5))
    return f"drawn again: {counted(total.total(), 'member')} that cannot exist ({reasons})"
