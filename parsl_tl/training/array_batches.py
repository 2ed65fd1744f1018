"""Batches of arrays for the backends of Keras that need no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from parsl_tl.problems.data import leaves, map_arrays


class ArrayBatches(keras.utils.PyDataset):  # type: ignore[misc]
    """Rows of arrays, batch by batch, shuffled anew in each epoch.

    Args:
        weighted: inputs, targets, and maybe weights, each an array or a structure of them.
        batch_size: rows per batch; the last one may be smaller.
        seed: of the order of rows; None keeps their order.
        augment: changes the inputs of a batch.
    """

    def __init__(
        self,
        weighted: tuple[Any, ...],
        batch_size: int,
        seed: int | None,
        augment: Callable[[Any], Any],
    ) -> None:
        super().__init__()
        self._weighted, self._batch_size, self._augment = weighted, batch_size, augment
        self._count = len(leaves(weighted[1])[0])
        self._random = None if seed is None else np.random.default_rng(seed)
        self._order = np.arange(self._count)
        self._shuffle()

    def __len__(self) -> int:
        return -(-self._count // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        first = index * self._batch_size
        rows = self._order[first : first + self._batch_size]
        parts = [map_arrays(lambda array: array[rows], arrays) for arrays in self._weighted]
        inputs = self._augment(parts[0])
        if inputs is not parts[0]:  # the layers gave tensors of the backend
            inputs = keras.tree.map_structure(keras.ops.convert_to_numpy, inputs)
        return (inputs, *parts[1:])

    def on_epoch_end(self) -> None:
        """Takes the rows in another order from now on."""
        self._shuffle()

    def _shuffle(self) -> None:
        if self._random is not None:
            self._order = self._random.permutation(self._count)
