"""Keras JSON to graph and back, without Keras.

The format is that of ``keras.Model.to_json``: a list of layers, each with its config and one
"inbound node" per call, whose arguments hold serialized tensors that name where they come from.
Keras 3's form is read and written; that of Keras 2 is recognized, and brought into it first.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from parsl_tl.architecture.classes import (
    is_functional,
    is_keras_class,
    is_keras_tensor,
    is_network,
    keras_tensor,
    placed,
    tensors_of,
)
from parsl_tl.architecture.function_code import mark_unknown
from parsl_tl.architecture.keras2_json import is_keras2, upgrade
from parsl_tl.architecture.layer import Call, Layer, TensorRef
from parsl_tl.architecture.masks import with_masks
from parsl_tl.architecture.parts import Parts
from parsl_tl.architecture.structure import filled, flatten
from parsl_tl.errors import ArchitectureError

# What comes of reading JSON that is not a model's: something is missing, or is of another kind.
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


def parse(text: str | bytes) -> Parts:
    """Reads Keras JSON into layers, inputs and outputs.

    Args:
        text: what ``to_json`` of a model gives, or the config alone that ``get_config`` gives.

    Raises:
        ArchitectureError: it is not JSON, or not that of a Functional or built Sequential model.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArchitectureError(f"this is not JSON: {error}") from error
    return parse_nested(_with_class(document))


def parse_nested(document: Any) -> Parts:
    """Reads a parsed document, with its class; it is changed.

    Raises:
        ArchitectureError: it is not that of a Functional or built Sequential model.
    """
    kind = document.get("class_name") if isinstance(document, Mapping) else None
    try:
        if isinstance(kind, str) and is_network(kind, document.get("config")):
            keras2 = is_keras2(document)
            if keras2:
                document = upgrade(document)
            mark_unknown(document)
            if not is_functional(kind, document["config"]):
                parts = _parse_sequential(document["config"])
                return parts._replace(layers=with_masks(parts.layers))
            parts = _parse_functional(document["config"])
            return parts._replace(layers=with_masks(parts.layers)) if keras2 else parts
    except _MALFORMED as error:
        raise ArchitectureError(
            f"this is not the JSON of a Keras model ({type(error).__name__}: {error}); "
            "write it with model.to_json()"
        ) from error
    if isinstance(document, Mapping) and "config" not in document:
        raise ArchitectureError(
            "this is not the JSON of a Keras model (it has no 'config'); write it with "
            "model.to_json()"
        )
    raise ArchitectureError(
        f"a model of class {kind!r} has no graph of layers; use a Functional or Sequential model"
    )


def _with_class(document: Any) -> Any:
    """Names the class of a config that stands alone, told by what is in it."""
    if isinstance(document, list) and document:  # a Sequential model's, up to Keras 2.2
        return {"class_name": "Sequential", "config": document}
    if isinstance(document, dict) and "class_name" not in document and "layers" in document:
        kind = "Functional" if "output_layers" in document else "Sequential"
        return {"class_name": kind, "config": document}
    return document


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

    def output(history: Sequence[Any]) -> TensorRef:
        found = ref(history)
        entry = entries[found.layer]
        if not is_functional(entry["class_name"], entry["config"]):
            return found
        # Here, and only here, Keras counts a call inside of a nested model as its first.
        call = found.call - 1 if found.call else len(entry["inbound_nodes"]) - 1
        return found._replace(call=call)

    layers = []
    for entry in entries:
        calls = []
        for node in entry["inbound_nodes"]:
            form = {"args": node.get("args", []), "kwargs": node.get("kwargs", {})}
            if not isinstance(form["kwargs"], Mapping):
                raise TypeError(f"kwargs of a call of {entry['name']!r} are no mapping")
            if is_keras_class(entry.get("module"), entry.get("registered_name")):
                form = placed(entry["class_name"], form)
            found = tuple(ref(tensor["config"]["keras_history"]) for tensor in tensors_of(form))
            calls.append(Call(found, form))
        layers.append(_layer(entry, entry["name"], tuple(calls)))
    inputs, input_structure = flatten(config["input_layers"], _is_history)
    outputs, output_structure = flatten(config["output_layers"], _is_history)
    return Parts(
        layers,
        [ref(history).layer for history in inputs],
        [output(history) for history in outputs],
        input_structure,
        output_structure,
    )


def _parse_sequential(config: Any) -> Parts:
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
        # Keras finds the tensor by its history; where the shape is not known, any one will do.
        shape = (entry.get("build_config") or {}).get("input_shape") or []
        node = {"args": [keras_tensor(source.name, 0, 0, shape)], "kwargs": {}}
        call = Call((TensorRef(len(layers) - 1, 0, 0),), node)
        layers.append(_layer(entry, name, (call,)))
    return Parts(layers, [0], [TensorRef(len(layers) - 1, 0, 0)])


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


def _is_history(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)


def write(parts: Parts, names: Sequence[str]) -> str:
    """Returns a graph as the JSON of a Functional model.

    Args:
        parts: the graph's.
        names: of its layers.
    """
    entries = (
        write_layer(layer, name, [names[ref.layer] for call in layer.calls for ref in call.inputs])
        for name, layer in zip(names, parts.layers, strict=True)
    )
    inputs = [(names[index], 0, 0) for index in parts.inputs]
    outputs = [
        # See where they are read: calls of nested models count from 1 there.
        (names[ref.layer], ref.call + _is_nested(parts.layers[ref.layer]), ref.tensor)
        for ref in parts.outputs
    ]
    foot = _foot(filled(parts.input_structure, inputs), filled(parts.output_structure, outputs))
    return write_head() + ", ".join(entries) + foot


def _is_nested(layer: Layer) -> bool:
    return is_functional(layer.class_name, layer.config)


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

    def tensors(found: Sequence[str | tuple[str, int, int]]) -> Any:
        triples = [(item, 0, 0) if isinstance(item, str) else item for item in found]
        # Keras writes a single tensor without a list around it.
        return triples[0] if len(triples) == 1 else triples

    return _foot(tensors(inputs), tensors(outputs))


def _foot(inputs: Any, outputs: Any) -> str:
    return (
        f'], "input_layers": {json.dumps(inputs)}, "output_layers": {json.dumps(outputs)}}}, '
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
            # In the order in which the tensors were collected.
            copied = {key: copy(value[key]) for key in sorted(value)}
            return {key: copied[key] for key in value}
        if isinstance(value, list | tuple):
            return [copy(item) for item in value]
        return value

    return copy(call.node)
