"""The ways to find the longest common prefix, all asked alike by the benchmark."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.benchmarks.core.catalog import Catalog
from parsl_tl.benchmarks.core.memory import resident_bytes
from parsl_tl.benchmarks.core.redis_server import redis_missing
from parsl_tl.benchmarks.lcp_baselines import NetworkxWalk, RedisCatalog, networkx_missing
from parsl_tl.native import native
from parsl_tl.store.embedded import EmbeddedStore

_NO_WEIGHTS = np.empty(0, np.float64)
_NO_MODELS: set[int] = set()
# Models that are stored in one call.
_PIECE = 20_000


class Answers(NamedTuple):
    """What a method finds, one entry per query.

    Attributes:
        ids: uint64, model ids; 0 where there is no common layer.
        lengths: int64, numbers of common layers.
    """

    ids: NDArray[np.uint64]
    lengths: NDArray[np.int64]


@dataclass(frozen=True)
class Queries:
    """Models that are asked for.

    Attributes:
        kind: how they were drawn.
        models: the models.
        keys: uint64, ``models.layer_keys()``.
    """

    kind: str
    models: Catalog
    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, kind: str, models: Catalog) -> Queries:
        """Computes the keys."""
        return cls(kind, models, models.layer_keys())

    def __len__(self) -> int:
        return len(self.models)

    def head(self, count: int) -> Queries:
        """Returns the first queries, as views."""
        models = self.models.head(count)
        return Queries(self.kind, models, self.keys[: models.layer_starts[-1]])

    def part(self, first: int, end: int) -> Queries:
        """Returns the queries from ``first`` to before ``end``, as views."""
        models = part_of(self.models, first, end)
        start = self.models.layer_starts[first]
        return Queries(self.kind, models, self.keys[start : start + models.layer_starts[-1]])


def model_ids(catalog: Catalog) -> NDArray[np.uint64]:
    """Returns the ids under which every method stores a catalog; none is 0."""
    return np.arange(1, len(catalog) + 1, dtype=np.uint64)


def part_of(catalog: Catalog, first: int, end: int) -> Catalog:
    """Returns models from ``first`` to before ``end`` as views; ``parents`` stay as they are."""
    head = catalog.head(end)
    layers, edges = head.layer_starts[first], head.edge_starts[first]
    return replace(
        head,
        arch_seqs=head.arch_seqs[first:],
        parents=head.parents[first:],
        qualities=head.qualities[first:],
        layer_starts=head.layer_starts[first:] - layers,
        prefix_hashes=head.prefix_hashes[layers:],
        class_ids=head.class_ids[layers:],
        edge_starts=head.edge_starts[first:] - edges,
        edges=head.edges[edges:],
        layer_digests=head.layer_digests[layers:],
        layer_bytes=head.layer_bytes[layers:],
    )


class LcpMethod(ABC):
    """One way to find the longest common prefix; use it in a ``with``, then ``build`` once."""

    name: ClassVar[str]
    # With how many threads ``many`` can be called.
    threads: ClassVar[tuple[int, ...]] = ()

    def __enter__(self) -> LcpMethod:
        """Starts what the method needs besides its models."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Frees everything."""

    def build(self, catalog: Catalog) -> tuple[float, float]:
        """Stores a catalog.

        Returns:
            Seconds, and bytes of memory per model.
        """
        before = self.held_bytes()
        start = time.perf_counter()
        self.add(catalog)
        seconds = time.perf_counter() - start
        return seconds, (self.held_bytes() - before) / len(catalog)

    def held_bytes(self) -> int:
        """Returns memory; what it grows by while a catalog is stored is the catalog's."""
        return resident_bytes()

    @abstractmethod
    def add(self, catalog: Catalog) -> None:
        """Stores a catalog under ``model_ids``."""

    @abstractmethod
    def ask(self) -> Callable[..., Any]:
        """Returns the function that answers one query, with nothing around it."""

    @abstractmethod
    def arguments(self, queries: Queries) -> Sequence[tuple[Any, ...]]:
        """Returns for each query what the function takes, so that no clock sees it made."""

    def answer(self, found: Any) -> tuple[int, int]:
        """Returns (model id, number of common layers) from what the function returned."""
        return (0, 0) if found is None else (int(found[0]), int(found[1]))

    def many(self, queries: Queries, threads: int) -> Answers:
        """Answers all queries in one call.

        Args:
            queries: what to ask.
            threads: one of ``self.threads``.
        """
        raise NotImplementedError(f"{self.name} takes one query at a time")


