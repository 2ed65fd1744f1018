"""The last evaluations of a search, for searches that keep all of them elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parsl_tl.mpi import mpi_left_alone

with mpi_left_alone():
    from deephyper.hpo._search import SearchHistory


class ShortHistory(SearchHistory):  # type: ignore[misc]
    """DeepHyper's history, without what came before the last results."""

    def extend(self, jobs: Sequence[Any]) -> None:
        """Takes in results in place of those before."""
        if jobs:
            self.jobs.clear()
            self.solution_history.clear()
        super().extend(jobs)
