"""Queries for the longest common prefix, as the store's engine and walks over graphs take them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.population.catalog import Catalog

_NO_WEIGHTS = np.empty(0, np.float64)
_NO_MODELS: set[int] = set()
# Models that are stored in one call, which nothing can interrupt.
_PIECE = 20_000
# One query: layer keys, and where they start and end.
Question = tuple[NDArray[np.uint64], NDArray[np.int64]]


class Asked(NamedTuple):
    """A model that is asked for: as the index takes it, and as the walk does."""

    keys: NDArray[np.uint64]
    starts: NDArray[np.int64]
    digests: NDArray[np.uint64]
    edges: NDArray[np.uint32]

    @property
    def question(self) -> Question:
        """Layer keys, and where they start and end."""
        return self.keys, self.starts


@dataclass(frozen=True)
class Queries:
    """Models that are asked for: how they were drawn, and ``models.layer_keys()`` (uint64)."""

    kind: str
    models: Catalog
    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, kind: str, models: Catalog) -> Queries:
        """Computes the keys."""
        return cls(kind, models, models.layer_keys())

    def __len__(self) -> int:
        return len(self.models)

    def part(self, first: int, end: int) -> Queries:
        """Returns the queries from ``first`` to before ``end``, as views."""
        starts = self.models.layer_starts
        keys = self.keys[starts[first] : starts[end]]
        return Queries(self.kind, self.models.part(first, end), keys)

    def asked(self) -> tuple[Asked, ...]:
        """Returns each query by itself."""
        found = []
        for index in range(len(self)):
            keys = self.keys[self.models.layers_of(index)]
            starts = np.array([0, len(keys)], np.int64)
            found.append(Asked(keys, starts, *graph_of(self.models, index)))
        return tuple(found)


def graph_of(catalog: Catalog, index: int) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Returns a model as a walk takes it: digests and edges."""
    layers, edges = catalog.layers_of(index), catalog.edges_of(index)
    return catalog.layer_digests[layers], catalog.edges[edges]


def put_catalog(store: Any, catalog: Catalog) -> None:
    """Stores a catalog under its ``ids``, and folds it into the snapshot.

    Without parents, which are of no account here and may stand in another piece.
    """
    for first in range(0, len(catalog), _PIECE):
        end = min(first + _PIECE, len(catalog))
        piece = catalog.part(first, end)
        graphs = (piece.layer_starts, piece.prefix_hashes, piece.class_ids.astype(np.uint16))
        edges = (piece.class_names, piece.edge_starts, piece.edges)
        store.put_architectures(catalog.ids[first:end], piece.qualities, *graphs, *edges)
    store.fold()


def ask_engine(store: Any, threads: int = 1) -> Callable[..., Any]:
    """Returns the engine's query, by number of layers, as a function of keys and starts.

    It is below ``find_donor``, which first gathers the keys of graphs. With several ``threads``
    these answer the queries of one call.
    """
    engine = store._engine

    def ask(keys: NDArray[np.uint64], starts: NDArray[np.int64]) -> Any:
        return engine.find_donors(
            keys, starts, _NO_WEIGHTS, "layers", 0.0, None, _NO_MODELS, None, threads
        )

    return ask


def match_engine(store: Any) -> Callable[..., Any]:
    """Returns the query for one model with what makes it a match: it is opened, and kept."""
    engine = store._engine

    def match(keys: NDArray[np.uint64], starts: NDArray[np.int64]) -> Any:
        return engine.find_donor(keys, _NO_WEIGHTS, "layers", 0.0, None, _NO_MODELS, None)

    return match


def first_answer(result: Any) -> tuple[int, int]:
    """Returns (model id, common layers) of a query that was asked by itself; zeros for none."""
    found, ids, scores, _ = result
    return (int(ids[0]), int(scores[0])) if found[0] else (0, 0)
