"""What one store costs the processes of a node: time until it answers, and memory of all."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import psutil

from parsl_tl.benchmarks.core.processes import Processes, Team
from parsl_tl.benchmarks.core.queries import Queries, ask_engine, put_catalog
from parsl_tl.benchmarks.core.suite import Row
from parsl_tl.store.embedded import EmbeddedStore

_REPEATS = 5


def measure_opening(folder: Path, queries: Queries) -> Row:
    """Opens a store whose catalog is folded, again and again; leaves it as it was.

    Nobody else has the store open, and its files are in memory (the page cache), as they are when
    another process has used it just before. The first of the queries is asked. Seconds are medians
    of 5; opening without the snapshot, which reads the whole log, is timed once.
    """
    (question,) = queries.part(0, 1).one_by_one()
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
    row: Row = {"catalog": catalog, "open_seconds": statistics.median(opened)}
    row |= {"open_query_seconds": statistics.median(answered), "replay_seconds": replayed}
    return row | {name: stats[name] for name in ("bytes_log", "bytes_snapshot")}


def measure_processes(folder: Path, queries: Queries, counts: Sequence[int]) -> list[Row]:
    """Lets processes open a store to read and write, and ask all queries, all at the same time.

    Memory is each process's proportional part of it (PSS), before it opens the store and when all
    have their answers and none has closed it. Pages that they share are counted once in the sum.

    Raises:
        BenchmarkError: a process failed or was killed.
    """
    rows: list[Row] = []
    for count in counts:
        with Processes([count]) as processes:
            told = processes.run(count, ask_the_store, folder, queries)
        grown = sum(one for one, _ in told)
        row: Row = {"catalog": told[0][1], "processes": count, "queries": len(queries)}
        row["pss_growth_bytes"] = grown
        row["ratio_to_first"] = grown / (rows[0]["pss_growth_bytes"] if rows else grown)
        rows.append(row)
    return rows


def ask_the_store(team: Team, folder: Path, queries: Queries) -> tuple[int, int]:
    """Returns the growth of this process in bytes, and the models that the store holds."""
    # Another store first, so that the growth that follows is the large store's alone.
    few = queries.part(0, min(10, len(queries)))
    with closing(EmbeddedStore(folder.parent / f"other-{os.getpid()}")) as other:
        put_catalog(other, few.models)
        for question in few.one_by_one():
            ask_engine(other)(*question)
    questions = queries.one_by_one()
    team.meet()
    before = int(psutil.Process().memory_full_info().pss)
    # Nobody opens the store, and so maps what is shared, before all have looked.
    team.meet()
    with closing(EmbeddedStore(folder)) as store:
        for question in questions:
            ask_engine(store)(*question)
        team.meet()
        after = int(psutil.Process().memory_full_info().pss)
        # Nor does anybody close it.
        team.meet()
        return after - before, len(store)
