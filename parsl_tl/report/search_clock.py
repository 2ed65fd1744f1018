"""The time that a search took, without the pauses between a stop and its resume."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class SearchClock:
    """Turns nanoseconds of the wall clock into seconds of search.

    While no evaluation was under way, nobody searched: such gaps count nothing.
    """

    def __init__(self, starts: NDArray[np.float64], ends: NDArray[np.float64]) -> None:
        """Takes the spans of finished evaluations.

        Args:
            starts: nanoseconds [n], NaN where unknown.
            ends: nanoseconds [n], NaN where unknown.
        """
        known = np.isfinite(starts) & np.isfinite(ends)
        order = np.argsort(starts[known], kind="stable")
        starts, ends = starts[known][order], ends[known][order]
        self._origin = float(starts[0]) if len(starts) else 0.0
        reached = np.maximum.accumulate(ends)
        gaps = np.maximum(starts[1:] - reached[:-1], 0.0)
        # A moment between two evaluations is the search's own.
        wide = np.flatnonzero(gaps > 10e9)
        self._gap_starts = reached[:-1][wide]
        self._gap_ends = starts[1:][wide]
        self._lost = np.concatenate([[0.0], np.cumsum(gaps[wide])])

    def seconds(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns seconds of search since its start; NaN where a time is NaN.

        Args:
            times: nanoseconds [n].
        """
        passed = np.searchsorted(self._gap_ends, times, side="right")
        inside = np.searchsorted(self._gap_starts, times, side="right") > passed
        clipped = times.copy()
        if inside.any():
            clipped[inside] = self._gap_starts[passed[inside]]
        seconds: NDArray[np.float64] = (clipped - self._origin - self._lost[passed]) / 1e9
        return np.where(np.isnan(times), np.nan, seconds)

    def now(self, time_ns: int | None) -> float:
        """Returns the seconds of search at a time; 0 where there is none."""
        if time_ns is None:
            return 0.0
        return max(0.0, float(self.seconds(np.array([time_ns], np.float64))[0]))
