"""Drawings in which runs are compared; of a single run, how it went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from parsl_tl.analysis.confidence import student_interval
from parsl_tl.report import views
from parsl_tl.report.svg import Plot, duration
from parsl_tl.report.view import View, drawn, objective_range

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from parsl_tl.report.run import Run

_PLACES = 300
_CONFIDENCE = 0.9


def objective(runs: Sequence[Run], key: str) -> View:
    """Draws the best value so far of runs; of one run, every evaluation too.

    Args:
        runs: to compare; those that differ in nothing but the seed become one line and a band.
        key: ``objective_by_time``, ``objective_by_evaluations`` or ``objective_by_cpu``.
    """
    column, x_label, time = {
        "objective_by_time": ("seconds", "time of search", True),
        "objective_by_evaluations": ("evaluation", "evaluations", False),
        "objective_by_cpu": ("cpu_seconds", "processor time of the evaluations", True),
    }[key]
    title = f"Best objective over {x_label.removesuffix(' of search')}"
    grown = [(run, views.progress(run)) for run in runs]
    table = pd.concat([frame.assign(run=run.name) for run, frame in grown], ignore_index=True)
    known = table[table[column].notna() & table["best"].notna()]
    if known.empty:
        note = "Nothing has succeeded yet." if len(runs) and known.empty else ""
        if column == "seconds" and table["best"].notna().any():
            note = "This run was made by a release that noted no times."
        return View(key, title, note, "", table)
    plot = Plot(
        title,
        (0.0, float(known[column].max())),
        objective_range(known if len(runs) == 1 else known.assign(objective=known["best"])),
        x_label=x_label,
        y_label="objective",
        time=time,
        whole=not time,
    )
    groups = repeats(runs)
    for color, (name, members) in enumerate(groups.items()):
        lines = [frame for run, frame in grown if run in members]
        if len(lines) == 1:
            own = lines[0]
            if len(runs) == 1:
                plot.dots(own[column], own["objective"], 7)
            changed = own["best"].diff().ne(0) | (own.index == len(own) - 1)
            plot.line(own[column][changed], own["best"][changed], color % 8, step=True)
        else:
            _draw_band(plot, lines, column, color % 8)
        if len(groups) > 1:
            plot.name([(f"f{color % 8}", name)])
    note = ""
    if any(len(members) > 1 for members in groups.values()):
        note = f"Lines are means of repeated runs, bands their {_CONFIDENCE:.0%} intervals."
    elif len(runs) == 1:
        note = "Dots are evaluations, the line is the best so far."
    return drawn(key, title, note, plot, table)


def repeats(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Groups runs that differ in nothing but the seed, by a name for each group."""
    own = {"seed", "uid", "store_ids", "import_folders", "store", "max_evals"}
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(
            repr([(k, v) for k, v in vars(run.settings).items() if k not in own]), []
        ).append(run)
    return {
        members[0].name + (f" and {len(members) - 1} more" if len(members) > 1 else ""): members
        for members in groups.values()
    }


def _draw_band(plot: Plot, lines: Sequence[pd.DataFrame], column: str, color: int) -> None:
    places = np.linspace(0.0, min(float(line[column].max()) for line in lines), _PLACES)
    values = np.array([_at(line, column, places) for line in lines])
    places, values = places[~np.isnan(values).any(0)], values[:, ~np.isnan(values).any(0)]
    ends = [student_interval(row, _CONFIDENCE) for row in values.T]
    plot.band(places, [one.low for one in ends], [one.high for one in ends], color, step=True)
    plot.line(places, [one.mean for one in ends], color, step=True)


def _at(line: pd.DataFrame, column: str, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the best value at places of an axis; NaN before the first."""
    ordered = line.sort_values(column)
    best = np.concatenate([[np.nan], np.fmax.accumulate(ordered["best"].to_numpy(np.float64))])
    found: NDArray[np.float64] = best[
        np.searchsorted(ordered[column].to_numpy(), places, side="right")
    ]
    return found


def time_to_target(runs: Sequence[Run], wanted: Sequence[float] | None = None) -> View:
    """Draws when each run reached each value."""
    title = "Time to target"
    table = views.time_to_target(runs, wanted)
    known = table[table["seconds"].notna()]
    if known.empty:
        return View("time_to_target", title, "No value was reached.", "", table)
    names = list(dict.fromkeys(table["target"]))
    rows = len(table)
    plot = Plot(
        title,
        (0.0, float(known["seconds"].max())),
        (0.0, float(rows)),
        x_label="time of search",
        time=True,
        height=70 + 19 * rows,
        left=74,
        y_ticks=False,
    )
    groups = repeats(runs)
    colors = {
        run.name: color % 8 for color, members in enumerate(groups.values()) for run in members
    }
    ordered = table.sort_values(["target"], kind="stable").to_dict("records")
    for number, row in enumerate(ordered):
        top = rows - number
        if number % len(runs) == 0:
            y = float(plot.at_y(top - 0.68))
            plot.text(68, y, f"{row['target']:.4g}", "end", raw=True)
        if np.isnan(row["seconds"]):
            plot.text(0, top - 0.7, " never", "soft")
            continue
        told = f"{row['run']}: {row['target']:.4g} after {duration(row['seconds'])}"
        plot.bar((0, row["seconds"]), (top - 0.85, top - 0.15), colors[row["run"]], told)
    if len(runs) > 1:
        plot.name((f"f{color % 8}", name) for color, name in enumerate(groups))
    values = "a target" if len(names) == 1 else f"each of {len(names)} targets"
    note = f"When the best value first reached {values}."
    return drawn("time_to_target", title, note, plot, table)


def compared(runs: Sequence[Run], wanted: Sequence[float] | None = None) -> list[View]:
    """Returns the views in which runs are compared; of a single run, how it went."""
    keys = ["objective_by_time", "objective_by_evaluations", "objective_by_cpu"]
    return [*(objective(runs, key) for key in keys), time_to_target(runs, wanted)]
