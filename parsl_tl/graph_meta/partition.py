"""The graphs of one rank, in the store's own index."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.errors import ModelExistsError
from parsl_tl.graph_meta.messages import Kind, Sections
from parsl_tl.population.flat_graphs import starts_of
from parsl_tl.store.model_id import format_model_id
from parsl_tl.store.prefix_index import PrefixIndex

_NONE = np.empty(0, np.int64)


class Partition:
    """Answers STORE, PREFIX and COUNT for the graphs of this rank."""

    def __init__(self) -> None:
        self._index = PrefixIndex()
        # Sorted, to tell which layers of a query are in the graph that was found.
        self._keys: dict[int, NDArray[np.uint64]] = {}

    def __len__(self) -> int:
        return len(self._index)

    @property
    def num_bytes(self) -> int:
        """An estimate of the index' memory, in bytes."""
        return self._index.num_bytes

    def store(self, sections: Sections) -> tuple[Kind, Sections]:
        """Adds graphs: ids, layer starts, keys, qualities.

        Raises:
            ModelExistsError: an id is taken; nothing was added.
            InvalidValueError: arrays that do not fit each other, or a quality that is not finite.
        """
        ids, starts, keys, qualities = sections
        numbers = ids.tolist()
        known = next((number for number in numbers if number in self._keys), None)
        if known is not None or len(set(numbers)) < len(numbers):
            model_id = format_model_id(numbers[0] if known is None else known)
            raise ModelExistsError(
                f"a graph with the id {model_id} was added before; ids are never reused"
            )
        # The id decides what else is equal: so answers depend on no order of arrival.
        self._index.add(ids, starts, keys, qualities, ids)
        bounds = starts.tolist()
        for number, first, end in zip(numbers, bounds[:-1], bounds[1:], strict=True):
            self._keys[number] = np.sort(keys[first:end])
        return Kind.STORED, ()

    def best(self, sections: Sections) -> tuple[Kind, tuple[NDArray[Any], ...]]:
        """Finds the best graph of this rank for each query: layer starts, keys, [with layers].

        Raises:
            InvalidValueError: arrays that do not fit each other.
        """
        starts, keys, options = sections
        found = self._index.best(starts, keys)
        if not options[0]:
            none = np.zeros(len(found.ids) + 1, np.int64)
            return Kind.BEST, (found.ids, found.lengths, found.qualities, none, _NONE)
        bounds = starts.tolist()
        positions = [
            self._common(model_id, keys[first:end]) if length else _NONE
            for model_id, length, first, end in zip(
                found.ids.tolist(), found.lengths.tolist(), bounds[:-1], bounds[1:], strict=True
            )
        ]
        counts = np.array([len(own) for own in positions], np.int64)
        flat = np.concatenate([_NONE, *positions])
        return Kind.BEST, (found.ids, found.lengths, found.qualities, starts_of(counts), flat)

    def count(self, sections: Sections) -> tuple[Kind, tuple[NDArray[np.uint64]]]:
        """Returns the number of graphs."""
        return Kind.COUNTED, (np.array([len(self)], np.uint64),)

    def _common(self, model_id: int, query: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Returns the positions of the query's layers that a graph has."""
        own = self._keys[model_id]
        places = own.searchsorted(query)
        places[places == len(own)] = 0
        return np.flatnonzero(own[places] == query).astype(np.int64)
