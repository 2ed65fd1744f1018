"""Drawings of one run: its workers, steps, transfers, storage, choices and failures."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from parsl_tl.report import views
from parsl_tl.report.svg import Plot, duration, num
from parsl_tl.report.view import View, drawn, objective_range
from parsl_tl.reporting.sizes import counted, show_bytes
from parsl_tl.search.campaign_results import column_of
from parsl_tl.training.report import STEPS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from parsl_tl.report.run import Run

_PLACES = 300
_MOST_LANES = 48
_NAMED_LANES = 24
_NAMES = 178  # room for the names of workers
_MOST_CHOICES = 12
# A timeline is drawn in so many moments, more for few workers: it can be zoomed.
_FEWEST_MOMENTS, _MOST_MOMENTS, _MOST_CELLS = 640, 2560, 30_000
_IDLE, _FAILED = -1, len(STEPS)
STEP_COLORS: Final = {
    **{"start": 3, "load": 4, "build": 7, "transfer": 1},
    **{"prefix": 8, "train": 0, "store": 2},
}
_FAILED_COLOR = 5


def fronts(run: Run) -> list[View]:
    """Draws the objective beside each figure that is kept small, with the Pareto front."""
    table = views.front(run)
    found = []
    for column in dict.fromkeys(map(column_of, run.settings.minimize)):
        if column not in table:
            continue
        key = "pareto_" + column.replace("/", "_")
        ends = (float(table[column].min()), float(table[column].max()))
        best = table.assign(best=table["objective"])
        plot = Plot(
            f"Objective beside {column}",
            ends,
            objective_range(best),
            x_label=column.replace("_", " "),
            y_label="objective",
        )
        plot.dots(table[column], table["objective"], 6)
        front = table[table["pareto"]].sort_values(column)
        plot.line(front[column], front["objective"], 1, css="thin")
        plot.dots(front[column], front["objective"], 1, css="dots strong")
        plot.name([("f1", "Pareto front"), ("f6", "other models")])
        note = f"{counted(len(front), 'model')} that nothing found beats in everything."
        found.append(drawn(key, f"Pareto front: {column}", note, plot, table))
    return found


def timeline(run: Run) -> View:
    """Draws who did what when: a row for each worker, a colour for each step."""
    title = "Workers"
    done = views.timeline(run)
    table = views.workers(run)
    if done.empty:
        note = "No worker has finished anything, or this run's release noted no workers."
        return View("workers", title, note, "", table)
    lanes = list(table["worker"])[:_MOST_LANES]
    end = max(run.now, float(done["ended"].max()))
    height = 62 + max(10.0, min(22.0, 320 / len(lanes))) * len(lanes)
    few = len(lanes) <= _NAMED_LANES
    plot = Plot(
        f"{counted(len(table), 'worker')} over {duration(end)}",
        (0.0, end),
        (0.0, float(len(lanes))),
        x_label="time of search",
        time=True,
        height=height,
        left=_NAMES if few else 20,
        y_ticks=False,
    )
    grouped = {str(lane): one for lane, one in done.groupby("lane")}
    moments = min(max(_MOST_CELLS // len(lanes), _FEWEST_MOMENTS), _MOST_MOMENTS)
    paths: dict[int, list[str]] = {}
    for number, lane in enumerate(lanes):
        y = num(float(plot.at_y(len(lanes) - number - 0.5)))
        if few:
            name = lane if len(lane) < 26 else f"…{lane[-24:]}"
            plot.text(_NAMES - 6, float(y) + 4, name, "end small", raw=True)
        states = _states(grouped[lane], end, moments)
        edges = np.flatnonzero(np.diff(states, prepend=-9, append=-9))
        xs = plot.at_x(edges / moments * end).tolist()
        for left, right, first in zip(xs[:-1], xs[1:], edges[:-1].tolist(), strict=True):
            if states[first] != _IDLE:
                paths.setdefault(int(states[first]), []).append(f"M{num(left)} {y}H{num(right)}")
    now = _at_work(run, plot, lanes)
    thick = max(3.0, float(plot.at_y(0.0) - plot.at_y(1.0)) * 0.72)
    colors = [*STEP_COLORS.values(), _FAILED_COLOR]
    names = [*STEP_COLORS, "failed"]
    style = f"stroke-width:{num(thick)};fill:none"
    drawn_paths = [
        f'<path class="s{colors[state]}" style="{style}" d="{"".join(parts)}">'
        f"<title>{names[state]}</title></path>"
        for state, parts in sorted(paths.items())
    ]
    plot.name((f"f{colors[state]}", names[state]) for state in sorted(paths))
    if now:
        faint = f"{style};opacity:.55"
        drawn_paths.append(
            f'<path class="s6" style="{faint}" d="{now}"><title>under way</title></path>'
        )
        plot.name([("f6", "under way")])
    data = f'data-end="{float(end):.3f}" data-lanes="{html.escape(json.dumps(lanes))}"'
    plot.inset("".join(drawn_paths), "lanes", data)
    more = f", of which {len(lanes)} are drawn" if len(table) > len(lanes) else ""
    busy = float(views.utilization(run)["share"].mean())
    note = f"{counted(len(table), 'worker')}{more}; on average {busy:.0%} of them were busy."
    return drawn("workers", title, note, plot, table)


def _at_work(run: Run, plot: Plot, lanes: list[str]) -> str:
    """Returns the path of what each worker is at now."""
    parts = []
    for one in run.running.to_dict("records") if run.is_active else []:
        if one["lane"] in lanes:
            y = num(float(plot.at_y(len(lanes) - lanes.index(one["lane"]) - 0.5)))
            left, right = plot.at_x([one["started"], run.now]).tolist()
            parts.append(f"M{num(left)} {y}H{num(right)}")
    return "".join(parts)


def _states(done: pd.DataFrame, end: float, moments: int) -> NDArray[np.int64]:
    """Returns what a worker did in each of many moments: number of a step, failed or idle."""
    states = np.full(moments, _IDLE, np.int64)
    centers = (np.arange(moments) + 0.5) / moments * end
    ordered = done.sort_values("started")
    starts = ordered["started"].to_numpy(np.float64)
    ends = ordered["ended"].to_numpy(np.float64)
    at = np.searchsorted(starts, centers, side="right") - 1
    inside = (at >= 0) & (centers < ends[np.maximum(at, 0)])
    at = at[inside]
    bounds = np.cumsum(ordered[list(STEPS)].to_numpy(np.float64), axis=1)
    since = centers[inside] - starts[at]
    step = np.minimum((since[:, None] >= bounds[at]).sum(axis=1), len(STEPS) - 1)
    failed = ordered["failed"].to_numpy(bool)[at]
    states[inside] = np.where(failed, _FAILED, step)
    return states


def utilization(run: Run) -> View:
    """Draws how many workers were busy."""
    table = views.utilization(run)
    title = "Busy workers"
    if table.empty:
        return View("utilization", title, "Nothing is known of the workers.", "", table)
    top = max(1.0, float(table["busy"].max()))
    plot = Plot(
        title,
        (0.0, float(table["seconds"].max())),
        (0.0, top * 1.05),
        x_label="time of search",
        y_label="workers",
        time=True,
        height=220,
    )
    plot.area(table["seconds"], np.zeros(len(table)), table["busy"], 0)
    note = f"On average {table['busy'].mean():.3g} of {run.frame['lane'].nunique()}."
    return drawn("utilization", title, note, plot, table)


def steps(run: Run) -> View:
    """Draws the mean seconds of each step, stacked."""
    table = views.steps(run)
    title = "Seconds per step"
    names = [*STEPS, "other"]
    if table.empty or not table[names].to_numpy().any():
        return View("steps", title, "Nothing has succeeded yet.", "", table)
    # A worker's first evaluation loads the framework, and would hide all others.
    height = float(np.quantile(table[names].sum(axis=1), 0.98)) * 1.08
    xs = table["evaluation"].astype(float)
    plot = Plot(
        title,
        (float(min(1, xs.min())), float(xs.max())),
        (0.0, height),
        x_label="evaluations",
        whole=True,
        y_label="mean seconds",
    )
    if len(table) == 1:
        table = pd.concat([table.assign(evaluation=1), table], ignore_index=True)
        xs = table["evaluation"].astype(float)
    low = np.zeros(len(table))
    colors = {**STEP_COLORS, "other": 6}
    for name in names:
        high = np.minimum(low + table[name].to_numpy(np.float64), height)
        if table[name].any():
            plot.area(xs, low, high, colors[name])
            plot.name([(f"f{colors[name]}", name)])
        low = high
    means = table[names].mean()
    largest = means.sort_values(ascending=False).head(2)
    share = largest / max(means.sum(), 1e-12)
    told = " and ".join(f"{name} {value:.0%}" for name, value in share.items())
    return drawn("steps", title, f"Of the time of an evaluation, {told}.", plot, table)


def prefixes(run: Run) -> View:
    """Draws how many layers children took over."""
    table = views.prefixes(run)
    title = "Transferred prefixes"
    if table.empty or not table["models"].sum():
        return View("prefixes", title, "No child has come to its end yet.", "", table)
    plot = Plot(
        title,
        (-0.5, float(table["layers_transferred"].max()) + 0.5),
        (0.0, float(table["share"].max()) * 1.05),
        x_label="layers with weights that came from the donor",
        whole=True,
        y_label="share of children",
        percent=True,
    )
    for row in table.itertuples():
        place = float(row.layers_transferred)  # type: ignore[arg-type]
        told = f"{row.layers_transferred} layers: {row.models} models"
        plot.bar((place - 0.42, place + 0.42), (0.0, float(row.share)), 0, told)  # type: ignore[arg-type]
    share = views.shares(run)["share"]
    note = f"On average {share.mean():.0%} of a child's layers came from its donor."
    return drawn("prefixes", title, note, plot, table)


def donors(run: Run) -> View:
    """Draws whose layers were taken over in the latest transfers."""
    table = views.donors(run)
    title = "Donors' popularity"
    if table.empty:
        return View("donors", title, "Nothing was transferred yet.", "", table)
    followed = list(dict.fromkeys(table["donor"]))
    stacked = table.pivot(index="end", columns="donor", values="share")[followed]
    xs = stacked.index.to_numpy(np.float64)
    plot = Plot(
        title,
        (float(xs.min()), float(xs.max())),
        # In a long run no donor gives more than a little of all.
        (0.0, min(1.0, 1.1 * float(stacked.sum(axis=1).max()))),
        x_label="models that succeeded",
        whole=True,
        y_label="share of the latest transfers",
        percent=True,
    )
    low = np.zeros(len(stacked))
    for color, name in enumerate(followed):
        high = low + stacked[name].to_numpy(np.float64)
        plot.area(xs, low, high, color % 8)
        plot.name([(f"f{color % 8}", str(name)[:8])])
        low = high
    note = "The donors that gave most often; what is left blank came from all others."
    return drawn("donors", title, note, plot, table)


def storage(run: Run) -> View:
    """Draws what was stored beside what full copies would take."""
    table = views.storage(run)
    title = "Stored bytes"
    if table.empty or not table["full_copies"].iloc[-1]:
        return View("storage", title, "Nothing was stored yet.", "", table)
    full, stored = (float(table[name].iloc[-1]) for name in ("full_copies", "stored"))
    scale, unit = next(
        one
        for one in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes"))
        if full >= one[0] or one[0] == 1.0
    )
    thin = table.iloc[np.unique(np.linspace(0, len(table) - 1, _PLACES).round().astype(int))]
    plot = Plot(
        title,
        (0.0, float(table["evaluation"].max())),
        (0.0, full / scale * 1.05),
        x_label="evaluations",
        whole=True,
        y_label=unit,
    )
    plot.line(thin["evaluation"], thin["full_copies"] / scale, 6, css="line dash")
    plot.line(thin["evaluation"], thin["stored"] / scale, 0)
    plot.name([("f0", "written"), ("f6", "full copies would be")])
    note = (
        f"{show_bytes(stored)} were written, {stored / full:.0%} of the {show_bytes(full)} "
        "that full copies would take; retired models are not taken off."
    )
    return drawn("storage", title, note, plot, table)


def choices(run: Run) -> View:
    """Draws which values were chosen, in windows, for the choices that changed most."""
    table = views.choices(run)
    title = "Choices over time"
    if table.empty:
        note = "Nothing has come to its end yet."
        if run.space is None:
            note = f"The search space {run.settings.space!r} cannot be loaded here."
        return View("choices", title, note, "", table)
    wide = {
        str(name): one.pivot(index="value", columns="end", values="share").fillna(0.0)
        for name, one in table.groupby("choice", sort=False)
    }
    moved = {name: _movement(one) for name, one in wide.items()}
    first = sorted(wide, key=lambda name: -moved[name])[:_MOST_CHOICES]
    row_height, parts = 24.0, []
    ends = sorted(set(table["end"]))
    left = 190.0
    plot_height = row_height * len(first)
    plot = Plot(
        title,
        (0.0, float(ends[-1])),
        (0.0, float(len(first))),
        x_label="evaluations",
        whole=True,
        height=plot_height + 56,
        left=left,
        y_ticks=False,
    )
    for number, name in enumerate(first):
        one = wide[name]
        order = one.mean(axis=1).sort_values(ascending=False).index
        one = one.loc[order]
        top = len(first) - number
        begin = 0.0
        base = np.zeros(one.shape[1])
        for color, value in enumerate(list(one.index)[:7]):
            high = base + one.loc[value].to_numpy(np.float64)
            xs = np.concatenate([[begin], one.columns.to_numpy(np.float64)])
            low_y = top - 0.94 + 0.88 * np.concatenate([base[:1], base])
            high_y = top - 0.94 + 0.88 * np.concatenate([high[:1], high])
            plot.area(xs, low_y, high_y, color)
            base = high
        y = float(plot.at_y(top - 0.62))
        last = one.iloc[:, -1]
        parts.append((y, f"{name}: {last.idxmax()} {last.max():.0%}"))
    for y, text in parts:
        plot.text(left - 6, y, text if len(text) < 26 else text[:24] + "…", "end small", raw=True)
    note = (
        f"Shares of each choice's values, for the {len(first)} of {len(wide)} choices that moved "
        "most; beside each the value that leads at the end. Blank is what is chosen rarely."
    )
    return drawn("choices", title, note, plot, table)


def _movement(wide: pd.DataFrame) -> float:
    """Returns how far the last windows' shares are from the first ones', from 0 to 1."""
    quarter = max(1, wide.shape[1] // 4)
    difference = wide.iloc[:, :quarter].mean(axis=1) - wide.iloc[:, -quarter:].mean(axis=1)
    return float(difference.abs().sum() / 2)


def failures(run: Run) -> View:
    """Draws how many evaluations failed, by reason."""
    table = views.failures(run)
    title = "Failures"
    if table.empty:
        return View("failures", title, "No evaluation failed.", "", table)
    counts = table["reason"].value_counts()
    plot = Plot(
        title,
        (0.0, float(counts.max())),
        (0.0, float(len(counts))),
        x_label="evaluations",
        whole=True,
        height=62 + 30 * len(counts),
        left=150,
        y_ticks=False,
    )
    for number, (reason, count) in enumerate(counts.items()):
        top = len(counts) - number
        plot.bar((0.0, float(count)), (top - 0.82, top - 0.18), _FAILED_COLOR)
        plot.text(144, float(plot.at_y(top - 0.6)), str(reason)[:22], "end", raw=True)
    share = len(table) / max(len(run.frame), 1)
    note = f"{len(table)} of {len(run.frame):,} evaluations failed ({share:.1%})."
    return drawn("failures", title, note, plot, table)


ONE_RUN: Final[tuple[Callable[[Run], View], ...]] = (
    *(timeline, utilization, steps, prefixes, donors, storage, choices, failures),
)
"""Views of a single run, besides those that several are compared in."""
