"""What the benchmark of servers shows of its rows: compact tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from parsl_tl.benchmarks.core.report import Row
from parsl_tl.benchmarks.remote_methods import FRESH, INTO, MAPPED, NETWORK, QUERY, VIEWS
from parsl_tl.benchmarks.remote_rows import SIZES, TOTALS
from parsl_tl.benchmarks.remote_settings import TRANSPORTS
from parsl_tl.benchmarks.store_methods import READ, WRITE
from parsl_tl.benchmarks.store_models import TENTH, WHOLE

# Method and `how` of what stands side by side, by the name of its column.
PUTS = {
    "store": ("store", NETWORK),
    "bare": ("bare", "put"),
    "redis": ("redis", "mset"),
    "hdf5": ("hdf5", "h5py"),
    "embedded": ("embedded", "put"),
}
NETWORK_READS = {
    INTO: ("store", f"{NETWORK}, {INTO}"),
    FRESH: ("store", f"{NETWORK}, {FRESH}"),
    "bare": ("bare", "get"),
    "redis": ("redis", "mget"),
    "hdf5 into": ("hdf5", INTO),
    "hdf5 fresh": ("hdf5", FRESH),
}
MAPPED_READS = {
    INTO: ("store", f"{MAPPED}, {INTO}"),
    "embedded": ("embedded", INTO),
    "memcpy": ("memcpy", INTO),
    "memcpy fresh": ("memcpy", FRESH),
}
_VIEWS = ("store", f"{MAPPED}, {VIEWS}")
# What grows with the clients: operation, method and `how`, and whether bytes count.
TOTAL_WAYS = {
    "put": (WRITE, PUTS["store"], True),
    "get": (READ, NETWORK_READS[INTO], True),
    "get mapped": (READ, MAPPED_READS[INTO], True),
    "query": (QUERY, ("store", NETWORK), False),
    "memcpy": (READ, MAPPED_READS["memcpy"], True),
    "bare put": (WRITE, PUTS["bare"], True),
    "bare get": (READ, NETWORK_READS["bare"], True),
    "bare rpc": (QUERY, ("bare", "rpc"), False),
    "redis set": (WRITE, PUTS["redis"], True),
    "redis get": (READ, NETWORK_READS["redis"], True),
    "hdf5 write": (WRITE, PUTS["hdf5"], True),
    "hdf5 read": (READ, NETWORK_READS["hdf5 into"], True),
    "embedded put": (WRITE, PUTS["embedded"], True),
    "embedded read": (READ, MAPPED_READS["embedded"], True),
}
_PARTS = {WHOLE: "", TENTH: " /10"}


def summary_tables(
    moved: Sequence[Row], latencies: Sequence[Row], small: Sequence[Row] = ()
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Returns titles and rows of tables that fit 100 columns, those that have rows.

    Args:
        moved: of ``run_remote_bench``.
        latencies: likewise.
        small: likewise.
    """
    tables = []
    for scheme in TRANSPORTS:
        rows = [row for row in moved if row["transport"] == scheme]
        single = select(rows, SIZES)
        head = f"{scheme}, 1 client, 1 server"
        tables += [
            (
                f"put, {head}: GB/s, and times as fast as the bare transport",
                _bandwidths(single, WRITE, PUTS, "bare"),
            ),
            (
                f"get over the network, {head}: GB/s, and times as fast as the bare transport\n"
                "into: arrays that are there; fresh: new ones",
                _bandwidths(single, READ, NETWORK_READS, "bare"),
            ),
            (
                f"get mapped, again, {head}: GB/s, and times as fast as memcpy",
                _with_views(single, _bandwidths(single, READ, MAPPED_READS, "memcpy")),
            ),
            (
                f"all clients together, {scheme}: GB/s, thousands of queries or calls/s",
                _totals(select(rows, TOTALS)),
            ),
        ]
    tables.append(("one query by one client, 1 server: microseconds", _latencies(latencies)))
    tables.append(
        (
            "small catalogs, 1 server: us (1 client) or thousands of queries/s, and times as\n"
            "fast as a walk over all graphs by the bare transport",
            _small(small),
        )
    )
    return [(title, table) for title, table in tables if table]


