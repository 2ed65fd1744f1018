"""What the benchmark of longest common prefixes shows of its rows: compact tables, and plots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from parsl_tl.benchmarks.core.report import Row, save_plot
from parsl_tl.benchmarks.lcp import MUTATED, RANDOM, LcpRows

_KINDS = (RANDOM, MUTATED)
_STORE, _WALK = "store", "walk"
_TITLES = {RANDOM: "random architectures", MUTATED: "children of the latest models"}
_COLORS = {
    "store": "tab:blue",
    "walk": "0.3",
    "walk-arrays": "0.65",
    "networkx": "tab:orange",
    "redis": "tab:red",
}
_OPENINGS = {
    "open_query_seconds": "open and answer",
    "open_seconds": "open",
    "replay_seconds": "open without snapshot",
}


def summary_tables(rows: LcpRows) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns titles and rows of tables that fit 100 columns.

    Args:
        rows: of ``run_lcp_bench``.
    """
    tables = [
        (
            "the store: microseconds per query, and queries/s with 1 and 2 threads\n"
            "faster: the mean of walking all graphs over the store's",
            _speeds(rows.queries),
        ),
        ("the store: its catalogs", _sizes(rows.queries)),
        (
            "other methods: as above for random queries, and p50 of mutated ones",
            _others(rows.queries),
        ),
        ("opening a store: milliseconds", _openings(rows.openings)),
        ("processes with one store open: memory", _memory(rows.processes)),
    ]
    return [(title, table) for title, table in tables if table]


def save_plots(rows: LcpRows, folder: Path) -> list[Path]:
    """Plots latencies by catalog size, a file for each kind of query, and times to open.

    Raises:
        BenchmarkError: matplotlib is not installed.
    """
    paths = [
        save_plot(folder / f"latency_{kind}.png", _draw_latencies(rows.queries, kind))
        for kind in _KINDS
    ]
    if rows.openings:
        paths.append(save_plot(folder / "opening.png", _draw_openings(rows.openings)))
    return paths


def _speeds(rows: Sequence[Row]) -> list[dict[str, Any]]:
    walks = {
        (row["catalog"], row["queries"]): row["p50_us"] for row in rows if row["method"] == _WALK
    }
    return [
        {
            "models": row["catalog"],
            "queries": row["queries"],
            "p50": _short(row["p50_us"]),
            "p99": _short(row["p99_us"]),
            "q/s 1": _short(row["per_second_1"]),
            "q/s 2": _short(row["per_second_2"]),
            "walk p50": _short(walks.get((row["catalog"], row["queries"]))),
            "faster": _short(row["speedup_vs_walk"]),
            "same answers": row["same_answers"],
        }
        for row in rows
        if row["method"] == _STORE
    ]


def _sizes(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        {
            "models": row["catalog"],
            "layers /model": _short(row["layers_per_model"]),
            "build s": _short(row["build_seconds"]),
            "index bytes /model": _short(row["bytes_per_model"]),
        }
        for row in rows
        if row["method"] == _STORE and row["queries"] == RANDOM
    ]


def _others(rows: Sequence[Row]) -> list[dict[str, Any]]:
    lines: dict[tuple[int, str], dict[str, Any]] = {}
    for row in rows:
        if row["method"] == _STORE:
            continue
        key = (row["catalog"], row["method"])
        line = lines.setdefault(key, {"models": key[0], "method": key[1]})
        if row["queries"] == MUTATED:
            line["mutated"] = _short(row["p50_us"])
            continue
        line["p50"] = _short(row["p50_us"])
        line["p99"] = _short(row["p99_us"])
        line["q/s 1"] = _short(row["per_second_1"])
        line["q/s 2"] = _short(row["per_second_2"])
        line["build s"] = _short(row["build_seconds"])
        line["B/model"] = _short(row["bytes_per_model"])
    return list(lines.values())


def _openings(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        {
            "models": row["catalog"],
            "open": _short(1e3 * row["open_seconds"]),
            "and answer": _short(1e3 * row["open_query_seconds"]),
            "without snapshot": _short(1e3 * row["replay_seconds"]),
            "log MB": _short(row["bytes_log"] / 1e6),
            "snapshot MB": _short(row["bytes_snapshot"] / 1e6),
        }
        for row in rows
    ]


def _memory(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [
        {
            "models": row["catalog"],
            "processes": row["processes"],
            "MB, all together": _short(row["pss_growth_bytes"] / 1e6),
            "times the first": round(row["ratio_to_first"], 3),
        }
        for row in rows
    ]


def _short(value: float | None) -> float | int | None:
    """Returns a number as a table shows it: three digits, or all before the point."""
    if value is None:
        return None
    return round(value) if value >= 100 else float(f"{value:.3g}")


def _draw_latencies(rows: Sequence[Row], kind: str) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        for method, color in _COLORS.items():
            own = [row for row in rows if row["method"] == method and row["queries"] == kind]
            sizes = [row["catalog"] for row in own]
            if not own:
                continue
            p50, p99 = ([row[column] for row in own] for column in ("p50_us", "p99_us"))
            axes.plot(sizes, p50, marker="o", markersize=4, linewidth=2, color=color, label=method)
            axes.plot(sizes, p99, marker="_", linewidth=0.8, linestyle="--", color=color)
        _by_size(axes, "microseconds per query")
        axes.set_title(f"{_TITLES[kind]}: median (thick), 99th percentile (thin)")

    return draw


def _draw_openings(rows: Sequence[Row]) -> Callable[[Any], None]:
    def draw(axes: Any) -> None:
        sizes = [row["catalog"] for row in rows]
        for column, label in _OPENINGS.items():
            axes.plot(sizes, [1e3 * row[column] for row in rows], marker="o", label=label)
        _by_size(axes, "milliseconds")
        axes.set_title("opening a store")

    return draw


def _by_size(axes: Any, what: str) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.set_xlabel("models in the catalog")
    axes.set_ylabel(what)
    axes.grid(alpha=0.4)
    axes.figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=9)
