"""Many graphs in a few flat arrays, as they are loaded, sent and stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.population.flat_graphs import starts_of


@dataclass(frozen=True)
class GraphBatch:
    """Graphs in flat arrays; starts are those of CSR.

    Attributes:
        ids: uint64 [n].
        qualities: float64 [n].
        layer_starts: int64 [n + 1].
        keys: uint64, one per layer, unique in its graph: what the index holds.
        digests: uint64, one per layer, of the layer without its inputs: what a walk compares.
        edge_starts: int64 [n + 1].
        edges: uint32 [m, 2], (source, target), layer numbers within the graph.
    """

    ids: NDArray[np.uint64]
    qualities: NDArray[np.float64]
    layer_starts: NDArray[np.int64]
    keys: NDArray[np.uint64]
    digests: NDArray[np.uint64]
    edge_starts: NDArray[np.int64]
    edges: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[np.int64]) -> GraphBatch:
        """Returns the graphs at some positions, in that order."""
        layer_starts, layers = _places(self.layer_starts, rows)
        edge_starts, edges = _places(self.edge_starts, rows)
        return GraphBatch(
            self.ids[rows],
            self.qualities[rows],
            layer_starts,
            self.keys[layers],
            self.digests[layers],
            edge_starts,
            self.edges[edges],
        )

    @classmethod
    def concatenate(cls, batches: Sequence[GraphBatch]) -> GraphBatch:
        """Returns all graphs of some batches, in their order."""

        def joined(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(batch, name) for batch in [EMPTY, *batches]])

        def starts(name: str) -> NDArray[np.int64]:
            counts = [np.diff(getattr(batch, name)) for batch in [EMPTY, *batches]]
            return starts_of(np.concatenate(counts))

        return cls(
            joined("ids"),
            joined("qualities"),
            starts("layer_starts"),
            joined("keys"),
            joined("digests"),
            starts("edge_starts"),
            joined("edges"),
        )


EMPTY = GraphBatch(
    np.empty(0, np.uint64),
    np.empty(0, np.float64),
    np.zeros(1, np.int64),
    np.empty(0, np.uint64),
    np.empty(0, np.uint64),
    np.zeros(1, np.int64),
    np.empty((0, 2), np.uint32),
)


def _places(
    starts: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the new starts, and where the items of the rows stand."""
    counts = starts[rows + 1] - starts[rows]
    new_starts = starts_of(counts)
    places = np.repeat(starts[rows] - new_starts[:-1], counts) + np.arange(new_starts[-1])
    return new_starts, places
