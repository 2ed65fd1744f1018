"""The parts of a graph, validated, and in the order that equal graphs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from parsl_tl.architecture.canonical_order import FlatCalls, reorder_layers
from parsl_tl.architecture.layer import Layer, TensorRef
from parsl_tl.architecture.structure import Structure, completed
from parsl_tl.architecture.unused_layers import without_unused_layers
from parsl_tl.errors import ArchitectureError


class Parts(NamedTuple):
    """What a graph is made of; see ``ArchitectureGraph``."""

    layers: Sequence[Layer]
    inputs: Sequence[int]
    outputs: Sequence[TensorRef]
    input_structure: Structure = None
    output_structure: Structure = None

    def ordered(self) -> OrderedParts:
        """Validates the parts, and brings them into the order that equal graphs share.

        Raises:
            ArchitectureError: see ``ArchitectureGraph``.
        """
        _validate(self.layers, self.inputs, self.outputs)
        used = without_unused_layers(self.layers, self.inputs, self.outputs)
        _check_connected(used[0], used[2])
        layers, inputs, outputs, calls = reorder_layers(*used)
        return OrderedParts(
            layers,
            inputs,
            outputs,
            completed(self.input_structure, len(inputs)),
            completed(self.output_structure, len(outputs)),
            calls,
        )


class OrderedParts(NamedTuple):
    """Valid parts, without unused layers, in canonical order.

    Attributes:
        calls: of the layers, where they were in that order already.
    """

    layers: tuple[Layer, ...]
    inputs: tuple[int, ...]
    outputs: tuple[TensorRef, ...]
    input_structure: Structure
    output_structure: Structure
    calls: FlatCalls | None


def _validate(layers: Sequence[Layer], inputs: Sequence[int], outputs: Sequence[TensorRef]) -> None:
    if not layers:
        raise ArchitectureError("an architecture needs at least one layer")
    if not outputs:
        raise ArchitectureError("an architecture needs at least one output")

    num_calls = [1 if layer.is_input else len(layer.calls) for layer in layers]

    def check_refs(refs: Sequence[TensorRef], where: str) -> None:
        for layer, call, tensor in refs:
            if not 0 <= layer < len(layers):
                raise ArchitectureError(f"{where} takes layer {layer} of {len(layers)}")
            if not 0 <= call < num_calls[layer] or tensor < 0:
                raise ArchitectureError(
                    f"{where} takes output {tensor} of call {call} of {layers[layer].name!r}, "
                    f"which is called {num_calls[layer]} times"
                )

    for index, layer in enumerate(layers):
        if layer.is_input and (layer.calls or index not in inputs):
            raise ArchitectureError(
                f"{layer.name!r} is an input layer: list it among the inputs, and give it no calls"
            )
        if not layer.is_input and not any(call.inputs for call in layer.calls):
            raise ArchitectureError(f"{layer.name!r} has no input; only an InputLayer may start")
        for call in layer.calls:
            check_refs(call.inputs, repr(layer.name))
    for index in inputs:
        if not 0 <= index < len(layers) or not layers[index].is_input:
            raise ArchitectureError(f"input {index} is not an InputLayer of this architecture")
    if len(set(inputs)) != len(inputs):
        raise ArchitectureError(f"an input layer is listed twice among the inputs {list(inputs)}")
    check_refs(outputs, "an output")


def _check_connected(layers: Sequence[Layer], outputs: Sequence[TensorRef]) -> None:
    """One part only, but for unused inputs: layers apart would be in no prefix of the rest.

    Args:
        layers: without those that no output needs.
        outputs: output tensors.
    """
    if len({ref.layer for ref in outputs}) == 1:  # which needs them all
        return
    neighbours: list[set[int]] = [set() for _ in layers]
    for target, layer in enumerate(layers):
        for call in layer.calls:
            for ref in call.inputs:
                neighbours[target].add(ref.layer)
                neighbours[ref.layer].add(target)
    seen = {outputs[0].layer}
    todo = [outputs[0].layer]
    while todo:
        for other in neighbours[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    apart = [
        layer.name
        for i, layer in enumerate(layers)
        if i not in seen and (neighbours[i] or not layer.is_input)
    ]
    if apart:
        raise ArchitectureError(
            f"the graph is in more than one part: {apart[0]!r} is not connected with "
            f"{layers[outputs[0].layer].name!r}"
        )
