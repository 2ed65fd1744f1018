"""Keras JSON to graph and back, without Keras.

The format is that of ``keras.Model.to_json``: a list of layers, each with its config and one
"inbound node" per call, whose arguments hold serialized tensors that name where they come from.
Keras 3's form is read and written; that of Keras 2 is told by itself, and brought into it first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parsl_tl.architecture.canonical import is_keras_tensor
from parsl_tl.architecture.keras2_json import is_keras2, upgrade
from parsl_tl.architecture.layer import Call, Layer, TensorRef
from parsl_tl.errors import ArchitectureError

if TYPE_CHECKING:
    from parsl_tl.architecture.graph import ArchitectureGraph

Parts = tuple[list[Layer], list[int], list[TensorRef]]
# What comes of reading JSON that is not a model's: something is missing, or is of another kind.
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


def parse(text: str | bytes) -> Parts:
    """Reads Keras JSON into layers, inputs and outputs.

    Raises:
        ArchitectureError: it is not JSON, or not that of a Functional or built Sequential model.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArchitectureError(f"this is not JSON: {error}") from error
    kind = document.get("class_name") if isinstance(document, dict) else None
    try:
        if kind in ("Functional", "Model", "Sequential") and is_keras2(document):
            document = upgrade(document)
        if kind in ("Functional", "Model"):
            return _parse_functional(document["config"])
        if kind == "Sequential":
            return _parse_sequential(document["config"])
    except _MALFORMED as error:
        raise ArchitectureError(
            f"this is not the JSON of a Keras model ({type(error).__name__}: {error}); "
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
        if not 0 <= int(tensor) < 1 << 16:
            raise ArchitectureError(f"an input is output {tensor} of {name!r}, which has fewer")
        return TensorRef(index[name], int(call), int(tensor))

    layers = []
    for entry in entries:
        calls = []
        for node in entry["inbound_nodes"]:
            if not isinstance(node.get("kwargs", {}), Mapping):
                raise TypeError(f"kwargs of a call of {entry['name']!r} are no mapping")
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
    if not isinstance(name, str) or not isinstance(entry["class_name"], str):
        raise TypeError(f"a layer of class {entry['class_name']!r} with the name {name!r}")
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
    entries = (
        write_layer(layer, name, [names[ref.layer] for call in layer.calls for ref in call.inputs])
        for name, layer in zip(names, graph.layers, strict=True)
    )
    inputs = [names[index] for index in graph.inputs]
    outputs = [(names[ref.layer], ref.call, ref.tensor) for ref in graph.outputs]
    return write_head() + ", ".join(entries) + write_foot(inputs, outputs)


def write_head() -> str:
    """Returns what stands before the layers of a model."""
    return (
        '{"module": "keras.src.models.functional", "class_name": "Functional", '
        '"config": {"name": "functional", "trainable": true, "layers": ['
    )


def write_layer(layer: Layer, name: str, input_names: Sequence[str]) -> str:
    """Returns one layer as it stands in the list of layers.

    Args:
        layer: the layer.
        name: its stable name.
        input_names: the names of the layers behind its input tensors, call by call.
    """
    entry: dict[str, Any] = {
        "module": layer.module,
        "class_name": layer.class_name,
        "config": {**layer.config, "name": name},
        "registered_name": layer.registered_name,
    }
    if layer.build_config is not None:
        entry["build_config"] = layer.build_config
    entry["name"] = name
    names = iter(input_names)
    entry["inbound_nodes"] = [_write_node(call, names) for call in layer.calls]
    return json.dumps(entry)


def write_foot(inputs: Sequence[str], outputs: Sequence[str | tuple[str, int, int]]) -> str:
    """Returns what stands behind the layers of a model.

    Args:
        inputs: the names of its input layers.
        outputs: its output tensors: the layer's name, the number of the call, that of the tensor;
            or the name alone for the first of both.
    """

    def tensors(found: Sequence[str | tuple[str, int, int]]) -> str:
        triples = [[item, 0, 0] if isinstance(item, str) else list(item) for item in found]
        # Keras writes a single tensor without a list around it.
        return json.dumps(triples[0] if len(triples) == 1 else triples)

    return (
        f'], "input_layers": {tensors(inputs)}, "output_layers": {tensors(outputs)}}}, '
        '"registered_name": "Functional", "build_config": {"input_shape": null}}'
    )


def _write_node(call: Call, names: Iterator[str]) -> Any:
    """Copies a call's arguments, with each tensor naming its source by the next of the names."""
    refs = iter(call.inputs)

    def copy(value: Any) -> Any:
        if is_keras_tensor(value):
            ref = next(refs)
            history = [next(names), ref.call, ref.tensor]
            return {**value, "config": {**value["config"], "keras_history": history}}
        if isinstance(value, Mapping):
            return {key: copy(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [copy(item) for item in value]
        return value

    return copy(call.node)
