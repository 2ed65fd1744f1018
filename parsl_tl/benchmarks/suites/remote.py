"""How fast a store on servers puts, gets, and finds prefixes, beside the transport alone.

The servers are ``parsl-tl store serve`` processes on this machine, so client and server share its
cores and its memory's bandwidth. What is read was put before and comes from memory; nothing waits
for a disk.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from parsl_tl.benchmarks.core.processes import Processes
from parsl_tl.benchmarks.core.queries import Queries, put_catalog
from parsl_tl.benchmarks.core.redis_server import RedisServer
from parsl_tl.benchmarks.core.room import resident_bytes_of, temporary_folder
from parsl_tl.benchmarks.core.store_servers import BareServers, StoreServers, open_servers
from parsl_tl.benchmarks.core.suite import Progress, Row, Suite, Tables, silent
from parsl_tl.benchmarks.formats.bench_model import PARTS, WHOLE
from parsl_tl.benchmarks.formats.operation import QUERY, Case
from parsl_tl.benchmarks.suites import bandwidth, remote_queries, remote_report
from parsl_tl.benchmarks.suites.bandwidth import BandwidthWorker, Measured, ratio
from parsl_tl.benchmarks.suites.remote_queries import Asked, QueryCase, questions_of
from parsl_tl.benchmarks.suites.remote_report import BASELINES, SIZES, TOTALS
from parsl_tl.benchmarks.suites.remote_settings import TRANSPORTS, RemoteSettings, check
from parsl_tl.population.catalog import (
    Catalog,
    evolve_catalog,
    mutated_queries,
    random_queries,
)

# Queries in one operation, whose total rate is measured.
_QUERIES_AT_ONCE = 100


def measure(settings: RemoteSettings, progress: Progress = silent) -> Tables:
    """Measures everything; leaves no folder, process or server behind, whatever happens.

    Args:
        settings: what to measure; checked.
        progress: called before each case.

    Returns:
        ``remote``: what was moved has ``series`` (sizes: of models, for one client and one server;
        totals: of several clients and servers), ``transport``, ``providers``, ``clients``,
        ``method``, ``operation`` (write, read, query), ``part`` (whole, tenth), ``how``,
        ``model_mb``, ``layers``, ``bytes`` and ``items`` (models, or queries: of all clients
        together), ``seconds_median`` and ``seconds_min`` (from the common start to the last end),
        ``gb_per_s`` and ``items_per_s`` (of the median; ``..._best`` of the minimum),
        ``repeats``, and for each of bare, memcpy, redis, hdf5, embedded ``ratio_to_...``: how many
        times as fast as that (by the medians; ``best_ratio_to_...`` by the minima).

        ``remote_latency``: ``transport``, ``kind``, ``models``, ``queries``, ``way``, ``p50_us``,
        ``p99_us``, ``min_us``, and ``rpcs_beside_engine``: what a query takes beyond the engine's
        own time, in round trips of the bare transport (by the medians; ``best_...`` by the minima).

        ``remote_small``: small catalogs have ``transport``, ``models``, ``clients``, ``way``
        (match, query: the store's; walk: over all graphs, by the bare transport), ``queries``,
        ``queries_per_s`` of all clients, ``p50_us`` and ``p99_us`` of one, ``ratio_to_walk`` (how
        many times as fast; of one client by the medians), and ``server_mb``, the server's resident
        memory. ``remote_targets``: see ``target_rows``.

    Raises:
        BenchmarkError: a process or server failed; a method gave back other bytes than were put,
            or another answer than the engine.
    """
    assert settings.transports is not None
    assert settings.methods is not None
    progress(0.0, f"evolve {settings.models:,} models")
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(temporary_folder(settings.folder))
        redis = stack.enter_context(RedisServer()) if "redis" in settings.methods else None
        counts = sorted({1, *settings.clients})
        workers = stack.enter_context(Processes(_RemoteWorker, counts))
        run = _Run(settings, workers, root, redis.socket if redis else None)
        # Bandwidth by size, and latencies, are those of one server.
        providers = sorted({1, *settings.providers})
        groups = list(itertools.product(settings.transports, providers))
        whole = sum(_weight(shape) for _, servers in groups for shape in run.shapes(servers))
        done = 0.0
        for scheme, servers in groups:
            # Closed at once, and so its servers, whoever interrupts.
            with contextlib.closing(run.measure(scheme, servers)) as steps:
                for text, weight in steps:
                    progress(min(1.0, done / whole), text)
                    done += weight
        progress(1.0, "done")
    frames = {name: pd.DataFrame(rows) for name, rows in run.tables.items()}
    return {**run.tables, "remote_targets": remote_report.target_rows(frames)}


# What distinguishes a case from the others on the same servers: series, model_mb, clients.
_Shape = tuple[str, float, int]


def _weight(shape: _Shape) -> float:
    """Returns a case's part of the time: some of it does not grow with the bytes."""
    return shape[1] * shape[2] + 100


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"


class _RemoteWorker(BandwidthWorker):
    """A client."""

    def latencies(self, case: QueryCase) -> remote_queries.Seconds:
        return remote_queries.time_queries(case)

    def small(self, case: QueryCase) -> remote_queries.SmallTimes:
        return remote_queries.time_small(case, lambda: self.meet(case.clients))


class _Run:
    """The state of one benchmark."""

    def __init__(
        self, settings: RemoteSettings, workers: Processes, root: Path, socket: str | None
    ) -> None:
        self._settings, self._workers, self._root, self._socket = settings, workers, root, socket
        self._methods = settings.methods or ()
        self._numbers = itertools.count()
        seed = settings.seed
        self._catalog = evolve_catalog(settings.models, seed=seed)
        # Those of the totals come from the same draw, so that there must be enough.
        num = max(settings.queries, _QUERIES_AT_ONCE)
        self._queries: dict[str, tuple[Asked, ...]] = {
            kind: questions_of(Queries.of(kind, drawn))
            for kind, drawn in (
                ("random", random_queries(num, seed)),
                ("mutated", mutated_queries(self._catalog, num, seed)),
            )
        }
        self.tables: dict[str, list[Row]] = {"remote": [], "remote_latency": [], "remote_small": []}

    def shapes(self, servers: int) -> list[_Shape]:
        """Returns the cases on so many servers."""
        settings = self._settings
        found: list[_Shape] = [(SIZES, size, 1) for size in settings.sizes] if servers == 1 else []
        if servers in settings.providers:
            found += [(TOTALS, settings.total_mb, count) for count in settings.clients]
        return found

    def measure(self, scheme: str, count: int) -> Generator[tuple[str, float], None, None]:
        """Measures all cases of one transport on so many servers.

        Yields:
            What comes next, and its weight.
        """
        own = self._root / f"{scheme}-{count}"
        own.mkdir()
        num_bare = count if "bare" in self._methods else 0
        num_stores = count if "store" in self._methods else 0
        if num_bare and num_stores and count == 1:
            for models in self._settings.catalogs:
                yield f"{scheme}, catalog of {models:,}", 0.0
                self._measure_small(scheme, own / f"small-{models}", models)
        address = TRANSPORTS[scheme].format(own)
        with contextlib.ExitStack() as stack:
            yield f"{scheme}, start {_count(count, 'server')}", 0.0
            servers = stack.enter_context(StoreServers(address, own, num_stores))
            bare = stack.enter_context(BareServers(scheme, address, num_bare))
            if servers.uris:
                _fill(servers.uris, self._catalog)
            if servers.uris and count == 1:
                yield f"{scheme}, latency of queries", 0.0
                self._measure_latencies(scheme, servers, bare.addresses)
            for shape in self.shapes(count):
                size, clients = f"{shape[1]:g} MB", _count(shape[2], "client")
                text = f"{scheme}, {_count(count, 'server')}, {size}, {clients}"
                yield text, _weight(shape)
                self._measure_case(scheme, shape, count, servers.uris, bare.addresses)
        shutil.rmtree(own)

    def _measure_small(self, scheme: str, folder: Path, models: int) -> None:
        settings = self._settings
        catalog = evolve_catalog(models, seed=settings.seed)
        drawn = mutated_queries(catalog, settings.small_queries, settings.seed)
        questions = questions_of(Queries.of("mutated", drawn))
        folder.mkdir()
        address = TRANSPORTS[scheme].format(folder)
        with StoreServers(address, folder, 1) as servers, BareServers(scheme, address, 1) as bare:
            _fill(servers.uris, catalog)
            (uri,), (walker,) = servers.uris, bare.addresses
            remote_queries.fill_walk(scheme, walker, catalog)
            for clients in sorted({1, *settings.clients}):
                asked = (folder, questions, clients, settings.min_rounds)
                case = QueryCase(scheme, uri, walker, *asked)
                times = self._workers.ask(clients, "small", case)
                store, walk = (resident_bytes_of(one.pids[0]) / 1e6 for one in (servers, bare))
                memory = {"match": store, "query": store, "walk": walk}
                self.tables["remote_small"] += remote_queries.small_rows(
                    case, models, times, memory
                )
        shutil.rmtree(folder)

    def _measure_latencies(self, scheme: str, servers: StoreServers, bare: Sequence[str]) -> None:
        (uri,), (folder,) = servers.uris, servers.folders
        for kind, questions in self._queries.items():
            case = QueryCase(scheme, uri, bare[0] if bare else None, folder, questions)
            (times,) = self._workers.ask(1, "latencies", case)
            rows = remote_queries.latency_rows(case, kind, len(self._catalog), times)
            self.tables["remote_latency"] += rows

    def _measure_case(
        self,
        scheme: str,
        shape: _Shape,
        providers: int,
        servers: Sequence[str],
        bare: Sequence[str],
    ) -> None:
        series, model_mb, clients = shape
        number = next(self._numbers)
        folder = self._root / f"case-{number}"
        folder.mkdir()
        asked = () if series == SIZES else self._queries["mutated"][:_QUERIES_AT_ONCE]
        case = Case(
            folder=folder,
            model_mb=model_mb,
            layers=self._settings.layers,
            processes=clients,
            methods=self._methods,
            seed=self._settings.seed,
            redis_socket=self._socket,
            parts=PARTS if series == SIZES else (WHOLE,),
            scheme=scheme,
            providers=providers,
            servers=tuple(servers),
            bare=tuple(bare),
            number=number,
            questions=tuple((one.keys, one.starts) for one in asked),
        )
        found = bandwidth.measure_case(self._workers, case, self._settings)
        self.tables["remote"] += _rows(series, case, found)
        shutil.rmtree(folder)


def _fill(uris: Sequence[str], catalog: Catalog) -> None:
    with open_servers(uris) as store:
        put_catalog(store, catalog)


def _rows(series: str, case: Case, found: Sequence[Measured]) -> list[Row]:
    """Returns a row for each operation of a case, with ratios to the others of it."""
    rows: list[Row] = []
    for one in found:
        times, is_query = bandwidth.times_of(one), one.names["operation"] == QUERY
        num_bytes = 0 if is_query else one.num_bytes
        items = case.processes * (len(case.questions) if is_query else 1)
        row: Row = {"series": series, "transport": case.scheme, "providers": case.providers}
        row |= {"clients": case.processes, **one.names}
        row |= {"model_mb": case.model_mb, "layers": case.layers, "bytes": num_bytes}
        row |= {"items": items, **times}
        for name, amount in (("gb_per_s", num_bytes / 1e9), ("items_per_s", items)):
            row[name] = amount / times["seconds_median"]
            row[f"{name}_best"] = amount / times["seconds_min"]
        rows.append({**row, "repeats": len(one.spans)})
    for row in rows:
        for method in BASELINES:
            given = () if row["method"] in ("memcpy", method) else rows
            row[f"ratio_to_{method}"] = ratio(row, given, method)
            row[f"best_ratio_to_{method}"] = ratio(row, given, method, "seconds_min")
    return rows


SUITE: Final = Suite(
    name="remote",
    label="servers",
    text="a store on servers, beside the transport alone, Redis, HDF5",
    title="A store on servers",
    small=("--quick",),
    default=RemoteSettings(),
    check=check,
    measure=measure,
    summary=remote_report.summary,
    plots=remote_report.plots,
    description=(
        "Starts servers on this machine, puts and gets models over the network and by mapping\n"
        "the servers' files, asks for the longest common prefix, with one client and several,\n"
        "one server and several; beside the same bytes by the transport alone, in a new\n"
        "file, by Redis, as HDF5, and by the store without a server. Takes some minutes for\n"
        "each transport."
    ),
    examples=("--quick", "--transports ofi+tcp --sizes 256 --clients 1 --providers 1"),
)
