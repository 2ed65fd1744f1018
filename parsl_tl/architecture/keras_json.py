"""Keras 3 JSON to graph and back, without Keras.

The format is that of ``keras.Model.to_json``: a list of layers, each with its config and one
"inbound node" per call, whose arguments hold serialized tensors that name where they come from.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parsl_tl.architecture.canonical import is_keras_tensor
from parsl_tl.architecture.layer import Call, Layer, TensorRef
from parsl_tl.errors import ArchitectureError

if TYPE_CHECKING:
    from parsl_tl.architecture.graph import ArchitectureGraph

Parts = tuple[list[Layer], list[int], list[TensorRef]]


def parse(text: str | bytes) -> Parts:
    """Reads Keras JSON into layers, inputs and outputs.

    Raises:
        ArchitectureError: it is not JSON, or not that of a Functional or built Sequential model.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ArchitectureError(f"this is not JSON: {error}") from error
    kind = document.get("class_name") if isinstance(document, dict) else None
    try:
        if kind in ("Functional", "Model"):
            return _parse_functional(document["config"])
        if kind == "Sequential":
            return _parse_sequential(document["config"])
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ArchitectureError(
            f"this is not the JSON of a Keras 3 model ({type(error).__name__}: {error}); "
            "write it with model.to_json()"
        ) from error
    raise ArchitectureError(
        f"a model of class {kind!r} has no graph of layers; use a Functional or Sequential model"
    )


def _parse_functional(config: Mapping[str, Any]) -> Parts:
    entries = config["layers"]
    index = {entry["name"]: i for i, entry in enumerate(entries)}
    if len(index) != len(entries):
        raise ArchitectureError("two layers of the model have the same name")

    def ref(history: Sequence[Any]) -> TensorRef:
        name, call, tensor = history
        if name not in index:
            raise ArchitectureError(f"an input comes from {name!r}, which is no layer of the model")
        return TensorRef(index[name], int(call), int(tensor))

    layers = []
    for entry in entries:
        calls = []
        for node in entry["inbound_nodes"]:
            found = tuple(ref(tensor["config"]["keras_history"]) for tensor in _tensors(node))
            calls.append(Call(found, node))
        layers.append(_layer(entry, entry["name"], tuple(calls)))
    inputs = [ref(history).layer for history in _histories(config["input_layers"])]
    outputs = [ref(history) for history in _histories(config["output_layers"])]
    return layers, inputs, outputs


def _parse_sequential(config: Mapping[str, Any]) -> Parts:
    layers: list[Layer] = []
    for entry in config["layers"]:
        name = entry["config"]["name"]
        if entry["class_name"] == "InputLayer":
            layers.append(_layer(entry, name, ()))
            continue
        if not layers:  # the first layer carries the input's shape itself
            batch_shape = config.get("build_input_shape")
            if batch_shape is None:
                raise ArchitectureError(
                    "the Sequential model is not built: give it a keras.Input, or call it once"
                )
            layers.append(Layer("input", "InputLayer", _input_config(batch_shape), ()))
        source = layers[-1]
        shape = (entry.get("build_config") or {}).get("input_shape")
        node = {"args": [keras_tensor(source.name, 0, 0, shape)], "kwargs": {}}
        call = Call((TensorRef(len(layers) - 1, 0, 0),), node)
        layers.append(_layer(entry, name, (call,)))
    return layers, [0], [TensorRef(len(layers) - 1, 0, 0)]


def _input_config(batch_shape: Sequence[int | None], dtype: str = "float32") -> dict[str, Any]:
    return {
        "batch_shape": list(batch_shape),
        "dtype": dtype,
        "sparse": False,
        "ragged": False,
        "name": "input",
        "optional": False,
    }


def _layer(entry: Mapping[str, Any], name: str, calls: tuple[Call, ...]) -> Layer:
    config = dict(entry["config"])
    return Layer(
        name,
        entry["class_name"],
        config,
        calls,
        entry.get("module"),
        entry.get("registered_name"),
        entry.get("build_config"),
    )


def _histories(value: Any) -> list[Sequence[Any]]:
    """Flattens input or output tensors: one, a list, or a dict of them."""
    if isinstance(value, Mapping):
        return [item for part in value.values() for item in _histories(part)]
    if len(value) == 3 and isinstance(value[0], str):
        return [value]
    return [item for part in value for item in _histories(part)]


def _tensors(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yields the tensors among a call's arguments, in the order in which they stand there."""
    if is_keras_tensor(value):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def keras_tensor(
    name: str, call: int, tensor: int, shape: Sequence[int | None] | None, dtype: str = "float32"
) -> dict[str, Any]:
    """Returns a tensor as it stands in Keras JSON."""
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": shape, "dtype": dtype, "keras_history": [name, call, tensor]},
    }


def write(graph: ArchitectureGraph) -> str:
    """Returns the graph as the JSON of a Functional model, with stable layer names."""
    names = graph.layer_names
    entries = []
    for name, layer in zip(names, graph.layers, strict=True):
        entry: dict[str, Any] = {
            "module": layer.module,
            "class_name": layer.class_name,
            "config": {**layer.config, "name": name},
            "registered_name": layer.registered_name,
        }
        if layer.build_config is not None:
            entry["build_config"] = layer.build_config
        entry["name"] = name
        entry["inbound_nodes"] = [_write_node(call, names) for call in layer.calls]
        entries.append(entry)
    inputs: list[Any] = [[names[index], 0, 0] for index in graph.inputs]
    outputs: list[Any] = [[names[ref.layer], ref.call, ref.tensor] for ref in graph.outputs]
    config = {
        "name": "functional",
        "trainable": True,
        "layers": entries,
        # Keras writes a single tensor without a list around it.
        "input_layers": inputs[0] if len(inputs) == 1 else inputs,
        "output_layers": outputs[0] if len(outputs) == 1 else outputs,
    }
    return json.dumps(
        {
            "module": "keras.src.models.functional",
            "class_name": "Functional",
            "config": config,
            "registered_name": "Functional",
            "build_config": {"input_shape": None},
        }
    )


def _write_node(call: Call, names: Sequence[str]) -> Any:
    """Copies a call's arguments, with each tensor naming its source by stable name."""
    refs = iter(call.inputs)

    def copy(value: Any) -> Any:
        if is_keras_tensor(value):
            ref = next(refs)
            history = [names[ref.layer], ref.call, ref.tensor]
            return {**value, "config": {**value["config"], "keras_history": history}}
        if isinstance(value, Mapping):
            return {key: copy(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [copy(item) for item in value]
        return value

    return copy(call.node)
