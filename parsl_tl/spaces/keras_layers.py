"""Full Keras 3 configs of the layers that spaces use, as ``get_config`` gives them.

Each function adds one layer to a graph, and works out the shape of its output, without Keras. What
would have no output raises ``ImpossibleArchitectureError``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from parsl_tl.architecture import GraphBuilder, Tensor
from parsl_tl.errors import ImpossibleArchitectureError, SpaceError

Sizes = int | Sequence[int]
"""One size for all axes of an image, a series or a volume, or one for each."""


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
_ONES = _object("keras.initializers", "Ones", {})
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
        "activation": _function_name(activation),
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


def convolution(
    builder: GraphBuilder,
    tensor: Tensor,
    filters: int,
    kernel_size: Sizes,
    *,
    strides: Sizes = 1,
    padding: str = "valid",
    activation: str = "linear",
    use_bias: bool = True,
) -> Tensor:
    """Adds ``keras.layers.Conv1D``, ``Conv2D`` or ``Conv3D``, whichever the tensor's axes ask for.

    Raises:
        SpaceError: the tensor has no axis to move a kernel along.
        ImpossibleArchitectureError: the kernel is larger than what goes in.
    """
    rank = _spatial_rank(tensor, "a convolution")
    kernel, steps = _sizes(kernel_size, rank), _sizes(strides, rank)
    config = {
        **_COMMON,
        "filters": filters,
        "kernel_size": kernel,
        "strides": steps,
        "padding": padding,
        "data_format": "channels_last",
        "dilation_rate": [1] * rank,
        "groups": 1,
        "activation": _function_name(activation),
        "use_bias": use_bias,
        "kernel_initializer": _GLOROT_UNIFORM,
        "bias_initializer": _ZEROS,
        "kernel_regularizer": None,
        "bias_regularizer": None,
        "activity_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
    }
    shape = _windows(tensor, kernel, steps, padding, "kernel")
    return builder.add(f"Conv{rank}D", config, tensor, (*shape, filters))


def max_pooling(
    builder: GraphBuilder,
    tensor: Tensor,
    pool_size: Sizes,
    *,
    strides: Sizes | None = None,
    padding: str = "valid",
) -> Tensor:
    """Adds ``keras.layers.MaxPooling1D``, or 2D, or 3D; strides are the pool's size if not given.

    Raises:
        SpaceError: the tensor has no axis to pool along.
        ImpossibleArchitectureError: the pool is larger than what goes in.
    """
    return _pooling("MaxPooling", builder, tensor, pool_size, strides, padding)


def average_pooling(
    builder: GraphBuilder,
    tensor: Tensor,
    pool_size: Sizes,
    *,
    strides: Sizes | None = None,
    padding: str = "valid",
) -> Tensor:
    """Adds ``keras.layers.AveragePooling1D``, or 2D, or 3D; see ``max_pooling``."""
    return _pooling("AveragePooling", builder, tensor, pool_size, strides, padding)


def _pooling(
    kind: str,
    builder: GraphBuilder,
    tensor: Tensor,
    pool_size: Sizes,
    strides: Sizes | None,
    padding: str,
) -> Tensor:
    rank = _spatial_rank(tensor, "pooling")
    pool = _sizes(pool_size, rank)
    steps = pool if strides is None else _sizes(strides, rank)
    config = {
        **_COMMON,
        "pool_size": pool,
        "padding": padding,
        "strides": steps,
        "data_format": "channels_last",
    }
    shape = (*_windows(tensor, pool, steps, padding, "pool"), tensor.shape[-1])
    return builder.add(f"{kind}{rank}D", config, tensor, shape, has_build_config=False)


def global_average_pooling(builder: GraphBuilder, tensor: Tensor) -> Tensor:
    """Adds ``keras.layers.GlobalAveragePooling1D``, or 2D, or 3D: one number for each channel."""
    rank = _spatial_rank(tensor, "pooling")
    config = {**_COMMON, "data_format": "channels_last", "keepdims": False}
    name = f"GlobalAveragePooling{rank}D"
    return builder.add(name, config, tensor, tensor.shape[-1:], has_build_config=False)


def batch_normalization(builder: GraphBuilder, tensor: Tensor) -> Tensor:
    """Adds ``keras.layers.BatchNormalization()``."""
    config = {
        **_COMMON,
        "axis": -1,
        "momentum": 0.99,
        "epsilon": 0.001,
        "center": True,
        "scale": True,
        "beta_initializer": _ZEROS,
        "gamma_initializer": _ONES,
        "moving_mean_initializer": _ZEROS,
        "moving_variance_initializer": _ONES,
        "beta_regularizer": None,
        "gamma_regularizer": None,
        "beta_constraint": None,
        "gamma_constraint": None,
        "synchronized": False,
        "renorm": False,
        "renorm_clipping": None,
        "renorm_momentum": 0.99,
    }
    return builder.add("BatchNormalization", config, tensor, tensor.shape)


def dropout(builder: GraphBuilder, tensor: Tensor, rate: float) -> Tensor:
    """Adds ``keras.layers.Dropout(rate)``."""
    config = {**_COMMON, "rate": rate, "seed": None, "noise_shape": None}
    return builder.add("Dropout", config, tensor, tensor.shape, has_build_config=False)


def flatten(builder: GraphBuilder, tensor: Tensor) -> Tensor:
    """Adds ``keras.layers.Flatten()``."""
    config = {**_COMMON, "data_format": "channels_last"}
    return builder.add("Flatten", config, tensor, (math.prod(tensor.shape),))


def reshape(builder: GraphBuilder, tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """Adds ``keras.layers.Reshape(shape)``.

    Raises:
        SpaceError: the shape holds another number of values than the tensor's.
    """
    if math.prod(shape) != math.prod(tensor.shape):
        raise SpaceError(f"a tensor of shape {tensor.shape} cannot be reshaped to {tuple(shape)}")
    config = {**_COMMON, "target_shape": list(shape)}
    return builder.add("Reshape", config, tensor, shape, has_build_config=False)


def zero_padding(builder: GraphBuilder, tensor: Tensor, before: int, after: int) -> Tensor:
    """Adds ``keras.layers.ZeroPadding1D((before, after))``, or 2D with the same on both axes.

    Raises:
        SpaceError: the tensor is neither a series nor an image.
    """
    rank = _spatial_rank(tensor, "zero padding")
    if rank > 2:
        raise SpaceError(f"zero padding takes a series or an image, but has shape {tensor.shape}")
    sides = [before, after]
    padding = sides if rank == 1 else [list(sides) for _ in range(rank)]
    config = {**_COMMON, "padding": padding, "data_format": "channels_last"}
    shape = [size + before + after for size in tensor.shape[:-1]]
    return builder.add(f"ZeroPadding{rank}D", config, tensor, (*shape, tensor.shape[-1]))


def rescaling(builder: GraphBuilder, tensor: Tensor, scale: float) -> Tensor:
    """Adds ``keras.layers.Rescaling(scale)``."""
    config = {**_COMMON, "scale": scale, "offset": 0.0}
    return builder.add("Rescaling", config, tensor, tensor.shape)


def add(builder: GraphBuilder, tensors: Sequence[Tensor]) -> Tensor:
    """Adds ``keras.layers.Add()`` on tensors of one shape."""
    return builder.add("Add", _COMMON, tensors, tensors[0].shape)


def activation(builder: GraphBuilder, tensor: Tensor, function: str) -> Tensor:
    """Adds ``keras.layers.Activation(function)``."""
    config = {**_COMMON, "activation": _function_name(function)}
    return builder.add("Activation", config, tensor, tensor.shape, has_build_config=False)


def concatenate(builder: GraphBuilder, tensors: Sequence[Tensor]) -> Tensor:
    """Adds ``keras.layers.Concatenate()`` along the last axis."""
    width = sum(tensor.shape[-1] for tensor in tensors)
    shape = (*tensors[0].shape[:-1], width)
    return builder.add("Concatenate", {**_COMMON, "axis": -1}, tensors, shape)


def _function_name(function: str) -> str:
    # Keras serializes some functions under another name than the one users write.
    return {"swish": "silu"}.get(function, function)


def _spatial_rank(tensor: Tensor, what: str) -> int:
    rank = len(tensor.shape) - 1
    if not 1 <= rank <= 3:
        raise SpaceError(
            f"{what} takes a series (steps, channels) or an image (height, width, channels), but "
            f"what goes in has shape {tensor.shape}; reshape the data"
        )
    return rank


def _sizes(sizes: Sizes, rank: int) -> list[int]:
    return [sizes] * rank if isinstance(sizes, int) else list(sizes)


def _windows(
    tensor: Tensor, window: Sequence[int], strides: Sequence[int], padding: str, what: str
) -> list[int]:
    """Returns how often a window fits along each axis but the last."""
    found = []
    for size, width, step in zip(tensor.shape[:-1], window, strides, strict=True):
        if padding == "valid" and width > size:
            raise ImpossibleArchitectureError(
                f"{what} of {width} is larger than its input of {size}"
            )
        found.append((size - (width if padding == "valid" else 1)) // step + 1)
    return found
