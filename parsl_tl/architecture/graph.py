"""The architecture graph: layers, validated, with their hashes and stable names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture.canonical import lacks_rank, layer_digest, node_digest
from parsl_tl.architecture.canonical_order import reorder_layers
from parsl_tl.architecture.layer import Layer, TensorRef
from parsl_tl.architecture.prefix import hash_graphs, layer_keys, number_twins, stable_name
from parsl_tl.architecture.ranks import input_ranks
from parsl_tl.architecture.structure import Structure, completed, meaning_of, paths_of
from parsl_tl.architecture.unused_layers import without_unused_layers
from parsl_tl.errors import ArchitectureError

if TYPE_CHECKING:
    import keras


class ArchitectureGraph:
    """A model as a graph of layers: immutable, without weights, and without Keras.

    Attributes:
        layers: in canonical order, which is a topological one.
        inputs: indices of the input layers, in the order of the model's inputs.
        outputs: the model's output tensors.
        input_structure: how the model takes its inputs: lists and dicts, at any depth, that hold
            numbers of ``inputs``.
        output_structure: the same for ``outputs``.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        inputs: Sequence[int],
        outputs: Sequence[TensorRef],
        *,
        input_structure: Structure = None,
        output_structure: Structure = None,
    ) -> None:
        """Validates a graph and brings its layers into the order that equal graphs share.

        That is a topological one: depth first from the outputs, see ``canonical_order``. A layer's
        calls stand in the order in which the outputs need them. What no output needs is left out,
        as Keras does, but for input layers.

        Args:
            layers: in any order.
            inputs: indices of the input layers.
            outputs: output tensors.
            input_structure: None for a list, or one tensor.
            output_structure: None for a list, or one tensor.

        Raises:
            ArchitectureError: an unknown layer, a cycle of calls, more than one connected part, an
                input layer that is not among the inputs, or no output.
        """
        _validate(layers, inputs, outputs)
        layers, inputs, outputs = without_unused_layers(layers, inputs, outputs)
        _check_connected(layers, outputs)
        self.layers, self.inputs, self.outputs = reorder_layers(layers, inputs, outputs)
        self.input_structure = completed(input_structure, len(self.inputs))
        self.output_structure = completed(output_structure, len(self.outputs))

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        return (
            f"ArchitectureGraph({len(self)} layers, {len(self.inputs)} inputs, "
            f"{len(self.outputs)} outputs)"
        )

    def __eq__(self, other: object) -> bool:
        """Two graphs are equal when they have the same layers with the same histories."""
        if not isinstance(other, ArchitectureGraph):
            return NotImplemented
        return self.identity == other.identity

    def __hash__(self) -> int:
        return hash(json.dumps(self.identity, sort_keys=True))

    def __getstate__(self) -> dict[str, Any]:
        # The text is as long as all the rest, and made anew where it is wanted.
        return {name: value for name, value in self.__dict__.items() if name != "_json"}

    @cached_property
    def identity(self) -> list[Any]:
        """What equal graphs have in common, as plain lists, dicts and integers."""
        keys = self.layer_keys.tolist()
        outputs = [[keys[ref.layer], ref.call, ref.tensor] for ref in self.outputs]
        # The keys and places of inputs are in the hashes of input layers.
        return [sorted(keys), outputs, meaning_of(self.output_structure)]

    @cached_property
    def layer_digests(self) -> list[int]:
        """The digest of each layer by itself."""
        paths = paths_of(self.input_structure)
        position = dict(zip(self.inputs, paths, strict=True))
        ranks: list[int | None] = [None] * len(self)
        if any(map(lacks_rank, self.layers)):
            ranks = input_ranks(self.layers)
        return [
            layer_digest(layer, position.get(i), ranks[i]) for i, layer in enumerate(self.layers)
        ]

    @cached_property
    def call_digests(self) -> list[list[int]]:
        """The digest of the form of each layer's calls."""
        return [[node_digest(call.node) for call in layer.calls] for layer in self.layers]

    @cached_property
    def prefix_hashes(self) -> NDArray[np.uint64]:
        """One uint64 per layer; twins (equal layers on equal inputs) have equal hashes."""
        return hash_graphs([self])[0]

    @cached_property
    def layer_names(self) -> list[str]:
        """Stable names, one per layer: class name, hash, and ``_k`` for the k-th further twin."""
        hashes = self.prefix_hashes.tolist()
        return [
            stable_name(layer.class_name, value, twin)
            for layer, value, twin in zip(self.layers, hashes, number_twins(hashes), strict=True)
        ]

    @cached_property
    def layer_keys(self) -> NDArray[np.uint64]:
        """One uint64 per layer, unique in the model: what the store indexes."""
        return layer_keys(self.prefix_hashes.tolist())

    @cached_property
    def edges(self) -> NDArray[np.uint32]:
        """Pairs (source layer, target layer), shape [m, 2]; one for each tensor that goes in."""
        pairs = [
            (ref.layer, target)
            for target, layer in enumerate(self.layers)
            for call in layer.calls
            for ref in call.inputs
        ]
        return np.array(pairs, dtype=np.uint32).reshape(-1, 2)

    @classmethod
    def from_json(cls, text: str | bytes) -> ArchitectureGraph:
        """Reads the Keras JSON of a Functional or a (built) Sequential model.

        Raises:
            ArchitectureError: the text is no such JSON.
        """
        from parsl_tl.architecture.keras_json import parse

        parts = parse(text)
        return cls(
            parts.layers,
            parts.inputs,
            parts.outputs,
            input_structure=parts.input_structure,
            output_structure=parts.output_structure,
        )

    def to_json(self) -> str:
        """Returns Keras JSON in which layers carry their stable names; no model is built."""
        return self._json

    @cached_property
    def _json(self) -> str:
        from parsl_tl.architecture.keras_json import write

        return write(self)

    @classmethod
    def from_keras(cls, model: keras.Model) -> ArchitectureGraph:
        """Takes the graph of a Keras model: Functional, or Sequential with known input.

        Raises:
            ArchitectureError: the model is a subclass with a ``call`` of its own, or not built.
        """
        from parsl_tl.architecture.keras_model import graph_of

        return graph_of(model)

    def to_keras(self) -> Any:
        """Builds the ``keras.Model``, with fresh weights; layers carry their stable names.

        Raises:
            ArchitectureError: Keras cannot build it (shapes that do not fit, an unknown class).
        """
        from parsl_tl.architecture.keras_model import build

        return build(self)


