"""The weights of a Keras model by stable layer name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from parsl_tl.architecture.keras_weights import keras_layers, variables_of

if TYPE_CHECKING:
    import keras

    from parsl_tl.architecture import ArchitectureGraph


def layers_with_weights(model: keras.Model, graph: ArchitectureGraph) -> dict[str, Any]:
    """Maps stable names to the layers of ``model`` that hold weights, in the graph's order.

    Raises:
        ArchitectureError: the model has no such layer: it is not a model of this graph.
    """
    return {name: layer for name, layer in keras_layers(model, graph).items() if layer.weights}


def signature(layer: Any) -> list[tuple[tuple[int, ...], str]]:
    """Returns shape and dtype of each weight of a Keras layer, non-trainable ones included."""
    return [(tuple(weight.shape), str(weight.dtype)) for weight in variables_of(layer)]


def signature_of_arrays(arrays: Sequence[npt.NDArray[Any]]) -> list[tuple[tuple[int, ...], str]]:
    """Returns shape and dtype of each array, as ``signature`` does for a layer."""
    return [(tuple(array.shape), str(array.dtype)) for array in arrays]


def read_weights(layers: Mapping[str, Any]) -> dict[str, list[npt.NDArray[Any]]]:
    """Copies the weights of the layers out of Keras."""
    return {
        name: [np.asarray(weight.numpy()) for weight in variables_of(layer)]
        for name, layer in layers.items()
    }
