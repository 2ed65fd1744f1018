"""What the benchmark of servers shows of its rows, and whether it reaches what it should."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pandas as pd

from parsl_tl.benchmarks.core.suite import Frames, Row, pivot
from parsl_tl.benchmarks.formats.bench_model import TENTH, WHOLE
from parsl_tl.benchmarks.formats.method import QUERY, READ, WRITE
from parsl_tl.benchmarks.suites.bandwidth import cells, short_speed
from parsl_tl.benchmarks.suites.remote_queries import WALK
from parsl_tl.reporting.frame_plots import Plot

BASELINES: Final = ("bare", "memcpy", "redis", "hdf5", "embedded")
SIZES: Final = "sizes"
TOTALS: Final = "totals"
OF_BARE, OF_MEMCPY, RPCS_BESIDE_ENGINE, MORE_CLIENTS, OF_WALK = 0.85, 0.8, 1.5, 1.0, 1 / 1.1
_LARGE_MB, _FEW_CLIENTS = 16.0, 2
# What of large models should reach which share of what, by operation and `how` of the store.
_SHARES: Final = {
    (WRITE, "network"): ("put", "bare", OF_BARE),
    (READ, "network, into"): ("get into arrays", "bare", OF_BARE),
    (READ, "network, fresh"): ("get fresh arrays", "bare", OF_BARE),
    (READ, "mapped, into"): ("get mapped", "memcpy", OF_MEMCPY),
}
# What of the store should grow with the clients, and what plots call it.
_STORE_TOTALS: Final = {
    (WRITE, "network"): "put",
    (READ, "network, into"): "get",
    (READ, "mapped, into"): "get mapped",
    (QUERY, "network"): "query",
}


def summary(frames: Frames) -> list[tuple[str, Any]]:
    """Returns titles and tables that fit 100 columns."""
    tables = []
    bare, copies = (f"GB/s, and times as fast as {one}" for one in ("the bare transport", "memcpy"))
    for scheme, rows in frames["remote"].groupby("transport", sort=False):
        single, head = rows[rows.series == SIZES], f"{scheme}, 1 client, 1 server"
        reads = single[single.operation == READ]
        mapped = reads.how.str.startswith("mapped") | reads.method.isin(["memcpy", "embedded"])
        into = "\ninto: arrays that are there; fresh: new ones; get: as the transport has them"
        kept = "\nbare bytes are thrown away; the store's are in a new file, as those of plain are"
        for title, own, baseline in (
            (f"put, {head}: {bare}{kept}", single[single.operation == WRITE], "bare"),
            (f"get over the network, {head}: {bare}{into}", reads[~mapped], "bare"),
            (f"get mapped, again, {head}: {copies}", reads[mapped], "memcpy"),
        ):
            size = own.model_mb.map("{:g} MB".format) + own.part.map({WHOLE: "", TENTH: " /10"})
            cell = own.assign(cell=cells(own, f"ratio_to_{baseline}"), size=size)
            tables.append((title, pivot(cell, "cell", ["method", "how"], "size")))
        title = f"all clients together, {scheme}: GB/s, thousands of queries or calls/s"
        tables.append((title, _totals(rows).map(short_speed, na_action="ignore").astype(object)))
    if "remote_latency" in frames:
        rows = frames["remote_latency"]
        cell = rows.p50_us.map("{:,.0f}".format) + rows.p99_us.map(" / {:,.0f}".format)
        table = pivot(rows.assign(cell=cell), "cell", ["way", "kind"], "transport")
        tables.append(("one query by one client, 1 server: microseconds, p50 / p99", table))
    if "remote_small" in frames:
        rows = frames["remote_small"]
        rates = (rows.queries_per_s / 1e3).map(short_speed)
        cell = rows.p50_us.map("{:,.0f}".format).where(rows.p50_us.notna(), rates)
        cell += rows.ratio_to_walk.map(" {:.2f}".format)
        rows = rows.assign(cell=cell, models=rows.models.map("{:,}".format))
        title = (
            "small catalogs, 1 server: us (1 client) or thousands of queries/s, and times as\n"
            "fast as a walk over all graphs by the bare transport"
        )
        tables.append((title, pivot(rows, "cell", ["transport", "clients", "way"], "models")))
    if "remote_targets" in frames:
        tables.append(("what it should reach, as ratios within this run", frames["remote_targets"]))
    return tables


def _totals(rows: Any, best: str = "") -> Any:
    """Returns GB/s, or thousands of queries: rows of servers and what, columns of clients."""
    own = rows[(rows.series == TOTALS) & ~rows.how.str.endswith("views")]
    speed = own[f"gb_per_s{best}"].where(own.operation != QUERY, own[f"items_per_s{best}"] / 1e3)
    index = ["servers", "operation", "method", "how"]
    own = own.rename(columns={"providers": "servers"}).assign(speed=speed)
    return pivot(own, "speed", index, "clients", "mean").sort_index(level=0)


# What, its ratio, the same at best, the target, and whether that is the least (or the most).
_Target = tuple[str, float, float, float, bool]


def target_rows(frames: Frames) -> list[Row]:
    """Compares what was measured with what it should be.

    Returns:
        Per target and transport ``transport``, ``what``, ``ratio`` (of the medians), ``at best``
        (of the minima, which a busy machine disturbs less), ``target``, and ``met``, by the
        medians.
    """
    found: list[Row] = []
    parts = {
        "remote": (_of_others, _of_clients),
        "remote_latency": (_of_latencies,),
        "remote_small": (_of_walk,),
    }
    for scheme in frames["remote"].transport.unique():
        for name, rows in ((name, rows) for name, rows in frames.items() if len(rows)):
            own = rows[rows.transport == scheme]
            for what, ratio, best, target, is_least in (t for p in parts[name] for t in p(own)):
                row = {"transport": scheme, "what": what}
                row |= {"ratio": round(float(ratio), 2), "at best": round(float(best), 2)}
                row["target"] = f"{'>=' if is_least else '<='} {target:.3g}"
                met = ratio >= target if is_least else ratio <= target
                found.append({**row, "met": bool(met)})
    return found


def _of_others(rows: Any) -> Iterator[_Target]:
    rows = rows[(rows.series == SIZES) & (rows.part == WHOLE) & (rows.model_mb >= _LARGE_MB)]
    for row in rows[rows.method == "store"].sort_values("model_mb").to_dict("records"):
        what, baseline, target = _SHARES.get((row["operation"], row["how"]), ("", "bare", 0.0))
        ratios = row[f"ratio_to_{baseline}"], row[f"best_ratio_to_{baseline}"]
        if not what or pd.isna(ratios[0]):
            continue
        what = f"{what}, {row['model_mb']:g} MB, of {baseline}"
        yield what, *ratios, target, True
        # A put beside the bare transport and, after that, the same bytes into a new file.
        is_same = (rows.operation == row["operation"]) & (rows.model_mb == row["model_mb"])
        plain = rows[is_same & (rows.method == "plain")]
        if row["operation"] == WRITE and len(plain):
            of_plain = plain.iloc[0][["ratio_to_bare", "best_ratio_to_bare"]]
            both = (own * (1 + 1 / other) for own, other in zip(ratios, of_plain, strict=True))
            yield f"{what} and a new file", *both, OF_BARE, True


def _of_latencies(rows: Any) -> Iterator[_Target]:
    for row in rows[rows.rpcs_beside_engine.notna()].to_dict("records"):
        what = f"{row['way']}, {row['kind']}: bare rpcs beside engine"
        ratios = row["rpcs_beside_engine"], row["best_rpcs_beside_engine"]
        yield what, *ratios, RPCS_BESIDE_ENGINE, False


def _of_clients(rows: Any) -> Iterator[_Target]:
    median, best = _totals(rows), _totals(rows, "_best")
    many = max(median.columns, default=0)
    if many <= _FEW_CLIENTS or _FEW_CLIENTS not in median:
        return
    shares = pd.concat((table[many] / table[_FEW_CLIENTS] for table in (median, best)), axis=1)
    for (servers, operation, method, how), share, at_best in shares.itertuples():
        what = _STORE_TOTALS.get((operation, how)) if method == "store" else None
        if what and pd.notna(share):
            text = f"{what}, {servers} server{'s' * (servers > 1)}: {many} to 2 clients"
            yield text, share, at_best, MORE_CLIENTS, True


def _of_walk(rows: Any) -> Iterator[_Target]:
    for row in rows[rows.way != WALK].to_dict("records"):
        clients = f"{row['clients']} client{'s' * (row['clients'] > 1)}"
        what = f"{row['way']}, {row['models']:,} models, {clients}, of a walk"
        yield what, row["ratio_to_walk"], row["ratio_to_walk"], OF_WALK, True


def plots(frames: Frames) -> list[Plot]:
    """Returns plots of bandwidth by size, rates by clients, and latencies."""
    found = []
    for scheme, rows in frames["remote"].groupby("transport", sort=False):
        short = str(scheme).replace("+", "_")
        single = rows[(rows.series == SIZES) & (rows.part == WHOLE)]
        single = single[~single.how.str.contains("fresh|views")]
        single = single.assign(way=single.method + " " + single.how)
        for what, operation in (("put", WRITE), ("get", READ)):
            own = single[single.operation == operation]
            frame = own.pivot_table("gb_per_s", "model_mb", "way", sort=False)
            title = f"{what}, {scheme}, 1 client, 1 server"
            found.append(Plot(f"{what}_{short}", title, frame, "GB/s", log="y", across="MB"))
        totals = _totals(rows)
        for (operation, how), what in _STORE_TOTALS.items() if totals.shape[1] > 1 else ():
            is_own = totals.index.droplevel("servers").isin([(operation, "store", how)])
            own = totals[is_own].droplevel(["operation", "method", "how"]).T
            label = "thousands of queries/s" if what == "query" else "GB/s"
            name = f"total_{what.replace(' ', '_')}_{short}"
            title = f"{what}, {scheme}, by number of servers"
            label, across = f"{label}, all together", "clients at once"
            found.append(Plot(name, title, own, label, kind="line", across=across))
    if "remote_latency" in frames:
        rows = frames["remote_latency"]
        own = rows[rows.kind == rows.kind.iloc[0]]
        table = own.pivot_table("p50_us", "way", "transport", sort=False)
        title = f"one query ({own.kind.iloc[0]}) among {own.models.iloc[0]:,} models"
        found.append(Plot("latency", title, table, "median, microseconds"))
    return found
