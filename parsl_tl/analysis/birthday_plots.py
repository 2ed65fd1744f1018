"""Plots of the birthday problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pandas as pd

from parsl_tl.analysis.birthday_tables import CLOSED_FORM, MEASURED
from parsl_tl.reporting.plots import save_figure

_COLOURS = {
    ("random", "random"): "#1f77b4",
    ("evolved", "random"): "#ff7f0e",
    ("evolved", "mutated"): "#d62728",
}
_SERIES = ["method", "population", "candidates"]


def plot_expected(expected: pd.DataFrame, unit: str, path: Path) -> Path:
    """Draws the expected longest prefix over the number of stored architectures.

    Args:
        expected: from ``birthday_tables.expected_table``.
        unit: what is counted.
        path: of the picture.
    """

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        _draw_series(axes, expected, "n", "mean")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("stored architectures")
        axes.set_ylabel(f"expected longest prefix, {unit}")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)

    return save_figure(path, (7.0, 4.5), draw)


def plot_probabilities(probabilities: pd.DataFrame, size: int, unit: str, path: Path) -> Path:
    """Draws how likely a prefix of at least each length is.

    Args:
        probabilities: from ``birthday_tables.probability_table``.
        size: number of stored architectures.
        unit: what is counted.
        path: of the picture.
    """

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        _draw_series(axes, probabilities[probabilities["n"] == size], "length", "probability")
        axes.set_ylim(0, 1.03)
        axes.set_xlabel(f"length, {unit}")
        axes.set_ylabel("probability of a prefix at least as long")
        axes.set_title(f"{size:,} stored architectures", fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)

    return save_figure(path, (7.0, 4.5), draw)


def _draw_series(axes: Any, table: pd.DataFrame, x: str, y: str) -> None:
    """Draws the closed form as a line, all others as points with their intervals."""
    for key, group in table.groupby(_SERIES, sort=False):
        method, population, candidates = map(str, cast("tuple[str, ...]", key))
        rows = group.sort_values(x)
        if method == CLOSED_FORM:
            axes.plot(rows[x], rows[y], color="#bbbbbb", linewidth=5, label="closed form", zorder=1)
            continue
        measured = method == MEASURED
        axes.errorbar(
            rows[x],
            rows[y],
            yerr=(rows[y] - rows["low"], rows["high"] - rows[y]),
            color=_COLOURS[population, candidates],
            marker="s" if measured else "o",
            markerfacecolor="white" if measured else None,
            markersize=6.5 if measured else 4.5,
            linewidth=0.8,
            linestyle="none" if population == "random" else "-",
            capsize=3,
            label=f"{method}: {population} population, {candidates} candidates",
            zorder=2 if measured else 3,
        )
