"""Other ways to find the longest common prefix, to compare the store's index with.

``NetworkxWalk`` walks graphs in Python, as ``native.GraphWalk`` does in C++. ``RedisCatalog`` keeps
the models in a Redis server, from where the client fetches all of them for every query.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.benchmarks.core.catalog import Catalog
from parsl_tl.benchmarks.core.redis_server import RedisServer
from parsl_tl.errors import BenchmarkError

# In front of a model's keys: its id and its quality, 8 bytes each.
_HEADER_WORDS = 2

Group = tuple[int, tuple[int, ...]]


def networkx_missing() -> str | None:
    """Returns why ``NetworkxWalk`` cannot be used, in one line, or None."""
    if importlib.util.find_spec("networkx") is None:
        return "networkx is not installed: pip install networkx"
    return None


class NetworkxWalk:
    """Every stored graph as a ``networkx.DiGraph``, walked breadth-first together with the query.

    A layer joins the prefix when all of its in-edges come from the prefix and the layer agrees. It
    takes about as long as its authors' Python would: keep it to a thousand models.
    """

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

    def __len__(self) -> int:
        return len(self._models)

    def add(
        self,
        model_id: int,
        quality: float,
        layer_digests: NDArray[np.uint64],
        edges: NDArray[np.uint32],
    ) -> None:
        """Stores a graph.

        Args:
            model_id: what ``best`` returns.
            quality: decides between models with equally many common layers.
            layer_digests: uint64, one per layer.
            edges: [m, 2], (source, target); those of a layer in the order of its inputs.
        """
        self._models.append((model_id, quality, self._graph(layer_digests, edges)))

    def add_many(self, model_ids: Sequence[int] | NDArray[np.uint64], catalog: Catalog) -> None:
        """Stores a whole catalog, with one id per model."""
        for index, model_id in enumerate(model_ids):
            self.add(
                int(model_id),
                float(catalog.qualities[index]),
                catalog.layer_digests[catalog.layers_of(index)],
                catalog.edges[catalog.edges_of(index)],
            )

    def best(
        self, layer_digests: NDArray[np.uint64], edges: NDArray[np.uint32]
    ) -> tuple[int, int] | None:
        """Returns (model id, number of common layers), or None if no model shares a layer.

        Ties go to the higher quality, then to the model that was added last.
        """
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


class RedisCatalog:
    """Models in a Redis server, which this object starts and ends: use it in a ``with``.

    Redis cannot search prefixes. A query fetches the layer keys of all models in batches, and the
    client intersects them with its own. The edges are stored too, under keys of their own, so that
    a query does not have to fetch them.
    """

    def __init__(self, batch: int = 1000) -> None:
        """Nothing is started yet.

        Args:
            batch: models that are stored or fetched at once.

        Raises:
            BenchmarkError: redis-server or its Python package is not installed.
        """
        self._batch = batch
        self._server = RedisServer()
        self._client: Any = None

    def __enter__(self) -> RedisCatalog:
        """Starts the server.

        Raises:
            BenchmarkError: it does not come up.
        """
        self._server.__enter__()
        self._client = self._server.connect()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The server's process id, or None when it does not run."""
        return self._server.pid

    @property
    def used_bytes(self) -> int:
        """Memory that the server holds, as it tells it."""
        return int(self._client.info("memory")["used_memory"])

    def close(self) -> None:
        """Ends the server and removes its folder."""
        if self._client is not None:
            self._client.close()
            self._client = None
        self._server.close()

    def add_many(
        self,
        model_ids: Sequence[int] | NDArray[np.uint64],
        catalog: Catalog,
        layer_keys: NDArray[np.uint64],
    ) -> None:
        """Stores a catalog behind what is stored already.

        Args:
            model_ids: one per model; what ``best`` returns.
            catalog: the models.
            layer_keys: uint64, ``catalog.layer_keys()``.
        """
        headers = np.empty((len(catalog), _HEADER_WORDS), np.uint64)
        headers[:, 0] = model_ids
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

    def best(self, layer_keys: NDArray[np.uint64]) -> tuple[int, int] | None:
        """Returns (model id, number of common layers), or None if no model shares a layer.

        Ties go to the higher quality, then to the model that was added last.

        Args:
            layer_keys: uint64, of the query; unique.
        """
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
