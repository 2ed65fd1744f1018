"""The engine's inverted index by itself: in memory, without weights, without a folder."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.native import native
from parsl_tl.store.fingerprint import check_fingerprints


class Best(NamedTuple):
    """The models with the longest common prefixes, one entry per query.

    Attributes:
        ids: uint64, model ids; 0 where no model shares a layer.
        lengths: int64, numbers of common layers; 0 where there are none.
        qualities: float64.
        sequences: uint64.
    """

    ids: NDArray[np.uint64]
    lengths: NDArray[np.int64]
    qualities: NDArray[np.float64]
    sequences: NDArray[np.uint64]


class PrefixIndex:
    """Answers which model shares the most layers, for models that are known by their layer keys.

    Equal prefixes go to the higher quality, then to the larger sequence. Threads may share it.
    """

    def __init__(self) -> None:
        self._index = native.PrefixIndex()
        self._next_sequence = 0

    def __len__(self) -> int:
        return len(self._index)

    @property
    def num_bytes(self) -> int:
        """An estimate of the memory in use, in bytes."""
        return int(self._index.num_bytes())

    def add(
        self,
        ids: NDArray[np.uint64],
        layer_starts: NDArray[np.int64],
        keys: NDArray[np.uint64],
        qualities: NDArray[np.float64] | None = None,
        sequences: NDArray[np.uint64] | None = None,
        fingerprints: NDArray[np.uint64] | None = None,
    ) -> None:
        """Adds models.

        Args:
            ids: [n].
            layer_starts: [n + 1]; the keys of model i stand from ``layer_starts[i]`` on.
            keys: one per layer, distinct within a model (``ArchitectureGraph.layer_keys``).
            qualities: [n], finite; 0 by default.
            sequences: [n], what decides between equal prefixes of equal quality: the larger
                one wins. By default in the order of adding.
            fingerprints: [n], of the data of each model; 0 by default.

        Raises:
            InvalidValueError: arrays that do not fit each other, a key that a model has twice, or
                a quality that is no finite number.
            ModelExistsError: an id is in the index; the models before it were added.
        """
        count = len(ids)
        if qualities is None:
            qualities = np.zeros(count)
        if sequences is None:
            first = self._next_sequence
            sequences = np.arange(first, first + count, dtype=np.uint64)
        if fingerprints is None:
            fingerprints = np.zeros(count, np.uint64)
        self._index.add(ids, layer_starts, keys, qualities, sequences, fingerprints)
        if count:
            self._next_sequence = max(self._next_sequence, int(sequences.max()) + 1)

    def remove(self, model_id: int) -> None:
        """Takes a model out.

        Raises:
            ModelNotFoundError: it is not in the index.
        """
        self._index.remove(model_id)

    def best(
        self,
        layer_starts: NDArray[np.int64],
        keys: NDArray[np.uint64],
        *,
        fingerprints: Collection[int] | None = None,
        threads: int = 1,
    ) -> Best:
        """Finds the model with the longest common prefix, for each of many queries.

        Args:
            layer_starts: [q + 1]; the keys of query i stand from ``layer_starts[i]`` on.
            keys: one per layer.
            fingerprints: of the data of models that may be found; any when None.
            threads: that share the queries.

        Raises:
            InvalidValueError: arrays that do not fit each other, a fingerprint out of range.
        """
        allowed = check_fingerprints(fingerprints)
        return Best(*self._index.best(layer_starts, keys, allowed, max(1, threads)))