class Store(LcpMethod):
    """The embedded store over a folder, with its catalog folded into the shared snapshot."""

    name = "store"
    threads = (1, 2)

    def __init__(self, folder: Path) -> None:
        """Opens a store in a folder that does not exist yet."""
        self._store = EmbeddedStore(folder)

    def close(self) -> None:
        """See ``LcpMethod``."""
        self._store.close()

    def held_bytes(self) -> int:
        """Returns the memory of the index that all processes of a node share."""
        return self._store.stats()["bytes_index_shared"]

    def add(self, catalog: Catalog) -> None:
        """See ``LcpMethod``."""
        put_catalog(self._store, catalog)

    def ask(self) -> Callable[..., Any]:
        """See ``LcpMethod``."""
        return ask_store(self._store)

    def arguments(self, queries: Queries) -> Sequence[tuple[Any, ...]]:
        """See ``LcpMethod``."""
        return store_arguments(queries)

    def answer(self, found: Any) -> tuple[int, int]:
        """See ``LcpMethod``."""
        return (int(found[1][0]), int(found[2][0])) if found[0][0] else (0, 0)

    def many(self, queries: Queries, threads: int) -> Answers:
        """See ``LcpMethod``."""
        starts = queries.models.layer_starts
        found, ids, scores, _ = ask_store(self._store, threads)(queries.keys, starts)
        return Answers(np.where(found, ids, 0), np.where(found, scores, 0.0).astype(np.int64))


def put_catalog(store: EmbeddedStore, catalog: Catalog) -> None:
    """Stores a catalog under ``model_ids``, and folds it into the snapshot.

    Without parents, which are of no account here and may stand in another piece.
    """
    ids = model_ids(catalog)
    # In pieces, since nothing can interrupt a call.
    for first in range(0, len(catalog), _PIECE):
        end = min(first + _PIECE, len(catalog))
        piece = part_of(catalog, first, end)
        store.put_architectures(
            ids[first:end],
            piece.qualities,
            piece.layer_starts,
            piece.prefix_hashes,
            piece.class_ids.astype(np.uint16),
            piece.class_names,
            piece.edge_starts,
            piece.edges,
        )
    store.fold()


def ask_store(store: EmbeddedStore, threads: int = 1) -> Callable[..., Any]:
    """Returns the engine's query, by number of layers, as a function of keys and starts.

    It is below ``best_ancestors``, which first gathers the keys of graphs.
    """
    engine = store._engine

    def ask(keys: NDArray[np.uint64], starts: NDArray[np.int64]) -> Any:
        return engine.best_ancestors(
            keys, starts, _NO_WEIGHTS, "layers", 0.0, None, _NO_MODELS, threads=threads
        )

    return ask


def store_arguments(queries: Queries) -> list[tuple[Any, ...]]:
    """Returns keys and starts of each query by itself."""
    own = [queries.keys[queries.models.layers_of(index)] for index in range(len(queries))]
    return [(keys, np.array([0, len(keys)], np.int64)) for keys in own]


