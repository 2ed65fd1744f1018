"""How fast a store on servers puts, gets, and finds prefixes, beside the transport alone.

The servers are ``parsl-tl store serve`` processes on this machine, so client and server share its
cores and its memory's bandwidth. What is read was put before and comes from memory; nothing waits
for a disk.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from parsl_tl.benchmarks.core.options import Presets, names_option, option
from parsl_tl.benchmarks.core.queries import Queries, put_catalog
from parsl_tl.benchmarks.core.room import check_room, temporary_folder
from parsl_tl.benchmarks.core.servers import Servers, open_servers, serving
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Tables, frames_of, silent
from parsl_tl.benchmarks.core.task_runner import TaskRunner
from parsl_tl.benchmarks.formats import methods_of, missing_methods
from parsl_tl.benchmarks.formats.bench_model import MB, PARTS, WHOLE
from parsl_tl.benchmarks.formats.method import QUERY, Case
from parsl_tl.benchmarks.suites import remote_report
from parsl_tl.benchmarks.suites.bandwidth import BandwidthSuite, ratio
from parsl_tl.benchmarks.suites.remote_queries import QueryCase, measure_latencies, measure_small
from parsl_tl.benchmarks.suites.remote_report import BASELINES, SIZES, TOTALS
from parsl_tl.errors import NativeModuleError
from parsl_tl.population.catalog import Catalog, evolve_catalog, mutated_queries, random_queries
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.store.transports import transport_module

# By scheme, where a server listens: all on this machine; {} is the folder, {{}} a server's name.
TRANSPORTS: Final = {
    "grpc+tcp": "grpc+tcp://127.0.0.1:0",
    "grpc+unix": "grpc+unix://{}/{{}}.sock",
    "ofi+tcp": "ofi+tcp://127.0.0.1:0",
    "na+sm": "na+sm://",
}
_MOST = 64
# Queries in one operation, whose total rate is measured.
_QUERIES_AT_ONCE = 100
# What a case takes per client in the folder, in models: one that is put and a child of it, and the
# same in a plain file and as HDF5; three of the embedded store.
_FOLDER_MODELS = 9
# And in memory: arrays to put, to read into, and in one piece for the bare transport, fresh ones,
# in the bare server, in Redis, and what is on its way.
_MEMORY_MODELS = 9
_MODEL_BYTES = 5_000  # of a model without weights, in a server's folder and memory
# What distinguishes a case from the others on the same servers: series, model_mb, clients.
_Shape = tuple[str, float, int]


def missing_transports(settings: Any = None) -> dict[str, str]:
    """Returns transports that are not compiled in, with the reason of each in one line."""
    missing: dict[str, str] = {}
    for scheme in TRANSPORTS:
        try:
            transport_module(scheme)
        except (NativeModuleError, ModuleNotFoundError) as error:
            missing[scheme] = str(error)
    return missing


@dataclass(frozen=True)
class RemoteSuite(BandwidthSuite):
    """Transports x servers x clients x sizes x formats, and queries of all ways."""

    name = "remote"
    label = "servers"
    text = "a store on servers, beside the transport alone, Redis, HDF5"
    title = "A store on servers"
    small = ("--quick",)
    description = (
        "Starts servers on this machine, puts and gets models over the network and by mapping\n"
        "the servers' files, asks for the longest common prefix, with one client and several,\n"
        "one server and several; beside the same bytes by the transport alone, in a new\n"
        "file, by Redis, as HDF5, and by the store without a server. Takes some minutes for\n"
        "each transport."
    )
    examples = ("--quick", "--transports ofi+tcp --sizes 256 --clients 1 --providers 1")
    PRESETS: ClassVar[Presets] = {
        "quick": (
            "small models, one server, about a minute",
            {"sizes": (1.0, 16.0), "clients": (1, 2, 8), "providers": (1,), "queries": 300}
            | {"catalogs": (1, 100), "min_rounds": 3, "max_rounds": 9, "case_seconds": 1.0},
        )
    }

    sizes: tuple[float, ...] = option(
        (1.0, 16.0, 256.0), "per model, for one client and server", metavar="MB", above=0, most=1e6
    )
    clients: tuple[int, ...] = option(
        (1, 2, 4, 8), "processes that put, get and ask at once", least=1, most=_MOST
    )
    providers: tuple[int, ...] = option(
        (1, 2, 4), "servers that make up the store", least=1, most=_MOST
    )
    transports: tuple[str, ...] | None = names_option(
        TRANSPORTS, missing_transports, "of {} (all that are compiled in)", metavar="SCHEME"
    )
    methods: tuple[str, ...] | None = names_option(
        methods_of("remote"), lambda _: missing_methods("remote")
    )
    models: int = option(10_000, "that are searched for prefixes", least=1)
    catalogs: tuple[int, ...] = option(
        (1, 10, 100, 1_000),
        "models of small catalogs, beside a walk over all graphs",
        least=1,
        most=100_000,
        may_be_empty=True,
    )
    queries: int = option(2_000, "of each kind, for latencies", least=1)
    folder: Path = option(Path("/dev/shm"), "where the servers' temporary folders go")
    seed: int = option(0, "of weights, models and order", least=0)
    layers: int = 20
    total_mb: float = 16.0  # of a model, where several clients or servers take part
    small_queries: int = 200  # to each small catalog
    case_seconds: float = 6.0

    def check(self) -> Self:
        """Returns settings with numbers in order, if there is room for the largest models."""
        names = ("sizes", "clients", "providers", "catalogs")
        in_order: dict[str, Any] = {n: tuple(sorted(set(getattr(self, n)))) for n in names}
        moved = MB * max(max(self.sizes), self.total_mb * max(self.clients))
        population = _MODEL_BYTES * self.models
        # A server keeps what was read from it for some minutes, though the model was retired.
        kept = MB * (sum(self.sizes) + self.total_mb * sum(self.clients))
        on_disk = kept + moved * _FOLDER_MODELS + population
        in_memory = moved * _MEMORY_MODELS + population
        check_room(self.folder, on_disk, in_memory, "smaller --sizes, fewer --clients")
        return replace(self, **in_order)

    def shapes(self, servers: int) -> list[_Shape]:
        """Returns the cases on so many servers; bandwidth by size is that of one."""
        found: list[_Shape] = [(SIZES, size, 1) for size in self.sizes] if servers == 1 else []
        if servers in self.providers:
            found += [(TOTALS, self.total_mb, count) for count in self.clients]
        return found

    def measure(self, progress: Progress = silent) -> Tables:
        """Gives ``remote``, ``remote_latency``, ``remote_small`` and ``remote_targets``."""
        progress(0.0, f"evolve {self.models:,} models")
        with (
            temporary_folder(self.folder) as root,
            self.running(max(self.clients), self.methods or ()) as (runner, socket),
        ):
            run = _Run(self, runner, root, socket, progress)
            for scheme, servers in run.groups:
                with temporary_folder(root) as own:
                    run.measure(own, scheme, servers)
        progress(1.0, "done")
        return {**run.tables, "remote_targets": remote_report.target_rows(frames_of(run.tables))}

    def summary(self, frames: Frames) -> list[tuple[str, Any]]:
        """Returns titles and tables that fit 100 columns."""
        return remote_report.summary(frames)

    def plots(self, frames: Frames) -> list[Plot]:
        """Returns bandwidth by size, rates by clients, and latencies."""
        return remote_report.plots(frames)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"


class _Run:
    """The state of one benchmark."""

    def __init__(
        self,
        suite: RemoteSuite,
        runner: TaskRunner,
        root: Path,
        socket: str | None,
        progress: Progress,
    ) -> None:
        self._suite, self._runner, self._root = suite, runner, root
        self._socket, self._progress = socket, progress
        self._done = 0  # cases
        self.groups = list(itertools.product(suite.transports or (), sorted({1, *suite.providers})))
        self._whole = sum(len(suite.shapes(count)) for _, count in self.groups)
        self._catalog = evolve_catalog(suite.models, seed=suite.seed)
        # Those of the totals come from the same draw, so that there must be enough.
        num = max(suite.queries, _QUERIES_AT_ONCE)
        drawn = {"random": random_queries(num, suite.seed)}
        drawn["mutated"] = mutated_queries(self._catalog, num, suite.seed)
        self._queries = {kind: Queries.of(kind, own).asked() for kind, own in drawn.items()}
        self.tables: Tables = {"remote": [], "remote_latency": [], "remote_small": []}

    def _tell(self, text: str) -> None:
        self._progress(self._done / self._whole, text)

    def measure(self, own: Path, scheme: str, count: int) -> None:
        """Measures all cases of one transport on so many servers."""
        methods, many = self._suite.methods or (), _count(count, "server")
        num_bare, num_stores = (count * (name in methods) for name in ("bare", "store"))
        if num_bare and num_stores and count == 1:
            for models in self._suite.catalogs:
                self._tell(f"{scheme}, catalog of {models:,}")
                self._measure_small(scheme, models)
        self._tell(f"{scheme}, start {many}")
        with _serving(scheme, own, num_stores, num_bare, self._catalog) as (servers, bare):
            if servers.uris and count == 1:
                self._tell(f"{scheme}, latency of queries")
                where = (scheme, servers.uris[0], next(iter(bare.uris), None), servers.folders[0])
                for kind, questions in self._queries.items():
                    case = QueryCase(*where, questions)
                    rows = measure_latencies(self._runner, case, kind, len(self._catalog))
                    self.tables["remote_latency"] += rows
            for shape in self._suite.shapes(count):
                size, clients = f"{shape[1]:g} MB", _count(shape[2], "client")
                self._tell(f"{scheme}, {many}, {size}, {clients}")
                self._measure_case(scheme, shape, count, servers, bare)
                self._done += 1

    def _measure_small(self, scheme: str, models: int) -> None:
        suite = self._suite
        catalog = evolve_catalog(models, seed=suite.seed)
        drawn = mutated_queries(catalog, suite.small_queries, suite.seed)
        with (
            temporary_folder(self._root) as folder,
            _serving(scheme, folder, 1, 1, catalog) as (servers, bare),
        ):
            pids, where = (servers.pids[0], bare.pids[0]), (servers.uris[0], bare.uris[0])
            questions = Queries.of("mutated", drawn).asked()
            case = QueryCase(scheme, *where, servers.folders[0], questions, walks=True)
            clients, rounds = sorted({1, *suite.clients}), suite.min_rounds
            rows = measure_small(self._runner, case, catalog, clients, rounds, pids)
            self.tables["remote_small"] += rows

    def _measure_case(
        self, scheme: str, shape: _Shape, providers: int, servers: Servers, bare: Servers
    ) -> None:
        (series, model_mb, clients), suite = shape, self._suite
        asked = self._queries["mutated"][:_QUERIES_AT_ONCE] if series == TOTALS else ()
        with temporary_folder(self._root) as folder:
            case = Case(
                *(folder, model_mb, suite.layers, clients, suite.methods or (), suite.seed),
                redis_socket=self._socket,
                parts=PARTS if series == SIZES else (WHOLE,),
                scheme=scheme,
                providers=providers,
                servers=servers.uris,
                bare=bare.uris,
                number=self._done,
                questions=tuple(one.question for one in asked),
            )
            rows = suite.measure_case(self._runner, case)
        self.tables["remote"] += _rows(series, case, rows)


@contextlib.contextmanager
def _serving(
    scheme: str, folder: Path, stores: int, bare: int, catalog: Catalog
) -> Iterator[tuple[Servers, Servers]]:
    """Starts servers that hold a catalog, and bare ones, in a folder of their own."""
    address = TRANSPORTS[scheme].format(folder)
    with (
        serving(address, folder, stores) as servers,
        serving(address, folder, bare, bare=scheme) as others,
    ):
        if servers.uris:
            with open_servers(servers.uris) as store:
                put_catalog(store, catalog)
        yield servers, others


def _rows(series: str, case: Case, found: Sequence[Row]) -> list[Row]:
    """Returns a row for each operation of a case, with ratios to the others of it."""
    rows: list[Row] = []
    for one in found:
        is_query, repeats = one["operation"] == QUERY, one.pop("repeats")
        times = {name: one.pop(name) for name in ("seconds_median", "seconds_min")}
        num_bytes = one.pop("bytes") * (not is_query)
        items = case.processes * (len(case.questions) if is_query else 1)
        row: Row = {"series": series, "transport": case.scheme, "providers": case.providers}
        row |= {"clients": case.processes, **one, "model_mb": case.model_mb}
        row |= {"layers": case.layers, "bytes": num_bytes, "items": items, **times}
        for name, amount in (("gb_per_s", num_bytes / 1e9), ("items_per_s", items)):
            row[name] = amount / times["seconds_median"]
            row[f"{name}_best"] = amount / times["seconds_min"]
        rows.append({**row, "repeats": repeats})
    for row in rows:
        for method in BASELINES:
            given = () if row["method"] in ("memcpy", method) else rows
            row[f"ratio_to_{method}"] = ratio(row, given, method)
            row[f"best_ratio_to_{method}"] = ratio(row, given, method, "seconds_min")
    return rows
