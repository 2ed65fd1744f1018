"""How fast the longest common prefix is found, by catalog size, beside walking every graph.

All methods hold the same catalog and answer the same queries in the same run. What one query takes
is measured from Python, so that the call itself is in it: two to five microseconds, which no method
escapes. Queries per second come from one call for many queries, where a method has such a call.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import pandas as pd

from parsl_tl.benchmarks.core.options import option
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
from parsl_tl.benchmarks.suites.prefix_processes import measure_opening, measure_processes
from parsl_tl.benchmarks.suites.prefix_timing import Measured, compare_answers, time_method
from parsl_tl.errors import BenchmarkError
from parsl_tl.population.catalog import (
    Catalog,
    evolve_catalog,
    mutated_queries,
    random_queries,
)
from parsl_tl.reporting.frame_plots import Plot
from parsl_tl.reporting.tables import percentiles, short

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


@dataclass(frozen=True)
class PrefixSettings:
    """What is measured; smaller catalogs are the first models of the largest."""

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
    methods: tuple[str, ...] | None = option(
        None,
        f"of {', '.join(METHODS)} (all that are installed)",
        choices=METHODS,
        missing=missing_methods,
    )
    seed: int = option(0, "of models and queries", least=0)
    usual_agreement: int = 1_000  # unless there are fewer queries
    walk_up_to: int = 60_000  # models up to which `walk` and `walk-arrays` take part
    networkx_up_to: int = 1_000
    redis_up_to: int = 60_000
    processes: tuple[int, ...] = (1, 2, 8)  # that open the store of the largest catalog at once
    method_seconds: float = 10.0  # for single queries of one kind; and for each number of threads

    PRESETS: ClassVar[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
        "quick": (
            "1,000 and 10,000 models, half a minute",
            {
                **{"sizes": (1_000, 10_000), "queries": 2_000, "usual_agreement": 40},
                **{"redis_up_to": 1_000, "processes": (1, 2), "method_seconds": 0.2},
            },
        )
    }

    def methods_at(self, size: int) -> tuple[str, ...]:
        """Returns the methods that take part with a catalog of this size."""
        walks = dict.fromkeys(("walk", "walk-arrays"), self.walk_up_to)
        limits = {**walks, "networkx": self.networkx_up_to, "redis": self.redis_up_to}
        return tuple(name for name in self.methods or () if size <= limits.get(name, size))


def check(settings: PrefixSettings) -> PrefixSettings:
    """Returns settings with a folder, and sizes in order.

    Raises:
        BenchmarkError: fewer queries than must agree, or not enough space or memory for the
            largest catalog.
    """
    settings = replace(settings, sizes=tuple(sorted(set(settings.sizes))))
    if (settings.agreement or 1) > settings.queries:
        raise BenchmarkError(
            f"agreement={settings.agreement} must be at most the number of queries, "
            f"{settings.queries}"
        )
    # Who asks for fewer queries does not have to say so twice.
    agreement = settings.agreement or min(settings.usual_agreement, settings.queries)
    settings = replace(settings, agreement=agreement)
    largest, folder = settings.sizes[-1], settings.folder
    if folder is None and SHM.is_dir() and shutil.disk_usage(SHM).free >= _FOLDER_BYTES * largest:
        folder = SHM
    # One method at a time holds one catalog.
    held = (
        _METHOD_BYTES.get(name, _OTHER_BYTES) * size
        for size in settings.sizes
        for name in settings.methods_at(size)
    )
    memory = _CATALOG_BYTES * largest + max(held, default=0)
    folder = check_room(folder, _FOLDER_BYTES * largest, memory, "smaller --sizes")
    return replace(settings, folder=folder)


def measure(settings: PrefixSettings, progress: Progress = silent) -> Tables:
    """Measures everything; leaves no folder, process or server behind, whatever happens.

    Args:
        settings: what to measure; checked.
        progress: called before each step.

    Returns:
        ``openings`` and ``processes``, if the store takes part: see ``measure_opening`` and
        ``measure_processes``. ``lcp`` has ``catalog`` (models), ``method``, ``queries`` (random:
        any architecture; mutated: children of the latest 1,000), ``num_queries`` (that were timed
        one by one), ``p50_us``, ``p99_us``, ``mean_us``, ``per_second_1`` (with one thread),
        ``per_second_2`` (with two, where a method can), ``build_seconds`` (for the store until its
        snapshot is written), ``bytes_per_model`` (of memory: the store's shared index; what the
        process grew by for walks; what the server says for Redis), ``layers_per_model``,
        ``speedup_vs_walk`` (the walk's mean over this one, for the same catalog and kind),
        ``same_answers`` (queries whose model and length are those of the walk, or where it does
        not take part, of the first method that does; None if there is but one).

    Raises:
        BenchmarkError: two methods do not agree; a process or server failed.
    """
    has_store = STORE in (settings.methods or ())
    count = 1 + sum(len(settings.methods_at(size)) + has_store for size in settings.sizes)
    steps = _Steps(count + has_store, progress)
    tables: Tables = {"lcp": [], "openings": [], "processes": []}
    with temporary_folder(settings.folder) as root:
        steps.next(f"evolve, {settings.sizes[-1]:,} models")
        largest = evolve_catalog(
            settings.sizes[-1], seed=settings.seed, window=_WINDOW, progress=steps.within
        )
        random = Queries.of(RANDOM, random_queries(settings.queries, settings.seed))
        for size in settings.sizes:
            catalog = largest.head(size)
            children = mutated_queries(catalog, settings.queries, settings.seed, _WINDOW)
            kinds = (random, Queries.of(MUTATED, children))
            folder = root / str(size)
            tables["lcp"] += _measure_catalog(settings, catalog, kinds, folder, steps)
            if has_store:
                steps.next(f"opening, {size:,} models")
                tables["openings"].append(measure_opening(folder, random))
                if size == settings.sizes[-1]:
                    steps.next(f"processes, {size:,} models")
                    few = random.head(min(_PROCESS_QUERIES, len(random)))
                    tables["processes"] = measure_processes(folder, few, settings.processes)
                shutil.rmtree(folder)
    progress(1.0, "done")
    return tables


class _Steps:
    """Tells the share of the work that is done."""

    def __init__(self, count: int, progress: Progress) -> None:
        self._count, self._progress = count, progress
        self._number, self._text = -1, ""

    def next(self, text: str) -> None:
        """Tells that a step begins."""
        self._number, self._text = self._number + 1, text
        self.within(0.0)

    def within(self, share: float) -> None:
        """Tells how much of the step is done."""
        self._progress((self._number + share) / self._count, self._text)


def _measure_catalog(
    settings: PrefixSettings,
    catalog: Catalog,
    kinds: Sequence[Queries],
    folder: Path,
    steps: _Steps,
) -> list[Row]:
    """Returns the rows of one catalog; what the store has written stays in the folder."""
    size, agreement = len(catalog), settings.agreement or 1
    rows: list[Row] = []
    expected: dict[str, tuple[str, Answers]] = {}
    for name in settings.methods_at(size):
        steps.next(f"{name}, {size:,} models")
        with make_method(name, folder) as method:
            seconds, num_bytes = method.build(catalog)
            built = {"build_seconds": seconds, "bytes_per_model": num_bytes}
            for place, queries in enumerate(kinds):
                measured = time_method(method, queries, agreement, settings.method_seconds)
                rows.append({**_row(catalog, name, queries.kind, measured), **built})
                compare_answers(expected, name, queries.kind, size, measured)
                steps.within((place + 1) / len(kinds))
    # What only all methods together tell; they agree, or there would be no rows.
    walks = {row["queries"]: row["mean_us"] for row in rows if row["method"] == WALK}
    several = len({row["method"] for row in rows}) > 1
    for row in rows:
        walk = walks.get(row["queries"])
        row["layers_per_model"] = float(catalog.layer_starts[-1]) / size
        row["speedup_vs_walk"] = None if walk is None else walk / row["mean_us"]
        row["same_answers"] = agreement if several else None
    return rows


def _row(catalog: Catalog, name: str, kind: str, measured: Measured) -> Row:
    micros = [1e6 * seconds for seconds in measured.seconds]
    return {
        "catalog": len(catalog),
        "method": name,
        "queries": kind,
        "num_queries": len(micros),
        **{f"{name}_us": value for name, value in percentiles(micros).items()},
        "mean_us": statistics.fmean(micros),
        "per_second_1": measured.per_second[1],
        "per_second_2": measured.per_second.get(2),
    }


def summary(frames: Frames) -> list[tuple[str, Any]]:
    """Returns titles and tables that fit 100 columns."""
    rows = frames["lcp"]
    walks = rows.pivot_table("p50_us", ["catalog", "queries"], "method").reindex(columns=[WALK])
    rows = rows.join(walks.set_axis(["walk p50"], axis=1), on=["catalog", "queries"])
    kinds = rows.pivot_table("p50_us", ["catalog", "method"], "queries")
    rows = rows.join(kinds[[MUTATED]], on=["catalog", "method"])
    own, is_random = rows.method == STORE, rows.queries == RANDOM
    tables = [
        (
            "the store: microseconds per query, and queries/s with 1 and 2 threads\n"
            "faster: the mean of walking all graphs over the store's",
            _shown(rows[own], "queries", *_SPEEDS, "walk p50", "speedup_vs_walk", "same_answers"),
        ),
        (
            "the store: its catalogs",
            _shown(rows[own & is_random], "layers_per_model", *_BUILT),
        ),
        (
            "other methods: as above for random queries, and p50 of mutated ones",
            _shown(rows[~own & is_random], "method", *_SPEEDS, *_BUILT, "mutated"),
        ),
    ]
    if "openings" in frames:
        table = frames["openings"] * [1, 1e3, 1e3, 1e3, 1e-6, 1e-6]
        tables.append(("opening a store: milliseconds", _shown(table, *table.columns[1:])))
        table = frames["processes"].drop(columns="queries").rename(columns=_HEADS)
        table["MB, all together"] /= 1e6
        tables.append(("processes with one store open: memory", table))
    return tables


# Headings of columns where people read them.
_HEADS: Final = {
    **{"catalog": "models", "p50_us": "p50", "p99_us": "p99", "per_second_1": "q/s 1"},
    **{"per_second_2": "q/s 2", "speedup_vs_walk": "faster", "same_answers": "same answers"},
    **{"layers_per_model": "layers /model", "build_seconds": "build s"},
    **{"bytes_per_model": "B/model", "open_seconds": "open", "open_query_seconds": "and answer"},
    **{
        "replay_seconds": "without snapshot",
        "bytes_log": "log MB",
        "bytes_snapshot": "snapshot MB",
    },
    **{"pss_growth_bytes": "MB, all together", "ratio_to_first": "times the first"},
}
_SPEEDS: Final = ("p50_us", "p99_us", "per_second_1", "per_second_2")
_BUILT: Final = ("build_seconds", "bytes_per_model")


def _shown(rows: Any, *columns: str) -> Any:
    """Returns columns behind that of the catalog, by their headings, with short numbers."""
    table = rows[["catalog", *columns]]
    shortened = {name: table[name].map(short) for name in columns if table[name].dtype.kind in "if"}
    return table.assign(**shortened).rename(columns=_HEADS)


def plots(frames: Frames) -> list[Plot]:
    """Returns plots of latencies by catalog size, for each kind of query, and times to open."""
    found = []
    for kind, rows in frames["lcp"].groupby("queries", sort=False):
        both = rows.pivot(index="catalog", columns="method", values=["p50_us", "p99_us"])
        both.columns = [f"{method}, {name.removesuffix('_us')}" for name, method in both.columns]
        title = f"{_TITLES[str(kind)]}: median, and 99th percentile (dashed)"
        found.append(_by_size(f"latency_{kind}", title, both, "microseconds per query"))
    if "openings" in frames:
        names = {
            "open_query_seconds": "open and answer",
            "open_seconds": "open",
            "replay_seconds": "open without snapshot",
        }
        rows = frames["openings"].set_index("catalog")[list(names)].rename(columns=names) * 1e3
        found.append(_by_size("opening", "opening a store", rows, "milliseconds"))
    return found


def _by_size(name: str, title: str, frame: pd.DataFrame, label: str) -> Plot:
    return Plot(name, title, frame, label, "line", "xy", "models in the catalog", ", p99")


SUITE: Final = Suite(
    name="lcp",
    label="prefixes",
    text="finding the longest common prefix, beside walking every graph",
    title="Finding the donor",
    small=("--quick",),
    default=PrefixSettings(),
    check=check,
    measure=measure,
    summary=summary,
    plots=plots,
    description=(
        "Evolves a catalog and asks the store, and other ways, which model shares the most\n"
        "layers with random architectures and with children of the latest models. All have\n"
        "to give the same answers. Takes about half an hour, most of it for the others."
    ),
    examples=("--quick", "--sizes 1000 60000 --methods walk store --out bench/lcp"),
)
