"""Keras 2 JSON brought into the form of Keras 3, so that equal architectures have equal hashes.

Keras 2 writes inputs as nested lists (``[[["dense", 0, 0, {}]]]``), dtypes as strings and, up to
2.11, initializers without their module. What Keras 3 added to a class' config is filled in with the
value that means what Keras 2 did. A class that is not known here is taken as it is: the model can
be read, and such a layer only differs from its Keras 3 counterpart.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

_INITIALIZERS = "keras.initializers"
# Suffixes of the keys that hold serialized objects, and where Keras finds their classes.
_MODULES = {
    "_initializer": _INITIALIZERS,
    "_regularizer": "keras.regularizers",
    "_constraint": "keras.constraints",
}
_FAN_INITIALIZERS = frozenset(
    {
        "GlorotNormal",
        "GlorotUniform",
        "HeNormal",
        "HeUniform",
        "LecunNormal",
        "LecunUniform",
        "VarianceScaling",
    }
)
_ACTIVATIONS = {"swish": "silu"}
_NETWORKS = ("Functional", "Model", "Sequential")
# Classes that Keras 3 always calls with a mask, if only with None.
_MASKED = frozenset(
    {
        "BatchNormalization",
        "Functional",
        "GRU",
        "GlobalAveragePooling1D",
        "LSTM",
        "Model",
        "Sequential",
        "SimpleRNN",
        "Softmax",
        "TimeDistributed",
    }
)

_BATCH_NORM = {
    "synchronized": False,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}
_RNN = {"zero_output_for_mask": False}
# Keys that only Keras 3 writes.
_ADDED: dict[str, dict[str, Any]] = {
    "AlphaDropout": {"noise_shape": None},
    "BatchNormalization": _BATCH_NORM,
    "Dense": {"quantization_config": None},
    "Embedding": {"quantization_config": None},
    "GRU": {**_RNN, "seed": None},
    "LSTM": {**_RNN, "seed": None},
    "LayerNormalization": {"rms_scaling": False},
    "SimpleRNN": _RNN,
    "SpatialDropout2D": {"data_format": "channels_last"},
    "SpatialDropout3D": {"data_format": "channels_last"},
    "ZeroPadding1D": {"data_format": "channels_last"},
}
_ONE_GROUP = {"groups": 1}
_SEPARABLE = {**_ONE_GROUP, "kernel_regularizer": None, "kernel_constraint": None}
# Keys that only Keras 2 writes, left out when they hold the value given here: another one says
# something that Keras 3 has no word for, and stays so that it counts.
_DROPPED: dict[str, dict[str, Any]] = {
    "Conv1DTranspose": _ONE_GROUP,
    "Conv2DTranspose": _ONE_GROUP,
    "Conv3DTranspose": _ONE_GROUP,
    "Dense": {"activity_regularizer": None},
    "DepthwiseConv1D": _ONE_GROUP,
    "DepthwiseConv2D": _ONE_GROUP,
    "Embedding": {"input_length": None},
    "GRU": {"time_major": False, "implementation": 2},
    "LSTM": {"time_major": False, "implementation": 2},
    "SeparableConv1D": _SEPARABLE,
    "SeparableConv2D": _SEPARABLE,
    "SimpleRNN": {"time_major": False},
    "SpatialDropout1D": {"noise_shape": None},
    "SpatialDropout2D": {"noise_shape": None},
    "SpatialDropout3D": {"noise_shape": None},
}


def is_keras2(document: Mapping[str, Any]) -> bool:
    """Tells whether the JSON of a model was written by Keras 2.

    Top-level documents name the version; nested models are told by their inputs.
    """
    if str(document.get("keras_version", "")).startswith("2"):
        return True
    config = document.get("config")
    entries = config.get("layers") if isinstance(config, Mapping) else None
    return isinstance(entries, Sequence) and any(map(is_keras2_layer, entries))


def is_keras2_layer(entry: Any) -> bool:
    """Tells whether one entry of ``layers`` has the form of Keras 2."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("config"), Mapping):
        return False
    if "batch_input_shape" in entry["config"]:
        return True
    nodes = entry.get("inbound_nodes")
    return isinstance(nodes, list) and bool(nodes) and isinstance(nodes[0], list)


