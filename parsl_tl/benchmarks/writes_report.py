"""Tables and plots of how long saving takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

from parsl_tl.benchmarks.core.report import Row, save_plot
from parsl_tl.benchmarks.writes import WriteRow

_TITLES: Final = {
    "with set-up": "GPU and framework set-up included, no sync",
    "synced": "on disk, set-up excluded, fsync",
    "memory": "in memory, set-up excluded, fsync",
}


def measurement_rows(rows: Sequence[WriteRow]) -> list[Row]:
    """Returns the rows of all processes for a file, without what only one process has."""
    return [
        {name: value for name, value in row._asdict().items() if name not in ("process", "host")}
        for row in rows
    ]


def summary_tables(rows: Sequence[WriteRow]) -> list[tuple[str, list[Row]]]:
    """Returns the rows of all processes as people read them: a title and a table of each kind."""
    tables: dict[str, list[Row]] = {}
    for row in rows:
        speed = row.bandwidth_mb_per_sec
        tables.setdefault(f"{row.model}, {_TITLES[row.measurement]}", []).append(
            {
                "format": row.format,
                "processes": row.num_procs,
                "num_changes": row.num_changes,
                "seconds": row.time_sec,
                "MB": row.bytes / 1e6,
                "MB/s": speed,
                "result": row.result,
            }
        )
    return list(tables.items())


def save_time_plots(rows: Sequence[WriteRow], folder: Path) -> list[Path]:
    """Draws the times of the first network and the largest number of processes.

    Args:
        rows: of all processes; of repeats, the median is drawn.
        folder: one file per measurement goes there.
    """
    good = [row for row in rows if row.successful and row.time_sec is not None]
    if not good:
        return []
    model, procs = good[0].model, max(row.num_procs for row in good)
    return [
        _save(
            [r for r in good if (r.model, r.num_procs, r.measurement) == (model, procs, kind)],
            folder / f"writes-{kind.replace(' ', '-')}.png",
            f"{procs} x {model}, {_TITLES[kind]}",
        )
        for kind in dict.fromkeys(
            r.measurement for r in good if (r.model, r.num_procs) == (model, procs)
        )
    ]


def _save(rows: Sequence[WriteRow], path: Path, title: str) -> Path:
    formats = list(dict.fromkeys(row.format for row in rows))
    changes = sorted({row.num_changes for row in rows})
    repeats: dict[tuple[str, int], list[float]] = {}
    for row in rows:
        assert row.time_sec is not None
        repeats.setdefault((row.format, row.num_changes), []).append(row.time_sec)
    times = {key: median(seconds) for key, seconds in repeats.items()}

    def draw(axes: Any) -> None:
        height = 0.8 / len(changes)
        for index, change in enumerate(changes):
            there = [n for n, name in enumerate(formats) if (name, change) in times]
            label = "all layers changed" if change == 0 else f"all but the first {change} changed"
            bars = axes.barh(
                [number + index * height for number in there],
                [times[formats[number], change] for number in there],
                height,
                label=label,
            )
            axes.bar_label(bars, fmt="{:.3g}", padding=3, fontsize=8)
        axes.set_yticks([n + 0.4 - height / 2 for n in range(len(formats))], formats)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.set_xlabel("seconds until the last process has written (less is better)")
        axes.set_title(title, fontsize=10)
        axes.grid(axis="x", alpha=0.3)
        axes.legend(fontsize=8)

    return save_plot(path, draw, (7.0, 1.8 + 0.22 * len(formats) * (len(changes) + 0.5)))
