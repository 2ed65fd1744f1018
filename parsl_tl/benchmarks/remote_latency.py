"""How long one query for the longest common prefix takes, and what of it is whose.

All ways take turns with every query, so that whatever else the machine does hits them alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.benchmarks.core.store_servers import open_servers
from parsl_tl.benchmarks.remote_methods import ask_engine, match_engine
from parsl_tl.errors import BenchmarkError
from parsl_tl.native import native
from parsl_tl.store.connection import Connection
from parsl_tl.store.embedded import EmbeddedStore
from parsl_tl.store.transports import connect, transport_module

QUERY, MATCH, PING, RPC = "query", "match", "ping", "bare rpc"
ENGINE_QUERY, ENGINE_MATCH = "engine's query", "engine's match"
HANDLER = "server's own clock"
_WARM_UP = 50
_TIMEOUT_SECONDS = 30.0

# Seconds of each query, by the way it was asked.
Latencies = dict[str, list[float]]


@dataclass(frozen=True)
class LatencyCase:
    """What is asked.

    Attributes:
        scheme: of the transport.
        server: connection string of the store's only server.
        bare: address of a bare server, or None.
        folder: of the server's store, which is opened here too, to ask the engine itself.
        queries: layer keys of each query.
    """

    scheme: str
    server: str
    bare: str | None
    folder: Path
    queries: tuple[NDArray[np.uint64], ...]


def time_queries(case: LatencyCase) -> Latencies:
    """Asks every query in every way.

    Returns:
        By way, the seconds of each query: ``query`` is one round trip for the best model's id and
        score; ``match`` also opens the model, as ``best_ancestor`` does; ``ping`` is the store's
        empty request, ``bare rpc`` the transport's; ``engine's ...`` is the same in this process,
        from the same folder.

    Raises:
        BenchmarkError: the server's answer is not the engine's.
    """
    with ExitStack() as stack:
        remote = stack.enter_context(closing(open_servers([case.server], maps_segments=False)))
        local = stack.enter_context(closing(EmbeddedStore(case.folder, read_only=True)))
        connection = Connection.parse(case.server)
        provider = native.Provider(
            connect(connection), connection.address, None, _TIMEOUT_SECONDS, 0.0
        )
        ways: dict[str, Callable[[NDArray[np.uint64]], Any]] = {
            QUERY: ask_engine(remote._engine),
            MATCH: match_engine(remote._engine),
            PING: lambda _: provider.ping(),
            ENGINE_QUERY: ask_engine(local._engine),
            ENGINE_MATCH: match_engine(local._engine),
        }
        if case.bare is not None:
            client = transport_module(case.scheme).BareClient(case.bare)
            ways[RPC] = lambda _: client.rpc()
        _compare(case.queries[:_WARM_UP], ways[QUERY], ways[ENGINE_QUERY])
        for keys in case.queries[:_WARM_UP]:
            for ask in ways.values():
                ask(keys)
        return _take_turns(case.queries, ways)


def _take_turns(
    queries: Sequence[NDArray[np.uint64]],
    ways: dict[str, Callable[[NDArray[np.uint64]], Any]],
) -> Latencies:
    clock = time.perf_counter
    names = list(ways)
    seconds: Latencies = {name: [] for name in names}
    for number, keys in enumerate(queries):
        # None always comes after the same other one.
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            ask = ways[name]
            start = clock()
            result = ask(keys)
            seconds[name].append(clock() - start)
            del result
    return seconds


def _compare(
    queries: Sequence[NDArray[np.uint64]],
    ask: Callable[[NDArray[np.uint64]], Any],
    ask_here: Callable[[NDArray[np.uint64]], Any],
) -> None:
    for keys in queries:
        theirs, ours = _answer(ask(keys)), _answer(ask_here(keys))
        if theirs != ours:
            raise BenchmarkError(
                f"a query with {len(keys)} layers: the server found {theirs}, the engine on the "
                f"same folder {ours} (model, layers); report this"
            )


def _answer(result: Any) -> tuple[int, float] | None:
    found, ids, scores, _ = result
    return (int(ids[0]), float(scores[0])) if found[0] else None
