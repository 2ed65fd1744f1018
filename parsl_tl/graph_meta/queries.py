"""What the benchmark asks: changed models of the population, the same for any number of ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from parsl_tl.graph_meta.file_slices import FileSlice
from parsl_tl.graph_meta.graph_batch import GraphBatch


class QuerySample:
    """Collects the queries of this rank: those made of models that it reads itself.

    Query ``q`` is a model, drawn at random, whose layers from a random one on are replaced by ones
    that nobody has: what a search asks for when it has changed a layer.
    """

    def __init__(self, num_queries: int, num_models: int, seed: int, slices: Sequence[FileSlice]):
        """Draws the models.

        Args:
            num_queries: of all ranks.
            num_models: of all ranks.
            seed: of the draw.
            slices: what this rank reads.
        """
        self._seed = seed
        numbers = np.random.default_rng([seed, 0]).integers(num_models, size=num_queries)
        own = np.zeros(num_queries, np.bool_)
        for file_slice in slices:
            end = file_slice.first_number + file_slice.num_models
            own |= (numbers >= file_slice.first_number) & (numbers < end)
        queries = np.flatnonzero(own)
        order = np.argsort(numbers[queries], kind="stable")
        self._queries = queries[order]
        self._numbers = numbers[queries][order].astype(np.uint64)
        self._found: list[GraphBatch] = []

    def collect(self, batch: GraphBatch) -> None:
        """Takes in models that were read; their ids rise."""
        first = np.searchsorted(self._numbers, batch.ids[0])
        end = np.searchsorted(self._numbers, batch.ids[-1], side="right")
        if first < end:
            rows = np.searchsorted(batch.ids, self._numbers[first:end])
            self._found.append(batch.take(rows))

    def queries(self) -> tuple[NDArray[np.int64], GraphBatch]:
        """Returns the queries of this rank, by number: the numbers, and the changed models.

        Their ids are those of the models that they were made of.
        """
        order = np.argsort(self._queries)
        models = GraphBatch.concatenate(self._found).take(order)
        numbers = self._queries[order].astype(np.int64)
        starts = models.layer_starts.tolist()
        for query, first, end in zip(numbers.tolist(), starts[:-1], starts[1:], strict=True):
            rng = np.random.default_rng([self._seed, 1, query])
            kept = first + int(rng.integers(1, max(2, end - first)))
            new = rng.integers(2**64, size=end - kept, dtype=np.uint64)
            models.keys[kept:end] = new
            models.digests[kept:end] = new
        return numbers, models
