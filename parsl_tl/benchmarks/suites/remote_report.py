"""What the benchmark of servers shows of its rows, and whether it reaches what it should."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pandas as pd

from parsl_tl.benchmarks.core.suite import Frames, Row
from parsl_tl.benchmarks.formats.bench_model import TENTH, WHOLE
from parsl_tl.benchmarks.formats.operation import FRESH, INTO, QUERY, READ, WRITE
from parsl_tl.benchmarks.formats.store import MAPPED, NETWORK, VIEWS
from parsl_tl.benchmarks.suites.remote_queries import WALK
from parsl_tl.reporting.frame_plots import Plot

BASELINES: Final = ("bare", "memcpy", "redis", "hdf5", "embedded")
SIZES: Final = "sizes"
TOTALS: Final = "totals"
OF_BARE, OF_MEMCPY, RPCS_BESIDE_ENGINE, MORE_CLIENTS, OF_WALK = 0.85, 0.8, 1.5, 1.0, 1 / 1.1
_LARGE_MB, _FEW_CLIENTS = 16.0, 2

# Method and `how` of what stands side by side, and the name of its column.
Names = Mapping[tuple[str, str], str]
_PUTS: Final[Names] = {
    ("store", NETWORK): "store",
    ("bare", "put"): "bare",
    ("redis", "mset"): "redis",
    ("hdf5", "h5py"): "hdf5",
    ("embedded", "put"): "embedded",
}
_NETWORK_READS: Final[Names] = {
    ("store", f"{NETWORK}, {INTO}"): INTO,
    ("store", f"{NETWORK}, {FRESH}"): FRESH,
    ("bare", "get"): "bare",
    ("redis", "mget"): "redis",
    ("hdf5", INTO): "hdf5 into",
    ("hdf5", FRESH): "hdf5 fresh",
}
_MAPPED_READS: Final[Names] = {
    ("store", f"{MAPPED}, {INTO}"): INTO,
    ("embedded", INTO): "embedded",
    ("memcpy", INTO): "memcpy",
    ("memcpy", FRESH): "memcpy fresh",
    ("store", f"{MAPPED}, {VIEWS}"): "views, us",
}
_GETS: Final[Names] = {
    **{way: name for way, name in _NETWORK_READS.items() if FRESH not in name},
    **{way: name for way, name in _MAPPED_READS.items() if way[1] == INTO},
    ("store", f"{MAPPED}, {INTO}"): "store, mapped",
    ("store", f"{NETWORK}, {INTO}"): "store",
}
# What grows with the clients, by operation, method and `how`.
_TOTALS: Final = {
    (WRITE, "store", NETWORK): "put",
    (READ, "store", f"{NETWORK}, {INTO}"): "get",
    (READ, "store", f"{MAPPED}, {INTO}"): "get mapped",
    (QUERY, "store", NETWORK): "query",
    (READ, "memcpy", INTO): "memcpy",
    (WRITE, "bare", "put"): "bare put",
    (READ, "bare", "get"): "bare get",
    (QUERY, "bare", "rpc"): "bare rpc",
    (WRITE, "redis", "mset"): "redis set",
    (READ, "redis", "mget"): "redis get",
    (WRITE, "hdf5", "h5py"): "hdf5 write",
    (READ, "hdf5", INTO): "hdf5 read",
    (WRITE, "embedded", "put"): "embedded put",
    (READ, "embedded", INTO): "embedded read",
}
_STORE_TOTALS: Final = ("put", "get", "get mapped", "query")
# What of large models should reach which share of what.
_SHARES: Final = {
    (WRITE, NETWORK): ("put", "bare", OF_BARE),
    (READ, f"{NETWORK}, {INTO}"): ("get into arrays", "bare", OF_BARE),
    (READ, f"{NETWORK}, {FRESH}"): ("get fresh arrays", "bare", OF_BARE),
    (READ, f"{MAPPED}, {INTO}"): ("get mapped", "memcpy", OF_MEMCPY),
}


def summary(frames: Frames) -> list[tuple[str, Any]]:
    """Returns titles and tables that fit 100 columns."""
    moved, tables = frames["remote"], []
    for scheme, rows in moved.groupby("transport", sort=False):
        single, head = rows[rows.series == SIZES], f"{scheme}, 1 client, 1 server"
        bare, speeds = "GB/s, and times as fast as the bare transport", _bandwidths
        tables += [
            (f"put, {head}: {bare}", speeds(single, WRITE, _PUTS, "bare")),
            (
                f"get over the network, {head}: {bare}\n"
                "into: arrays that are there; fresh: new ones",
                speeds(single, READ, _NETWORK_READS, "bare"),
            ),
            (
                f"get mapped, again, {head}: GB/s, and times as fast as memcpy",
                speeds(single, READ, _MAPPED_READS, "memcpy"),
            ),
            (
                f"all clients together, {scheme}: GB/s, thousands of queries or calls/s",
                _totals(rows).map(_speed, na_action="ignore").reset_index().astype(object),
            ),
        ]
    if "remote_latency" in frames:
        title = "one query by one client, 1 server: microseconds"
        tables.append((title, _latencies(frames["remote_latency"])))
    if "remote_small" in frames:
        title = (
            "small catalogs, 1 server: us (1 client) or thousands of queries/s, and times as\n"
            "fast as a walk over all graphs by the bare transport"
        )
        tables.append((title, _small(frames["remote_small"])))
    if "remote_targets" in frames:
        tables.append(("what it should reach, as ratios within this run", frames["remote_targets"]))
    return tables


def _named(rows: Any, names: Mapping[Any, str], *columns: str) -> Any:
    """Returns the rows that have a name, in the order of the names, with it as a category."""
    found = [names.get(key) for key in zip(*(rows[column] for column in columns), strict=True)]
    order = list(dict.fromkeys(names.values()))
    named = rows.assign(name=pd.Categorical(found, order))
    return named[named.name.notna()]


def _bandwidths(rows: Any, operation: str, names: Names, baseline: str) -> Any:
    own = _named(rows[rows.operation == operation], names, "method", "how")
    cells = [
        f"{1e6 * row.seconds_median:,.0f}" if row.name_ == "views, us" else _cell(row, baseline)
        for row in own.rename(columns={"name": "name_"}).itertuples()
    ]
    parts = own.part.map({WHOLE: 0, TENTH: 1})
    own = own.assign(cell=cells, order=parts, MB=_sizes(own))
    table = own.pivot(index=["model_mb", "order", "MB"], columns="name", values="cell")
    return table.sort_index().droplevel([0, 1])


def _sizes(rows: Any) -> list[str]:
    pairs = zip(rows.model_mb, rows.part, strict=True)
    return [f"{size:g}{' /10' if part == TENTH else ''}" for size, part in pairs]


def _cell(row: Any, baseline: str) -> str:
    share = getattr(row, f"ratio_to_{baseline}")
    return _speed(row.gb_per_s) + (f" {share:.2f}" if pd.notna(share) else "")


def _speed(value: float) -> str:
    decimals = 0 if value >= 99.5 else 1 if value >= 9.95 else 2
    return f"{value:.{decimals}f}"


def _totals(rows: Any, best: bool = False) -> Any:
    """Returns GB/s, or thousands of queries: rows of servers and what, columns of clients."""
    own = _named(rows[rows.series == TOTALS], _TOTALS, "operation", "method", "how")
    suffix = "_best" if best else ""
    speeds = own[f"gb_per_s{suffix}"].where(
        own.operation != QUERY, own[f"items_per_s{suffix}"] / 1e3
    )
    own = own.assign(speed=speeds, servers=own.providers, what=own.name)
    return own.pivot(index=["servers", "what"], columns="clients", values="speed").sort_index()


def _latencies(rows: Any) -> Any:
    own = rows.assign(
        key=[f"{way}, {kind}" for way, kind in zip(rows.way, rows.kind, strict=True)],
        cell=[
            f"{p50:,.0f} / {p99:,.0f}" for p50, p99 in zip(rows.p50_us, rows.p99_us, strict=True)
        ],
    )
    table = own.pivot(index="key", columns="transport", values="cell")
    return table.loc[own.key.unique()].rename_axis("p50 / p99 of")


def _small(rows: Any) -> Any:
    cells = [
        (f"{row.p50_us:,.0f}" if pd.notna(row.p50_us) else _speed(row.queries_per_s / 1e3))
        + f" {row.ratio_to_walk:.2f}"
        for row in rows.itertuples()
    ]
    index = ["transport", "clients", "way"]
    table = rows.assign(cell=cells).pivot(index=index, columns="models", values="cell")
    return table.rename(columns=lambda models: f"{models:,}")


def target_rows(frames: Frames) -> list[Row]:
    """Compares what was measured with what it should be.

    Returns:
        Per target and transport ``transport``, ``what``, ``ratio`` (of the medians), ``at best``
        (of the minima, which a busy machine disturbs less), ``target``, and ``met``, by the
        medians.
    """
    found = [
        {
            "transport": scheme,
            "what": what,
            "ratio": round(float(share), 2),
            "at best": round(float(best), 2),
            "target": f">= {target:.3g}" if is_least else f"<= {target:.3g}",
            "met": bool(share >= target if is_least else share <= target),
        }
        for part in (_of_others, _of_latencies, _of_clients, _of_walk)
        for scheme, what, share, best, target, is_least in part(frames)
    ]
    order = list(dict.fromkeys(row["transport"] for row in found))
    return sorted(found, key=lambda row: order.index(row["transport"]))


_Target = tuple[str, str, float, float, float, bool]


def _of_others(frames: Frames) -> Iterator[_Target]:
    rows = frames["remote"]
    rows = rows[(rows.series == SIZES) & (rows.part == WHOLE) & (rows.method == "store")]
    for row in rows[rows.model_mb >= _LARGE_MB].sort_values("model_mb").to_dict("records"):
        what, baseline, target = _SHARES.get((row["operation"], row["how"]), ("", "bare", 0.0))
        share = row[f"ratio_to_{baseline}"]
        if what and pd.notna(share):
            text = f"{what}, {row['model_mb']:g} MB, of {baseline}"
            yield row["transport"], text, share, row[f"best_ratio_to_{baseline}"], target, True


def _of_latencies(frames: Frames) -> Iterator[_Target]:
    for row in frames["remote_latency"].to_dict("records"):
        if pd.notna(row["rpcs_beside_engine"]):
            text = f"{row['way']}, {row['kind']}: bare rpcs beside engine"
            ratios = row["rpcs_beside_engine"], row["best_rpcs_beside_engine"]
            yield row["transport"], text, *ratios, RPCS_BESIDE_ENGINE, False


def _of_clients(frames: Frames) -> Iterator[_Target]:
    for scheme, rows in frames["remote"].groupby("transport", sort=False):
        median, best = _totals(rows), _totals(rows, best=True)
        many = max(median.columns, default=0)
        if many <= _FEW_CLIENTS or _FEW_CLIENTS not in median:
            continue
        shares = (table[many] / table[_FEW_CLIENTS] for table in (median, best))
        for (servers, what), share, at_best in pd.concat(shares, axis=1).itertuples():
            if what in _STORE_TOTALS and pd.notna(share):
                text = f"{what}, {servers} server{'s' if servers > 1 else ''}: {many} to 2 clients"
                yield str(scheme), text, share, at_best, MORE_CLIENTS, True


def _of_walk(frames: Frames) -> Iterator[_Target]:
    for row in frames["remote_small"].to_dict("records"):
        if row["way"] != WALK:
            clients = f"{row['clients']} client{'s' if row['clients'] > 1 else ''}"
            text = f"{row['way']}, {row['models']:,} models, {clients}, of a walk"
            yield row["transport"], text, row["ratio_to_walk"], row["ratio_to_walk"], OF_WALK, True


def plots(frames: Frames) -> list[Plot]:
    """Returns plots of bandwidth by size, rates by clients, and latencies."""
    found = []
    for scheme, rows in frames["remote"].groupby("transport", sort=False):
        short = str(scheme).replace("+", "_")
        single = rows[(rows.series == SIZES) & (rows.part == WHOLE)]
        for what, operation, names in (("put", WRITE, _PUTS), ("get", READ, _GETS)):
            own = _named(single[single.operation == operation], names, "method", "how")
            frame = own.pivot(index="model_mb", columns="name", values="gb_per_s")
            title = f"{what}, {scheme}, 1 client, 1 server"
            found.append(Plot(f"{what}_{short}", title, frame, "GB/s", log="y", across="MB"))
        totals = _totals(rows)
        for what in _STORE_TOTALS if totals.shape[1] > 1 else ():
            own = totals[totals.index.get_level_values("what") == what].droplevel("what").T
            label = "thousands of queries/s" if what == "query" else "GB/s"
            name = f"total_{what.replace(' ', '_')}_{short}"
            title = f"{what}, {scheme}, by number of servers"
            label, across = f"{label}, all together", "clients at once"
            found.append(Plot(name, title, own, label, kind="line", across=across))
    if "remote_latency" in frames:
        rows = frames["remote_latency"]
        own = rows[rows.kind == rows.kind.iloc[0]]
        table = own.pivot(index="way", columns="transport", values="p50_us").loc[own.way.unique()]
        title = f"one query ({own.kind.iloc[0]}) among {own.models.iloc[0]:,} models"
        found.append(Plot("latency", title, table, "median, microseconds"))
    return found
