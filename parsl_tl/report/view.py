"""A view that is ready to be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from parsl_tl.report.svg import Plot


class View(NamedTuple):
    """A drawing, a sentence, and the table behind both.

    Attributes:
        key: name of its files and place in the page.
        title: above it.
        note: what there is to know, in a sentence; empty for nothing.
        svg: the drawing; empty where there is nothing to draw.
        table: the data.
        legend: class of the fill and name of each series.
    """

    key: str
    title: str
    note: str
    svg: str
    table: pd.DataFrame
    legend: tuple[tuple[str, str], ...] = ()


def drawn(key: str, title: str, note: str, plot: Plot, table: pd.DataFrame) -> View:
    """Returns the view of a plot."""
    return View(key, title, note, plot.svg(), table, tuple(plot.legend))


def objective_range(frame: pd.DataFrame) -> tuple[float, float]:
    """Returns a range that shows the best values well: the worst tenth of the rest may be cut."""
    values = frame["objective"].dropna().to_numpy(np.float64)
    low, high = float(np.quantile(values, 0.05)), float(frame["best"].max())
    low = min(low, float(frame["best"].min()))
    # All equal: wide enough for ticks that differ as they are written.
    room = (high - low) * 0.05 or 0.05 * max(abs(high), 1e-6)
    return low - room, high + room
