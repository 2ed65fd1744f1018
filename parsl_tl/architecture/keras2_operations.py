"""TensorFlow operations in Keras 2 models, as the operations of Keras 3 that do the same.

Keras 2 wraps every operation of TensorFlow into a layer (``TFOpLambda``, ``SlicingOpLambda``).
Those without a counterpart stay as they are: they can be read and compared, and not built.
"""

from __future__ import annotations

from typing import Any, Final

_NUMPY: Final = "keras.src.ops.numpy"
_NN: Final = "keras.src.ops.nn"
# Of two tensors, or of a tensor and a number, both by their place.
_BINARY: Final = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.divide": "TrueDivide",
    "math.maximum": "Maximum",
    "math.minimum": "Minimum",
    "math.multiply": "Multiply",
    "math.not_equal": "NotEqual",
    "math.subtract": "Subtract",
    "math.truediv": "TrueDivide",
}
_UNARY: Final = {
    "math.abs": (_NUMPY, "Absolute"),
    "math.exp": (_NUMPY, "Exp"),
    "math.log": (_NUMPY, "Log"),
    "math.negative": (_NUMPY, "Negative"),
    "math.sigmoid": (_NN, "Sigmoid"),
    "math.sqrt": (_NUMPY, "Sqrt"),
    "math.square": (_NUMPY, "Square"),
    "math.tanh": (_NUMPY, "Tanh"),
    "nn.relu": (_NN, "Relu"),
    "nn.sigmoid": (_NN, "Sigmoid"),
    "nn.tanh": (_NUMPY, "Tanh"),
}


def convert_operation(entry: dict[str, Any]) -> None:
    """Makes an entry of ``layers`` one of Keras 3, if it is an operation with a counterpart.

    Args:
        entry: with nodes in the form of Keras 3; changed in place.
    """
    if entry["class_name"] not in ("TFOpLambda", "SlicingOpLambda"):
        return
    function, nodes = entry["config"].get("function"), entry["inbound_nodes"]
    if function in _BINARY:
        _replace(entry, _NUMPY, _BINARY[function], [_arguments(node, ("y",)) for node in nodes])
    elif function in _UNARY:
        _replace(entry, *_UNARY[function], [_arguments(node, ()) for node in nodes])
    elif function == "__operators__.getitem":
        _replace(entry, _NUMPY, "GetItem", [_slicing(node) for node in nodes])


def _replace(
    entry: dict[str, Any], module: str, class_name: str, nodes: list[dict[str, Any] | None]
) -> None:
    if all(node is not None for node in nodes):
        entry["module"], entry["class_name"], entry["registered_name"] = (
            module,
            class_name,
            class_name,
        )
        entry["config"] = {"name": entry["config"]["name"]}
        entry["inbound_nodes"] = nodes
        entry["build_config"] = None


def _arguments(node: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any] | None:
    """Returns a call with keyword arguments at their places; None if there are other ones."""
    kwargs = {key: value for key, value in node["kwargs"].items() if key != "name"}
    if set(kwargs) != set(keys):
        return None
    return {"args": [*node["args"], *[kwargs[key] for key in keys]], "kwargs": {}}


def _slicing(node: dict[str, Any]) -> dict[str, Any] | None:
    kwargs = {key: value for key, value in node["kwargs"].items() if key != "name"}
    spec = kwargs.pop("slice_spec", None)
    if kwargs or spec is None:
        return None
    many = isinstance(spec, list)
    parts = [_slice(part) for part in (spec if many else [spec])]
    if None in parts:
        return None
    return {"args": [*node["args"], parts if many else parts[0]], "kwargs": {}}


def _slice(part: Any) -> Any:
    """Returns a part of an index; None if it is of a kind that is not known here."""
    if isinstance(part, dict) and set(part) == {"start", "stop", "step"}:
        if all(item is None or isinstance(item, int) for item in part.values()):
            return {"class_name": "__slice__", "config": part}
        return None
    return part if isinstance(part, int) else None
