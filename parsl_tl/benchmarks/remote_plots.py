"""Plots of the benchmark of servers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parsl_tl.benchmarks.core.report import Row, save_plot
from parsl_tl.benchmarks.remote_report import (
    MAPPED_READS,
    NETWORK_READS,
    PUTS,
    TOTAL_WAYS,
    find_row,
    select,
    values_of,
)
from parsl_tl.benchmarks.remote_rows import SIZES, TOTALS
from parsl_tl.benchmarks.store_methods import READ, WRITE
from parsl_tl.benchmarks.store_models import WHOLE

_BARS = {
    "put": (WRITE, PUTS),
    "get": (
        READ,
        {
            "store": NETWORK_READS["into"],
            "store, mapped": MAPPED_READS["into"],
            "bare": NETWORK_READS["bare"],
            "redis": NETWORK_READS["redis"],
            "hdf5": NETWORK_READS["hdf5 into"],
            "embedded": MAPPED_READS["embedded"],
            "memcpy": MAPPED_READS["memcpy"],
        },
    ),
}
_COLORS = {
    "store": "tab:blue",
    "store, mapped": "tab:cyan",
    "bare": "0.5",
    "redis": "tab:red",
    "hdf5": "tab:orange",
    "embedded": "tab:green",
    "memcpy": "0.75",
}


def save_plots(moved: Sequence[Row], latencies: Sequence[Row], folder: Path) -> list[Path]:
    """Plots bandwidth by size, rates by clients, and latencies.

    Raises:
        BenchmarkError: matplotlib is not installed.
    """
    paths = []
    for scheme in values_of(moved, "transport"):
        rows = [row for row in moved if row["transport"] == scheme]
        name = scheme.replace("+", "_")
        single, totals = select(rows, SIZES), select(rows, TOTALS)
        for what, (operation, ways) in _BARS.items():
            if single:
                path = folder / f"{what}_{name}.png"
                paths.append(_save_bars(path, f"{what}, {scheme}", single, operation, ways))
        if len(values_of(totals, "clients")) > 1:
            for what in ("put", "get", "get mapped", "query"):
                path = folder / f"total_{what.replace(' ', '_')}_{name}.png"
                paths.append(_save_totals(path, f"{what}, {scheme}", totals, what))
    if latencies:
        paths.append(_save_latencies(folder / "latency.png", latencies))
    return paths


def _save_bars(
    path: Path, title: str, rows: Sequence[Row], operation: str, ways: dict[str, tuple[str, str]]
) -> Path:
    sizes = sorted(values_of(rows, "model_mb"))
    found = {
        name: [find_row(rows, operation, way, model_mb=size, part=WHOLE) for size in sizes]
        for name, way in ways.items()
    }
    shown = {name: own for name, own in found.items() if any(own)}

    def draw(axes: Any) -> None:
        width = 0.8 / max(1, len(shown))
        for place, (name, own) in enumerate(shown.items()):
            left = np.arange(len(sizes)) - 0.4 + (place + 0.5) * width
            heights = [row["gb_per_s"] if row else np.nan for row in own]
            axes.bar(left, heights, width, label=name, color=_COLORS[name])
        axes.set_xticks(range(len(sizes)), [f"{size:g} MB" for size in sizes])
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylabel("GB/s")
        axes.grid(axis="y", alpha=0.4)
        axes.set_axisbelow(True)
        axes.set_title(f"{title}, 1 client, 1 server")
        axes.figure.legend(
            loc="outside lower center",
            ncols=7,
            frameon=False,
            fontsize=8,
            columnspacing=1.0,
            handlelength=1.2,
        )

    return save_plot(path, draw)


def _save_totals(path: Path, title: str, rows: Sequence[Row], what: str) -> Path:
    operation, way, counts_bytes = TOTAL_WAYS[what]
    clients = sorted(values_of(rows, "clients"))

    def draw(axes: Any) -> None:
        for servers in sorted(values_of(rows, "providers")):
            found = [
                find_row(rows, operation, way, clients=number, providers=servers)
                for number in clients
            ]
            column = "gb_per_s" if counts_bytes else "items_per_s"
            heights = [row[column] if row else np.nan for row in found]
            label = f"{servers} server{'s' if servers > 1 else ''}"
            axes.plot(clients, heights, marker="o", label=label)
        axes.set_xticks(clients)
        axes.set_xlabel("clients at once")
        axes.set_ylabel("GB/s, all together" if counts_bytes else "queries/s, all together")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.4)
        axes.set_title(title)
        axes.legend(frameon=False)

    return save_plot(path, draw)


def _save_latencies(path: Path, rows: Sequence[Row]) -> Path:
    kind = rows[0]["kind"]
    schemes = values_of(rows, "transport")
    ways = values_of(rows, "way")

    def draw(axes: Any) -> None:
        width = 0.8 / len(schemes)
        for place, scheme in enumerate(schemes):
            medians = {
                row["way"]: row["p50_us"]
                for row in rows
                if (row["transport"], row["kind"]) == (scheme, kind)
            }
            left = np.arange(len(ways)) - 0.4 + (place + 0.5) * width
            axes.bar(left, [medians.get(way, np.nan) for way in ways], width, label=scheme)
        axes.set_xticks(range(len(ways)), [way.replace(" ", "\n") for way in ways])
        axes.set_ylabel("median, microseconds")
        axes.grid(axis="y", alpha=0.4)
        axes.set_axisbelow(True)
        axes.set_title(f"one query ({kind}) among {rows[0]['models']:,} models")
        axes.legend(frameon=False)

    return save_plot(path, draw)
