"""The architecture graph: layers, validated, with their hashes and stable names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture.canonical import call_digests, identity_of, layer_digests
from parsl_tl.architecture.keras_json import parse, write
from parsl_tl.architecture.keras_model import build_model, read_model
from parsl_tl.architecture.keras_state import refuse_graph
from parsl_tl.architecture.layer import Layer, TensorRef
from parsl_tl.architecture.notebook import show_layers
from parsl_tl.architecture.parts import Parts
from parsl_tl.architecture.prefix import hash_layers, layer_keys, number_twins, stable_name
from parsl_tl.architecture.structure import Structure

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
        parts = Parts(layers, inputs, outputs, input_structure, output_structure).ordered()
        self.layers = parts.layers
        self.inputs = parts.inputs
        self.outputs = parts.outputs
        self.input_structure = parts.input_structure
        self.output_structure = parts.output_structure
        self._calls = parts.calls

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        return (
            f"ArchitectureGraph({len(self)} layers, {len(self.inputs)} inputs, "
            f"{len(self.outputs)} outputs)"
        )

    def _repr_html_(self) -> str:
        """Shows the layers in a notebook, with what feeds each."""
        return show_layers(repr(self), self.layers, self.layer_names)

    def __eq__(self, other: object) -> bool:
        """Two graphs are equal when they have the same layers with the same histories."""
        if not isinstance(other, ArchitectureGraph):
            return NotImplemented
        return self.identity == other.identity

    def __hash__(self) -> int:
        return hash(json.dumps(self.identity, sort_keys=True))

    def __getstate__(self) -> dict[str, Any]:
        # The text is as long as all the rest; it and the calls are made anew where they are wanted.
        kept = {name: value for name, value in self.__dict__.items() if name != "_json"}
        return {**kept, "_calls": None}

    @cached_property
    def identity(self) -> list[Any]:
        """What equal graphs have in common, as plain lists, dicts and integers."""
        return identity_of(self.layer_keys, self.outputs, self.output_structure)

    @cached_property
    def layer_digests(self) -> list[int]:
        """The digest of each layer by itself."""
        return layer_digests(self.layers, self.inputs, self.input_structure)

    @cached_property
    def call_digests(self) -> list[list[int]]:
        """The digest of the form of each layer's calls."""
        return call_digests(self.layers)

    @cached_property
    def prefix_hashes(self) -> NDArray[np.uint64]:
        """One uint64 per layer; twins (equal layers on equal inputs) have equal hashes."""
        return hash_layers(
            [self.layers], [self.layer_digests], [self.call_digests], calls=self._calls
        )[0]

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
        parts = Parts(
            self.layers, self.inputs, self.outputs, self.input_structure, self.output_structure
        )
        return write(parts, self.layer_names)

    @classmethod
    def from_keras(cls, model: keras.Model) -> ArchitectureGraph:
        """Takes the graph of a Keras model: Functional, or Sequential with known input.

        Raises:
            ArchitectureError: the model is a subclass with a ``call`` of its own, or not built.
        """
        text, refusal = read_model(model)
        graph = cls.from_json(text)
        if refusal is not None:
            refuse_graph(graph, refusal)
        return graph

    def to_keras(self) -> Any:
        """Builds the ``keras.Model``, with fresh weights; layers carry their stable names.

        Raises:
            ArchitectureError: Keras cannot build it (shapes that do not fit, an unknown class).
        """
        return build_model(self.to_json(), self.layers)


def hash_graphs(graphs: Sequence[ArchitectureGraph]) -> list[NDArray[np.uint64]]:
    """Returns the prefix hashes of many graphs, computed in one call of the native module."""
    return hash_layers(
        [graph.layers for graph in graphs],
        (graph.layer_digests for graph in graphs),
        (graph.call_digests for graph in graphs),
    )


def longest_common_prefix(child: ArchitectureGraph, ancestor: ArchitectureGraph) -> list[str]:
    """Returns the layers that two models have in common, each with all that leads to it.

    Args:
        child: the model whose layer names are returned.
        ancestor: the model to compare with.

    Returns:
        Stable names of layers in the child, in topological order. They name the same layers in
        the ancestor.
    """
    there = set(ancestor.layer_keys.tolist())
    keys = child.layer_keys.tolist()
    return [name for name, key in zip(child.layer_names, keys, strict=True) if key in there]