def _validate(layers: Sequence[Layer], inputs: Sequence[int], outputs: Sequence[TensorRef]) -> None:
    if not layers:
        raise ArchitectureError("an architecture needs at least one layer")
    if not outputs:
        raise ArchitectureError("an architecture needs at least one output")

    def check_ref(ref: TensorRef, where: str) -> None:
        if not 0 <= ref.layer < len(layers):
            raise ArchitectureError(f"{where} takes layer {ref.layer} of {len(layers)}")
        source = layers[ref.layer]
        calls = 1 if source.is_input else len(source.calls)
        if not 0 <= ref.call < calls or ref.tensor < 0:
            raise ArchitectureError(
                f"{where} takes output {ref.tensor} of call {ref.call} of {source.name!r}, "
                f"which is called {calls} times"
            )

    for index, layer in enumerate(layers):
        if layer.is_input and (layer.calls or index not in inputs):
            raise ArchitectureError(
                f"{layer.name!r} is an input layer: list it among the inputs, and give it no calls"
            )
        if not layer.is_input and not any(call.inputs for call in layer.calls):
            raise ArchitectureError(f"{layer.name!r} has no input; only an InputLayer may start")
        for call in layer.calls:
            for ref in call.inputs:
                check_ref(ref, repr(layer.name))
    for index in inputs:
        if not 0 <= index < len(layers) or not layers[index].is_input:
            raise ArchitectureError(f"input {index} is not an InputLayer of this architecture")
    if len(set(inputs)) != len(inputs):
        raise ArchitectureError(f"an input layer is listed twice among the inputs {list(inputs)}")
    for ref in outputs:
        check_ref(ref, "an output")


def _check_connected(layers: Sequence[Layer], outputs: Sequence[TensorRef]) -> None:
    """One part only, but for unused inputs: layers apart would be in no prefix of the rest."""
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
