"""Timing one method with one kind of query, and what one store costs the processes of a node."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from parsl_tl.benchmarks.core.meeting import Team
from parsl_tl.benchmarks.core.queries import Queries, ask_engine, put_catalog
from parsl_tl.benchmarks.core.suite import Row
from parsl_tl.benchmarks.core.task_runner import LONGEST_SECONDS, Where, task_runner
from parsl_tl.benchmarks.suites.prefix_methods import Answers, PrefixMethod
from parsl_tl.errors import BenchmarkError
from parsl_tl.reporting.tables import percentiles
from parsl_tl.store.embedded import EmbeddedStore

_WARM_UP = 200
# Asked one by one whatever they take.
_FEWEST = 20
# Nothing can interrupt a call for many queries, so that none may take much longer.
_CALL_SECONDS = 2.0
_REPEATS = 3
_OPENINGS = 5


def time_method(
    method: PrefixMethod, queries: Queries, agreement: int, limit: float
) -> tuple[Row, list[Answers]]:
    """Times a method that holds its catalog.

    Args:
        method: the method.
        queries: as many of them are asked as fit the time.
        agreement: how many have to be answered in any case, one by one or together.
        limit: seconds for single queries, and for each number of threads.

    Returns:
        Columns, and the answers to queries asked one by one, and to those asked in calls for many,
        where there is such a call; from the first query on.
    """
    ask, arguments = method.ask, [method.arguments(one) for one in queries.asked()]
    # The last ones, which are the first to be left out when time is short.
    _ask_singly(ask, arguments[-_WARM_UP:][::-1], limit / 10)
    seconds, found = _ask_singly(ask, arguments, limit)
    mean = statistics.fmean(seconds)
    if not method.threads:
        found += [ask(*given) for given in arguments[len(found) : agreement]]
    answers = [np.array(list(map(method.answer, found)), np.uint64)]
    per_second = {1: 1 / mean}
    if method.threads:
        fitting = queries.part(0, min(len(queries), max(_FEWEST, int(limit / mean))))
        per_second = {threads: _rate(method, fitting, threads, mean) for threads in method.threads}
        step = max(1, int(_CALL_SECONDS / mean))
        parts = [queries.part(n, min(n + step, agreement)) for n in range(0, agreement, step)]
        answers.append(np.concatenate([method.many(one, max(method.threads)) for one in parts]))
    row: Row = {"num_queries": len(seconds)}
    row |= {f"{name}_us": 1e6 * value for name, value in percentiles(seconds).items()}
    row |= {"mean_us": 1e6 * mean, "per_second_1": per_second[1]}
    return {**row, "per_second_2": per_second.get(2)}, answers


def _ask_singly(
    ask: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], limit: float
) -> tuple[list[float], list[Any]]:
    """Returns the seconds of each query that fits the limit, and what was found."""
    clock = time.perf_counter
    seconds: list[float] = []
    found: list[Any] = []
    last = clock() + limit
    for given in arguments:
        start = clock()
        result = ask(*given)
        end = clock()
        seconds.append(end - start)
        found.append(result)
        if end > last and len(seconds) >= _FEWEST:
            break
    return seconds, found


def _rate(method: PrefixMethod, queries: Queries, threads: int, mean: float) -> float:
    """Returns queries per second; the median of three runs where they are short."""
    rates = []
    for _ in range(_REPEATS if mean * len(queries) < _CALL_SECONDS else 1):
        start = time.perf_counter()
        method.many(queries, threads)
        rates.append(len(queries) / (time.perf_counter() - start))
    return statistics.median(rates)


def compare_answers(
    expected: dict[str, tuple[str, Answers]],
    name: str,
    kind: str,
    size: int,
    given: Sequence[Answers],
) -> None:
    """Holds a method's answers against those of the first method, which it becomes if it is that.

    ``expected`` has the first method and its answers for each kind of query.

    Raises:
        BenchmarkError: an answer is another one; the message names the query.
    """
    first, answers = expected.setdefault(kind, (name, max(given, key=len)))
    for found in given:
        count = min(len(found), len(answers))
        differing = np.flatnonzero((found[:count] != answers[:count]).any(axis=1))
        if len(differing):
            query = differing[0]
            raise BenchmarkError(
                f"catalog of {size:,} models, {kind} query {query}: {first} finds "
                f"{_told(*answers[query])}, {name} finds {_told(*found[query])}; "
                f"leave one of them out of --methods and report this"
            )


def _told(model: int, length: int) -> str:
    return f"model {model} with {length} common layers" if length else "no model"


def measure_opening(folder: Path, queries: Queries) -> Row:
    """Opens a store whose catalog is folded, again and again; leaves it as it was.

    Nobody else has the store open, and its files are in memory (the page cache), as they are when
    another process has used it just before. The first of the queries is asked. Seconds are medians
    of 5; opening without the snapshot, which reads the whole log, is timed once.
    """
    (question,) = [one.question for one in queries.part(0, 1).asked()]
    opened, answered = [], []
    for _ in range(_OPENINGS):
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
        with task_runner(Where(timeout=LONGEST_SECONDS), count) as runner:
            told = runner.team(count, ask_the_store, folder, queries)
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
        for asked in few.asked():
            ask_engine(other)(*asked.question)
    questions = [asked.question for asked in queries.asked()]
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
