"""The part of a model whose outputs training cannot change, and where they leave it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from parsl_tl.training.freezing import may_change

if TYPE_CHECKING:
    import keras

# Operations of Keras that are no layers, and treat each row of a batch by itself.
_ROW_BY_ROW: Final = frozenset(
    (
        *("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Negative", "Abs", "Square"),
        *("Exp", "Log", "Sqrt", "Sin", "Cos", "Tanh", "Maximum", "Minimum", "Clip", "Cast"),
        *("Equal", "NotEqual", "Greater", "Less", "LogicalAnd", "LogicalOr", "LogicalNot"),
        *("Relu", "Relu6", "Sigmoid", "Softplus", "Silu", "Gelu", "Elu", "Selu", "LeakyRelu"),
    )
)
# A function of the user's may draw random numbers, count, or mix the rows of a batch.
_OPAQUE_LAYERS: Final = frozenset({"Lambda", "TorchModuleWrapper", "JaxLayer", "TFSMLayer"})


@dataclass(frozen=True)
class FrozenPrefix:
    """The largest part of a model, closed under inputs, that gives a row the same in every step.

    In it are layers that are frozen, or have no weights, and draw no random numbers; batch
    normalization that is frozen normalizes by its moving statistics. Dropout at its end is part of
    the rest, and so are the layers that give the model's outputs.

    Attributes:
        calls: of its layers (Keras nodes), each after those that it depends on.
        rest: the other calls of the model, in such an order.
        frontier: symbolic tensors that the rest uses: outputs of the prefix, and inputs of the
            model.
    """

    calls: tuple[Any, ...]
    rest: tuple[Any, ...]
    frontier: tuple[Any, ...]

    @property
    def row_bytes(self) -> int:
        """Bytes of the frontier for one row of data."""
        return sum(_tensor_bytes(tensor) for tensor in self.frontier)

    @property
    def peak_row_bytes(self) -> int:
        """Bytes of everything that the prefix computes for one row."""
        return sum(_tensor_bytes(tensor) for call in self.calls for tensor in call.outputs)

    @property
    def row_work(self) -> int:
        """Estimate of multiplications and additions that the prefix takes for one row."""
        return sum(_work(call) for call in self.calls)


def largest_output_bytes(model: keras.Model) -> int:
    """Returns the bytes of the largest tensor that a model computes for one row.

    0 where a model has no graph to look at.
    """
    outputs = (tensor for call in _calls(model) for tensor in call.outputs)
    return max(map(_tensor_bytes, outputs), default=0)


def find_frozen_prefix(model: keras.Model) -> FrozenPrefix | None:
    """Finds the frozen prefix of a model.

    Args:
        model: built; only Functional and Sequential models have a graph to look at.

    Returns:
        The prefix; None where there is none but inputs, or where the size of a tensor at its
        frontier is not known.
    """
    nodes = _calls(model)
    unchanging = {id(node) for node in nodes if not node.is_input} & _unchanging(model, nodes)
    found = _closed(nodes, unchanging, model.outputs)
    while masked := _producers(found, [t for t in found.frontier if _mask_of(t) is not None]):
        # A tensor that is handed over as an array would lose its mask.
        unchanging -= masked
        found = _closed(nodes, unchanging, model.outputs)
    found = _narrowed(found, nodes, unchanging, model.outputs)
    sizes = [size for tensor in found.frontier for size in tensor.shape[1:]]
    return None if not found.calls or None in sizes else found


def frozen_row_work(model: keras.Model) -> int | None:
    """Estimates the multiplications and additions that frozen layers take for one row.

    Args:
        model: built.

    Returns:
        None where the model has no graph to look at.
    """
    nodes = [node for node in _calls(model) if not node.is_input]
    frozen = {id(layer) for layer in model.layers if layer.weights and _is_frozen(layer)}
    return sum(_work(node) for node in nodes if id(node.operation) in frozen) if nodes else None


def _calls(model: keras.Model) -> list[Any]:
    """Returns the calls of a model, inputs included, each after those that it depends on."""
    import keras

    if isinstance(model, keras.Sequential) and model.built and model.inputs:
        model = keras.Model(model.inputs, model.outputs)
    # A class of one's own may do more in a step than to call its layers.
    if type(model).__name__ not in ("Functional", "Model"):
        return []
    by_depth = getattr(model, "_nodes_by_depth", {})
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def _unchanging(model: keras.Model, nodes: Sequence[Any]) -> set[int]:
    """Returns the calls that give equal outputs for equal inputs in every step, by ``id``."""
    frozen = {id(layer) for layer in model.layers if _is_frozen(layer)}
    trained = {
        id(weight) for layer in model.layers if id(layer) not in frozen for weight in layer.weights
    }

    def holds(node: Any) -> bool:
        operation = node.operation
        if not all(_is_row_by_row(part, node) for part in _parts(operation)):
            return False
        return not hasattr(operation, "weights") or (
            id(operation) in frozen
            # Of two layers that share a weight, the other one may be trained.
            and not any(id(weight) in trained for weight in operation.weights)
        )

    return {id(node) for node in nodes if holds(node)}


def _is_frozen(layer: Any) -> bool:
    if may_change(layer) or layer.trainable_variables:
        return False
    return not layer.trainable or not layer.weights


def _parts(operation: Any) -> Iterator[Any]:
    """Gives an operation and all that is in it, such as the layers of a nested model."""
    if not hasattr(operation, "_flatten_layers"):
        yield operation
        return
    for layer in operation._flatten_layers(include_self=True, recursive=True):
        yield layer
        yield from (
            part for part in getattr(layer, "operations", ()) if not hasattr(part, "weights")
        )


def _is_row_by_row(part: Any, node: Any) -> bool:
    """Whether an operation treats rows alike, each by itself, and adds nothing to the loss."""
    name = type(part).__name__
    if not hasattr(part, "weights"):
        return type(part).__module__.startswith("keras.") and name in _ROW_BY_ROW
    axes = getattr(part, "axis", None)
    axes = axes if isinstance(axes, Sequence) else [axes]
    rank = len(node.outputs[0].shape)
    return (
        name not in _OPAQUE_LAYERS
        and not any(axis is not None and axis in (0, -rank) for axis in axes)
        and not getattr(part, "stateful", False)
        and getattr(part, "activity_regularizer", None) is None
        and not _is_random(part)
    )


def _is_random(layer: Any) -> bool:
    if not layer._seed_generators:
        return False
    # Recurrent layers have a generator whether they drop anything or not.
    rates = [getattr(layer, name, None) for name in ("dropout", "recurrent_dropout")]
    return rates != [0.0, 0.0]


def _closed(nodes: Sequence[Any], unchanging: set[int], outputs: Sequence[Any]) -> FrozenPrefix:
    """Takes the calls whose inputs are inputs of the model or come from such calls."""
    given = {id(tensor) for tensor in outputs}
    inside: set[int] = set()
    calls, rest = [], []
    for node in nodes:
        if node.is_input:
            inside.update(id(tensor) for tensor in node.outputs)
        elif (
            id(node) in unchanging
            and all(id(tensor) in inside for tensor in node.input_tensors)
            and not any(id(tensor) in given for tensor in node.outputs)
        ):
            inside.update(id(tensor) for tensor in node.outputs)
            calls.append(node)
        else:
            rest.append(node)
    used = {id(tensor): tensor for node in rest for tensor in node.input_tensors}
    return FrozenPrefix(
        tuple(calls),
        tuple(rest),
        tuple(tensor for key, tensor in used.items() if key in inside),
    )


def _narrowed(
    found: FrozenPrefix, nodes: Sequence[Any], unchanging: set[int], outputs: Sequence[Any]
) -> FrozenPrefix:
    """Leaves to the rest what has no weights and makes the frontier larger, such as padding."""
    for node in reversed(found.calls):
        if getattr(node.operation, "weights", ()):
            continue
        narrower = _closed(nodes, unchanging - {id(node)}, outputs)
        # Only where all that leaves the prefix is weighed: what follows this call is in the rest.
        if narrower.row_bytes < found.row_bytes and len(narrower.calls) == len(found.calls) - 1:
            found, unchanging = narrower, unchanging - {id(node)}
    return found


def _producers(found: FrozenPrefix, tensors: Sequence[Any]) -> set[int]:
    wanted = {id(tensor) for tensor in tensors}
    return {id(call) for call in found.calls if any(id(t) in wanted for t in call.outputs)}


def _mask_of(tensor: Any) -> Any:
    return getattr(tensor, "_keras_mask", None)


def _tensor_bytes(tensor: Any) -> int:
    name = str(tensor.dtype)
    item = {"bfloat16": 2, "string": 8}.get(name) or np.dtype(name).itemsize
    return _count(tensor) * item


def _count(tensor: Any) -> int:
    return math.prod(size or 1 for size in tensor.shape[1:])


def _work(call: Any) -> int:
    """Estimates the operations of a call: each weight once a position, each output a few times."""
    shapes = [tensor.shape for tensor in (*call.input_tensors, *call.outputs)]
    positions = max(math.prod(size or 1 for size in shape[1:-1]) for shape in shapes)
    weights = sum(math.prod(w.shape) for w in getattr(call.operation, "weights", ()))
    if type(call.operation).__name__ == "Embedding":
        weights = 0  # it looks up
    return int(weights * positions + 4 * sum(map(_count, call.outputs)))
