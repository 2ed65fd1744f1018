"""The other way to answer: every rank walks all of its graphs. Only for comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl._baselines import GraphWalk
from parsl_tl.graph_meta.cache import BestGraphs, GraphCache, reduce_best
from parsl_tl.graph_meta.exchange import Ticket
from parsl_tl.graph_meta.graph_batch import GraphBatch
from parsl_tl.graph_meta.messages import Kind, Sections
from parsl_tl.population.flat_graphs import starts_of

_NONE = np.empty(0, np.int64)


class WalkPartition:
    """The graphs of this rank, walked one by one for every query, as in the published systems."""

    def __init__(self, cache: GraphCache) -> None:
        """Makes this rank answer walks.

        Args:
            cache: whose ranks hold the graphs.
        """
        self._cache = cache
        self._exchange = cache.exchange
        self._waiting: list[GraphBatch] = []
        self._walk: Any = GraphWalk()
        self._quality: dict[int, float] = {}
        self._exchange.serve_kind(Kind.WALK_STORE, self._collect)
        self._exchange.serve_kind(Kind.WALK, self._answer)

    def send(self, batch: GraphBatch) -> list[Ticket]:
        """Sends graphs to the ranks where they live; ``GraphCache.wait_stored`` waits for them."""
        tickets = []
        owners = (batch.ids % np.uint64(self._cache.size)).astype(np.int64)
        for rank in np.unique(owners).tolist():
            own = batch.take(np.flatnonzero(owners == rank))
            sections = (own.ids, own.qualities, own.layer_starts, own.digests)
            tickets.append(
                self._exchange.ask(rank, Kind.WALK_STORE, (*sections, own.edge_starts, own.edges))
            )
        return tickets

    def build(self) -> None:
        """Puts the graphs in the order of their ids: of equal ones a walk takes the last."""
        batch = GraphBatch.concatenate(self._waiting)
        self._waiting = []
        batch = batch.take(np.argsort(batch.ids))
        self._quality = dict(zip(batch.ids.tolist(), batch.qualities.tolist(), strict=True))
        # In pieces, so that others are served meanwhile.
        for start in range(0, len(batch), _PIECE):
            own = batch.take(np.arange(start, min(start + _PIECE, len(batch))))
            self._walk.add_many(
                own.ids, own.qualities, own.layer_starts, own.digests, own.edge_starts, own.edges
            )
            self._cache.progress()

    def best_of(self, queries: GraphBatch) -> BestGraphs:
        """Asks all ranks to walk for some queries, and takes the best."""
        sections = (queries.layer_starts, queries.digests, queries.edge_starts, queries.edges)
        tickets = self._exchange.ask_all(Kind.WALK, sections, range(self._cache.size))
        return reduce_best([self._exchange.reply(ticket) for ticket in tickets])[0]

    def _collect(self, sections: Sections) -> tuple[Kind, Sections]:
        ids, qualities, layer_starts, digests, edge_starts, edges = sections
        self._waiting.append(
            GraphBatch(ids, qualities, layer_starts, digests, digests, edge_starts, edges)
        )
        return Kind.STORED, ()

    def _answer(self, sections: Sections) -> tuple[Kind, tuple[NDArray[Any], ...]]:
        ids, lengths = self._walk.best_many(*sections)
        found = zip(ids.tolist(), lengths.tolist(), strict=True)
        qualities = np.array([self._quality[i] if length else 0.0 for i, length in found])
        starts = starts_of(np.zeros(len(ids), np.int64))
        return Kind.BEST, (ids, lengths.astype(np.int64), qualities, starts, _NONE)


_PIECE = 500
