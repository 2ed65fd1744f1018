"""How fast the longest common prefix is found, by catalog size, beside walking every graph.

All methods hold the same catalog and answer the same queries in the same run. What one query takes
is measured from Python, so that the call itself is in it: two to five microseconds, which no method
escapes. Queries per second come from one call for many queries, where a method has such a call.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from parsl_tl.benchmarks.core.catalog import (
    Catalog,
    evolve_catalog,
    mutated_queries,
    random_queries,
)
from parsl_tl.benchmarks.core.report import percentiles
from parsl_tl.benchmarks.lcp_methods import Answers, Queries, Store, Walk, make_method
from parsl_tl.benchmarks.lcp_opening import measure_opening
from parsl_tl.benchmarks.lcp_processes import measure_processes
from parsl_tl.benchmarks.lcp_settings import LcpSettings as LcpSettings
from parsl_tl.benchmarks.lcp_settings import check
from parsl_tl.benchmarks.lcp_timing import Measured, measure
from parsl_tl.benchmarks.store import Progress, temporary_folder
from parsl_tl.errors import BenchmarkError

RANDOM, MUTATED = "random", "mutated"
_WINDOW = 1000  # the population of the search that left the catalog
_PROCESS_QUERIES = 1000
# About how long one query takes, in microseconds per model; only progress depends on it.
_COSTS = {"walk": 1.5, "walk-arrays": 0.4, "networkx": 18.0, "redis": 6.0, "store": 0.0}

Row = dict[str, Any]


class LcpRows(NamedTuple):
    """All rows.

    Attributes:
        queries: one per size, method and kind of query; see ``run_lcp_bench``.
        openings: one per size; see ``measure_opening``.
        processes: of the largest catalog; see ``measure_processes``.
    """

    queries: list[Row]
    openings: list[Row]
    processes: list[Row]


def run_lcp_bench(settings: LcpSettings, progress: Progress = lambda share, text: None) -> LcpRows:
    """Measures everything; leaves no folder, process or server behind, whatever happens.

    Args:
        settings: what to measure.
        progress: called before each step.

    Returns:
        ``openings`` and ``processes`` are there if the store takes part. ``queries`` has
        ``catalog`` (models), ``method``, ``queries`` (random: any architecture; mutated: children
        of the latest 1,000), ``num_queries`` (that were timed one by one), ``p50_us``, ``p99_us``,
        ``mean_us``, ``per_second_1`` (with one thread), ``per_second_2`` (with two, where a method
        can), ``build_seconds`` (for the store until its snapshot is written), ``bytes_per_model``
        (of memory: the store's shared index; what the process grew by for walks; what the server
        says for Redis), ``layers_per_model``, ``speedup_vs_walk`` (the walk's mean over this one,
        for the same catalog and kind), ``same_answers`` (queries whose model and length are those
        of the walk, or where it does not take part, of the first method that does; None if there
        is but one).

    Raises:
        BenchmarkError: see ``check``; two methods do not agree; a process or server failed.
    """
    checked = check(settings)
    assert checked.methods is not None
    assert checked.folder is not None
    steps = _Steps(checked, progress)
    found = LcpRows([], [], [])
    with temporary_folder(checked.folder) as root:
        largest = _evolve(checked, steps)
        random = Queries.of(RANDOM, random_queries(checked.queries, checked.seed))
        for size in checked.sizes:
            catalog = largest.head(size)
            children = mutated_queries(catalog, checked.queries, checked.seed, _WINDOW)
            kinds = (random, Queries.of(MUTATED, children))
            folder = root / str(size)
            found.queries.extend(_measure_catalog(checked, catalog, kinds, folder, steps))
            if Store.name in checked.methods:
                steps.next("opening", size)
                found.openings.append(measure_opening(folder, random))
                if size == checked.sizes[-1]:
                    steps.next("processes", size)
                    few = random.head(min(_PROCESS_QUERIES, len(random)))
                    found.processes.extend(measure_processes(folder, few, checked.processes))
                shutil.rmtree(folder)
    progress(1.0, "done")
    return found


def _evolve(settings: LcpSettings, steps: _Steps) -> Catalog:
    largest = settings.sizes[-1]
    steps.next("evolve", largest)
    return evolve_catalog(
        largest, seed=settings.seed, window=_WINDOW, progress=lambda share: steps.within(share)
    )


def _measure_catalog(
    settings: LcpSettings,
    catalog: Catalog,
    kinds: Sequence[Queries],
    folder: Path,
    steps: _Steps,
) -> list[Row]:
    """Returns the rows of one catalog; what the store has written stays in the folder."""
    size = len(catalog)
    rows: list[Row] = []
    expected: dict[str, tuple[str, Answers]] = {}
    for name in settings.methods_at(size):
        steps.next(name, size)
        with make_method(name, folder) as method:
            seconds, num_bytes = method.build(catalog)
            for place, queries in enumerate(kinds):
                measured = measure(method, queries, settings.agreement, settings.method_seconds)
                row = _row(catalog, name, queries.kind, measured)
                rows.append({**row, "build_seconds": seconds, "bytes_per_model": num_bytes})
                _compare(expected, name, queries.kind, size, measured)
                steps.within((place + 1) / len(kinds))
    return _complete(rows, catalog, settings.agreement)


def _row(catalog: Catalog, name: str, kind: str, measured: Measured) -> Row:
    micros = [1e6 * seconds for seconds in measured.seconds]
    shown = percentiles(micros)
    return {
        "catalog": len(catalog),
        "method": name,
        "queries": kind,
        "num_queries": len(micros),
        "p50_us": shown["p50"],
        "p99_us": shown["p99"],
        "mean_us": statistics.fmean(micros),
        "per_second_1": measured.per_second[1],
        "per_second_2": measured.per_second.get(2),
    }


def _complete(rows: list[Row], catalog: Catalog, agreement: int) -> list[Row]:
    """Adds what only all methods together tell; they agree, or there would be no rows."""
    walks = {row["queries"]: row["mean_us"] for row in rows if row["method"] == Walk.name}
    several = len({row["method"] for row in rows}) > 1
    for row in rows:
        row["layers_per_model"] = float(catalog.layer_starts[-1]) / len(catalog)
        walk = walks.get(row["queries"])
        row["speedup_vs_walk"] = None if walk is None else walk / row["mean_us"]
        row["same_answers"] = agreement if several else None
    return rows


def _compare(
    expected: dict[str, tuple[str, Answers]], name: str, kind: str, size: int, measured: Measured
) -> None:
    """Holds a method's answers against those of the first method, which it becomes if it is that.

    Args:
        expected: for each kind of query, the first method and its answers.
        name: the method.
        kind: of the queries.
        size: of the catalog.
        measured: its answers.

    Raises:
        BenchmarkError: an answer is another one; the message names the query.
    """
    singly, together = measured.singly, measured.together
    longer = max(singly, together, key=lambda answers: len(answers.ids))
    first, answers = expected.setdefault(kind, (name, longer))
    for found in (singly, together):
        count = min(len(found.ids), len(answers.ids))
        differs = (found.ids[:count] != answers.ids[:count]) | (
            found.lengths[:count] != answers.lengths[:count]
        )
        if differs.any():
            query = int(np.argmax(differs))
            raise BenchmarkError(
                f"catalog of {size:,} models, {kind} query {query}: {first} finds "
                f"{_told(answers, query)}, {name} finds {_told(found, query)}; "
                f"leave one of them out of --methods and report this"
            )


def _told(answers: Answers, query: int) -> str:
    length = int(answers.lengths[query])
    return f"model {answers.ids[query]} with {length} common layers" if length else "no model"


class _Steps:
    """Tells the share of the work that is done, by about how long each step takes."""

    def __init__(self, settings: LcpSettings, progress: Progress) -> None:
        self._progress = progress
        self._weights: dict[tuple[str, int], float] = {}
        largest = max(settings.sizes)
        self._weights["evolve", largest] = 2e-5 * largest
        for size in settings.sizes:
            for name in settings.methods_at(size):
                seconds = settings.agreement * _COSTS[name] * 1e-6 * size
                timed = min(3 * settings.method_seconds, seconds)
                self._weights[name, size] = 2 * (seconds + timed) + 2e-4 * size + 1
            if Store.name in (settings.methods or ()):
                self._weights["opening", size] = 1 + 1e-4 * size
        self._weights["processes", largest] = 0.8 * sum(settings.processes)
        self._total = sum(self._weights.values())
        # Weights of what is done, and of what is being done.
        self._done = self._now = 0.0
        self._text = ""

    def next(self, what: str, size: int) -> None:
        """Tells that a step begins."""
        self._done += self._now
        self._now = self._weights[what, size]
        self._text = f"{what}, {size:,} models"
        self.within(0.0)

    def within(self, share: float) -> None:
        """Tells how much of the step is done."""
        self._progress((self._done + share * self._now) / self._total, self._text)
