"""Keras 2 JSON brought into the form of Keras 3, so that equal architectures have equal hashes.

Keras 2 writes inputs as nested lists (``[[["dense", 0, 0, {}]]]``), dtypes as strings and, up to
2.11, initializers without their module. What Keras 3 added to a class' config is filled in with the
value that means what Keras 2 did. A class that is not known here is taken as it is: the model can
be read, and such a layer only differs from its Keras 3 counterpart.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from parsl_tl.architecture.classes import is_functional, is_keras_class, is_network
from parsl_tl.architecture.keras2_nodes import RECURRENT, upgrade_nodes
from parsl_tl.architecture.keras2_operations import convert_operation

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
# What initializers were called up to Keras 2.2: (scale, mode, distribution).
_SCALINGS = {
    (1.0, "fan_avg", "uniform"): "GlorotUniform",
    (1.0, "fan_avg", "normal"): "GlorotNormal",
    (1.0, "fan_in", "uniform"): "LecunUniform",
    (1.0, "fan_in", "normal"): "LecunNormal",
    (2.0, "fan_in", "uniform"): "HeUniform",
    (2.0, "fan_in", "normal"): "HeNormal",
}
# Names that Keras 2 writes for its own activations; any other is a function of the user's.
_KNOWN_ACTIVATIONS = frozenset(
    {
        *("elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "linear", "mish", "relu"),
        *("relu6", "selu", "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh"),
    }
)
_BATCH_NORM = {
    "synchronized": False,
    "renorm": False,
    "renorm_clipping": None,
    "renorm_momentum": 0.99,
}
_RNN = {"zero_output_for_mask": False}
_CELL = {"seed": None}
_LAST = {"data_format": "channels_last"}
# Keys that only Keras 3 writes.
_ADDED: dict[str, dict[str, Any]] = {
    "AlphaDropout": {"noise_shape": None},
    "BatchNormalization": _BATCH_NORM,
    "Conv1D": {"groups": 1},
    "Conv2D": {"groups": 1},
    "Conv3D": {"groups": 1},
    "Dense": {"quantization_config": None},
    "Embedding": {"quantization_config": None},
    "Flatten": _LAST,
    "GRU": {**_RNN, "seed": None},
    "LSTM": {**_RNN, "seed": None},
    "GRUCell": _CELL,
    "LSTMCell": _CELL,
    "LayerNormalization": {"rms_scaling": False},
    "MultiHeadAttention": {"seed": None, "sliding_window": None, "use_gate": False},
    "RNN": _RNN,
    "SimpleRNN": _RNN,
    "SimpleRNNCell": _CELL,
    "SpatialDropout2D": {"data_format": "channels_last"},
    "SpatialDropout3D": {"data_format": "channels_last"},
    "ZeroPadding1D": {"data_format": "channels_last"},
}
_INPUT = {"dtype": "float32", "sparse": False, "ragged": False, "optional": False}
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
    "GRU": {"time_major": False},
    "LSTM": {"time_major": False},
    "MultiHeadAttention": {"softmax_robust_masking": False},
    "RNN": {"time_major": False},
    "SeparableConv1D": _SEPARABLE,
    "SeparableConv2D": _SEPARABLE,
    "SimpleRNN": {"time_major": False},
    "SpatialDropout1D": {"noise_shape": None},
    "SpatialDropout2D": {"noise_shape": None},
    "SpatialDropout3D": {"noise_shape": None},
}
# Keys that say nothing beside the rest: the shape of the input, how something is computed.
_SILENT = frozenset(
    {
        *("batch_input_shape", "implementation", "input_dtype", "input_length"),
        *("key_shape", "query_shape", "value_shape"),
    }
)
_POOLING = re.compile(r"(Global)?(Max|Average)Pooling\dD")


def is_keras2(document: Mapping[str, Any]) -> bool:
    """Returns whether the JSON of a model was written by Keras 2.

    Top-level documents name the version; nested models are known by their inputs.
    """
    if str(document.get("keras_version", "")).startswith("2"):
        return True
    config = document.get("config")
    if isinstance(config, list):  # a Sequential model, up to 2.2
        return True
    entries = config.get("layers") if isinstance(config, Mapping) else None
    return isinstance(entries, Sequence) and any(map(is_keras2_layer, entries))


def is_keras2_layer(entry: Any) -> bool:
    """Returns whether one entry of ``layers`` has the form of Keras 2."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("config"), Mapping):
        return False
    if "batch_input_shape" in entry["config"]:
        return True
    if is_network(entry.get("class_name"), entry["config"]) and is_keras2(entry):
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
    config = document["config"]
    config = {"name": "sequential", "layers": config} if isinstance(config, list) else dict(config)
    config.setdefault("trainable", True)
    written = config["layers"]
    config["layers"] = [_upgrade_entry(entry) for entry in written]
    class_name = document["class_name"]
    own = is_keras_class(document.get("module"), document.get("registered_name"))
    upgraded = {"registered_name": None, **document, "config": config}
    if is_functional(class_name, config):
        _count_calls(config)
        if own:
            upgraded.update(class_name="Functional", module="keras.src.models.functional")
    else:
        shape = _input_shape(written)
        if shape is not None:
            config.setdefault("build_input_shape", shape)
        if own:
            upgraded.update(class_name="Sequential", module="keras")
    return upgraded


def _input_shape(entries: Sequence[Mapping[str, Any]]) -> Any:
    """Returns the shape that the first layer of a Sequential model carries, or None."""
    first = entries[0]["config"]
    if isinstance(first, list):
        return _input_shape(first)
    if "batch_input_shape" not in first and isinstance(first.get("layers"), list):
        return _input_shape(first["layers"])
    return first.get("batch_input_shape")