class Walk(LcpMethod):
    """Walks every stored graph, kept in hash maps as in the way that was published."""

    name = "walk"
    threads = (1, 2)
    kind: ClassVar[Any] = native.GraphWalk

    def __init__(self) -> None:
        self._walk: Any = self.kind()

    def close(self) -> None:
        """See ``LcpMethod``."""
        self._walk = None

    def add(self, catalog: Catalog) -> None:
        """See ``LcpMethod``."""
        self._walk.add_many(model_ids(catalog), catalog.qualities, *_graphs(catalog))

    def ask(self) -> Callable[..., Any]:
        """See ``LcpMethod``."""
        return self._walk.best  # type: ignore[no-any-return]

    def arguments(self, queries: Queries) -> Sequence[tuple[Any, ...]]:
        """See ``LcpMethod``."""
        return _graph_arguments(queries)

    def many(self, queries: Queries, threads: int) -> Answers:
        """See ``LcpMethod``."""
        ids, lengths = self._walk.best_many(*_graphs(queries.models), threads=threads)
        return Answers(ids, lengths.astype(np.int64))


class ArrayWalk(Walk):
    """The same walk over arrays, to tell its own cost from that of the maps."""

    name = "walk-arrays"
    kind = native.ArrayGraphWalk


def _graphs(catalog: Catalog) -> tuple[Any, ...]:
    return catalog.layer_starts, catalog.layer_digests, catalog.edge_starts, catalog.edges


def _graph_arguments(queries: Queries) -> list[tuple[Any, ...]]:
    models = queries.models
    return [
        (models.layer_digests[models.layers_of(index)], models.edges[models.edges_of(index)])
        for index in range(len(queries))
    ]


class Networkx(LcpMethod):
    """The walk in Python."""

    name = "networkx"

    def __init__(self) -> None:
        self._walk: NetworkxWalk | None = NetworkxWalk()

    def close(self) -> None:
        """See ``LcpMethod``."""
        self._walk = None

    def add(self, catalog: Catalog) -> None:
        """See ``LcpMethod``."""
        assert self._walk is not None
        self._walk.add_many(model_ids(catalog), catalog)

    def ask(self) -> Callable[..., Any]:
        """See ``LcpMethod``."""
        assert self._walk is not None
        return self._walk.best

    def arguments(self, queries: Queries) -> Sequence[tuple[Any, ...]]:
        """See ``LcpMethod``."""
        return _graph_arguments(queries)


class Redis(LcpMethod):
    """A Redis server that holds the keys, and a client that fetches and intersects them."""

    name = "redis"

    def __init__(self) -> None:
        self._redis = RedisCatalog()

    def __enter__(self) -> LcpMethod:
        """See ``LcpMethod``."""
        self._redis.__enter__()
        return self

    def close(self) -> None:
        """See ``LcpMethod``."""
        self._redis.close()

    def held_bytes(self) -> int:
        """Returns what the server says it uses."""
        return self._redis.used_bytes

    def add(self, catalog: Catalog) -> None:
        """See ``LcpMethod``."""
        self._redis.add_many(model_ids(catalog), catalog, catalog.layer_keys())

    def ask(self) -> Callable[..., Any]:
        """See ``LcpMethod``."""
        return self._redis.best

    def arguments(self, queries: Queries) -> Sequence[tuple[Any, ...]]:
        """See ``LcpMethod``."""
        return [(keys,) for keys, _ in store_arguments(queries)]


# In the order in which they are asked: the first one's answers are what the others have to find.
METHODS = (Walk.name, ArrayWalk.name, Networkx.name, Redis.name, Store.name)


def missing_methods() -> dict[str, str]:
    """Returns methods that cannot be measured here, with the reason of each in one line."""
    reasons = {Networkx.name: networkx_missing(), Redis.name: redis_missing()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def make_method(name: str, folder: Path) -> LcpMethod:
    """Returns a method without models.

    Args:
        name: one of ``METHODS``.
        folder: where the store goes; it does not exist yet.
    """
    if name == Store.name:
        return Store(folder)
    kinds: dict[str, Callable[[], LcpMethod]] = {
        kind.name: kind for kind in (Walk, ArrayWalk, Networkx, Redis)
    }
    return kinds[name]()
