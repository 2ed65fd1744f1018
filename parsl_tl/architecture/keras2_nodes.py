"""Calls of layers in Keras 2 JSON, brought into the form of Keras 3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from parsl_tl.architecture.classes import keras_tensor, placed

RECURRENT = frozenset({"Bidirectional", "GRU", "LSTM", "RNN", "SimpleRNN"})


def upgrade_nodes(class_name: str, nodes: Iterable[Any], shape: Any = None) -> list[dict[str, Any]]:
    """Returns a layer's calls as ``{"args", "kwargs"}``.

    Args:
        class_name: the layer's class.
        nodes: one nested list per call; its tensors are ``[layer, call, tensor, kwargs]``, with the
            same kwargs at each.
        shape: that of the input, or of each of them, with the batch dimension; None if unknown.
    """
    return [_named(class_name, _upgrade_node(_as_list(node), shape)) for node in nodes]


def _as_list(node: Any) -> Any:
    """One tensor of an operation stands without a list around it."""
    return [node] if isinstance(node, list) and node and isinstance(node[0], str) else node


def _named(class_name: str, node: dict[str, Any]) -> dict[str, Any]:
    """Gives arguments the places that they have in calls of Keras 3."""
    args, kwargs = node["args"], node["kwargs"]
    if class_name in RECURRENT and isinstance(args[0], list) and len(args[0]) > 1:
        args, kwargs = [args[0][0]], {**kwargs, "initial_state": args[0][1:]}
    return placed(class_name, {"args": args, "kwargs": kwargs})


def _upgrade_node(node: Any, shape: Any) -> dict[str, Any]:
    kwargs: dict[str, Any] = {}
    # That of one input, or a list with one for each.
    shapes = iter(shape if isinstance(shape, list) and shape and isinstance(shape[0], list) else [])

    def convert(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: convert(item) for key, item in value.items()}
        if not isinstance(value, list):
            raise TypeError(f"an input is {value!r}, and no list")
        if not (value and isinstance(value[0], str)):
            return [convert(item) for item in value]
        name, call, tensor, *rest = value
        if rest:
            kwargs.update({key: _argument(item) for key, item in rest[0].items()})
        if name == "_CONSTANT_VALUE":
            return tensor
        return _keras_tensor(name, call, tensor, next(shapes, shape))

    first = convert(node)
    # One tensor stands in a list of its own, so that a list of one cannot be told from it.
    single = isinstance(first, list) and len(first) == 1
    return {"args": first if single else [first], "kwargs": kwargs}


def _argument(value: Any) -> Any:
    """Finds the tensors among keyword arguments: ``[layer, call, tensor]``."""
    if isinstance(value, Mapping):
        return {key: _argument(item) for key, item in value.items()}
    if not isinstance(value, list):
        return value
    if [type(item) for item in value] == [str, int, int]:
        name, call, tensor = value
        return _keras_tensor(name, call, tensor, None)
    return [_argument(item) for item in value]


def _keras_tensor(name: str, call: int, tensor: int, shape: Any) -> dict[str, Any]:
    # Keras 3 finds the tensor by its history; where the shape is not known, any one will do.
    return keras_tensor(name, call, tensor, shape if isinstance(shape, list) else [])
