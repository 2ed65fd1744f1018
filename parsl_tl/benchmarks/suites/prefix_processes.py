"""What one store costs the processes of a node: time until it answers, and memory of all."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from parsl_tl.benchmarks.core.processes import Processes, Worker
from parsl_tl.benchmarks.core.queries import Queries, ask_engine, put_catalog
from parsl_tl.benchmarks.core.room import proportional_bytes
from parsl_tl.benchmarks.core.suite import Row
from parsl_tl.store.embedded import EmbeddedStore

_REPEATS = 5


def measure_opening(folder: Path, queries: Queries) -> Row:
    """Opens a store whose catalog is folded, again and again; leaves it as it was.

    Nobody else has the store open, and its files are in memory (the page cache), as they are when
    another process has used it just before. The first of the queries is asked.

    Returns:
        ``catalog`` (models), ``open_seconds``, ``open_query_seconds`` (until the first query is
        answered; both are medians of 5), ``replay_seconds`` (to open without the snapshot, which
        reads the whole log; once), ``bytes_log``, ``bytes_snapshot``.
    """
    (question,) = queries.head(1).one_by_one()
    opened, answered = [], []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        with closing(EmbeddedStore(folder)) as store:
            opened.append(time.perf_counter() - start)
            ask_engine(store)(*question)
            answered.append(time.perf_counter() - start)
            catalog, stats = len(store), store.stats()
    (folder / "snapshot").unlink()
    start = time.perf_counter()
    with closing(EmbeddedStore(folder)) as store:
        replayed = time.perf_counter() - start
        store.fold()
    return {
        "catalog": catalog,
        "open_seconds": statistics.median(opened),
        "open_query_seconds": statistics.median(answered),
        "replay_seconds": replayed,
        "bytes_log": stats["bytes_log"],
        "bytes_snapshot": stats["bytes_snapshot"],
    }


def measure_processes(folder: Path, queries: Queries, counts: Sequence[int]) -> list[Row]:
    """Lets processes open a store to read and write, and ask all queries, all at the same time.

    Memory is each process's proportional part of it (PSS), before it opens the store and when all
    have their answers and none has closed it. Pages that they share are counted once in the sum.

    Returns:
        For each count ``catalog`` (models), ``processes``, ``queries`` (of each process),
        ``pss_growth_bytes`` (all processes together), ``ratio_to_first`` (of the counts).

    Raises:
        BenchmarkError: a process failed or was killed.
    """
    rows: list[Row] = []
    for count in counts:
        with Processes(_Asker, [count]) as processes:
            told = processes.ask(count, "ask_the_store", (folder, queries, count))
        grown = sum(one for one, _ in told)
        row: Row = {"catalog": told[0][1], "processes": count, "queries": len(queries)}
        row["pss_growth_bytes"] = grown
        row["ratio_to_first"] = grown / (rows[0]["pss_growth_bytes"] if rows else grown)
        rows.append(row)
    return rows


class _Asker(Worker):
    def ask_the_store(self, given: tuple[Path, Queries, int]) -> tuple[int, int]:
        """Returns the growth in bytes, and the models that the store holds."""
        folder, queries, count = given
        questions = queries.one_by_one()
        _use_another_store(folder.parent / f"other-{os.getpid()}", queries)
        self.meet(count)
        before = proportional_bytes()
        # Nobody opens the store, and so maps what is shared, before all have looked.
        self.meet(count)
        store = EmbeddedStore(folder)
        ask = ask_engine(store)
        for question in questions:
            ask(*question)
        self.meet(count)
        after = proportional_bytes()
        # Nor does anybody close it.
        self.meet(count)
        models = len(store)
        store.close()
        return after - before, models


def _use_another_store(folder: Path, queries: Queries) -> None:
    """Loads the code, so that the growth that follows is the large store's alone."""
    few = queries.head(min(10, len(queries)))
    with closing(EmbeddedStore(folder)) as store:
        put_catalog(store, few.models)
        for question in few.one_by_one():
            ask_engine(store)(*question)
