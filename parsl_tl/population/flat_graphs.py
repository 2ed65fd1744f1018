"""Many architecture graphs in a few flat arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture.canonical_order import starts_of as starts_of


class FlatGraphs(NamedTuple):
    """Graphs in flat arrays; starts have one entry more than there are graphs, as in CSR.

    Attributes:
        layer_starts: int64 [n + 1].
        prefix_hashes: uint64, one per layer; twins have equal ones.
        layer_digests: uint64, the layer by itself.
        class_ids: uint8, indices into the assembler's ``class_names``.
        layer_parameters: int64, number of the layer's weights; -1 where that is not known.
        edge_starts: int64 [n + 1].
        edges: uint32 [m, 2], (source, target), layer numbers within the graph, in the order of
            the targets and of their inputs.
    """

    layer_starts: NDArray[np.int64]
    prefix_hashes: NDArray[np.uint64]
    layer_digests: NDArray[np.uint64]
    class_ids: NDArray[np.uint8]
    layer_parameters: NDArray[np.int64]
    edge_starts: NDArray[np.int64]
    edges: NDArray[np.uint32]

    def parameters(self) -> NDArray[np.int64]:
        """Returns the number of weights of each graph, int64 [n]; -1 where it is not known."""
        sums = sums_of(self.layer_parameters, self.layer_starts)
        unknown = sums_of((self.layer_parameters < 0).astype(np.int64), self.layer_starts) > 0
        return np.where(unknown, -1, sums)


def sums_of(values: NDArray[np.int64], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the sum of the values of each graph, int64 [n]."""
    totals = starts_of(values)
    return totals[starts[1:]] - totals[starts[:-1]]
