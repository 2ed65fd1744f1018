"""What the store benchmark shows of its rows: compact tables, and plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parsl_tl.benchmarks.core.report import Row, save_plot
from parsl_tl.benchmarks.store_embedded import FIRST, INTO, REPEAT, VIEWS, checksum_word
from parsl_tl.benchmarks.store_methods import READ, WRITE
from parsl_tl.benchmarks.store_models import PARTS, TENTH, WHOLE

# What of the store stands beside the other methods: title, and how it was done.
_STORE_WAYS = {
    WRITE: {
        "store": f"put, {checksum_word(True)}",
        "unchecked": f"put, {checksum_word(False)}",
    },
    READ: {
        "store": f"{INTO}, {REPEAT}, {checksum_word(True)}",
        "first": f"{INTO}, {FIRST}, {checksum_word(True)}",
    },
}
_BASELINES = {WRITE: "plain files", READ: "memcpy"}
_NOTES = {
    WRITE: "store: put with checksums; unchecked: without",
    READ: "store: into arrays, once more; first: after opening, verified",
}
_PARTS = {WHOLE: "whole models", TENTH: "a tenth of the layers"}
_COLORS = {
    "memcpy": "0.75",
    "plain": "0.5",
    "hdf5": "tab:orange",
    "safetensors": "tab:green",
    "redis": "tab:red",
    "store": "tab:blue",
    "unchecked": "tab:cyan",
    "first": "tab:cyan",
}
_LABELS = {"unchecked": "store, no checksums", "first": "store, first read"}


def summary_tables(rows: Sequence[Row]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns titles and rows of tables that fit 100 columns.

    Args:
        rows: of ``run_store_bench``.
    """
    tables = []
    for operation in (WRITE, READ):
        for part in PARTS:
            for kind in _values(rows, "folder_kind"):
                title = (
                    f"{operation} {_PARTS[part]}, {kind}: GB/s, and times as fast as "
                    f"{_BASELINES[operation]}\n{_NOTES[operation]}"
                )
                tables.append((title, _bandwidths(rows, operation, part, kind)))
    tables.append(("views of the store's bytes, not touched: microseconds", _views(rows)))
    return [(title, table) for title, table in tables if table]


def storage_table(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns the columns of ``measure_storage`` that tell most, in millions of bytes."""
    return [
        {
            "models": row["models"],
            "units": row["units"],
            "trained": row["bytes_trained"] / 1e6,
            "stored": row["bytes_stored"] / 1e6,
            "full copies": row["full_copies_bytes"] / 1e6,
            "in files": row["bytes_in_segment_files"] / 1e6,
            "files over trained, %": row["overhead_percent"],
            "log": row["bytes_log"] / 1e6,
        }
        for row in rows
    ]


def save_plots(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Plots bandwidth by size of the model: a file for each operation, part, and kind of folder.

    They show the smallest number of processes, and 20 layers if those were measured.

    Raises:
        BenchmarkError: matplotlib is not installed.
    """
    layers = _values(rows, "layers")
    shown = [
        row
        for row in rows
        if row["processes"] == min(_values(rows, "processes"))
        and row["layers"] == (20 if 20 in layers else layers[0])
    ]
    paths = []
    for operation in (WRITE, READ):
        for part in PARTS:
            for kind in _values(rows, "folder_kind"):
                selected = _select(shown, operation, part, kind)
                if selected:
                    path = folder / f"{operation}_{part}_{kind}.png"
                    title = f"{operation} {_PARTS[part]}, {kind}"
                    paths.append(_save_bars(path, title, selected))
    return paths


def _save_bars(path: Path, title: str, rows: list[tuple[str, Row]]) -> Path:
    names = list(dict.fromkeys(name for name, _ in rows))
    sizes = sorted({row["model_mb"] for _, row in rows})

    def draw(axes: Any) -> None:
        width = 0.8 / len(names)
        for place, name in enumerate(names):
            found = {row["model_mb"]: row["gb_per_s"] for own, row in rows if own == name}
            left = np.arange(len(sizes)) - 0.4 + (place + 0.5) * width
            heights = [found.get(size, np.nan) for size in sizes]
            label = _LABELS.get(name, name)
            axes.bar(left, heights, width, label=label, color=_COLORS[name])
        axes.set_xticks(range(len(sizes)), [f"{size:g} MB" for size in sizes])
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylabel("GB/s")
        axes.grid(axis="y", alpha=0.4)
        axes.set_axisbelow(True)
        first = rows[0][1]
        axes.set_title(f"{title} ({first['layers']} layers, {_processes(first['processes'])})")
        axes.figure.legend(loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)

    return save_plot(path, draw, (8.0, 4.5))


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _values(rows: Sequence[Row], column: str) -> list[Any]:
    return list(dict.fromkeys(row[column] for row in rows))


def _select(rows: Sequence[Row], operation: str, part: str, kind: str) -> list[tuple[str, Row]]:
    """Returns rows with the name that each has in tables and plots."""
    ways = {how: name for name, how in _STORE_WAYS[operation].items()}
    found = []
    for row in rows:
        if (row["operation"], row["part"], row["folder_kind"]) == (operation, part, kind):
            name = row["method"] if row["method"] != "store" else ways.get(row["how"])
            if name is not None:
                found.append((name, row))
    order = list(_COLORS)
    return sorted(found, key=lambda pair: order.index(pair[0]))


def _bandwidths(rows: Sequence[Row], operation: str, part: str, kind: str) -> list[dict[str, Any]]:
    lines: dict[tuple[float, int, int], dict[str, Any]] = {}
    for name, row in _select(rows, operation, part, kind):
        case = (row["model_mb"], row["layers"], row["processes"])
        line = lines.setdefault(case, {"MB x L": f"{case[0]:g} x{case[1]}", "P": case[2]})
        line[name.replace("safetensors", "safetens.")] = _cell(row)
    return [lines[case] for case in sorted(lines)]


def _cell(row: Row) -> str:
    speed, ratio = row["gb_per_s"], row["ratio_to_baseline"]
    decimals = 0 if speed >= 99.5 else 1 if speed >= 0.95 else 2
    shown = f"{speed:.{decimals}f}"
    return shown if ratio in (None, 1.0) else f"{shown} {ratio:.2f}"


def _views(rows: Sequence[Row]) -> list[dict[str, Any]]:
    lines: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        what, _, rest = row["how"].partition(", ")
        if row["method"] != "store" or what != VIEWS:
            continue
        case = (row["folder_kind"], row["model_mb"], row["layers"], row["processes"])
        line = lines.setdefault(
            case,
            {"folder": case[0], "MB x L": f"{case[1]:g} x{case[2]}", "P": case[3]},
        )
        when, _, checksums = rest.partition(", ")
        if when == FIRST or checksums == checksum_word(True):
            column = f"{row['part']} {when}"
            if checksums == checksum_word(False):
                column += " no sums"
            line[column] = f"{row['seconds_median'] * 1e6:,.0f}"
    return list(lines.values())
