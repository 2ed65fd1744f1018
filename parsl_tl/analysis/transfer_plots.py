"""Plots of transfers, one for each topic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from parsl_tl.analysis.transfers import Transfers
from parsl_tl.reporting.plots import save_figure

_BLUE, _ORANGE = "#1f77b4", "#ff7f0e"
_SIZE = (10.5, 4.2)
_LEAST_WINDOW = 5


def plot_prefix_lengths(lengths: pd.DataFrame, transfers: Transfers, path: Path) -> Path:
    """Draws the distribution of transferred prefixes, and their mean over time.

    Args:
        lengths: from ``transfer_topics.prefix_lengths``.
        transfers: what it was made from.
        path: of the picture.
    """

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        left.bar(lengths["layers_transferred"], lengths["share"], color=_BLUE, width=0.85)
        left.set_xlabel(f"transferred {transfers.unit}")
        left.set_ylabel("share of candidates")
        numbers = np.flatnonzero(transfers.eligible)
        shares = transfers.transferred[numbers] / np.maximum(transfers.layers[numbers], 1)
        right.plot(numbers, shares, ".", color=_BLUE, alpha=_alpha(len(numbers)), markersize=3)
        middles, means = _running_mean(numbers, shares)
        right.plot(middles, means, color=_ORANGE, linewidth=2, label="running mean")
        right.set_xlabel("model")
        right.set_ylabel("transferred share of its layers")
        right.set_ylim(-0.03, 1.03)
        right.legend(fontsize=8)
        _grid(left, right)

    return save_figure(path, _SIZE, draw)


def plot_popularity(followed: pd.DataFrame, overall: pd.DataFrame, window: int, path: Path) -> Path:
    """Draws whose layers were taken over, in a sliding window of transfers.

    Args:
        followed: from ``transfer_topics.popularity``.
        overall: from there, too.
        window: transfers in a window.
        path: of the picture.
    """

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        shares = followed.pivot(index="end", columns="donor", values="share")
        shares = shares[followed["donor"].unique()]
        names = [str(name)[:8] for name in shares.columns]
        if names:
            left.stackplot(shares.index, shares.to_numpy().T, labels=names, alpha=0.85)
            place = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
            left.legend(fontsize=7, title="donor", title_fontsize=7, **place)
        left.set_xlabel("model")
        left.set_ylabel(f"share of the latest {window} transfers")
        # White is what all other donors gave.
        left.set_ylim(0, 1)
        right.plot(overall["end"], overall["donors"], color=_BLUE, label="donors")
        right.plot(
            overall["end"], overall["effective_donors"], color=_ORANGE, label="effective donors"
        )
        right.set_xlabel("model")
        right.set_ylabel(f"in the latest {window} transfers")
        right.set_ylim(bottom=0)
        right.legend(fontsize=8)
        _grid(left, right)

    return save_figure(path, _SIZE, draw)


def plot_donors(lives: pd.DataFrame, useful: pd.DataFrame, path: Path) -> Path:
    """Draws how long donors stay useful, and how often each is used.

    Args:
        lives: from ``transfer_topics.donor_lives``.
        useful: from ``transfer_topics.still_useful``.
        path: of the picture.
    """

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        left.step(useful["age"], useful["still_useful"], where="post", color=_BLUE)
        left.set_xlabel("age, in models that came after the donor")
        left.set_ylabel("share of donors with a later receiver")
        left.set_ylim(0, 1.03)
        places = np.arange(1, len(lives) + 1)
        right.semilogx(places, lives["transfers"], ".", color=_BLUE, markersize=4)
        right.set_ylim(bottom=0)
        right.set_xlabel("donor, by number of transfers")
        right.set_ylabel("transfers")
        _grid(left, right)

    return save_figure(path, _SIZE, draw)


def plot_lineage(depth: pd.DataFrame, models: pd.DataFrame, path: Path) -> Path:
    """Draws how many ancestors models have, and how that number grows.

    Args:
        depth: from ``transfer_topics.lineage``.
        models: from ``transfer_topics.per_model``.
        path: of the picture.
    """

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        for offset, column, colour, label in (
            (-0.2, "by_parent", _BLUE, "parents"),
            (0.2, "by_donor", _ORANGE, "donors"),
        ):
            left.bar(depth["depth"] + offset, depth[column], 0.4, color=colour, label=label)
            numbers = models["number"].to_numpy(np.float64)
            depths = models[f"depth_{column}"].to_numpy(np.float64)
            right.plot(numbers, depths, ".", color=colour, alpha=_alpha(len(models)), markersize=3)
            middles, means = _running_mean(numbers, depths)
            right.plot(middles, means, color=colour, linewidth=2, label=label)
        left.set_xlabel("ancestors")
        left.set_ylabel("models")
        right.set_xlabel("model")
        right.set_ylabel("ancestors")
        left.legend(fontsize=8)
        right.legend(fontsize=8)
        _grid(left, right)

    return save_figure(path, _SIZE, draw)


def _running_mean(
    numbers: NDArray[Any], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns means of windows of a twentieth of the values, at the middles of the windows."""
    if not len(values):
        return np.empty(0), np.empty(0)
    window = min(len(values), max(_LEAST_WINDOW, len(values) // 20))
    kernel = np.full(window, 1 / window)
    return (
        np.convolve(numbers.astype(np.float64), kernel, "valid"),
        np.convolve(values, kernel, "valid"),
    )


def _alpha(count: int) -> float:
    return float(np.clip(200 / max(count, 1), 0.04, 0.6))


def _grid(*all_axes: Any) -> None:
    """Finishes axes: all that is counted along them is whole."""
    from matplotlib.ticker import MaxNLocator

    for axes in all_axes:
        axes.grid(alpha=0.3)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        if axes.get_xscale() == "linear":
            axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
