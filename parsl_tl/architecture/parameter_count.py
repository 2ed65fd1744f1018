"""Number of weights of a layer, from its configuration and the shape that goes in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from parsl_tl.architecture.layer import Layer

if TYPE_CHECKING:
    from parsl_tl.architecture.graph import ArchitectureGraph

_WITHOUT_WEIGHTS = frozenset(
    {
        *("InputLayer", "Activation", "ReLU", "Softmax", "Dropout", "Flatten", "Reshape"),
        *("Rescaling", "MaxPooling3D", "AveragePooling3D", "GlobalAveragePooling3D"),
        *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"),
        *("MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D"),
        *("GlobalMaxPooling1D", "GlobalMaxPooling2D"),
        *("GlobalAveragePooling1D", "GlobalAveragePooling2D", "ZeroPadding1D", "ZeroPadding2D"),
    }
)


def parameter_count(layer: Layer) -> int | None:
    """Returns how many numbers the weights of a layer hold.

    Returns:
        None where that cannot be told without Keras: a class that is not known here, or no shape.
    """
    if layer.class_name in _WITHOUT_WEIGHTS and layer.registered_name is None:
        return 0
    count = _COUNTS.get(layer.class_name)
    shape = (layer.build_config or {}).get("input_shape")
    if count is None or not shape or not isinstance(shape[-1], int):
        return None
    return int(count(layer.config, shape[-1]))


def count_parameters(graph: ArchitectureGraph) -> int:
    """Returns how many numbers all weights of a model hold; builds it with Keras if it must."""
    counts = [parameter_count(layer) for layer in graph.layers]
    if None in counts:
        return int(graph.to_keras().count_params())
    return sum(count for count in counts if count is not None)


def _dense(config: Any, channels: int) -> int:
    return int(config["units"] * (channels + bool(config["use_bias"])))


def _convolution(config: Any, channels: int) -> int:
    kernel = math.prod(config["kernel_size"]) * (channels // config["groups"])
    return int(config["filters"] * (kernel + bool(config["use_bias"])))


def _batch_normalization(config: Any, channels: int) -> int:
    return channels * (2 + bool(config["center"]) + bool(config["scale"]))


_COUNTS = {
    "Dense": _dense,
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "Conv3D": _convolution,
    "BatchNormalization": _batch_normalization,
}
