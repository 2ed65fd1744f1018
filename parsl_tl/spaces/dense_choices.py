"""The choice that tabular spaces are made of: no layer, or a dense layer of some width."""

from __future__ import annotations

from collections.abc import Sequence

from parsl_tl.architecture import GraphBuilder, Tensor
from parsl_tl.errors import SpaceError
from parsl_tl.spaces.keras_layers import concatenate, dense

IDENTITY = "identity"
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "swish")


def dense_labels(
    units: tuple[int, int, int], activations: Sequence[str], name: str
) -> tuple[str, ...]:
    """Returns ``identity`` and one label, such as ``32 relu``, for each width and activation.

    Args:
        units: smallest width, largest width (included), step.
        activations: Keras activations.
        name: the space's, for error messages.

    Raises:
        SpaceError: an empty range or no activation.
    """
    try:
        first, last, step = (int(value) for value in units)
    except (TypeError, ValueError) as error:
        raise SpaceError(
            f"units={units!r} of space {name!r} must be (smallest, largest, step)"
        ) from error
    if first < 1 or last < first or step < 1:
        raise SpaceError(
            f"units={units!r} of space {name!r} holds no width; give (smallest, largest, step)"
        )
    unknown = [item for item in activations if item not in ACTIVATIONS]
    if unknown or not activations:
        raise SpaceError(
            f"activations={list(activations)!r} of space {name!r}: choose from {ACTIVATIONS}"
        )
    widths = range(first, last + 1, step)
    return (IDENTITY, *(f"{width} {item}" for width in widths for item in activations))


def describe_layers(labels: Sequence[str | int | float]) -> str:
    """Returns the layers that labels stand for, without those that are left out."""
    return ", ".join(str(label) for label in labels if label != IDENTITY) or "no hidden layer"


def apply_dense(builder: GraphBuilder, tensor: Tensor, label: str | int | float) -> Tensor:
    """Adds the dense layer that a label stands for; nothing for ``identity``."""
    if label == IDENTITY:
        return tensor
    width, activation = str(label).split()
    return dense(builder, tensor, int(width), activation)


def add_vector_inputs(
    builder: GraphBuilder, shapes: Sequence[tuple[int, ...]], name: str
) -> Tensor:
    """Adds the inputs of a tabular network; several are concatenated.

    Raises:
        SpaceError: an input is not a vector.
    """
    for shape in shapes:
        if len(shape) != 1:
            raise SpaceError(
                f"space {name!r} takes vectors, but an input has shape {shape}; flatten the data"
            )
    tensors = [builder.input(shape) for shape in shapes]
    return tensors[0] if len(tensors) == 1 else concatenate(builder, tensors)


def check_num_layers(num_layers: int, name: str) -> int:
    """Returns the number of variable layers.

    Raises:
        SpaceError: it is not at least 1.
    """
    if not isinstance(num_layers, int) or num_layers < 1:
        raise SpaceError(f"num_layers={num_layers!r} of space {name!r} must be at least 1")
    return num_layers
