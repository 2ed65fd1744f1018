"""``GraphCache``: graphs spread over the ranks of an MPI program, found by their common prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.errors import InvalidValueError
from parsl_tl.graph_meta.exchange import Exchange, Ticket
from parsl_tl.graph_meta.messages import Kind, Sections
from parsl_tl.graph_meta.partition import Partition
from parsl_tl.population.flat_graphs import starts_of
from parsl_tl.store.model_id import check_model_id, format_model_id

Graph = ArchitectureGraph | str | bytes


@dataclass(frozen=True)
class GraphMatch:
    """The stored graph that shares the most layers with a query.

    Attributes:
        model_id: of the graph.
        length: number of common layers.
        quality: that it was stored with.
        layer_names: stable names of the common layers, in topological order.
    """

    model_id: int
    length: int
    quality: float
    layer_names: list[str]

    def __repr__(self) -> str:
        return (
            f"GraphMatch({format_model_id(self.model_id)}, {self.length} layers, "
            f"quality {self.quality:.4g})"
        )


class BestGraphs(NamedTuple):
    """The best graphs for many queries, one entry for each.

    Attributes:
        ids: uint64; 0 where no graph shares a layer.
        lengths: int64, numbers of common layers; 0 where there are none.
        qualities: float64.
    """

    ids: NDArray[np.uint64]
    lengths: NDArray[np.int64]
    qualities: NDArray[np.float64]


class GraphCache:
    """Graphs of models on all ranks of an MPI program; a graph lives on rank ``id % size``.

    Any rank adds graphs and asks at any time. A rank answers the others whenever it is inside a
    call of this class, so that one that has nothing to ask calls ``serve``, and one that computes
    for long calls ``progress`` now and then. Equal prefixes go to the higher quality, then to the
    larger id, whatever the number of ranks and the order of adding.

    All ranks make it and close it together; leaving its ``with`` by an exception tells the others,
    whose next call raises ``GraphMetaError``.
    """

    def __init__(self, comm: Any = None) -> None:
        """Starts empty.

        Args:
            comm: an mpi4py intracommunicator; all processes of the program if None. A program
                that was started without mpiexec is one rank.

        Raises:
            GraphMetaError: mpi4py is not installed.
        """
        self.exchange = Exchange(comm)
        self._partition = Partition()
        self.exchange.serve_kind(Kind.STORE, self._partition.store)
        self.exchange.serve_kind(Kind.PREFIX, self._partition.best)
        self.exchange.serve_kind(Kind.COUNT, self._partition.count)
        self._next_id = self.exchange.rank

    @property
    def rank(self) -> int:
        """The number of this rank."""
        return self.exchange.rank

    @property
    def size(self) -> int:
        """The number of ranks."""
        return self.exchange.size

    @property
    def num_local(self) -> int:
        """The number of graphs that this rank holds."""
        return len(self._partition)

    def num_graphs(self) -> int:
        """Asks all ranks for the number of their graphs, and returns the sum."""
        tickets = self.exchange.ask_all(Kind.COUNT, (), range(self.size))
        return sum(int(self.exchange.reply(ticket)[0][0]) for ticket in tickets)

    def add_graph(self, graph: Graph, *, quality: float = 0.0, model_id: int | None = None) -> int:
        """Stores a graph; when this returns, every rank finds it.

        Args:
            graph: an architecture, or the Keras JSON (2 or 3) of one.
            quality: decides between graphs with equally long prefixes; the higher one wins.
            model_id: unsigned 64-bit. By default the next one that this rank gives, which is
                stored on this rank; give ids to all graphs or to none.

        Returns:
            The id.

        Raises:
            ArchitectureError: the text is no model's.
            ModelExistsError: the id is taken.
            InvalidValueError: an id or a quality that can never work.
        """
        ids = None if model_id is None else [model_id]
        return self.add_graphs([graph], qualities=[quality], model_ids=ids)[0]

    def add_graphs(
        self,
        graphs: Sequence[Graph],
        *,
        qualities: Sequence[float] | None = None,
        model_ids: Sequence[int] | None = None,
    ) -> list[int]:
        """Stores many graphs with one message to each rank; see ``add_graph``.

        Returns:
            Their ids.
        """
        read = [_read(graph) for graph in graphs]
        if model_ids is None:
            ids = list(range(self._next_id, self._next_id + len(read) * self.size, self.size))
        else:
            ids = [check_model_id(model_id) for model_id in model_ids]
        given = [0.0] * len(read) if qualities is None else list(qualities)
        if not len(read) == len(ids) == len(given):
            raise InvalidValueError(
                f"{len(read)} graphs with {len(ids)} ids and {len(given)} qualities; "
                "one of each is needed for every graph"
            )
        starts, keys = _flatten(read)
        tickets = self.store_keys(np.array(ids, np.uint64), starts, keys, np.array(given))
        self.wait_stored(tickets)
        if model_ids is None:
            self._next_id += len(read) * self.size
        return ids

    def reduce_query(self, graph: Graph) -> GraphMatch | None:
        """Asks all ranks for the graph that shares the most layers, and takes the best.

        Returns:
            The match, or None if no graph shares a layer.

        Raises:
            ArchitectureError: the text is no model's.
            GraphMetaError: a rank failed.
        """
        return self.reduce_queries([graph])[0]

    def reduce_queries(self, graphs: Sequence[Graph]) -> list[GraphMatch | None]:
        """Asks for many graphs with one message to each rank; see ``reduce_query``."""
        read = [_read(graph) for graph in graphs]
        starts, keys = _flatten(read)
        answers = self._ask(starts, keys, with_layers=True)
        best, rank = reduce_best(answers)
        matches: list[GraphMatch | None] = []
        for row, graph in enumerate(read):
            if best.lengths[row] == 0:
                matches.append(None)
                continue
            _, _, _, places, positions = answers[rank[row]]
            names = graph.layer_names
            matches.append(
                GraphMatch(
                    int(best.ids[row]),
                    int(best.lengths[row]),
                    float(best.qualities[row]),
                    [names[i] for i in positions[places[row] : places[row + 1]].tolist()],
                )
            )
        return matches

    def best_of(self, layer_starts: NDArray[np.int64], keys: NDArray[np.uint64]) -> BestGraphs:
        """Answers queries that are there as layer keys, without the names of common layers.

        Args:
            layer_starts: [q + 1]; the keys of query i stand from ``layer_starts[i]`` on.
            keys: one per layer, ``ArchitectureGraph.layer_keys``.

        Raises:
            InvalidValueError: arrays that do not fit each other.
        """
        return reduce_best(self._ask(layer_starts, keys, with_layers=False))[0]

    def store_keys(
        self,
        ids: NDArray[np.uint64],
        layer_starts: NDArray[np.int64],
        keys: NDArray[np.uint64],
        qualities: NDArray[np.float64],
    ) -> list[Ticket]:
        """Sends graphs to the ranks where they live, without waiting.

        Args:
            ids: [n].
            layer_starts: [n + 1].
            keys: one per layer.
            qualities: [n].

        Returns:
            What ``wait_stored`` takes.
        """
        owners = ids % np.uint64(self.size)
        counts = np.diff(layer_starts)
        owner_of_layer = np.repeat(owners, counts)
        tickets = []
        for rank in np.unique(owners).tolist():
            rows = owners == rank
            own = (ids[rows], starts_of(counts[rows]), keys[owner_of_layer == rank])
            tickets.append(self.exchange.ask(int(rank), Kind.STORE, (*own, qualities[rows])))
        return tickets

    def wait_stored(self, tickets: Sequence[Ticket]) -> None:
        """Waits until graphs that were sent are stored.

        Raises:
            ModelExistsError: an id is taken; nothing that was sent to that rank was stored.
            InvalidValueError: arrays that do not fit each other, or a quality that is not finite.
        """
        for ticket in tickets:
            self.exchange.reply(ticket)

    def progress(self) -> None:
        """Answers what others have asked in the meantime, and returns at once."""
        while self.exchange.progress():
            pass

    def serve(self) -> None:
        """Answers the others until all ranks are here: in ``serve``, or in ``close``."""
        self.exchange.barrier()

    def close(self) -> None:
        """Answers the others until all ranks close; a second call does nothing."""
        self.exchange.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self.exchange.fail(f"{type(error).__name__}: {error}")

    def _ask(
        self, starts: NDArray[np.int64], keys: NDArray[np.uint64], with_layers: bool
    ) -> list[Sections]:
        options = np.array([with_layers], np.uint64)
        tickets = self.exchange.ask_all(Kind.PREFIX, (starts, keys, options), range(self.size))
        return [self.exchange.reply(ticket) for ticket in tickets]


def _read(graph: Graph) -> ArchitectureGraph:
    return graph if isinstance(graph, ArchitectureGraph) else ArchitectureGraph.from_json(graph)


def _flatten(
    graphs: Sequence[ArchitectureGraph],
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    counts = np.array([len(graph) for graph in graphs], np.int64)
    keys = np.concatenate([np.empty(0, np.uint64), *(graph.layer_keys for graph in graphs)])
    return starts_of(counts), keys


def reduce_best(answers: Sequence[Sections]) -> tuple[BestGraphs, NDArray[np.int64]]:
    """Takes the best of all ranks' answers: by length, then quality, then id.

    Returns:
        The best, and from which rank each came.
    """
    ids, lengths, qualities = (np.stack([answer[i] for answer in answers]) for i in range(3))
    rank = np.lexsort((ids, qualities, lengths), axis=0)[-1]
    columns = np.arange(ids.shape[1])
    best = BestGraphs(ids[rank, columns], lengths[rank, columns], qualities[rank, columns])
    return best, rank
