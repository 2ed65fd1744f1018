"""How fast the longest common prefix is found, by catalog size, beside walking every graph.

All methods hold the same catalog and answer the same queries in the same run. What one query takes
is measured from Python, so that the call itself is in it: two to five microseconds, which no method
escapes. Queries per second come from one call for many queries, where a method has such a call.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import pandas as pd

from parsl_tl.benchmarks.core.options import Presets, names_option, option
from parsl_tl.benchmarks.core.queries import Queries
from parsl_tl.benchmarks.core.room import SHM, check_room, temporary_folder
from parsl_tl.benchmarks.core.suite import Frames, Progress, Row, Suite, Tables, silent
from parsl_tl.benchmarks.suites.prefix_methods import (
    METHODS,
    STORE,
    WALK,
    Answers,
    make_method,
    missing_methods,
)
from parsl_tl.benchmarks.suites.prefix_timing import (
    compare_answers,
    measure_opening,
    measure_processes,
    time_method,
)
from parsl_tl.errors import BenchmarkError
from parsl_tl.population.catalog import Catalog, evolve_catalog, mutated_queries, random_queries
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.reporting.tables import short

RANDOM: Final = "random"
MUTATED: Final = "mutated"
_TITLES = {RANDOM: "random architectures", MUTATED: "children of the latest models"}
_WINDOW = 1000  # the population of the search that left the catalog
_PROCESS_QUERIES = 1000
# Log and snapshot take 1.5 kB per model; while a snapshot is written, the one before it is there.
_FOLDER_BYTES = 2_500
_CATALOG_BYTES = 1_000
# What a method holds per model while it is built.
_METHOD_BYTES = {"walk": 10_000, "networkx": 60_000}
_OTHER_BYTES = 2_000
# Columns where people read them.
_SPEEDS: Final = {
    "p50_us": "p50",
    "p99_us": "p99",
    "per_second_1": "q/s 1",
    "per_second_2": "q/s 2",
}
_BUILT: Final = {"build_seconds": "build s", "bytes_per_model": "B/model"}
_OPENINGS: Final = {
    "open_seconds": "open",
    "open_query_seconds": "open and answer",
    "replay_seconds": "open without snapshot",
}


@dataclass(frozen=True)
class PrefixSuite(Suite):
    """Catalogs x methods x kinds of queries; smaller catalogs are the head of the largest."""

    name = "lcp"
    label = "prefixes"
    text = "finding the longest common prefix, beside walking every graph"
    title = "Finding the donor"
    small = ("--quick",)
    description = (
        "Evolves a catalog and asks the store, and other ways, which model shares the most\n"
        "layers with random architectures and with children of the latest models. All have\n"
        "to give the same answers. Takes about half an hour, most of it for the others."
    )
    examples = ("--quick", "--sizes 1000 60000 --methods walk store --out bench/lcp")
    PRESETS: ClassVar[Presets] = {
        "quick": (
            "1,000 and 10,000 models, half a minute",
            {"sizes": (1_000, 10_000), "queries": 2_000, "usual_agreement": 40}
            | {"redis_up_to": 1_000, "processes": (1, 2), "method_seconds": 0.2},
        )
    }

    sizes: tuple[int, ...] = option(
        (1_000, 10_000, 60_000, 200_000, 1_000_000), "models per catalog", least=1, most=1e8
    )
    queries: int = option(10_000, "of each kind, at most", least=1)
    agreement: int | None = option(
        None, "queries that all methods have to answer alike (1000)", least=1
    )
    folder: Path | None = option(
        None, "where temporary stores go, 2.5 kB per model (/dev/shm if it has room)"
    )
    methods: tuple[str, ...] | None = names_option(METHODS, missing_methods)
    seed: int = option(0, "of models and queries", least=0)
    usual_agreement: int = 1_000  # unless there are fewer queries
    walk_up_to: int = 60_000  # models up to which `walk` and `walk-arrays` take part
    networkx_up_to: int = 1_000
    redis_up_to: int = 60_000
    processes: tuple[int, ...] = (1, 2, 8)  # that open the store of the largest catalog at once
    method_seconds: float = 10.0  # for single queries of one kind; and for each number of threads

    def methods_at(self, size: int) -> tuple[str, ...]:
        """Returns the methods that take part with a catalog of this size."""
        limits = dict.fromkeys(("walk", "walk-arrays"), self.walk_up_to)
        limits |= {"networkx": self.networkx_up_to, "redis": self.redis_up_to}
        return tuple(name for name in self.methods or () if size <= limits.get(name, size))

    def check(self) -> Self:
        """Returns settings with a folder and sizes in order, if there is room for the largest."""
        if (self.agreement or 1) > self.queries:
            raise BenchmarkError(
                f"agreement={self.agreement} must be at most the number of queries, {self.queries}"
            )
        # Who asks for fewer queries does not have to say so twice.
        agreement = self.agreement or min(self.usual_agreement, self.queries)
        sizes = tuple(sorted(set(self.sizes)))
        folder, on_disk = self.folder, _FOLDER_BYTES * sizes[-1]
        if folder is None and SHM.is_dir() and shutil.disk_usage(SHM).free >= on_disk:
            folder = SHM
        # One method at a time holds one catalog.
        held = (
            _METHOD_BYTES.get(name, _OTHER_BYTES) * size
            for size in sizes
            for name in self.methods_at(size)
        )
        memory = _CATALOG_BYTES * sizes[-1] + max(held, default=0)
        folder = check_room(folder, on_disk, memory, "smaller --sizes")
        return replace(self, sizes=sizes, agreement=agreement, folder=folder)

    def measure(self, progress: Progress = silent) -> Tables:
        """Gives ``lcp``, and if the store takes part ``openings`` and ``processes``."""
        has_store = STORE in (self.methods or ())
        count = 1 + sum(len(self.methods_at(size)) + has_store for size in self.sizes) + has_store
        steps = iter(range(count))

        def begin(text: str) -> Callable[[float], None]:
            number = next(steps)
            progress(number / count, text)
            return lambda share: progress((number + share) / count, text)

        tables: Tables = {"lcp": [], "openings": [], "processes": []}
        with temporary_folder(self.folder) as root:
            within = begin(f"evolve, {self.sizes[-1]:,} models")
            largest = evolve_catalog(
                self.sizes[-1], seed=self.seed, window=_WINDOW, progress=within
            )
            random = Queries.of(RANDOM, random_queries(self.queries, self.seed))
            for size in self.sizes:
                catalog, folder = largest.head(size), root / str(size)
                children = mutated_queries(catalog, self.queries, self.seed, _WINDOW)
                kinds = (random, Queries.of(MUTATED, children))
                tables["lcp"] += self._measure_catalog(catalog, kinds, folder, begin)
                if not has_store:
                    continue
                begin(f"opening, {size:,} models")
                tables["openings"].append(measure_opening(folder, random))
                if size == self.sizes[-1]:
                    begin(f"processes, {size:,} models")
                    few = random.part(0, min(_PROCESS_QUERIES, len(random)))
                    tables["processes"] = measure_processes(folder, few, self.processes)
                shutil.rmtree(folder)
        progress(1.0, "done")
        return tables

    def _measure_catalog(
        self, catalog: Catalog, kinds: Sequence[Queries], folder: Path, begin: Any
    ) -> list[Row]:
        """Returns the rows of one catalog; what the store has written stays in the folder."""
        size, agreement = len(catalog), self.agreement or 1
        rows: list[Row] = []
        expected: dict[str, tuple[str, Answers]] = {}
        for name in self.methods_at(size):
            within = begin(f"{name}, {size:,} models")
            with make_method(name, folder) as method:
                built = dict(zip(_BUILT, method.build(catalog), strict=True))
                for place, queries in enumerate(kinds):
                    times, answers = time_method(method, queries, agreement, self.method_seconds)
                    known: Row = {"catalog": size, "method": name, "queries": queries.kind}
                    rows.append({**known, **times, **built})
                    compare_answers(expected, name, queries.kind, size, answers)
                    within((place + 1) / len(kinds))
        # What only all methods together tell; they agree, or there would be no rows.
        walks = {row["queries"]: row["mean_us"] for row in rows if row["method"] == WALK}
        several = len({row["method"] for row in rows}) > 1
        for row in rows:
            walk = walks.get(row["queries"])
            row["layers_per_model"] = float(catalog.layer_starts[-1]) / size
            row["speedup_vs_walk"] = None if walk is None else walk / row["mean_us"]
            row["same_answers"] = agreement if several else None
        return rows

    def summary(self, frames: Frames) -> list[tuple[str, Any]]:
        """Returns titles and tables that fit 100 columns."""
        rows = frames["lcp"]
        walks = rows[rows.method == WALK].set_index(["catalog", "queries"]).p50_us
        mutated = rows[rows.queries == MUTATED].set_index(["catalog", "method"]).p50_us
        rows = rows.join(walks.rename("walk p50"), on=["catalog", "queries"])
        rows = rows.join(mutated.rename(MUTATED), on=["catalog", "method"])
        own, is_random = rows.method == STORE, rows.queries == RANDOM
        beside = {"walk p50": "walk p50", "speedup_vs_walk": "faster"}
        beside |= {"same_answers": "same answers"}
        speeds = "microseconds per query, and queries/s with 1 and 2 threads"
        faster = "faster: the mean of walking all graphs over the store's"
        others = "other methods: as above for random queries, and p50 of mutated ones"
        shown = {
            f"the store: {speeds}\n{faster}": (own, {"queries": "queries", **_SPEEDS, **beside}),
            "the store: its catalogs": (
                own & is_random,
                {"layers_per_model": "layers /model", **_BUILT},
            ),
            others: (~own & is_random, {"method": "method", **_SPEEDS, **_BUILT, MUTATED: MUTATED}),
        }
        tables = [(title, _shown(rows[which], heads)) for title, (which, heads) in shown.items()]
        if "openings" in frames:
            table = frames["openings"] * [1, 1e3, 1e3, 1e3, 1e-6, 1e-6]
            heads = {**_OPENINGS, "bytes_log": "log MB", "bytes_snapshot": "snapshot MB"}
            tables.append(("opening a store: milliseconds", _shown(table, heads)))
            table = frames["processes"].assign(MB=frames["processes"].pss_growth_bytes / 1e6)
            heads = {"processes": "processes", "MB": "MB, all together"}
            heads["ratio_to_first"] = "times the first"
            tables.append(("processes with one store open: memory", _shown(table, heads)))
        return tables

    def plots(self, frames: Frames) -> list[Plot]:
        """Returns latencies by catalog size, for each kind of query, and times to open."""
        found = []
        for kind, rows in frames["lcp"].groupby("queries", sort=False):
            both = rows.pivot(index="catalog", columns="method", values=["p50_us", "p99_us"])
            both.columns = [
                f"{method}, {name.removesuffix('_us')}" for name, method in both.columns
            ]
            title = f"{_TITLES[str(kind)]}: median, and 99th percentile (dashed)"
            found.append(_by_size(f"latency_{kind}", title, both, "microseconds per query"))
        if "openings" in frames:
            rows = frames["openings"].set_index("catalog")[list(_OPENINGS)] * 1e3
            rows = rows.rename(columns=_OPENINGS)
            found.append(_by_size("opening", "opening a store", rows, "milliseconds"))
        return found


def _shown(rows: Any, heads: dict[str, str]) -> Any:
    """Returns columns behind that of the catalog, by their headings, with short numbers."""
    table = rows[["catalog", *heads]]
    shortened = {name: table[name].map(short) for name in heads if table[name].dtype.kind in "if"}
    return table.assign(**shortened).rename(columns={"catalog": "models", **heads})


def _by_size(name: str, title: str, frame: pd.DataFrame, label: str) -> Plot:
    return Plot(name, title, frame, label, "line", "xy", "models in the catalog", ", p99")
