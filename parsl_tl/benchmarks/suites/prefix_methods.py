"""The ways to find the longest common prefix, all asked alike by the benchmark.

Ties go to the higher quality, then to the model that was added last.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from parsl_tl._baselines import ArrayGraphWalk, GraphWalk
from parsl_tl.benchmarks.core.options import missing_packages
from parsl_tl.benchmarks.core.queries import (
    Asked,
    Queries,
    ask_engine,
    first_answer,
    graph_of,
    put_catalog,
)
from parsl_tl.benchmarks.core.room import resident_bytes
from parsl_tl.benchmarks.core.servers import RedisServer, redis_missing
from parsl_tl.errors import BenchmarkError
from parsl_tl.population.catalog import Catalog
from parsl_tl.store.embedded import EmbeddedStore

Group = tuple[int, tuple[int, ...]]
Ids = NDArray[np.uint64]
# For each query the model's id and the number of common layers, 0 where there are none: [n, 2].
Answers = NDArray[np.uint64]
# In front of a model's keys in Redis: its id and its quality, 8 bytes each.
_HEADER_WORDS = 2
# Models that are stored in Redis, or fetched from it, at once.
_BATCH = 1000


class PrefixMethod(contextlib.ExitStack, ABC):
    """One way to find the longest common prefix; use it in a ``with``, then ``build`` once."""

    name: ClassVar[str]  # that users type
    # Numbers of threads with which ``many`` can be called; none for one query at a time.
    threads: ClassVar[tuple[int, ...]] = ()
    ask: Callable[..., Any]  # answers one query, with nothing around it
    # Gives what ``ask`` takes of a query, so that no clock sees it made.
    arguments: Callable[[Asked], tuple[Any, ...]] = staticmethod(lambda one: one[2:])
    # Gives (model id, number of common layers) from what ``ask`` returned.
    answer: Callable[[Any], tuple[int, int]] = staticmethod(lambda found: found or (0, 0))

    def __init__(self, folder: Path) -> None:
        """Makes a method without models; what it keeps in files goes into the new folder."""
        super().__init__()

    def build(self, catalog: Catalog) -> tuple[float, float]:
        """Stores a catalog; returns seconds, and bytes of memory per model."""
        before, start = self.held_bytes(), time.perf_counter()
        self.add(catalog, catalog.ids)
        seconds = time.perf_counter() - start
        return seconds, (self.held_bytes() - before) / len(catalog)

    def held_bytes(self) -> int:
        """Returns memory; what it grows by while a catalog is stored is the catalog's."""
        return resident_bytes()

    @abstractmethod
    def add(self, catalog: Catalog, ids: Ids) -> None:
        """Stores models behind those that are there."""

    def many(self, queries: Queries, threads: int) -> Answers:
        """Answers all queries in one call, with one of ``self.threads``."""
        raise NotImplementedError(f"{self.name} takes one query at a time")


class _Store(PrefixMethod):
    """The embedded store over a folder, with its catalog folded into the shared snapshot."""

    name, threads = "store", (1, 2)
    arguments = staticmethod(lambda one: one.question)
    answer = staticmethod(first_answer)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._store = self.enter_context(contextlib.closing(EmbeddedStore(folder)))
        self.ask = ask_engine(self._store)

    def held_bytes(self) -> int:
        # Of the index that all processes of a node share.
        return self._store.stats()["bytes_index_shared"]

    def add(self, catalog: Catalog, ids: Ids) -> None:
        put_catalog(self._store, catalog)  # under its own ids

    def many(self, queries: Queries, threads: int) -> Answers:
        ask = ask_engine(self._store, threads)
        found, ids, scores, _ = ask(queries.keys, queries.models.layer_starts)
        lengths = np.where(found, scores, 0.0).astype(np.uint64)
        return np.stack([np.where(found, ids, 0), lengths], axis=1)


class _Walk(PrefixMethod):
    """Walks every stored graph, kept in hash maps as in the way that was published."""

    name, threads = "walk", (1, 2)
    kind: ClassVar[Any] = GraphWalk

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._walk: Any = self.kind()
        self.ask = self._walk.best

    def add(self, catalog: Catalog, ids: Ids) -> None:
        self._walk.add_many(ids, catalog.qualities, *catalog.graphs)

    def many(self, queries: Queries, threads: int) -> Answers:
        found = self._walk.best_many(*queries.models.graphs, threads=threads)
        return np.stack([one.astype(np.uint64) for one in found], axis=1)


class _ArrayWalk(_Walk):
    """The same walk over arrays, to tell its own cost from that of the maps."""

    name, kind = "walk-arrays", ArrayGraphWalk


