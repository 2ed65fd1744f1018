"""How long a model takes to predict."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import numpy as np

from parsl_tl.training.backends import forgetting_gradients

if TYPE_CHECKING:
    import keras

_PREDICTIONS: Final = 5


@forgetting_gradients()
def measure_milliseconds(model: keras.Model, rows: int) -> float:
    """Returns how long a model takes to predict a batch: the shortest of some times.

    Args:
        model: with whatever weights.
        rows: of the batch.
    """
    import keras

    inputs = keras.tree.map_structure(
        lambda tensor: np.zeros((rows, *tensor.shape[1:]), tensor.dtype), model.input
    )
    model.predict_on_batch(inputs)  # compiles it
    times = []
    for _ in range(_PREDICTIONS):
        begun = time.perf_counter()
        model.predict_on_batch(inputs)
        times.append(time.perf_counter() - begun)
    return 1e3 * min(times)
