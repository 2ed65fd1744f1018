"""Full Keras 3 configs of the layers that spaces use, as ``get_config`` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from parsl_tl.architecture import GraphBuilder, Tensor


def _object(module: str, class_name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": None,
    }


_DTYPE = _object("keras", "DTypePolicy", {"name": "float32"})
_COMMON = {"trainable": True, "dtype": _DTYPE}
_ZEROS = _object("keras.initializers", "Zeros", {})


_GLOROT_UNIFORM = _object(
    "keras.initializers",
    "GlorotUniform",
    {"seed": None, "input_axes": None, "output_axes": None},
)


def dense(
    builder: GraphBuilder, tensor: Tensor, units: int, activation: str, bias: float = 0.0
) -> Tensor:
    """Adds ``keras.layers.Dense(units, activation)``; ``bias`` is what its biases begin with."""
    constant = _object("keras.initializers", "Constant", {"value": bias})
    config = {
        **_COMMON,
        "units": units,
        "activation": _ACTIVATION_NAMES.get(activation, activation),
        "use_bias": True,
        "kernel_initializer": _GLOROT_UNIFORM,
        "bias_initializer": constant if bias else _ZEROS,
        "kernel_regularizer": None,
        "bias_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
        "quantization_config": None,
    }
    return builder.add("Dense", config, tensor, (*tensor.shape[:-1], units))


def add(builder: GraphBuilder, tensors: Sequence[Tensor]) -> Tensor:
    """Adds ``keras.layers.Add()`` on tensors of one shape."""
    return builder.add("Add", _COMMON, tensors, tensors[0].shape)


def activation(builder: GraphBuilder, tensor: Tensor, function: str) -> Tensor:
    """Adds ``keras.layers.Activation(function)``."""
    config = {**_COMMON, "activation": _ACTIVATION_NAMES.get(function, function)}
    return builder.add("Activation", config, tensor, tensor.shape, has_build_config=False)


def concatenate(builder: GraphBuilder, tensors: Sequence[Tensor]) -> Tensor:
    """Adds ``keras.layers.Concatenate()`` along the last axis."""
    width = sum(tensor.shape[-1] for tensor in tensors)
    shape = (*tensors[0].shape[:-1], width)
    return builder.add("Concatenate", {**_COMMON, "axis": -1}, tensors, shape)


# Keras serializes some functions under another name than the one users write.
_ACTIVATION_NAMES = {"swish": "silu"}
