"""Rows of the benchmark of servers: what was measured, beside what was measured with it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from parsl_tl.benchmarks.core.report import percentiles
from parsl_tl.benchmarks.remote_latency import ENGINE_QUERY, HANDLER, QUERY, RPC, Latencies
from parsl_tl.benchmarks.remote_workers import RemoteCase
from parsl_tl.benchmarks.store import _wall
from parsl_tl.benchmarks.store_workers import Measured

BASELINES = ("bare", "memcpy", "redis", "hdf5", "embedded")
SIZES, TOTALS = "sizes", "totals"

Row = dict[str, Any]


def case_rows(case: RemoteCase, by_client: Sequence[Sequence[Measured]]) -> list[Row]:
    """Returns a row for each operation of a case, with ratios to the others of it."""
    rows: list[Row] = []
    for same in zip(*by_client, strict=True):
        first = same[0]
        seconds = [_wall(spans) for spans in zip(*(one.spans for one in same), strict=True)]
        median = statistics.median(seconds)
        is_query = first.operation == QUERY
        num_bytes = 0 if is_query else sum(one.num_bytes for one in same)
        items = len(same) * (len(case.queries) if is_query else 1)
        rows.append(
            {
                "series": case.series,
                "transport": case.scheme,
                "providers": case.providers,
                "clients": case.processes,
                "method": first.method,
                "operation": first.operation,
                "part": first.part,
                "how": first.how,
                "model_mb": case.model_mb,
                "layers": case.layers,
                "bytes": num_bytes,
                "items": items,
                "seconds_median": median,
                "seconds_min": min(seconds),
                "gb_per_s": num_bytes / median / 1e9,
                "gb_per_s_best": num_bytes / min(seconds) / 1e9,
                "items_per_s": items / median,
                "items_per_s_best": items / min(seconds),
                "repeats": len(seconds),
            }
        )
    for row in rows:
        for method in BASELINES:
            baseline = baseline_of(row, rows, method)
            row[f"ratio_to_{method}"] = (
                baseline["seconds_median"] / row["seconds_median"] if baseline else None
            )
            row[f"best_ratio_to_{method}"] = (
                baseline["seconds_min"] / row["seconds_min"] if baseline else None
            )
    return rows


def baseline_of(row: Row, rows: Sequence[Row], method: str) -> Row | None:
    """Finds what another method took in the same case for the same operation.

    Where it has two ways to read, the one that does as the row's: into arrays, or fresh ones.
    """
    found = [
        other
        for other in rows
        if other["method"] == method
        and other["operation"] == row["operation"]
        and other["part"] == row["part"]
    ]
    if not found or row["method"] in ("memcpy", method):
        return None
    what = row["how"].rpartition(" ")[2]
    return next((other for other in found if other["how"] == what), found[0])


def latency_rows(
    scheme: str, kind: str, models: int, times: Latencies, status: dict[str, Any]
) -> list[Row]:
    """Returns a row for each way to ask.

    Args:
        scheme: of the transport.
        kind: how queries were drawn.
        models: in the population.
        times: of each way.
        status: what the server told of itself afterwards.
    """
    found: dict[str, dict[str, float]] = {
        way: {**percentiles(seconds), "min": min(seconds)} for way, seconds in times.items()
    }
    queries = len(times[QUERY])
    for request in status["requests"]:
        if request["request"] == "best_ancestors":
            found[HANDLER] = {name: request[f"{name}_us"] / 1e6 for name in ("p50", "p99")}
    rows = []
    for way, seconds in found.items():
        row: Row = {"transport": scheme, "kind": kind, "models": models, "queries": queries}
        row["way"] = way
        row.update({f"{name}_us": 1e6 * value for name, value in seconds.items()})
        if way == QUERY and RPC in found:
            for name, statistic in (("", "p50"), ("best_", "min")):
                beside = found[QUERY][statistic] - found[ENGINE_QUERY][statistic]
                row[f"{name}rpcs_beside_engine"] = beside / found[RPC][statistic]
        else:
            row.update(rpcs_beside_engine=None, best_rpcs_beside_engine=None)
        rows.append(row)
    return rows
