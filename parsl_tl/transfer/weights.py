"""The weights of a Keras model by stable layer name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from parsl_tl.errors import ArchitectureError

if TYPE_CHECKING:
    import keras

    from parsl_tl.architecture import ArchitectureGraph


def layers_with_weights(model: keras.Model, graph: ArchitectureGraph) -> dict[str, Any]:
    """Maps stable names to the layers of ``model`` that hold weights, in topological order.

    A model that was built from its graph has the stable names already; a user's own model has
    whatever names it was given, which the graph read from it still knows.

    Raises:
        ArchitectureError: the model has no such layer: it is not a model of this graph.
    """
    by_name = {layer.name: layer for layer in model.layers}
    found: dict[str, Any] = {}
    for stable_name, layer in zip(graph.layer_names, graph.layers, strict=True):
        if layer.is_input:  # holds no weights, and a Sequential model does not list it
            continue
        keras_layer = by_name.get(stable_name, by_name.get(layer.name))
        if keras_layer is None:
            raise ArchitectureError(
                f"the model has no layer {stable_name!r} (given name {layer.name!r}); "
                "give the graph that the model was built from"
            )
        if keras_layer.weights:
            found[stable_name] = keras_layer
    return found


def signature(layer: Any) -> list[tuple[tuple[int, ...], str]]:
    """Gives shape and dtype of each weight of a Keras layer, non-trainable ones included."""
    return [(tuple(weight.shape), str(weight.dtype)) for weight in layer.weights]


def signature_of_arrays(arrays: Sequence[npt.NDArray[Any]]) -> list[tuple[tuple[int, ...], str]]:
    """Gives shape and dtype of each array, as ``signature`` does for a layer."""
    return [(tuple(array.shape), str(array.dtype)) for array in arrays]


def read_weights(layers: Mapping[str, Any]) -> dict[str, list[npt.NDArray[Any]]]:
    """Copies the weights of the layers out of Keras."""
    return {
        name: [np.asarray(weight) for weight in layer.get_weights()]
        for name, layer in layers.items()
    }
