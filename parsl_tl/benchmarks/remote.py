"""How fast a store on servers puts, gets, and finds prefixes, beside the transport alone.

The servers are ``parsl-tl store serve`` processes on this machine, so client and server share its
cores and its memory's bandwidth. In every round all methods move the same bytes, one after the
other in an order that changes, so that drifts of the machine hit all of them. What is read was put
before and comes from memory; no method waits for a disk.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from parsl_tl.benchmarks.core.catalog import (
    Catalog,
    evolve_catalog,
    mutated_queries,
    random_queries,
)
from parsl_tl.benchmarks.core.redis_server import RedisServer
from parsl_tl.benchmarks.core.store_servers import BareServers, StoreServers, open_servers
from parsl_tl.benchmarks.lcp_methods import Queries, put_catalog
from parsl_tl.benchmarks.remote_latency import LatencyCase
from parsl_tl.benchmarks.remote_rows import SIZES, TOTALS, Row, case_rows, latency_rows
from parsl_tl.benchmarks.remote_settings import (
    RemoteSettings,
    address_of,
    bare_missing,
    check,
)
from parsl_tl.benchmarks.remote_small import (
    MATCH,
    QUERY,
    WALK,
    Question,
    SmallCase,
    fill_walk,
    questions_of,
    resident_mb,
    small_rows,
)
from parsl_tl.benchmarks.remote_workers import RemoteCase, RemoteWorkers
from parsl_tl.benchmarks.store import temporary_folder
from parsl_tl.benchmarks.store_models import PARTS, WHOLE
from parsl_tl.benchmarks.store_workers import Measured
from parsl_tl.native import native
from parsl_tl.store.connection import Connection
from parsl_tl.store.transports import connect

# Share of the work that is done, and what comes next.
Progress = Callable[[float, str], None]
# Queries in one operation, whose total rate is measured.
_QUERIES_AT_ONCE = 100
_STATUS_SECONDS = 10.0


class RemoteRows(NamedTuple):
    """What was measured.

    Attributes:
        moved: one row per case and operation, see ``run_remote_bench``.
        latencies: one row per transport, kind of query, and way to ask; empty where the store did
            not take part.
        small: one row per transport, small catalog, number of clients, and way to ask; empty where
            the store or the bare transport did not take part.
    """

    moved: list[Row]
    latencies: list[Row]
    small: list[Row]


@dataclass(frozen=True)
class _Shape:
    """What distinguishes a case from the others on the same servers."""

    series: str
    model_mb: float
    clients: int

    @property
    def weight(self) -> float:
        """Of its time: each case has a part that does not grow with the bytes."""
        return self.model_mb * self.clients + 100

    def __str__(self) -> str:
        return f"{self.model_mb:g} MB, {self.clients} client{'s' if self.clients > 1 else ''}"


def run_remote_bench(
    settings: RemoteSettings, progress: Progress = lambda share, text: None
) -> RemoteRows:
    """Measures everything; leaves no folder, process or server behind, whatever happens.

    Args:
        settings: what to measure.
        progress: called before each case.

    Returns:
        Rows of what was moved have ``series`` (sizes: of models, for one client and one server;
        totals: of several clients and servers), ``transport``, ``providers``, ``clients``,
        ``method``, ``operation`` (write, read, query), ``part`` (whole, tenth), ``how``,
        ``model_mb``, ``layers``, ``bytes`` and ``items`` (models, or queries: of all clients
        together), ``seconds_median`` and ``seconds_min`` (from the common start to the last end),
        ``gb_per_s`` and ``items_per_s`` (of the median; ``..._best`` of the minimum),
        ``repeats``, and for each of bare, memcpy, redis, hdf5, embedded ``ratio_to_...``: how many
        times as fast as that (by the medians; ``best_ratio_to_...`` by the minima).

        Rows of latencies have ``transport``, ``kind``, ``models``, ``queries``, ``way``,
        ``p50_us``, ``p99_us``, ``min_us``, and ``rpcs_beside_engine``: what a query takes beyond
        the engine's own time, in round trips of the bare transport (by the medians;
        ``best_...`` by the minima).

        Rows of small catalogs have ``transport``, ``models``, ``clients``, ``way`` (match, query:
        the store's; walk: over all graphs, by the bare transport), ``queries``, ``queries_per_s``
        of all clients, ``p50_us`` and ``p99_us`` of one, ``ratio_to_walk`` (how many times as fast;
        of one client by the medians), and ``server_mb``, the server's resident memory.

    Raises:
        BenchmarkError: see ``check``; a process or server failed; a method gave back other bytes
            than were put, or another answer than the engine.
    """
    checked = check(settings)
    assert checked.transports is not None
    assert checked.methods is not None
    progress(0.0, f"evolve {checked.models:,} models")
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(temporary_folder(checked.folder))
        redis = stack.enter_context(RedisServer()) if "redis" in checked.methods else None
        workers = stack.enter_context(RemoteWorkers(sorted({1, *checked.clients})))
        run = _Run(checked, workers, root, redis.socket if redis else None)
        groups = list(product(checked.transports, _provider_counts(checked)))
        whole = sum(shape.weight for _, servers in groups for shape in run.shapes(servers))
        done = 0.0
        for scheme, servers in groups:
            # Closed at once, and so its servers, whoever interrupts.
            with contextlib.closing(run.measure(scheme, servers)) as steps:
                for text, weight in steps:
                    progress(min(1.0, done / whole), text)
                    done += weight
        progress(1.0, "done")
        return RemoteRows(run.moved, run.latencies, run.small)


def _provider_counts(settings: RemoteSettings) -> list[int]:
    # Bandwidth by size, and latencies, are those of one server.
    return sorted({1, *settings.providers})


class _Run:
    """The state of one benchmark."""

    def __init__(
        self, settings: RemoteSettings, workers: RemoteWorkers, root: Path, socket: str | None
    ) -> None:
        assert settings.methods is not None
        self._settings = settings
        self._methods = settings.methods
        self._workers = workers
        self._root = root
        self._socket = socket
        self._numbers = count()
        self._catalog = evolve_catalog(settings.models, seed=settings.seed)
        self._queries = _make_queries(self._catalog, settings)
        self._small = {models: _small_catalog(models, settings) for models in settings.catalogs}
        self.moved: list[Row] = []
        self.latencies: list[Row] = []
        self.small: list[Row] = []

    def shapes(self, servers: int) -> list[_Shape]:
        """Returns the cases on so many servers."""
        settings = self._settings
        found = [_Shape(SIZES, size, 1) for size in settings.sizes] if servers == 1 else []
        if servers in settings.providers:
            found += [_Shape(TOTALS, settings.total_mb, count) for count in settings.clients]
        return found

    def measure(self, scheme: str, count: int) -> Generator[tuple[str, float], None, None]:
        """Measures all cases of one transport on so many servers.

        Yields:
            What comes next, and its weight.
        """
        own = self._root / f"{scheme}-{count}"
        own.mkdir()
        many = f"{count} server{'s' if count > 1 else ''}"
        uses_bare = "bare" in self._methods and bare_missing(scheme) is None
        address = address_of(scheme, own)
        if uses_bare and "store" in self._methods and count == 1:
            for models in self._small:
                yield f"{scheme}, catalog of {models:,}", 0.0
                self._measure_small(scheme, own, models)
        with contextlib.ExitStack() as stack:
            yield f"{scheme}, start {many}", 0.0
            servers = stack.enter_context(
                StoreServers(address, own, count if "store" in self._methods else 0)
            )
            bare = stack.enter_context(BareServers(scheme, address, count if uses_bare else 0))
            if servers.uris:
                with open_servers(servers.uris) as store:
                    # All that it asks for is what every store in C++ offers.
                    put_catalog(cast(Any, store), self._catalog)
            if servers.uris and count == 1:
                yield f"{scheme}, latency of queries", 0.0
                self._measure_latencies(scheme, servers, bare.addresses)
            for shape in self.shapes(count):
                yield f"{scheme}, {many}, {shape}", shape.weight
                self._measure_case(scheme, shape, count, servers.uris, bare.addresses)
        shutil.rmtree(own)

    def _measure_small(self, scheme: str, own: Path, models: int) -> None:
        catalog, questions = self._small[models]
        folder = own / f"small-{models}"
        folder.mkdir()
        address = address_of(scheme, folder)
        with StoreServers(address, folder, 1) as servers, BareServers(scheme, address, 1) as bare:
            (uri,), (walker,) = servers.uris, bare.addresses
            with open_servers(servers.uris) as store:
                put_catalog(cast(Any, store), catalog)
            fill_walk(scheme, walker, catalog)
            for clients in sorted({1, *self._settings.clients}):
                case = SmallCase(
                    scheme, models, uri, walker, clients, self._settings.min_rounds, questions
                )
                times = self._workers.small(case)
                memory = {WALK: resident_mb(bare.pids[0])}
                memory[MATCH] = memory[QUERY] = resident_mb(servers.pids[0])
                self.small += small_rows(case, times, memory)
        shutil.rmtree(folder)

    def _measure_latencies(self, scheme: str, servers: StoreServers, bare: Sequence[str]) -> None:
        (uri,), (folder,) = servers.uris, servers.folders
        for kind, keys in self._queries.items():
            case = LatencyCase(scheme, uri, bare[0] if bare else None, folder, keys)
            times = self._workers.latencies(case)
            self.latencies += latency_rows(scheme, kind, len(self._catalog), times, _status_of(uri))

    def _measure_case(
        self,
        scheme: str,
        shape: _Shape,
        providers: int,
        servers: tuple[str, ...],
        bare: tuple[str, ...],
    ) -> None:
        number = next(self._numbers)
        folder = self._root / f"case-{number}"
        folder.mkdir()
        case = RemoteCase(
            folder=folder,
            model_mb=shape.model_mb,
            layers=self._settings.layers,
            processes=shape.clients,
            methods=self._methods,
            redis_socket=self._socket,
            seed=self._settings.seed,
            number=number,
            series=shape.series,
            scheme=scheme,
            providers=providers,
            servers=servers,
            bare=bare,
            parts=PARTS if shape.series == SIZES else (WHOLE,),
            queries=() if shape.series == SIZES else self._queries["mutated"][:_QUERIES_AT_ONCE],
        )
        found = self._repeat(case)
        self.moved += case_rows(case, found)
        shutil.rmtree(folder)

    def _repeat(self, case: RemoteCase) -> list[list[Measured]]:
        settings, workers = self._settings, self._workers
        workers.prepare(case)
        start = time.perf_counter()
        found = workers.repeat(case, settings.min_rounds)
        seconds = (time.perf_counter() - start) / settings.min_rounds
        fitting = min(settings.max_rounds, int(settings.case_seconds / seconds))
        if fitting > settings.min_rounds:
            further = workers.repeat(case, fitting - settings.min_rounds)
            for own, more in zip(found, further, strict=True):
                for measured, continued in zip(own, more, strict=True):
                    measured.spans.extend(continued.spans)
        workers.clear(case)
        return found


def _make_queries(
    catalog: Catalog, settings: RemoteSettings
) -> dict[str, tuple[NDArray[np.uint64], ...]]:
    num, seed = settings.queries, settings.seed
    # Those of the totals come from the same draw, so that there must be enough.
    num = max(num, _QUERIES_AT_ONCE)
    drawn = {
        "random": random_queries(num, seed),
        "mutated": mutated_queries(catalog, num, seed),
    }
    found = {}
    for kind, models in drawn.items():
        queries = Queries.of(kind, models)
        found[kind] = tuple(queries.keys[models.layers_of(index)] for index in range(num))
    return found


def _small_catalog(models: int, settings: RemoteSettings) -> tuple[Catalog, tuple[Question, ...]]:
    catalog = evolve_catalog(models, seed=settings.seed)
    drawn = mutated_queries(catalog, settings.small_queries, settings.seed)
    return catalog, questions_of(Queries.of("mutated", drawn))


def _status_of(uri: str) -> dict[str, Any]:
    server = Connection.parse(uri)
    provider = native.Provider(connect(server), server.address, None, _STATUS_SECONDS, 0.0)
    status: dict[str, Any] = provider.status()
    return status
