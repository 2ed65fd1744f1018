"""Heads: the outputs of a network, and how each is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from parsl_tl.architecture import GraphBuilder, Tensor
from parsl_tl.errors import SpaceError
from parsl_tl.spaces.keras_layers import dense, flatten

if TYPE_CHECKING:
    KerasTensor: TypeAlias = Any
    """A ``keras.KerasTensor``; Keras is loaded only by who builds its models."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """One output of a network, and how it is judged.

    Attributes:
        shape: of one prediction, without the batch axis.
        activation: of the output layer: ``softmax`` for classes, ``linear`` for regression.
        name: of the output, unique in the problem.
        loss: name of a Keras loss.
        metrics: short names of metrics.
        loss_weight: the share of this loss in the sum over all heads.
        hidden: Dense layers before the output: (units, activation).
    """

    shape: tuple[int, ...]
    activation: str = "linear"
    name: str = "output"
    loss: str = "mse"
    metrics: tuple[str, ...] = ()
    loss_weight: float = 1.0
    hidden: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        if not is_shape(self.shape) or not self.shape:
            raise SpaceError(
                f"output shape {self.shape!r} must be a tuple of sizes, such as (units,), units "
                "at least 1"
            )
        for name, kind in (("shape", tuple), ("metrics", tuple), ("hidden", tuple)):
            object.__setattr__(self, name, kind(getattr(self, name)))


def is_shape(shape: Any) -> bool:
    """Returns whether a value is a list or tuple of positive integers, or an empty one."""
    return isinstance(shape, list | tuple) and all(
        isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in shape
    )


def read_heads(heads: Any, output_activation: str = "linear") -> list[Head]:
    """Returns heads, from what ``SearchSpace.build`` takes.

    Args:
        heads: ``(units,)`` of one output layer, a ``Head``, or a sequence of those.
        output_activation: of the output layer, where only its units are given.

    Raises:
        SpaceError: it is none of these, or two heads have the same name.
    """
    if isinstance(heads, Head):
        return [heads]
    if not isinstance(heads, list | tuple) or not any(isinstance(head, Head) for head in heads):
        return [Head(shape=heads, activation=output_activation)]
    names = set()
    for head in heads:
        if not isinstance(head, Head):
            raise SpaceError(f"{head!r} stands among heads; give a Head for each output")
        if head.name in names:
            raise SpaceError(f"two heads are called {head.name!r}; give each a name of its own")
        names.add(head.name)
    return list(heads)


def add_head(builder: GraphBuilder, tensor: Tensor, head: Head) -> Tensor:
    """Adds the layers of a head.

    Args:
        builder: of the graph.
        tensor: the body's output. Where it has the head's axes but the last, the output layer
            works on that (a body of (28, 28, c) gives a mask of (28, 28, 1)); where the head is a
            vector, the tensor is flattened.
        head: the output.

    Returns:
        The output tensor, of the head's shape.

    Raises:
        SpaceError: a shape that the head cannot be made from.
    """
    if needs_flatten(tensor.shape, head):
        tensor = flatten(builder, tensor)
    for units, activation in head.hidden:
        tensor = dense(builder, tensor, units, activation)
    return dense(builder, tensor, head.shape[-1], head.activation)


def add_heads(
    builder: GraphBuilder, tensors: Tensor | Sequence[Tensor], heads: Sequence[Head]
) -> list[Tensor]:
    """Adds the layers of all heads.

    Args:
        builder: of the graph.
        tensors: the body's output, for all heads; or one for each.
        heads: the outputs.

    Raises:
        SpaceError: another number of tensors than of heads, or a shape that does not fit.
    """
    bodies = _one_each(tensors, isinstance(tensors, Tensor), len(heads))
    return [add_head(builder, body, head) for body, head in zip(bodies, heads, strict=True)]


def apply_head(x: KerasTensor, head: Head) -> KerasTensor:
    """Applies the layers of a head to a Keras tensor; see ``add_head``.

    Raises:
        SpaceError: a shape that the head cannot be made from.
    """
    import keras

    if needs_flatten(x.shape[1:], head):
        x = keras.layers.Flatten()(x)
    for units, activation in head.hidden:
        x = keras.layers.Dense(units, activation=activation)(x)
    return keras.layers.Dense(head.shape[-1], activation=head.activation)(x)


def apply_heads(x: KerasTensor | Sequence[KerasTensor], heads: Sequence[Head]) -> list[KerasTensor]:
    """Applies the layers of all heads to a Keras tensor, or to one for each; see ``add_heads``.

    Raises:
        SpaceError: another number of tensors than of heads, or a shape that does not fit.
    """
    bodies = _one_each(x, not isinstance(x, list | tuple), len(heads))
    return [apply_head(body, head) for body, head in zip(bodies, heads, strict=True)]


def needs_flatten(shape: Sequence[int | None], head: Head) -> bool:
    """Returns whether a tensor of this shape must be flattened before a head.

    Raises:
        SpaceError: the head cannot be made from it in either way.
    """
    if len(shape) > 0 and tuple(shape[:-1]) == head.shape[:-1]:
        return False
    if len(head.shape) == 1:
        return True
    raise SpaceError(
        f"the network's body gives the shape {tuple(shape)}, of which head {head.name!r} cannot "
        f"make {head.shape}: all axes but the last must be equal; choose a search space that keeps "
        "them, such as one of convolutions without pooling"
    )


def _one_each(tensors: Any, single: bool, count: int) -> Sequence[Any]:
    bodies = [tensors] if single else list(tensors)
    if len(bodies) == 1:
        return bodies * count
    if len(bodies) == count:
        return bodies
    raise SpaceError(
        f"the network's body gives {len(bodies)} tensors for {count} heads; give one for all, or "
        "one for each"
    )
