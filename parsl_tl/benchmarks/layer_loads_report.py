"""Tables and plots of how long reading some layers takes, cold and warm."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from parsl_tl.benchmarks.core.report import Row, save_plot
from parsl_tl.benchmarks.layer_load_task import COLD, WARM, LoadRow, Subset


def summary_tables(rows: Sequence[LoadRow]) -> list[tuple[str, list[Row]]]:
    """Returns medians over the repeats: the name of each model, and its table."""
    return [
        (model, _table([row for row in rows if row.model == model]))
        for model in dict.fromkeys(row.model for row in rows)
    ]


def _table(rows: Sequence[LoadRow]) -> list[Row]:
    table: list[Row] = []
    for name, subset in dict.fromkeys((row.format, row.subset) for row in rows):
        own = [row for row in rows if (row.format, row.subset) == (name, subset)]
        # What went wrong counts for more than what is only to be noted.
        notes = sorted((row for row in own if row.result != "ok"), key=lambda row: row.successful)
        size = next((row.bytes for row in own if row.bytes is not None), None)
        table.append(
            {
                "format": name,
                "layers": subset,
                "MB": None if size is None else size / 1e6,
                "cold, s": median_seconds(own, COLD),
                "warm, s": median_seconds(own, WARM),
                "share of everything, cold": _relative(rows, own, name, COLD),
                "warm": _relative(rows, own, name, WARM),
                "result": notes[0].result if notes else "ok",
            }
        )
    return table


def median_seconds(rows: Sequence[LoadRow], cache: str) -> float | None:
    """Returns the median of the reads that went well; None if none did."""
    times = [row.time_sec for row in rows if row.cache == cache and row.time_sec is not None]
    return median(times) if times else None


def _relative(rows: Sequence[LoadRow], own: Sequence[LoadRow], name: str, cache: str) -> str | None:
    part = median_seconds(own, cache)
    everything = [row for row in rows if (row.format, row.subset) == (name, Subset().label)]
    whole = median_seconds(everything, cache)
    return None if part is None or whole is None else f"{part / whole:.1%}"


def cache_remarks(rows: Sequence[LoadRow]) -> list[str]:
    """Says how pages were thrown out of memory, and whether they were really gone."""
    remarks = []
    cold = [row for row in rows if row.cache == COLD and row.successful]
    for way, kind in dict.fromkeys((row.drop_method, row.file_system) for row in cold):
        own = [row for row in cold if (row.drop_method, row.file_system) == (way, kind)]
        known = [row.cached_share for row in own if row.cached_share is not None]
        if known:
            stayed = f"at most {max(known):.1%} of a model's pages stayed in memory (mincore)"
        else:
            stayed = "the system does not tell whether pages stayed in memory"
        remarks.append(f"Cold reads from {kind}: {way}; {stayed}")
    return remarks


def save_load_plots(rows: Sequence[LoadRow], folder: Path) -> list[Path]:
    """Draws seconds over megabytes for each model: one line per format, cold and warm."""
    paths = []
    for model in dict.fromkeys(row.model for row in rows if row.successful):
        own = [row for row in rows if row.model == model and row.successful]
        name = re.sub(r"[^\w.-]+", "-", Path(model).name).strip("-")
        paths.append(_save(own, model, folder / f"load-{name}.png"))
    return paths


def _save(rows: Sequence[LoadRow], model: str, path: Path) -> Path:
    def draw(axes: Any) -> None:
        for number, name in enumerate(dict.fromkeys(row.format for row in rows)):
            for cache, line in ((COLD, "o-"), (WARM, "o--")):
                points = _points([row for row in rows if row.format == name], cache)
                style = {"color": f"C{number}", "markersize": 4, "label": f"{name}, {cache}"}
                if cache == WARM:
                    style["markerfacecolor"] = "white"
                axes.plot(*zip(*points, strict=True), line, **style)
        axes.set_xscale("log")
        axes.set_yscale("log")
        sizes = sorted({row.bytes / 1e6 for row in rows if row.bytes})
        axes.set_xticks(sizes, [f"{size:.3g}" for size in sizes])
        axes.set_xticks([], minor=True)
        axes.set_xlabel("MB of weights that are read")
        axes.set_ylabel("seconds, median, opening included")
        axes.set_title(model, fontsize=10)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, ncols=2)

    return save_plot(path, draw)


def _points(rows: Sequence[LoadRow], cache: str) -> list[tuple[float, float]]:
    sizes = sorted({row.bytes for row in rows if row.bytes and row.cache == cache})
    found = []
    for size in sizes:
        seconds = median_seconds([row for row in rows if row.bytes == size], cache)
        assert seconds is not None
        found.append((size / 1e6, seconds))
    return found
