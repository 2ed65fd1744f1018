"""The best models so far, kept up to date without sorting all of them."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator


class BestModels:
    """So many models with the highest objectives.

    Of equal ones, those with the lowest loss; of those, the ones that came first.
    """

    def __init__(self, size: int) -> None:
        """Starts without models.

        Args:
            size: how many to keep at most.
        """
        self._size = size
        self._num_added = 0
        # The worst, and latest, of the best first.
        self._heap: list[tuple[float, float, int, int]] = []

    def add(self, model_id: int, objective: float, loss: float = math.inf) -> None:
        """Takes in a model; one that is not among the best, or no longer, is forgotten."""
        self._num_added += 1
        entry = (objective, -loss, -self._num_added, model_id)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, entry)
        elif self._heap:
            heapq.heappushpop(self._heap, entry)

    def __iter__(self) -> Iterator[int]:
        return (model_id for *_, model_id in self._heap)
