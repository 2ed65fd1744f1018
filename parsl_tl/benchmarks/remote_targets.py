"""What the store on servers should reach, and whether it did: ratios within one run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from parsl_tl.benchmarks.core.report import Row
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
from parsl_tl.benchmarks.remote_small import WALK
from parsl_tl.benchmarks.store_methods import READ, WRITE
from parsl_tl.benchmarks.store_models import WHOLE

OF_BARE = 0.85
OF_MEMCPY = 0.8
RPCS_BESIDE_ENGINE = 1.5
MORE_CLIENTS = 1.0
OF_WALK = 1 / 1.1
_LARGE_MB = 16.0
_FEW_CLIENTS = 2


def target_rows(
    moved: Sequence[Row], latencies: Sequence[Row], small: Sequence[Row] = ()
) -> list[dict[str, Any]]:
    """Compares what was measured with what it should be.

    Args:
        moved: of ``run_remote_bench``.
        latencies: likewise.
        small: likewise.

    Returns:
        Per target and transport ``transport``, ``what``, ``ratio`` (of the medians), ``at best``
        (of the minima, which a busy machine disturbs less), ``target``, and ``met``, by the
        medians.
    """
    rows: list[dict[str, Any]] = []
    for scheme in dict.fromkeys(
        [
            *values_of(moved, "transport"),
            *values_of(latencies, "transport"),
            *values_of(small, "transport"),
        ]
    ):
        own = [row for row in moved if row["transport"] == scheme]
        rows += _of_bare(scheme, own)
        rows += _of_memcpy(scheme, own)
        rows += _of_latencies(scheme, latencies)
        rows += _of_clients(scheme, own)
        rows += _of_walk(scheme, small)
    return rows


def _at_least(scheme: str, what: str, ratio: float, best: float, target: float) -> dict[str, Any]:
    return {
        "transport": scheme,
        "what": what,
        "ratio": round(ratio, 2),
        "at best": round(best, 2),
        "target": f">= {target:.3g}",
        "met": ratio >= target,
    }


def _of_bare(scheme: str, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    ways = [
        ("put", WRITE, PUTS["store"]),
        ("get into arrays", READ, NETWORK_READS["into"]),
        ("get fresh arrays", READ, NETWORK_READS["fresh"]),
    ]
    single = select(rows, SIZES)
    for name, operation, way in ways:
        for size in sorted(values_of(single, "model_mb")):
            row = find_row(single, operation, way, model_mb=size, part=WHOLE)
            if size < _LARGE_MB or row is None or row["ratio_to_bare"] is None:
                continue
            ratios = row["ratio_to_bare"], row["best_ratio_to_bare"]
            yield _at_least(scheme, f"{name}, {size:g} MB, of bare", *ratios, OF_BARE)


def _of_memcpy(scheme: str, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    single = select(rows, SIZES)
    for size in sorted(values_of(single, "model_mb")):
        row = find_row(single, READ, MAPPED_READS["into"], model_mb=size, part=WHOLE)
        if size < _LARGE_MB or row is None or row["ratio_to_memcpy"] is None:
            continue
        ratios = row["ratio_to_memcpy"], row["best_ratio_to_memcpy"]
        yield _at_least(scheme, f"get mapped, {size:g} MB, of memcpy", *ratios, OF_MEMCPY)


def _of_latencies(scheme: str, latencies: Sequence[Row]) -> Iterator[dict[str, Any]]:
    for row in latencies:
        ratio = row["rpcs_beside_engine"]
        if row["transport"] == scheme and ratio is not None:
            yield {
                "transport": scheme,
                "what": f"{row['way']}, {row['kind']}: bare rpcs beside engine",
                "ratio": round(ratio, 2),
                "at best": round(row["best_rpcs_beside_engine"], 2),
                "target": f"<= {RPCS_BESIDE_ENGINE:g}",
                "met": ratio <= RPCS_BESIDE_ENGINE,
            }


def _of_clients(scheme: str, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    totals = select(rows, TOTALS)
    many = max(values_of(totals, "clients"), default=0)
    if many <= _FEW_CLIENTS:
        return
    for servers in sorted(values_of(totals, "providers")):
        for name in ("put", "get", "get mapped", "query"):
            operation, way, _ = TOTAL_WAYS[name]
            few, all_of_them = (
                find_row(totals, operation, way, clients=number, providers=servers)
                for number in (_FEW_CLIENTS, many)
            )
            if few is None or all_of_them is None:
                continue
            ratio, best = (
                all_of_them[column] / few[column] for column in ("items_per_s", "items_per_s_best")
            )
            what = f"{name}, {servers} server{'s' if servers > 1 else ''}: {many} to 2 clients"
            yield _at_least(scheme, what, ratio, best, MORE_CLIENTS)


def _of_walk(scheme: str, small: Sequence[Row]) -> Iterator[dict[str, Any]]:
    for row in small:
        if row["transport"] != scheme or row["way"] == WALK:
            continue
        clients = f"{row['clients']} client{'s' if row['clients'] > 1 else ''}"
        what = f"{row['way']}, {row['models']:,} models, {clients}, of a walk"
        yield _at_least(scheme, what, row["ratio_to_walk"], row["ratio_to_walk"], OF_WALK)
