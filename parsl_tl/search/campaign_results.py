"""What a campaign tells of its journal: results, curves, a summary, and the files of these."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from parsl_tl.reporting.sizes import counted
from parsl_tl.search.candidate import arch_seq_of
from parsl_tl.search.journal import Row, read_journal
from parsl_tl.search.pareto import pareto_optimal
from parsl_tl.search.results import curves_frame, results_frame, write_results
from parsl_tl.search.store_failures import StoreFailures

_COLUMNS: Final = {"parameters": "parameters_total", "bytes": "bytes_total", "layers": "layers"}

if TYPE_CHECKING:
    import pandas as pd

    from parsl_tl.spaces import SearchSpace

logger = logging.getLogger(__name__)


class CampaignResults:
    """The results of the campaign in a folder, as its journal has them whenever it is asked."""

    def __init__(self, folder: Path, space: SearchSpace, minimize: Sequence[str] = ()) -> None:
        """Reads nothing yet.

        Args:
            folder: of the campaign.
            space: what it searches.
            minimize: what is kept small beside the objective; see ``check_measures``.
        """
        self._minimize = minimize
        self._folder = folder
        self._space = space

    def frame(self) -> pd.DataFrame:
        """Returns the finished evaluations; see ``results_frame``."""
        return self._frame_of(self._rows())

    def describe(self, config: Mapping[str, Any]) -> str:
        """Says in a line what network a configuration is."""
        names = [choice.name for choice in self._space.choices()]
        return self._space.describe(arch_seq_of(config, names))

    def curves(self) -> pd.DataFrame:
        """Returns all metrics of every epoch; see ``curves_frame``."""
        return curves_frame(self._rows())

    def summary(self) -> str:
        """Says in one line how far the campaign is, and what it missed of its store."""
        rows = self._rows()
        results = self._frame_of(rows)
        failed = int(results["failure"].notna().sum())
        parts = [counted(len(results), "evaluation"), f"{failed} failed"]
        if results["objective"].notna().any():
            parts.append(f"best {results['objective'].max():.4f}")
        failures = StoreFailures()
        for row in rows:
            failures.note(row["metadata"])
        return ", ".join([*parts, str(failures)] if failures else parts)

    def write(self) -> pd.DataFrame:
        """Writes the tables, and returns ``frame``; files that cannot be written are no error."""
        rows = self._rows()
        results = self._frame_of(rows)
        try:
            write_results(results, self._folder, curves_frame(rows))
        except OSError as error:  # the journal has it all
            logger.warning("results in %s are not up to date: %s", self._folder, error)
        return results

    def _rows(self) -> list[Row]:
        path = self._folder / "journal.jsonl"
        return read_journal(path) if path.exists() else []

    def _frame_of(self, rows: list[Row]) -> pd.DataFrame:
        frame = results_frame(rows, [choice.name for choice in self._space.choices()], self._space)
        with_front(frame, self._minimize)
        return frame


def with_front(frame: pd.DataFrame, minimize: Sequence[str]) -> pd.DataFrame:
    """Adds the column ``pareto`` to results where something is kept small beside the objective.

    Args:
        frame: of ``results_frame``; the column is put behind ``objective``.
        minimize: what is kept small; see ``check_measures``.
    """
    if minimize and not frame.empty:
        points = np.column_stack([frame["objective"], *map(partial(_worth, frame), minimize)])
        frame.insert(list(frame.columns).index("objective") + 1, "pareto", pareto_optimal(points))
    return frame


def column_of(name: str) -> str:
    """Returns the column of the results that holds what is minimized."""
    key = name.removeprefix("-")
    return _COLUMNS.get(key, key)


def _worth(frame: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """Returns what is minimized, so that larger is better; NaN where nobody told."""
    sign = 1.0 if name.startswith("-") else -1.0
    column = column_of(name)
    if column not in frame:
        return np.full(len(frame), np.nan)
    return sign * frame[column].to_numpy(np.float64)
