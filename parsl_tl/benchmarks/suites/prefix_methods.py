"""The ways to find the longest common prefix, all asked alike by the benchmark.

Ties go to the higher quality, then to the model that was added last.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.benchmarks.core.baselines import ArrayGraphWalk, GraphWalk
from parsl_tl.benchmarks.core.catalog import Catalog
from parsl_tl.benchmarks.core.queries import Queries, ask_engine, first_answer, put_catalog
from parsl_tl.benchmarks.core.redis_server import RedisServer, redis_missing
from parsl_tl.benchmarks.core.room import resident_bytes
from parsl_tl.errors import BenchmarkError
from parsl_tl.store.embedded import EmbeddedStore

Group = tuple[int, tuple[int, ...]]
Ids = NDArray[np.uint64]
# In front of a model's keys in Redis: its id and its quality, 8 bytes each.
_HEADER_WORDS = 2


class Answers(NamedTuple):
    """What a method finds, one entry per query.

    Attributes:
        ids: uint64, model ids; 0 where there is no common layer.
        lengths: int64, numbers of common layers.
    """

    ids: NDArray[np.uint64]
    lengths: NDArray[np.int64]


class PrefixMethod(ABC):
    """One way to find the longest common prefix; use it in a ``with``, then ``build`` once."""

    name: ClassVar[str]
    # With how many threads ``many`` can be called.
    threads: ClassVar[tuple[int, ...]] = ()

    def __enter__(self) -> PrefixMethod:
        """Starts what the method needs besides its models."""
        return self

    def __exit__(self, *_: object) -> None:
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
        self.add(catalog, catalog.ids)
        seconds = time.perf_counter() - start
        return seconds, (self.held_bytes() - before) / len(catalog)

    def held_bytes(self) -> int:
        """Returns memory; what it grows by while a catalog is stored is the catalog's."""
        return resident_bytes()

    @abstractmethod
    def add(self, catalog: Catalog, ids: Ids) -> None:
        """Stores models behind those that are there."""

    @abstractmethod
    def ask(self) -> Callable[..., Any]:
        """Returns the function that answers one query, with nothing around it."""

    def arguments(self, queries: Queries) -> Sequence[tuple[Any, ...]]:
        """Returns for each query what the function takes, so that no clock sees it made."""
        return queries.graphs_one_by_one()

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


class Store(PrefixMethod):
    """The embedded store over a folder, with its catalog folded into the shared snapshot."""

    name = "store"
    threads = (1, 2)

    def __init__(self, folder: Path) -> None:
        """Opens a store in a folder that does not exist yet."""
        self._store = EmbeddedStore(folder)

    def close(self) -> None:
        """See ``PrefixMethod``."""
        self._store.close()

    def held_bytes(self) -> int:
        """Returns the memory of the index that all processes of a node share."""
        return self._store.stats()["bytes_index_shared"]

    def add(self, catalog: Catalog, ids: Ids) -> None:
        """See ``PrefixMethod``; the ids are the catalog's."""
        put_catalog(self._store, catalog)

    def ask(self) -> Callable[..., Any]:
        """See ``PrefixMethod``."""
        return ask_engine(self._store)

    def arguments(self, queries: Queries) -> Sequence[tuple[Any, ...]]:
        """See ``PrefixMethod``."""
        return queries.one_by_one()

    def answer(self, found: Any) -> tuple[int, int]:
        """See ``PrefixMethod``."""
        return first_answer(found)

    def many(self, queries: Queries, threads: int) -> Answers:
        """See ``PrefixMethod``."""
        ask = ask_engine(self._store, threads)
        found, ids, scores, _ = ask(queries.keys, queries.models.layer_starts)
        return Answers(np.where(found, ids, 0), np.where(found, scores, 0.0).astype(np.int64))


class Walk(PrefixMethod):
    """Walks every stored graph, kept in hash maps as in the way that was published."""

    name = "walk"
    threads = (1, 2)
    kind: ClassVar[Any] = GraphWalk

    def __init__(self) -> None:
        self._walk: Any = self.kind()

    def close(self) -> None:
        """See ``PrefixMethod``."""
        self._walk = None

    def add(self, catalog: Catalog, ids: Ids) -> None:
        """See ``PrefixMethod``."""
        self._walk.add_many(ids, catalog.qualities, *catalog.graphs)

    def ask(self) -> Callable[..., Any]:
        """See ``PrefixMethod``."""
        return self._walk.best  # type: ignore[no-any-return]

    def many(self, queries: Queries, threads: int) -> Answers:
        """See ``PrefixMethod``."""
        ids, lengths = self._walk.best_many(*queries.models.graphs, threads=threads)
        return Answers(ids, lengths.astype(np.int64))


class ArrayWalk(Walk):
    """The same walk over arrays, to tell its own cost from that of the maps."""

    name = "walk-arrays"
    kind = ArrayGraphWalk


