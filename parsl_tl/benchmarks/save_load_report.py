"""A table and a plot of how long saving and loading whole models takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from parsl_tl.benchmarks.core.report import Row, save_plot
from parsl_tl.benchmarks.save_load import OK, SaveLoadRow


def summary_table(rows: Sequence[SaveLoadRow]) -> list[Row]:
    """Returns medians over the repeats that went well, and what went wrong with others."""
    table: list[Row] = []
    for model, name in dict.fromkeys((row.model, row.format) for row in rows):
        own = [row for row in rows if (row.model, row.format) == (model, name)]
        good = [row for row in own if row.status == OK]
        bad = [row.status for row in own if row.status != OK]
        table.append(
            {
                "model": model,
                "format": name,
                "save, s": _median([row.savetime_sec for row in good]),
                "load, s": _median([row.loadtime_sec for row in good]),
                "file, MB": _median([row.filesize_bytes for row in good], 1e6),
                "weights, MB": _median([row.weight_bytes for row in good], 1e6),
                "status": f"{len(bad)} of {len(own)} failed: {bad[0]}" if bad else OK,
            }
        )
    return table


def save_times_plot(rows: Sequence[SaveLoadRow], folder: Path) -> Path | None:
    """Draws the median seconds of saving and loading; None if nothing went well."""
    table = [row for row in summary_table(rows) if row["save, s"] is not None]
    if not table:
        return None
    labels = [f"{row['model']}, {row['format']}" for row in table]

    def draw(axes: Any) -> None:
        for index, column in enumerate(("save, s", "load, s")):
            places = [number + 0.4 * index for number in range(len(table))]
            bars = axes.barh(
                places, [row[column] for row in table], 0.4, label=column.partition(",")[0]
            )
            axes.bar_label(bars, fmt="{:.3g}", padding=3, fontsize=8)
        axes.set_yticks([number + 0.2 for number in range(len(table))], labels)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel("seconds, median (less is better)")
        axes.grid(axis="x", alpha=0.3)
        axes.legend(fontsize=8)

    return save_plot(folder / "save_load.png", draw, (7.0, 1.4 + 0.5 * len(table)))


def _median(values: Sequence[float | None], unit: float = 1.0) -> float | None:
    there = [value for value in values if value is not None]
    return median(there) / unit if there else None
