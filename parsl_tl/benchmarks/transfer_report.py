"""Tables and plots of transfer methods side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from parsl_tl.benchmarks.core.report import Row, save_plot
from parsl_tl.benchmarks.transfer import TransferRows

_MS, _MB = 1e3, 1e6
_TIMES = (
    "naming",
    "transfer",
    "transfer p99",
    "a copy",
    "first use",
    "storing",
    "storing p99",
)
_COUNTS = ("models", "failed", "models/s", "MB over", "MB stored", "MB kept")
# What a transfer spares or puts off.
_PARTS = {"copy_sec": "a copy", "first_use_sec": "first use"}
_STEPS = {"standardize_sec": "naming", "transfer_sec": "transfer", "store_sec": "storing"}


def timings(rows: TransferRows) -> pd.DataFrame:
    """Returns one row per model."""
    return pd.DataFrame([row._asdict() for row in rows.transfers])


def summary(rows: TransferRows) -> list[dict[str, Any]]:
    """Returns one row per method: milliseconds (median and 99th percentile), rates and bytes."""
    table = []
    for method, own in timings(rows).groupby("method", sort=False):
        good = own[own["failure"] == ""]
        row: dict[str, Any] = {
            "method": method,
            "models": len(good),
            "failed": len(own) - len(good),
        }
        for column, step in _STEPS.items():
            values = good[column].astype(float) * _MS
            row[step] = values.median()
            row[f"{step} p99"] = values.quantile(0.99)
        for column, part in _PARTS.items():
            row[part] = good[column].astype(float).median() * _MS
        row["models/s"] = rows.throughput.get(str(method))
        row["MB over"] = good["bytes_transferred"].mean() / _MB
        row["MB stored"] = good["bytes_stored"].mean() / _MB
        kept = rows.kept.get(str(method))
        row["MB kept"] = None if kept is None else kept / _MB
        table.append(row)
    return table


def times_table(table: list[dict[str, Any]]) -> list[Row]:
    """Returns the columns of ``summary`` that are about time, in ms."""
    return [{name: row[name] for name in ("method", *_TIMES)} for row in table]


def counts_table(table: list[dict[str, Any]]) -> list[Row]:
    """Returns the columns of ``summary`` that are about numbers of models, and bytes of each."""
    return [{name: row[name] for name in ("method", *_COUNTS)} for row in table]


def against_store(table: list[dict[str, Any]]) -> list[Row]:
    """Returns how many times the store is faster and smaller, from ``summary``'s rows."""
    store = next((row for row in table if row["method"] == "store" and row["models"]), None)
    if store is None:
        return []
    return [
        {
            "the store beside": row["method"],
            "transfer": row["transfer"] / store["transfer"],
            "storing": row["storing"] / store["storing"],
            "both": (row["transfer"] + row["storing"]) / (store["transfer"] + store["storing"]),
            "bytes stored": store["MB stored"] / row["MB stored"],
        }
        for row in table
        if row["method"] != "store" and row["models"]
    ]


def rate_table(rows: TransferRows) -> list[Row]:
    """Returns one row per method and rate."""
    return [
        {
            "method": row.method,
            "asked/s": row.asked_per_sec,
            "done/s": row.done_per_sec,
            "p50, ms": None if row.p50_sec is None else row.p50_sec * _MS,
            "p99, ms": None if row.p99_sec is None else row.p99_sec * _MS,
            "failed": row.failed,
        }
        for row in rows.rates
    ]


def save_plots(rows: TransferRows, folder: Path) -> list[Path]:
    """Draws the steps of each method, and where each stops keeping up.

    Raises:
        BenchmarkError: matplotlib is not installed.
    """
    table = summary(rows)

    def draw_steps(axes: Any) -> None:
        names = [str(row["method"]) for row in table]
        width = 0.8 / len(_STEPS)
        for index, step in enumerate(_STEPS.values()):
            places = [number + index * width for number in range(len(names))]
            bars = axes.bar(places, [row[step] for row in table], width, label=step)
            axes.bar_label(bars, fmt="{:,.1f}", fontsize=8, padding=2)
        axes.set_xticks([number + width for number in range(len(names))], names)
        axes.set_yscale("log")
        axes.margins(y=0.15)
        axes.set_ylabel("milliseconds per model, median")
        axes.grid(axis="y", alpha=0.3)
        axes.legend()

    def draw_rates(axes: Any) -> None:
        for method in dict.fromkeys(row.method for row in rows.rates):
            own = [row for row in rows.rates if row.method == method]
            asked = [row.asked_per_sec for row in own]
            axes.plot(asked, [row.done_per_sec for row in own], marker="o", label=method)
        every = [row.asked_per_sec for row in rows.rates]
        axes.plot(
            [min(every), max(every)], [min(every), max(every)], ":", color="gray", label="all"
        )
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter("{x:g}")
        axes.set_xlabel("transfers asked for per second")
        axes.set_ylabel("transfers done per second")
        axes.grid(alpha=0.3)
        axes.legend()

    saved = [save_plot(folder / "transfer_steps.png", draw_steps)] if table else []
    if rows.rates:
        saved.append(save_plot(folder / "transfer_rates.png", draw_rates))
    return saved