class _NetworkxWalk(PrefixMethod):
    """Every stored graph as a ``networkx.DiGraph``, walked breadth-first together with the query.

    A layer joins the prefix when all of its in-edges come from the prefix and the layer agrees. It
    takes about as long as its authors' Python would: keep it to a thousand models.
    """

    name = "networkx"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if missing := missing_packages({self.name: self.name}):
            raise BenchmarkError(missing[self.name])
        self._networkx: Any = importlib.import_module("networkx")
        self._models: list[tuple[int, float, Any]] = []

    def add(self, catalog: Catalog, ids: Ids) -> None:
        for index, (model_id, quality) in enumerate(zip(ids, catalog.qualities, strict=True)):
            graph = self._graph(*graph_of(catalog, index))
            self._models.append((int(model_id), float(quality), graph))

    def ask(self, digests: Ids, edges: NDArray[np.uint32]) -> tuple[int, int] | None:
        # A group: layers that are equal and have equal inputs, in order.
        groups: dict[Group, int] = {}
        query = self._graph(digests, edges)
        wanted = Counter(_walk(query, lambda group: groups.setdefault(group, len(groups))))
        best = (0, 0.0, 0, 0)
        for order, (model_id, quality, graph) in enumerate(self._models):
            common = (Counter(_walk(graph, groups.get)) & wanted).total()
            best = max(best, (common, quality, order, model_id))
        return (best[3], best[0]) if best[0] else None

    def _graph(self, digests: Ids, edges: NDArray[np.uint32]) -> Any:
        graph = self._networkx.DiGraph()
        for layer, digest in enumerate(digests.tolist()):
            graph.add_node(layer, digest=digest, sources=[])
        graph.add_edges_from(edges.tolist())
        for source, target in edges.tolist():
            graph.nodes[target]["sources"].append(source)
        graph.graph["roots"] = [layer for layer, degree in graph.in_degree() if degree == 0]
        return graph


def _walk(graph: Any, find: Callable[[Group], int | None]) -> Iterator[int]:
    """Yields the group of each layer that the walk reaches; layers without a group end it."""
    group_of: dict[int, int] = {}
    visits: Counter[int] = Counter()
    frontier = deque(graph.graph["roots"])
    while frontier:
        layer = frontier.popleft()
        node = graph.nodes[layer]
        group = find((node["digest"], tuple([group_of[source] for source in node["sources"]])))
        if group is None:
            continue
        group_of[layer] = group
        yield group
        for target in graph.successors(layer):
            visits[target] += 1
            if visits[target] == graph.in_degree(target):
                frontier.append(target)


class _RedisKeys(PrefixMethod):
    """A Redis server that holds the keys, and a client that fetches and intersects them.

    Redis cannot search prefixes. A query fetches the layer keys of all models in batches, and the
    client intersects them with its own. The edges are stored too, under keys of their own, so that
    a query does not have to fetch them.
    """

    name = "redis"
    arguments = staticmethod(lambda one: one[:1])

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.server = self.enter_context(RedisServer())
        self._client = self.enter_context(contextlib.closing(self.server.connect()))

    def held_bytes(self) -> int:
        return int(self._client.info("memory")["used_memory"])

    def add(self, catalog: Catalog, ids: Ids) -> None:
        layer_keys = catalog.layer_keys()
        headers = np.stack([ids, catalog.qualities.view(np.uint64)], axis=1)
        first = int(self._client.get("count") or 0)
        for start in range(0, len(catalog), _BATCH):
            values: dict[str, bytes] = {}
            for index in range(start, min(start + _BATCH, len(catalog))):
                keys = layer_keys[catalog.layers_of(index)]
                values[f"keys:{first + index}"] = headers[index].tobytes() + keys.tobytes()
                values[f"edges:{first + index}"] = catalog.edges[catalog.edges_of(index)].tobytes()
            self._client.mset(values)
        self._client.set("count", first + len(catalog))

    def ask(self, layer_keys: Ids) -> tuple[int, int] | None:
        query = np.sort(layer_keys)
        best = (0, 0.0, 0, 0)
        count = int(self._client.get("count") or 0)
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            values = self._client.mget([f"keys:{number}" for number in numbers])
            length, quality, model_id = _best_of(values, query)
            # A later batch wins where all is equal.
            best = max(best, (length, quality, start, model_id))
        return (best[3], best[0]) if best[0] else None


def _best_of(values: Sequence[bytes], query: Ids) -> tuple[int, float, int]:
    """Returns (number of common layers, quality, model id) of the best of some models."""
    sizes = np.array([len(value) for value in values]) // 8
    starts = np.cumsum(sizes) - sizes
    words = np.frombuffer(b"".join(values), np.uint64)
    place = np.searchsorted(query, words)
    place[place == len(query)] = 0
    common = query[place] == words
    for header in range(_HEADER_WORDS):
        common[starts + header] = False
    lengths = np.add.reduceat(common, starts, dtype=np.int64)
    qualities = words[starts + 1].view(np.float64)
    best = int(np.lexsort((np.arange(len(values)), qualities, lengths))[-1])
    return int(lengths[best]), float(qualities[best]), int(words[starts[best]])


STORE: Final = _Store.name
WALK: Final = _Walk.name
# In the order in which they are asked: the first one's answers are what the others have to find.
_KINDS: Final[dict[str, type[PrefixMethod]]] = {
    kind.name: kind for kind in (_Walk, _ArrayWalk, _NetworkxWalk, _RedisKeys, _Store)
}
METHODS: Final = tuple(_KINDS)


def missing_methods(settings: Any = None) -> dict[str, str]:
    """Returns methods that cannot be measured here, with the reason of each in one line."""
    redis = redis_missing()
    return missing_packages({"networkx": "networkx"}) | ({} if redis is None else {"redis": redis})


def make_method(name: str, folder: Path) -> PrefixMethod:
    """Makes a method of ``METHODS``; raises ``BenchmarkError`` if what it needs is missing."""
    return _KINDS[name](folder)
