"""What a study leaves to look at: tables as files, a plot for each case, and one page."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parsl_tl.reporting.files import replace_file, write_table
from parsl_tl.reporting.page import page, picture, table
from parsl_tl.reporting.plots import save_figure
from parsl_tl.reporting.sizes import counted
from parsl_tl.study.measures import COMPARED
from parsl_tl.study.settings import BASELINE

if TYPE_CHECKING:
    import pandas as pd

    from parsl_tl.study.study import Study

_POINTS = 200


def write_report(study: Study) -> list[Path]:
    """Writes all tables (CSV and Parquet), plots and ``study.html`` into the study's folder.

    Raises:
        AnalysisError: matplotlib is not installed, or a file cannot be written.
    """
    folder, curves, comparison = study.folder, study.curves, study.comparison
    files = [
        *write_table(study.results, folder, "study"),
        *write_table(curves, folder, "study_curves"),
        *write_table(comparison, folder, "study_comparison"),
    ]
    peers = study.beside_peers
    if not peers.empty:
        files += write_table(peers, folder, "study_peers")
    if not study.children.empty:
        files += write_table(study.children, folder, "study_children")
        files += write_table(study.correlations, folder, "study_correlations")
    plots = [_plot(folder, str(case), group) for case, group in curves.groupby("case", sort=False)]
    page = _page(study, comparison, peers, plots)
    return [
        *files,
        *plots,
        replace_file(folder / "study.html", lambda path: path.write_text(page, "utf-8")),
    ]


def sentences(study: Study) -> list[str]:
    """Says for each case, in one sentence each, what transfer brought."""
    comparison, results = study.comparison, study.results
    comparison = comparison[~comparison["policy"].isin(study.settings.peers)]
    return [
        _sentence(str(case), group, results[results["case"] == case])
        for case, group in comparison.groupby("case", sort=False)
    ]


def short_tables(study: Study) -> list[tuple[str, pd.DataFrame]]:
    """Returns titles and tables for a terminal: a column for each value that is compared."""
    import pandas as pd

    tables = []
    marked = f"(*: beyond its {study.settings.confidence:.0%} interval)"
    for case, group in study.comparison.groupby("case", sort=False):
        title = f"{case}: mean, and the difference to {BASELINE} by seed {marked}"
        tables.append((title, _differences(group, ["policy"])))
    peers = study.beside_peers
    if not peers.empty:
        for case, group in peers.groupby("case", sort=False):
            title = f"{case}: mean, and the difference to other libraries by seed {marked}"
            tables.append((title, _differences(group, ["policy", "peer"])))
    found = study.correlations
    if not found.empty:
        table = found[["case", "policy", "children", "difference"]].assign(
            **{
                title: [
                    f"{row[name]:.2f} ({row[f'{name}_low']:.2f} to {row[f'{name}_high']:.2f})"
                    for row in found.to_dict("records")
                ]
                for title, name in (
                    ("tau with the share inherited", "tau_share"),
                    ("that, corrected", "tau_share_corrected"),
                    ("tau of the objectives", "tau_objective"),
                    ("those, corrected", "tau_objective_corrected"),
                )
            }
        )
        tables.append(("Children trained twice: transferred minus scratch", pd.DataFrame(table)))
    return tables


def _differences(rows: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Returns a row for each of ``names``, with a text for each value that is compared."""
    shown = rows.assign(
        value=rows["value"].map(COMPARED),
        text=[
            f"{row.mean_:.4g} {row.difference:+.3g}{'' if row.verdict == 'alike' else ' *'}"
            for row in rows.rename(columns={"mean": "mean_"}).itertuples()
        ],
    )
    order = list(dict.fromkeys(shown["value"]))
    table = shown.pivot_table("text", names, "value", aggfunc="first", sort=False)
    return table[order].reset_index()