class NetworkxWalk(PrefixMethod):
    """Every stored graph as a ``networkx.DiGraph``, walked breadth-first together with the query.

    A layer joins the prefix when all of its in-edges come from the prefix and the layer agrees. It
    takes about as long as its authors' Python would: keep it to a thousand models.
    """

    name = "networkx"

    def __init__(self) -> None:
        """Starts without models.

        Raises:
            BenchmarkError: networkx is not installed.
        """
        missing = networkx_missing()
        if missing is not None:
            raise BenchmarkError(missing)
        self._networkx: Any = importlib.import_module("networkx")
        self._models: list[tuple[int, float, Any]] = []

    def close(self) -> None:
        """See ``PrefixMethod``."""
        self._models = []

    def add(self, catalog: Catalog, ids: Ids) -> None:
        """See ``PrefixMethod``."""
        for index, model_id in enumerate(ids.tolist()):
            layers, edges = catalog.layers_of(index), catalog.edges_of(index)
            graph = self._graph(catalog.layer_digests[layers], catalog.edges[edges])
            self._models.append((model_id, float(catalog.qualities[index]), graph))

    def ask(self) -> Callable[..., Any]:
        """See ``PrefixMethod``."""
        return self._best

    def _best(
        self, layer_digests: NDArray[np.uint64], edges: NDArray[np.uint32]
    ) -> tuple[int, int] | None:
        # A group: layers that are equal and have equal inputs, in order.
        groups: dict[Group, int] = {}
        query = self._graph(layer_digests, edges)
        wanted = Counter(_walk(query, lambda group: groups.setdefault(group, len(groups))))
        found: tuple[int, float, int] | None = None
        best_id = 0
        for order, (model_id, quality, graph) in enumerate(self._models):
            common = (Counter(_walk(graph, groups.get)) & wanted).total()
            if common and (found is None or (common, quality, order) > found):
                found, best_id = (common, quality, order), model_id
        return None if found is None else (best_id, found[0])

    def _graph(self, layer_digests: NDArray[np.uint64], edges: NDArray[np.uint32]) -> Any:
        graph = self._networkx.DiGraph()
        for layer, digest in enumerate(layer_digests.tolist()):
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


class RedisKeys(PrefixMethod):
    """A Redis server that holds the keys, and a client that fetches and intersects them.

    Redis cannot search prefixes. A query fetches the layer keys of all models in batches, and the
    client intersects them with its own. The edges are stored too, under keys of their own, so that
    a query does not have to fetch them.
    """

    name = "redis"

    def __init__(self, batch: int = 1000) -> None:
        """Nothing is started yet.

        Args:
            batch: models that are stored or fetched at once.

        Raises:
            BenchmarkError: redis-server or its Python package is not installed.
        """
        self._batch = batch
        self._server = RedisServer()
        self._stack = contextlib.ExitStack()
        self._client: Any = None

    def __enter__(self) -> PrefixMethod:
        """Starts the server.

        Raises:
            BenchmarkError: it does not come up.
        """
        self._stack.enter_context(self._server)
        self._client = self._server.connect()
        self._stack.callback(self._client.close)
        return self

    @property
    def pid(self) -> int | None:
        """The server's process id, or None when it does not run."""
        return self._server.pid

    def close(self) -> None:
        """Ends the server and removes its folder."""
        self._stack.close()

    def held_bytes(self) -> int:
        """Returns what the server says it uses."""
        return int(self._client.info("memory")["used_memory"])

    def add(self, catalog: Catalog, ids: Ids) -> None:
        """See ``PrefixMethod``."""
        layer_keys = catalog.layer_keys()
        headers = np.empty((len(catalog), _HEADER_WORDS), np.uint64)
        headers[:, 0] = ids
        headers[:, 1] = catalog.qualities.view(np.uint64)
        first = int(self._client.get("count") or 0)
        for start in range(0, len(catalog), self._batch):
            values: dict[str, bytes] = {}
            for index in range(start, min(start + self._batch, len(catalog))):
                keys = layer_keys[catalog.layers_of(index)]
                values[f"keys:{first + index}"] = headers[index].tobytes() + keys.tobytes()
                values[f"edges:{first + index}"] = catalog.edges[catalog.edges_of(index)].tobytes()
            self._client.mset(values)
        self._client.set("count", first + len(catalog))

    def ask(self) -> Callable[..., Any]:
        """See ``PrefixMethod``; the function takes layer keys, which are unique."""
        return self._best

    def arguments(self, queries: Queries) -> Sequence[tuple[Any, ...]]:
        """See ``PrefixMethod``."""
        return [(keys,) for keys, _ in queries.one_by_one()]

    def _best(self, layer_keys: NDArray[np.uint64]) -> tuple[int, int] | None:
        query = np.sort(layer_keys)
        found: tuple[int, float, int] | None = None
        count = int(self._client.get("count") or 0)
        for start in range(0, count, self._batch):
            numbers = range(start, min(start + self._batch, count))
            values = self._client.mget([f"keys:{number}" for number in numbers])
            best_here = _best_of(values, query)
            # A later batch wins where all is equal.
            if best_here is not None and (found is None or best_here[:2] >= found[:2]):
                found = best_here
        return None if found is None else (found[2], found[0])


def _best_of(values: Sequence[bytes], query: NDArray[np.uint64]) -> tuple[int, float, int] | None:
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
    if lengths[best] == 0:
        return None
    return int(lengths[best]), float(qualities[best]), int(words[starts[best]])


# In the order in which they are asked: the first one's answers are what the others have to find.
_KINDS: Final = {kind.name: kind for kind in (Walk, ArrayWalk, NetworkxWalk, RedisKeys)}
METHODS: Final = (*_KINDS, Store.name)


def networkx_missing() -> str | None:
    """Returns why ``NetworkxWalk`` cannot be used, in one line, or None."""
    if importlib.util.find_spec("networkx") is None:
        return "networkx is not installed: pip install networkx"
    return None


def missing_methods(settings: Any = None) -> dict[str, str]:
    """Returns methods that cannot be measured here, with the reason of each in one line."""
    reasons = {NetworkxWalk.name: networkx_missing(), RedisKeys.name: redis_missing()}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def make_method(name: str, folder: Path) -> PrefixMethod:
    """Returns a method without models.

    Args:
        name: one of ``METHODS``.
        folder: where the store goes; it does not exist yet.
    """
    return Store(folder) if name == Store.name else _KINDS[name]()
