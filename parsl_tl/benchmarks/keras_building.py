"""The usual way from an architecture to Keras JSON: build the model, layer by layer."""

from __future__ import annotations

from typing import Any

from parsl_tl.architecture import ArchitectureGraph


def build_with_keras(graph: ArchitectureGraph) -> Any:
    """Builds the ``keras.Model`` with the calls that a user writes; layers have stable names.

    Args:
        graph: every layer of it is called once.
    """
    import keras

    tensors: list[Any] = []
    for layer, name in zip(graph.layers, graph.layer_names, strict=True):
        if layer.is_input:
            shape = layer.config["batch_shape"][1:]
            tensors.append(keras.Input(shape, dtype=layer.config["dtype"], name=name))
            continue
        made = getattr(keras.layers, layer.class_name).from_config({**layer.config, "name": name})
        sources = [tensors[ref.layer] for ref in layer.calls[0].inputs]
        tensors.append(made(sources if len(sources) > 1 else sources[0]))
    return keras.Model(
        [tensors[index] for index in graph.inputs], [tensors[ref.layer] for ref in graph.outputs]
    )