def _sentence(case: str, group: pd.DataFrame, results: pd.DataFrame) -> str:
    # What counts most among what was measured: a winner on rows that no search has seen.
    order = ("inherited_test", "found_test", "equal_cpu")
    column = next(name for name in order if name in set(group["value"]))
    rows = group[group["value"] == column]
    best = rows.sort_values("difference", ascending=False).iloc[0]
    where = (
        f"{best['policy']} {best['mean']:.4g}, {BASELINE} {best['baseline']:.4g} "
        f"({COMPARED[column]}; difference {best['difference']:+.3g}, "
        f"interval {best['low']:+.3g} to {best['high']:+.3g}, {best['seeds']} seeds)"
    )
    if best["verdict"] == "better":
        ratios = results[results["policy"] == best["policy"]]["seconds_ratio"].astype(float)
        reached = ratios.fillna(np.inf).median()
        soon = (
            f"; it reached what {BASELINE} ended with after {reached:.2f} of its CPU seconds"
            if np.isfinite(reached)
            else ""
        )
        return f"{case}: transfer helps: {where}{soon}."
    if best["verdict"] == "worse":
        return f"{case}: transfer does not help, every policy is worse than {BASELINE}: {where}."
    return f"{case}: no policy differs from {BASELINE} by more than chance: {where}."


def _plot(folder: Path, case: str, curves: pd.DataFrame) -> Path:
    """Draws the best value over the baseline's CPU seconds: the mean, and the span of the seeds."""
    spent = curves[curves["policy"] == BASELINE].groupby("seed")["cpu_seconds"].max()
    places = np.linspace(0, 1, _POINTS)

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        for number, (policy, group) in enumerate(curves.groupby("policy", sort=False)):
            lines = np.array(
                [
                    _at(curve, places * spent[seed])
                    for seed, curve in group.groupby("seed")
                    if seed in spent
                ]
            )
            if not len(lines):
                continue
            # Before a seed's first success there is no mean of all.
            color = f"C{number}"
            axes.step(places, lines.mean(axis=0), color=color, label=policy, where="post")
            low, high = lines.min(axis=0), lines.max(axis=0)
            axes.fill_between(places, low, high, color=color, alpha=0.12, step="post")
        axes.set_xlabel(f"CPU seconds, as a share of what {BASELINE} spent")
        axes.set_ylabel("best objective so far")
        axes.set_title(f"{case}: mean and span over seeds", fontsize=10)
        axes.grid(alpha=0.4)
        axes.legend(loc="lower right", fontsize=8)

    return save_figure(folder / f"study-{case}.png", (8.0, 4.5), draw)


def _at(curve: pd.DataFrame, seconds: Any) -> Any:
    """Returns the best value at each time; NaN before the first evaluation has ended."""
    ended = curve["cpu_seconds"].to_numpy()
    values = np.concatenate([[np.nan], curve["objective"].to_numpy(np.float64)])
    return values[np.searchsorted(ended, seconds * (1 + 1e-9), side="right")]


def _page(
    study: Study, comparison: pd.DataFrame, peers: pd.DataFrame, plots: Iterable[Path]
) -> str:
    settings = study.settings
    tables = [("Policies beside scratch, paired by seed", comparison.replace({"value": COMPARED}))]
    if not study.correlations.empty:
        tables.append(("Children trained twice: is their ranking fair?", study.correlations))
    if not peers.empty:
        first = ["case", "policy", "peer"]
        shown_peers = peers.replace({"value": COMPARED})
        shown_peers = shown_peers[[*first, *(name for name in peers if name not in first)]]
        tables.append(("Beside other libraries, at equal CPU seconds", shown_peers))
    results = study.results.drop(columns=["winner", "note"], errors="ignore")
    tables.append(("Every campaign", results))
    images = "".join(
        picture(plot, f"{plot.stem}: best objective over CPU seconds") for plot in plots
    )
    said = "".join(f"<li>{html.escape(line)}</li>" for line in sentences(study))
    shown = "".join(
        f"<h2>{html.escape(title)}</h2>{table(frame, title)}" for title, frame in tables
    )
    about = (
        f"{counted(len(settings.cases), 'case')}, policies {', '.join(settings.policies)}, "
        f"{counted(len(settings.seeds), 'seed')}. Intervals are of {settings.confidence:.0%}. "
        "CPU seconds are those of the evaluations, without the start of workers."
    )
    return page(
        "Does transfer help?",
        f"<main><h1>Does transfer help?</h1><p>{html.escape(about)}</p><ul>{said}</ul>"
        f"{images}{shown}</main>",
    )
