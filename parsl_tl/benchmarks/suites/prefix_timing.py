"""Timing one method with one kind of query, and holding its answers against the others'."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from parsl_tl.benchmarks.core.queries import Queries
from parsl_tl.benchmarks.core.suite import Row
from parsl_tl.benchmarks.suites.prefix_methods import Answers, PrefixMethod
from parsl_tl.errors import BenchmarkError
from parsl_tl.reporting.tables import percentiles

_WARM_UP = 200
# Asked one by one whatever they take.
_FEWEST = 20
# Nothing can interrupt a call for many queries, so that none may take much longer.
_CALL_SECONDS = 2.0
_REPEATS = 3


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
    ask, arguments = method.ask, method.arguments(queries)
    # The last ones, which are the first to be left out when time is short.
    _ask_singly(ask, arguments[-_WARM_UP:][::-1], limit / 10)
    seconds, found = _ask_singly(ask, arguments, limit)
    mean = statistics.fmean(seconds)
    if not method.threads:
        found += [ask(*given) for given in arguments[len(found) : agreement]]
    ids, lengths = zip(*map(method.answer, found), strict=True)
    answers = [Answers(np.array(ids, np.uint64), np.array(lengths, np.int64))]
    per_second = {1: 1 / mean}
    if method.threads:
        fitting = queries.part(0, min(len(queries), max(_FEWEST, int(limit / mean))))
        per_second = {threads: _rate(method, fitting, threads, mean) for threads in method.threads}
        answers.append(_ask_together(method, agreement, queries, mean))
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


def _ask_together(method: PrefixMethod, count: int, queries: Queries, mean: float) -> Answers:
    step = max(1, int(_CALL_SECONDS / mean))
    parts = [
        method.many(queries.part(first, min(first + step, count)), max(method.threads))
        for first in range(0, count, step)
    ]
    return Answers(*(np.concatenate(column) for column in zip(*parts, strict=True)))


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
    longest = max(given, key=lambda answers: len(answers.ids))
    first, answers = expected.setdefault(kind, (name, longest))
    for found in given:
        count = min(len(found.ids), len(answers.ids))
        same = [one[:count] == two[:count] for one, two in zip(found, answers, strict=True)]
        if not np.all(same):
            query = int(np.argmin(np.all(same, axis=0)))
            raise BenchmarkError(
                f"catalog of {size:,} models, {kind} query {query}: {first} finds "
                f"{_told(answers, query)}, {name} finds {_told(found, query)}; "
                f"leave one of them out of --methods and report this"
            )


def _told(answers: Answers, query: int) -> str:
    length = int(answers.lengths[query])
    return f"model {answers.ids[query]} with {length} common layers" if length else "no model"