def select(rows: Iterable[Row], series: str) -> list[Row]:
    """Returns the rows of a series, ``sizes`` or ``totals``."""
    return [row for row in rows if row["series"] == series]


def values_of(rows: Iterable[Row], column: str) -> list[Any]:
    """Returns the different values of a column, in the order of appearance."""
    return list(dict.fromkeys(row[column] for row in rows))


def find_row(rows: Iterable[Row], operation: str, way: tuple[str, ...], **where: Any) -> Row | None:
    """Returns the first row of a method's way to do an operation, or None."""
    for row in rows:
        is_it = row["operation"] == operation and (row["method"], row["how"]) == way
        if is_it and all(row[column] == value for column, value in where.items()):
            return row
    return None


def _cases(rows: Sequence[Row], operation: str) -> list[tuple[float, str]]:
    """Returns sizes and parts, the sizes in order."""
    found = {(row["model_mb"], row["part"]) for row in rows if row["operation"] == operation}
    return sorted(found, key=lambda case: (case[0], case[1] == TENTH))


def _bandwidths(
    rows: Sequence[Row], operation: str, ways: dict[str, tuple[str, str]], baseline: str
) -> list[dict[str, Any]]:
    lines = []
    for size, part in _cases(rows, operation):
        line: dict[str, Any] = {"MB": f"{size:g}{_PARTS[part]}"}
        for name, way in ways.items():
            row = find_row(rows, operation, way, model_mb=size, part=part)
            if row is not None:
                line[name] = _cell(row, baseline)
        lines.append(line)
    return lines


def _cell(row: Row, baseline: str) -> str:
    ratio = row[f"ratio_to_{baseline}"]
    return _speed(row["gb_per_s"]) + (f" {ratio:.2f}" if ratio is not None else "")


def _speed(value: float) -> str:
    decimals = 0 if value >= 99.5 else 1 if value >= 9.95 else 2
    return f"{value:.{decimals}f}"


def _with_views(rows: Sequence[Row], lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds what it takes to get views, which does not depend on the bytes."""
    for line, (size, part) in zip(lines, _cases(rows, READ), strict=True):
        row = find_row(rows, READ, _VIEWS, model_mb=size, part=part)
        if row is not None:
            line["views, us"] = f"{row['seconds_median'] * 1e6:,.0f}"
    return lines


def _totals(rows: Sequence[Row]) -> list[dict[str, Any]]:
    clients = sorted(values_of(rows, "clients"))
    lines = []
    for servers in sorted(values_of(rows, "providers")):
        for name, (operation, way, counts_bytes) in TOTAL_WAYS.items():
            line: dict[str, Any] = {"servers": str(servers), "what": name}
            for number in clients:
                row = find_row(rows, operation, way, clients=number, providers=servers)
                if row is not None:
                    speed = row["gb_per_s"] if counts_bytes else row["items_per_s"] / 1e3
                    line[f"{number} client{'s' if number > 1 else ''}"] = _speed(speed)
            if len(line) > 2:
                lines.append(line)
    return lines


def _latencies(rows: Sequence[Row]) -> list[dict[str, Any]]:
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        line = lines.setdefault(
            (row["kind"], row["way"]), {"p50 / p99 of": f"{row['way']}, {row['kind']}"}
        )
        line[row["transport"]] = f"{row['p50_us']:,.0f} / {row['p99_us']:,.0f}"
    return list(lines.values())


def _small(rows: Sequence[Row]) -> list[dict[str, Any]]:
    lines: dict[tuple[str, int, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["transport"], row["clients"], row["way"])
        line = lines.setdefault(
            key, {"transport": row["transport"], "clients": row["clients"], "way": row["way"]}
        )
        is_single = row["p50_us"] is not None
        value = f"{row['p50_us']:,.0f}" if is_single else _speed(row["queries_per_s"] / 1e3)
        line[f"{row['models']:,}"] = f"{value} {row['ratio_to_walk']:.2f}"
    return list(lines.values())
