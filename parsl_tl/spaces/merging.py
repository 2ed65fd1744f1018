"""Several tensors of a graph become one."""

from __future__ import annotations

from collections.abc import Sequence

from parsl_tl.architecture import GraphBuilder, Tensor
from parsl_tl.errors import ImpossibleArchitectureError, SpaceError
from parsl_tl.spaces.keras_layers import (
    activation,
    add,
    concatenate,
    convolution,
    dense,
    reshape,
    zero_padding,
)


def merge(builder: GraphBuilder, tensors: Sequence[Tensor], how: str) -> Tensor:
    """Makes one tensor of several; a single one stays as it is.

    Args:
        builder: of the graph.
        tensors: one or more.
        how: ``concatenate`` along the last axis, or ``add``.

    Raises:
        ImpossibleArchitectureError: shapes that do not go together.
    """
    if len(tensors) == 1:
        return tensors[0]
    if how == "add":
        return add_padded(builder, tensors)
    if len({tensor.shape[:-1] for tensor in tensors}) > 1:
        raise ImpossibleArchitectureError("concatenation of tensors of different sizes")
    return concatenate(builder, tensors)


def add_padded(builder: GraphBuilder, tensors: Sequence[Tensor]) -> Tensor:
    """Adds tensors; shorter vectors get zeros behind their values.

    Raises:
        ImpossibleArchitectureError: tensors of different shapes that are not all vectors.
    """
    shapes = {tensor.shape for tensor in tensors}
    if len(shapes) > 1 and any(len(shape) != 1 for shape in shapes):
        raise ImpossibleArchitectureError("addition of tensors of different shapes")
    width = max(tensor.shape[-1] for tensor in tensors)
    return add(builder, [_padded(builder, tensor, width) for tensor in tensors])


def add_projected(builder: GraphBuilder, tensor: Tensor, others: Sequence[Tensor]) -> Tensor:
    """Adds others to a tensor, each projected by a linear layer to its width; then relu.

    Raises:
        ImpossibleArchitectureError: an image or series of another size.
        SpaceError: another number of axes.
    """
    if not others:
        return tensor
    projected = []
    for other in others:
        if len(other.shape) != len(tensor.shape):
            raise SpaceError(
                f"a tensor of shape {other.shape} cannot be connected to one of {tensor.shape}; "
                "connect what has as many axes"
            )
        if other.shape[:-1] != tensor.shape[:-1]:
            raise ImpossibleArchitectureError("connection of tensors of different sizes")
        width = tensor.shape[-1]
        if len(tensor.shape) == 1:
            projected.append(dense(builder, other, width, "linear"))
        else:
            projected.append(convolution(builder, other, width, 1))
    return activation(builder, add(builder, [tensor, *projected]), "relu")


def _padded(builder: GraphBuilder, tensor: Tensor, width: int) -> Tensor:
    own = tensor.shape[-1]
    if own == width:
        return tensor
    series = zero_padding(builder, reshape(builder, tensor, (own, 1)), 0, width - own)
    return reshape(builder, series, (width,))