def upgrade(document: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the document of a model in the form of Keras 3.

    Args:
        document: what ``to_json`` of Keras 2 gives, parsed. It may be wrong anywhere: what the
            form needs and is not there raises what Python raises then.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: not the form of Keras 2.
    """
    config = dict(document["config"])
    config["layers"] = [_upgrade_entry(entry) for entry in config["layers"]]
    _count_calls_from_zero(config)
    if document["class_name"] == "Sequential":
        first = document["config"]["layers"][0]["config"]
        config.setdefault("build_input_shape", first.get("batch_input_shape"))
    return {**document, "config": config}


def _count_calls_from_zero(config: dict[str, Any]) -> None:
    """Renumbers the calls of nested models, which Keras 2 counts from 1 on.

    Call 0 is the one inside the nested model itself; where one has been seen, they count from 0.
    """
    nested = {entry["name"] for entry in config["layers"] if entry["class_name"] in _NETWORKS}
    if not nested:
        return
    config["output_layers"] = copy.deepcopy(config["output_layers"])
    nodes = [entry.get("inbound_nodes") for entry in config["layers"]]
    histories = list(_histories([nodes, config["output_layers"]]))
    for name in nested:
        own = [history for history in histories if history[0] == name]
        if all(history[1] > 0 for history in own):
            for history in own:
                history[1] -= 1


def _histories(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _histories(item)
    elif isinstance(value, list) and [type(item) for item in value] == [str, int, int]:
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _histories(item)


def _upgrade_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    upgraded = upgrade_layer(entry)
    if "inbound_nodes" in entry:
        shape = (entry.get("build_config") or {}).get("input_shape")
        upgraded["inbound_nodes"] = upgrade_nodes(
            upgraded["class_name"], entry["inbound_nodes"], shape
        )
    return upgraded


def upgrade_layer(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a layer's entry with the config that Keras 3 writes; its nodes stay as they are."""
    class_name, registered = entry["class_name"], entry.get("registered_name")
    module = entry.get("module", "keras.layers")
    if registered is None and ">" in class_name:  # "package>Class", up to Keras 2.11
        registered, class_name, module = class_name, class_name.rpartition(">")[2], None
    upgraded = {
        **entry,
        "module": module,
        "class_name": class_name,
        "registered_name": registered,
    }
    if class_name not in _NETWORKS:  # those are read as models of their own
        shape = (entry.get("build_config") or {}).get("input_shape")
        upgraded["config"] = _upgrade_config(class_name, entry["config"], shape)
    return upgraded


def _upgrade_config(class_name: str, config: Mapping[str, Any], shape: Any) -> dict[str, Any]:
    if class_name == "InputLayer":
        kept = {key: value for key, value in config.items() if key != "batch_input_shape"}
        batch_shape = config.get("batch_input_shape", config.get("batch_shape"))
        return {"optional": False, **kept, "batch_shape": batch_shape}
    dropped = {"batch_input_shape": config.get("batch_input_shape"), **_DROPPED.get(class_name, {})}
    upgraded = dict(_ADDED.get(class_name, {}))
    for key, value in config.items():
        if key not in dropped or dropped[key] != value:
            upgraded[key] = _upgrade_value(key, value)
    if class_name.startswith("SpatialDropout"):
        upgraded["dtype"] = config["dtype"]  # Keras 3 writes these without a policy
    elif class_name == "BatchNormalization":
        upgraded["axis"] = _axis(upgraded["axis"], shape)
    elif class_name.startswith("SeparableConv"):
        upgraded.pop("kernel_initializer", None)  # inherited there, and never used
    elif class_name == "LeakyReLU" and "alpha" in upgraded:
        upgraded["negative_slope"] = _as_written(upgraded.pop("alpha"))
    return upgraded


def _upgrade_value(key: str, value: Any) -> Any:
    if key == "dtype":
        return _dtype_policy(value)
    if key.endswith("activation") and isinstance(value, str):
        return _ACTIVATIONS.get(value, value)
    if not isinstance(value, Mapping) or "class_name" not in value:
        return value
    for suffix, module in _MODULES.items():
        if key.endswith(suffix):
            return _object(value, module)
    config = value.get("config")
    if isinstance(config, Mapping) and "name" in config:  # a layer inside a wrapper
        return upgrade_layer(value)
    return value


def _object(value: Mapping[str, Any], module: str) -> dict[str, Any]:
    """Completes an initializer, a regularizer or a constraint."""
    config = dict(value.get("config") or {})
    if module == _INITIALIZERS and value["class_name"] in _FAN_INITIALIZERS:
        config = {"input_axes": None, "output_axes": None, **config}
    elif module == _MODULES["_regularizer"] and value["class_name"] != "L1":  # float32 in both
        config = {key: _as_written(number) for key, number in config.items()}
    return {"module": module, "registered_name": None, **value, "config": config}


def _dtype_policy(value: Any) -> Any:
    name = value.get("config", {}).get("name") if isinstance(value, Mapping) else value
    if not isinstance(name, str):
        return value
    return {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": name},
        "registered_name": None,
    }


def _as_written(number: Any) -> Any:
    """Returns 0.01 for 0.009999999776482582: Keras 2 keeps some numbers as float32."""
    if not isinstance(number, float) or float(np.float32(number)) != number:
        return number
    return float(str(np.float32(number)))


def _axis(axis: Any, shape: Any) -> Any:
    """Returns the axis of a normalization as Keras 3 takes it: one number, -1 for the last."""
    number = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    return -1 if isinstance(shape, list) and number == len(shape) - 1 else number


def upgrade_nodes(class_name: str, nodes: Iterable[Any], shape: Any = None) -> list[dict[str, Any]]:
    """Returns a layer's calls as ``{"args", "kwargs"}``.

    Args:
        class_name: the layer's class.
        nodes: one nested list per call; its tensors are ``[layer, call, tensor, kwargs]``, with the
            same kwargs at each.
        shape: that of the input, or of each of them, with the batch dimension; None if unknown.
    """
    always = {"mask": None} if class_name in _MASKED else {}
    return [_upgrade_node(node, shape, always) for node in nodes]


def _upgrade_node(node: Any, shape: Any, always: Mapping[str, Any]) -> dict[str, Any]:
    kwargs: dict[str, Any] = dict(always)
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
    known = shape if isinstance(shape, list) else []
    history = [name, call, tensor]
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": known, "dtype": "float32", "keras_history": history},
    }