def _count_calls(config: dict[str, Any]) -> None:
    """Renumbers the calls of nested models, which Keras 2 counts from 1 on.

    Call 0 is the one inside the nested model itself; where one has been seen, they count from 0.
    Keras 3 counts from 0, and in the outputs of a model those of Functional models from 1.
    """
    nested = {
        entry["name"]: is_functional(entry["class_name"], entry["config"])
        for entry in config["layers"]
        if is_network(entry["class_name"], entry["config"])
    }
    if not nested:
        return
    config["output_layers"] = copy.deepcopy(config["output_layers"])
    outputs = list(_histories(config["output_layers"]))
    nodes = [entry.get("inbound_nodes") for entry in config["layers"]]
    inner = list(_histories(nodes))
    for name, functional in nested.items():
        own = [history for history in [*inner, *outputs] if history[0] == name]
        if all(history[1] > 0 for history in own):
            for history in own:
                history[1] -= 1
        for history in outputs:
            history[1] += functional and history[0] == name


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
    nodes = entry.get("inbound_nodes")
    if nodes is not None:
        shape = (entry.get("build_config") or {}).get("input_shape")
        upgraded["inbound_nodes"] = upgrade_nodes(upgraded["class_name"], nodes, shape)
        upgraded["build_config"] = _build_config(upgraded["class_name"], entry)
        convert_operation(upgraded)
    return upgraded


def _build_config(class_name: str, entry: Mapping[str, Any]) -> Any:
    """Returns what Keras 3 builds a layer from, or None where it has to see the inputs."""
    shape = (entry.get("build_config") or {}).get("input_shape")
    first = shape[0] if isinstance(shape, list) and shape else None
    if (
        isinstance(first, list) and class_name in RECURRENT
    ):  # the states have come behind the sequence
        return {"input_shape": first}
    return None if class_name == "MultiHeadAttention" else entry.get("build_config")


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
    if is_network(class_name, entry["config"]):
        nested = upgrade({**upgraded, "config": entry["config"]})
        nested.setdefault("name", nested["config"].get("name"))
        return nested
    shape = (entry.get("build_config") or {}).get("input_shape")
    upgraded["config"] = _upgrade_config(class_name, entry["config"], shape)
    return upgraded


def _upgrade_config(class_name: str, config: Mapping[str, Any], shape: Any) -> dict[str, Any]:
    if class_name == "InputLayer":
        kept = {key: value for key, value in config.items() if key != "batch_input_shape"}
        batch_shape = config.get("batch_input_shape", config.get("batch_shape"))
        return {**_INPUT, **kept, "batch_shape": batch_shape}
    dropped = _DROPPED.get(class_name, {})
    upgraded = dict(_ADDED.get(class_name, {}))
    if _POOLING.fullmatch(class_name):
        upgraded.update(_LAST)
        if class_name.startswith("Global"):
            upgraded["keepdims"] = False
    if "trainable" in config:  # a layer
        upgraded["dtype"] = _dtype_policy("float32")
    for key, value in config.items():
        if key not in _SILENT and (key not in dropped or dropped[key] != value):
            upgraded[key] = _upgrade_value(key, value)
    if class_name == "Lambda":
        return _upgrade_lambda(upgraded)
    if class_name.startswith("SpatialDropout"):
        upgraded["dtype"] = config.get("dtype", "float32")  # Keras 3 writes these without a policy
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
        return _ACTIVATIONS.get(value, value) if value in _KNOWN_ACTIVATIONS else _function(value)
    if key == "cells" and isinstance(value, list):
        return [upgrade_layer(cell) for cell in value]
    if not isinstance(value, Mapping) or "class_name" not in value:
        return value
    for suffix, module in _MODULES.items():
        if key.endswith(suffix):
            return _object(value, module)
    config = value.get("config")
    if isinstance(config, Mapping) and "name" in config:  # a layer inside a wrapper
        return upgrade_layer(value)
    return value


def _function(name: str, module: str | None = None) -> dict[str, Any]:
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _upgrade_lambda(config: dict[str, Any]) -> dict[str, Any]:
    """Returns the config of a Lambda layer with its functions as Keras 3 writes them."""
    for key in ("function", "output_shape", "mask"):
        kind = config.pop(f"{key}_type", None)
        module = config.pop("module" if key == "function" else f"{key}_module", None)
        value: Any = config.get(key)
        if kind == "lambda":
            code, defaults, closure = value  # marshalled; never run
            written = {"code": code, "defaults": defaults, "closure": closure}
            config[key] = {"class_name": "__lambda__", "config": written}
        elif kind == "function":
            config[key] = _function(value, module)
        elif key != "function" and value is None:
            config.pop(key, None)
    return config


def _object(value: Mapping[str, Any], module: str) -> dict[str, Any]:
    """Completes an initializer, a regularizer or a constraint."""
    config = dict(value.get("config") or {})
    scaling: Any = (config.get("scale"), config.get("mode"), config.get("distribution"))
    if value["class_name"] == "VarianceScaling" and _is_scaling(scaling):
        value = {**value, "class_name": _SCALINGS[scaling]}
        config = {"seed": config.get("seed")}
    if module == _INITIALIZERS and value["class_name"] in _FAN_INITIALIZERS:
        config = {"input_axes": None, "output_axes": None, **config}
    elif module == _MODULES["_regularizer"] and value["class_name"] != "L1":  # float32 in both
        config = {key: _as_written(number) for key, number in config.items()}
    return {"module": module, "registered_name": None, **value, "config": config}


def _is_scaling(scaling: tuple[Any, Any, Any]) -> bool:
    return all(isinstance(part, str | float | int) for part in scaling) and scaling in _SCALINGS


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
