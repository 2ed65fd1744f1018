"""Models to have in a store, where which ones does not matter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from parsl_tl.architecture import ArchitectureGraph
from parsl_tl.spaces import get_space

if TYPE_CHECKING:
    import keras

GRAPH = get_space("feed-forward", num_layers=1, units=(2, 4, 1)).build([1], (3,), (2,))


def leave(store, *model_ids):
    """Stores a small model under each of the ids."""
    weights = {
        layer.name: [np.zeros(weight.shape, "f4") for weight in layer.weights]
        for layer in GRAPH.to_keras().layers
        if layer.weights
    }
    for model_id in model_ids:
        store.put(model_id, GRAPH, weights, quality=0.5)


def candidate(*units: int, normalize: bool = False) -> tuple[keras.Model, ArchitectureGraph]:
    """Makes a chain of dense layers over 4 features, with random weights."""
    import keras

    inputs = tensor = keras.Input((4,))
    for width in units:
        tensor = keras.layers.Dense(width, activation="relu")(tensor)
        if normalize:
            tensor = keras.layers.BatchNormalization()(tensor)
    graph = ArchitectureGraph.from_keras(keras.Model(inputs, tensor))
    model = graph.to_keras()
    for layer in model.layers:
        layer.set_weights([np.random.rand(*w.shape) for w in layer.get_weights()])
    return model, graph
