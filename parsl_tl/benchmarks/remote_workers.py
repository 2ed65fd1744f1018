"""The processes that are clients of servers in a benchmark, all at once if there are several."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parsl_tl.benchmarks.remote_latency import Latencies, LatencyCase, time_queries
from parsl_tl.benchmarks.remote_methods import INTO, Bare, Chosen, Copies, Hdf5, Served
from parsl_tl.benchmarks.remote_small import SmallCase, SmallTimes, time_small
from parsl_tl.benchmarks.store_embedded import REPEAT, Embedded, checksum_word
from parsl_tl.benchmarks.store_methods import Method
from parsl_tl.benchmarks.store_models import destination, make_model
from parsl_tl.benchmarks.store_redis import Redis
from parsl_tl.benchmarks.store_workers import _BARRIER_SECONDS, Case, Workers, _Worker
from parsl_tl.store.transports import transport_module

# Ids of one client in one case; those of the population are below.
_IDS = 1 << 32
_MOST_CLIENTS = 1 << 10
_LEAVE_SECONDS = 3.0
_EMBEDDED_WAYS = {
    f"put, {checksum_word(True)}": "put",
    f"{INTO}, {REPEAT}, {checksum_word(True)}": INTO,
}


@dataclass(frozen=True)
class RemoteCase(Case):
    """What all clients do at the same time.

    Attributes:
        number: of the case among all of the benchmark, from which model ids follow.
        series: what the case is part of, ``sizes`` or ``totals``.
        scheme: of the transport.
        providers: how many servers there are.
        servers: connection strings of the store's; none where it takes no part.
        bare: addresses of bare servers; none where the transport is not measured by itself.
        parts: of the models, ``whole`` and ``tenth``.
        queries: layer keys of what is asked for in one operation; none for no such operation.
    """

    number: int
    series: str
    scheme: str
    providers: int
    servers: tuple[str, ...]
    bare: tuple[str, ...]
    parts: tuple[str, ...]
    queries: tuple[NDArray[np.uint64], ...] = ()


class RemoteWorkers(Workers):
    """Client processes; use them in a ``with``, which ends them whatever happens."""

    def latencies(self, case: LatencyCase) -> Latencies:
        """Lets one client ask, one query after the other; see ``time_queries``."""
        (times,) = self._ask(1, ("latencies", case))
        found: Latencies = times
        return found

    def small(self, case: SmallCase) -> list[SmallTimes]:
        """Lets clients ask a small catalog, all at once; see ``time_small``."""
        found: list[SmallTimes] = self._ask(case.clients, ("small", case))
        return found

    def close(self) -> None:
        """Ends the processes."""
        for pipe in self._pipes:
            pipe.close()
        # Who leaves by itself takes along what the transport has in the machine's shared memory.
        deadline = time.monotonic() + _LEAVE_SECONDS
        for process in self._processes:
            if process.pid is not None:
                process.join(max(0.0, deadline - time.monotonic()))
        super().close()

    def _worker_class(self) -> type[_Worker]:
        return _RemoteWorker


class _RemoteWorker(_Worker):
    _case: RemoteCase

    def latencies(self, case: LatencyCase) -> Latencies:
        return time_queries(case)

    def small(self, case: SmallCase) -> SmallTimes:
        barrier = self._barriers[case.clients]
        return time_small(case, lambda: barrier.wait(_BARRIER_SECONDS))

    def _new_model(self, case: Case) -> None:
        self._shape = None
        self._model = make_model(case.model_mb, case.layers, case.seed + self._index)
        self._out = destination(self._model)
        self._shape = (case.model_mb, case.layers)

    def _make(self, name: str) -> list[Method]:
        case = self._case
        if name == "memcpy":
            return [Copies(self._model, self._out, case.parts)]
        if name == "redis":
            assert case.redis_socket is not None
            return [Chosen(name, Redis(self._model, case.redis_socket, self._index), case.parts)]
        if name == "hdf5":
            folder = case.folder / f"hdf5-{self._index}"
            folder.mkdir()
            return [Chosen(name, Hdf5(self._model, self._out, folder), case.parts)]
        if name == "embedded":
            # One store for all clients, as one server has one.
            folder = case.folder / "embedded"
            store = Embedded(self._model, self._out, folder, self._index, True)
            return [Chosen(name, store, case.parts, _EMBEDDED_WAYS)]
        if name == "bare":
            return self._bare()
        # Clients and puts take turns with the servers: those of a model follow from its id.
        base = (case.number * _MOST_CLIENTS + self._index + 1) * _IDS + self._index
        return [Served(self._model, self._out, case.servers, base, case.parts, case.queries)]

    def _bare(self) -> list[Method]:
        case = self._case
        if not case.bare:
            return []
        address = case.bare[self._index % len(case.bare)]
        module = transport_module(case.scheme)
        return [Bare(self._model, module, address, case.parts, len(case.queries))]
