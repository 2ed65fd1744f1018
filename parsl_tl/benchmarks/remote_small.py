"""Small catalogs, in which a walk over every graph is soon done: the store's queries beside it.

The walk is served by the transport alone: its RPC takes a graph, and gives back the model and the
layers that both have. Queries take turns, so that whatever else the machine does hits all alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.benchmarks.core.catalog import Catalog
from parsl_tl.benchmarks.core.report import percentiles
from parsl_tl.benchmarks.core.store_servers import open_servers
from parsl_tl.benchmarks.lcp_methods import Queries, model_ids
from parsl_tl.benchmarks.remote_methods import ask_engine, match_engine
from parsl_tl.errors import BenchmarkError
from parsl_tl.store.transports import transport_module

MATCH, QUERY, WALK = "match", "query", "walk"
WAYS = (MATCH, QUERY, WALK)
Answer = tuple[int, list[int]] | None
Row = dict[str, Any]


class Question(NamedTuple):
    """A model that is asked for: as the index takes it, and as the walk does."""

    keys: NDArray[np.uint64]
    digests: NDArray[np.uint64]
    edges: NDArray[np.uint32]


@dataclass(frozen=True)
class SmallCase:
    """What is asked.

    Attributes:
        scheme: of the transport.
        models: in the catalog.
        server: connection string of the store's only server.
        bare: address of the bare server, which holds the same graphs.
        clients: that ask at the same time.
        rounds: how often all questions are asked in each way.
        questions: the questions.
    """

    scheme: str
    models: int
    server: str
    bare: str
    clients: int
    rounds: int
    questions: tuple[Question, ...]


class SmallTimes(NamedTuple):
    """By way: seconds of each question, and (start, end) of each round, of a clock for all."""

    seconds: dict[str, list[float]]
    spans: dict[str, list[tuple[float, float]]]


def questions_of(queries: Queries) -> tuple[Question, ...]:
    """Returns each query by itself."""
    models = queries.models
    return tuple(
        Question(
            queries.keys[models.layers_of(index)],
            models.layer_digests[models.layers_of(index)],
            models.edges[models.edges_of(index)],
        )
        for index in range(len(models))
    )


def fill_walk(scheme: str, address: str, catalog: Catalog) -> None:
    """Gives a bare server the graphs of a catalog, under ``model_ids``."""
    client = transport_module(scheme).BareClient(address)
    for index, model_id in enumerate(model_ids(catalog).tolist()):
        client.add_graph(
            model_id,
            float(catalog.qualities[index]),
            catalog.layer_digests[catalog.layers_of(index)],
            catalog.edges[catalog.edges_of(index)],
        )


def time_small(case: SmallCase, wait: Callable[[], Any]) -> SmallTimes:
    """Asks every question in every way.

    Args:
        case: what to ask.
        wait: returns when all clients call it.

    Raises:
        BenchmarkError: two ways give different answers.
    """
    client = transport_module(case.scheme).BareClient(case.bare)
    with closing(open_servers([case.server], maps_segments=False)) as store:
        match, query = match_engine(store._engine), ask_engine(store._engine)
        ways: dict[str, Callable[[Question], Any]] = {
            MATCH: lambda asked: match(asked.keys),
            QUERY: lambda asked: query(asked.keys),
            WALK: lambda asked: client.walk(asked.digests, asked.edges),
        }
        for asked in case.questions:
            _compare(asked, ways)
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        spans: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        names = list(ways)
        for turn in range(case.rounds):
            shift = turn % len(names)
            if case.clients == 1:
                _take_turns(case.questions, ways, names[shift:] + names[:shift], seconds)
            # All at once, one way after the other.
            for name in names[shift:] + names[:shift]:
                ask = ways[name]
                wait()
                start = time.perf_counter()
                for asked in case.questions:
                    ask(asked)
                spans[name].append((start, time.perf_counter()))
        return SmallTimes(seconds, spans)


def small_rows(
    case: SmallCase, times: Sequence[SmallTimes], memory_mb: dict[str, float]
) -> list[Row]:
    """Returns a row for each way.

    Args:
        case: what was asked.
        times: of each client.
        memory_mb: resident memory of the way's server.
    """
    rates = {way: _rates(case, [one.spans[way] for one in times]) for way in WAYS}
    rows = []
    for way in WAYS:
        row: Row = {
            "transport": case.scheme,
            "models": case.models,
            "clients": case.clients,
            "way": way,
            "queries": case.rounds * len(case.questions),
            "queries_per_s": statistics.median(rates[way]),
            "ratio_to_walk": statistics.median(
                own / walk for own, walk in zip(rates[way], rates[WALK], strict=True)
            ),
            "p50_us": None,
            "p99_us": None,
            "server_mb": memory_mb[way],
        }
        if case.clients == 1:
            found = percentiles(times[0].seconds[way])
            row.update({f"{name}_us": 1e6 * found[name] for name in ("p50", "p99")})
            # Of questions that took turns, which a busy machine disturbs less than whole rounds.
            row["ratio_to_walk"] = percentiles(times[0].seconds[WALK])["p50"] / found["p50"]
        rows.append(row)
    return rows


def resident_mb(pid: int) -> float:
    """Returns the resident memory of a process, in millions of bytes."""
    with open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024 / 1e6
    raise BenchmarkError(f"process {pid} tells no resident memory")


def _take_turns(
    questions: Sequence[Question],
    ways: dict[str, Callable[[Question], Any]],
    names: Sequence[str],
    seconds: dict[str, list[float]],
) -> None:
    clock = time.perf_counter
    for asked in questions:
        for name in names:
            ask = ways[name]
            start = clock()
            result = ask(asked)
            seconds[name].append(clock() - start)
            del result


def _rates(case: SmallCase, by_client: Sequence[Sequence[tuple[float, float]]]) -> list[float]:
    """Returns queries per second of all clients together, round by round."""
    asked = len(case.questions) * len(by_client)
    return [
        asked / (max(end for _, end in spans) - min(start for start, _ in spans))
        for spans in zip(*by_client, strict=True)
    ]


def _compare(asked: Question, ways: dict[str, Callable[[Question], Any]]) -> None:
    match, query, walk = ways[MATCH](asked), ways[QUERY](asked), ways[WALK](asked)
    ours: Answer = None
    if match is not None:
        sizes = match.layer_bytes()
        shared = [place for place, key in enumerate(asked.keys.tolist()) if key in sizes]
        ours = (match.model_id, shared)
    found, ids, scores, _ = query
    short = (int(ids[0]), int(scores[0])) if found[0] else None
    theirs: Answer = None if walk is None else (walk[0], walk[1].tolist())
    if ours != theirs or short != (None if ours is None else (ours[0], len(ours[1]))):
        raise BenchmarkError(
            f"a query with {len(asked.keys)} layers: the store's match is {ours}, its query gives "
            f"{short}, and the walk over graphs {theirs} (model, layers); report this"
        )
