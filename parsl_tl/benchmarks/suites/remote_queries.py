"""Queries for the longest common prefix to servers, and what of their time is whose.

All ways take turns with every query, so that whatever else the machine does hits them alike. In
small catalogs a walk over every graph is soon done: there it is asked beside the store's queries.
It is served by the transport alone, whose RPC takes a graph, and gives back the model and the
layers that both have.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from parsl_tl.benchmarks.core.meeting import Team
from parsl_tl.benchmarks.core.queries import Asked, ask_engine, first_answer, match_engine
from parsl_tl.benchmarks.core.servers import bare_transport, open_servers
from parsl_tl.benchmarks.core.suite import Row
from parsl_tl.benchmarks.core.task_runner import TaskRunner
from parsl_tl.benchmarks.suites.bandwidth import Span, seconds_of
from parsl_tl.errors import BenchmarkError
from parsl_tl.native import native
from parsl_tl.population.catalog import Catalog
from parsl_tl.reporting.tables import percentiles
from parsl_tl.store.connection import Connection
from parsl_tl.store.embedded import EmbeddedStore
from parsl_tl.store.transports import connect

QUERY, MATCH, RPC = "query", "match", "bare rpc"
ENGINE_QUERY, ENGINE_MATCH = "engine's query", "engine's match"
WALK: Final = "walk"
_WARM_UP = 50
_TIMEOUT_SECONDS = 30.0
Ways = dict[str, Callable[[Asked], Any]]
Seconds = dict[str, list[float]]


@dataclass(frozen=True)
class QueryCase:
    """What is asked, and whom."""

    scheme: str  # of the transport
    server: str  # connection string of the store's only server
    bare: str | None  # address of a bare server; one that walks holds the same graphs
    folder: Path  # of the server's store, which is opened here too, to ask the engine itself
    questions: tuple[Asked, ...]  # the models
    walks: bool = False  # the bare server walks its graphs; else the engine is asked beside


def measure_latencies(runner: TaskRunner, case: QueryCase, kind: str, models: int) -> list[Row]:
    """Asks every query of a kind, to a population of so many models, in every way.

    ``query`` is one round trip for the best model's id and score; ``match`` also opens the model,
    as ``find_donor`` does; ``ping`` is the store's empty request, ``bare rpc`` the transport's;
    ``engine's ...`` is the same in the client, from the same folder; ``server's own clock`` is what
    the server saw. ``rpcs_beside_engine`` is what a query takes beyond the engine's own time, in
    round trips of the bare transport.

    Raises:
        BenchmarkError: the server's answer is not the engine's.
    """
    ((times, _),) = runner.team(1, _time_ways, case, 1)
    found = {way: {**percentiles(own), "min": min(own)} for way, own in times.items()}
    for request in _connection(case.server).status()["requests"]:
        if request["request"] == "best_ancestors":
            own = {name: request[f"{name}_us"] / 1e6 for name in ("p50", "p99")}
            found["server's own clock"] = own
    rows = []
    for way, seconds in found.items():
        row: Row = {"transport": case.scheme, "kind": kind, "models": models}
        row |= {"queries": len(case.questions), "way": way}
        row |= {f"{name}_us": 1e6 * value for name, value in seconds.items()}
        for name, statistic in (("", "p50"), ("best_", "min")):
            beside = None
            if way == QUERY and RPC in found:
                beside = seconds[statistic] - found[ENGINE_QUERY][statistic]
                beside /= found[RPC][statistic]
            row[f"{name}rpcs_beside_engine"] = beside
        rows.append(row)
    return rows


def _time_ways(team: Team, case: QueryCase, rounds: int) -> tuple[Seconds, dict[str, list[Span]]]:
    """Returns by way the seconds of each question, of one client alone, and spans of all rounds."""
    with ExitStack() as stack:
        remote = stack.enter_context(closing(open_servers([case.server], maps_segments=False)))
        client: Any = case.bare and bare_transport(case.scheme).BareClient(case.bare)
        ways = _store_ways(remote, QUERY, MATCH)
        if case.walks:
            ways[WALK] = lambda asked: client.walk(asked.digests, asked.edges)
        else:
            local = stack.enter_context(closing(EmbeddedStore(case.folder, read_only=True)))
            connection = _connection(case.server)
            ways["ping"] = lambda _: connection.ping()
            ways |= _store_ways(local, ENGINE_QUERY, ENGINE_MATCH)
            if client is not None:
                ways[RPC] = lambda _: client.rpc()
        for asked in case.questions if case.walks else case.questions[:_WARM_UP]:
            (_compare_walk if case.walks else _compare_engine)(asked, ways)
        _take_turns(case.questions[:_WARM_UP], ways)
        seconds: Seconds = {way: [] for way in ways}
        spans: dict[str, list[Span]] = {way: [] for way in ways}
        for turn in range(rounds):
            if team.count == 1:
                for name, more in _take_turns(case.questions, ways).items():
                    seconds[name] += more
            # All at once, one way after the other.
            for name, ask in _in_turn(ways, turn) if case.walks else ():
                team.meet()
                start = time.perf_counter()
                for asked in case.questions:
                    ask(asked)
                spans[name].append((start, time.perf_counter()))
        return seconds, spans


def _connection(uri: str) -> Any:
    server = Connection.parse(uri)
    return native.ServerConnection(connect(server), server.address, None, _TIMEOUT_SECONDS, 0.0)


def _store_ways(store: Any, query: str, match: str) -> Ways:
    ask, find = ask_engine(store), match_engine(store)
    return {
        query: lambda asked: ask(*asked.question),
        match: lambda asked: find(*asked.question),
    }


def _in_turn(ways: Ways, turn: int) -> Iterator[tuple[str, Callable[[Asked], Any]]]:
    """Yields all ways; none always comes after the same other one."""
    names = list(ways)
    shift = turn % len(names)
    yield from ((name, ways[name]) for name in names[shift:] + names[:shift])


def _take_turns(questions: Sequence[Asked], ways: Ways) -> Seconds:
    clock = time.perf_counter
    seconds: Seconds = {name: [] for name in ways}
    for number, asked in enumerate(questions):
        for name, ask in _in_turn(ways, number):
            start = clock()
            result = ask(asked)
            seconds[name].append(clock() - start)
            del result
    return seconds


def measure_small(
    runner: TaskRunner,
    case: QueryCase,
    catalog: Catalog,
    clients: Sequence[int],
    rounds: int,
    pids: tuple[int, int],
) -> list[Row]:
    """Asks a small catalog every question in every way: ``match``, ``query`` and ``walk``.

    Args:
        runner: of clients.
        case: what to ask; the store holds the catalog.
        catalog: that the bare server is given.
        clients: how many ask at once.
        rounds: how often all questions are asked in each way.
        pids: of the store's server and the bare one.

    Raises:
        BenchmarkError: two ways give different answers.
    """
    client = bare_transport(case.scheme).BareClient(case.bare)
    for index, model_id in enumerate(catalog.ids.tolist()):
        layers, edges = catalog.layers_of(index), catalog.edges_of(index)
        graph = (catalog.layer_digests[layers], catalog.edges[edges])
        client.add_graph(model_id, float(catalog.qualities[index]), *graph)
    rows = []
    for count in clients:
        times = runner.team(count, _time_ways, case, rounds)
        store_mb, bare_mb = (psutil.Process(pid).memory_info().rss / 1e6 for pid in pids)
        asked, rates = len(case.questions) * count, {}
        for way in (MATCH, QUERY, WALK):
            own = zip(*(spans[way] for _, spans in times), strict=True)
            rates[way] = [asked / seconds_of(spans) for spans in own]
        for way, rate in rates.items():
            row: Row = {"transport": case.scheme, "models": len(catalog), "clients": count}
            row |= {"way": way, "queries": rounds * len(case.questions)}
            row["queries_per_s"] = statistics.median(rate)
            row["ratio_to_walk"] = statistics.median(np.divide(rate, rates[WALK]).tolist())
            row |= {"p50_us": None, "p99_us": None}
            row["server_mb"] = bare_mb if way == WALK else store_mb
            if count == 1:
                found, walk = (percentiles(times[0][0][name]) for name in (way, WALK))
                row |= {f"{name}_us": 1e6 * found[name] for name in ("p50", "p99")}
                # Of questions that took turns, which a busy machine disturbs less than rounds.
                row["ratio_to_walk"] = walk["p50"] / found["p50"]
            rows.append(row)
    return rows


def _compare_engine(asked: Asked, ways: Ways) -> None:
    theirs, ours = (first_answer(ways[way](asked)) for way in (QUERY, ENGINE_QUERY))
    if theirs != ours:
        raise BenchmarkError(
            f"a query with {len(asked.keys)} layers: the server found {theirs}, the engine on the "
            f"same folder {ours} (model, layers); report this"
        )


def _compare_walk(asked: Asked, ways: Ways) -> None:
    match, query, walk = (ways[way](asked) for way in (MATCH, QUERY, WALK))
    ours = theirs = None
    if match is not None:
        sizes = match.layer_bytes()
        shared = [place for place, key in enumerate(asked.keys.tolist()) if key in sizes]
        ours = (match.model_id, shared)
    if walk is not None:
        theirs = (walk[0], walk[1].tolist())
    short = first_answer(query)
    if ours != theirs or short != ((ours[0], len(ours[1])) if ours else (0, 0)):
        raise BenchmarkError(
            f"a query with {len(asked.keys)} layers: the store's match is {ours}, its query gives "
            f"{short}, and the walk over graphs {theirs} (model, layers); report this"
        )
