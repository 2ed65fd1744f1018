"""The architecture graph: layers, validated, with their hashes and stable names."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture.canonical import layer_digest, node_digest
from parsl_tl.architecture.layer import Call, Layer, TensorRef
from parsl_tl.architecture.prefix import hash_layers, layer_keys, number_twins, stable_name
from parsl_tl.errors import ArchitectureError

if TYPE_CHECKING:
    import keras


class ArchitectureGraph:
    """A model as a graph of layers: immutable, without weights, and without Keras.

    Attributes:
        layers: in topological order.
        inputs: indices of the input layers, in the order of the model's inputs.
        outputs: the model's output tensors.
    """

    def __init__(
        self, layers: Sequence[Layer], inputs: Sequence[int], outputs: Sequence[TensorRef]
    ) -> None:
        """Validates a graph and brings its layers into topological order.

        Layers that are already in such an order keep it.

        Args:
            layers: in any order.
            inputs: indices of the input layers.
            outputs: output tensors.

        Raises:
            ArchitectureError: an unknown layer, a cycle, more than one connected part, an input
                layer that is not among the inputs, or no output.
        """
        _validate(layers, inputs, outputs)
        order = _topological_order(layers)
        place = {old: new for new, old in enumerate(order)}
        self.layers = tuple(_renumber(layers[old], place) for old in order)
        self.inputs = tuple(place[old] for old in inputs)
        self.outputs = tuple(ref._replace(layer=place[ref.layer]) for ref in outputs)

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
        return self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    def __getstate__(self) -> dict[str, Any]:
        # The text is as long as all the rest, and made anew where it is wanted.
        return {name: value for name, value in self.__dict__.items() if name != "_json"}

    @cached_property
    def _identity(self) -> tuple[tuple[int, ...], tuple[tuple[int, int, int], ...]]:
        hashes = self.prefix_hashes.tolist()
        outputs = tuple((hashes[ref.layer], ref.call, ref.tensor) for ref in self.outputs)
        return tuple(sorted(hashes)), outputs

    @cached_property
    def layer_digests(self) -> list[int]:
        """The digest of each layer by itself."""
        position = {layer: number for number, layer in enumerate(self.inputs)}
        return [
            layer_digest(layer.class_name, layer.registered_name, layer.config, position.get(i))
            for i, layer in enumerate(self.layers)
        ]

    @cached_property
    def call_digests(self) -> list[list[int]]:
        """The digest of the form of each layer's calls."""
        return [[node_digest(call.node) for call in layer.calls] for layer in self.layers]

    @cached_property
    def prefix_hashes(self) -> NDArray[np.uint64]:
        """One uint64 per layer; twins (equal layers on equal inputs) have equal hashes."""
        return hash_layers([(self.layers, self.layer_digests, self.call_digests)])[0]

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

        return cls(*parse(text))

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
    _check_connected(layers)


def _check_connected(layers: Sequence[Layer]) -> None:
    """One part only: layers apart from the rest would be in no prefix of it."""
    neighbours: list[set[int]] = [set() for _ in layers]
    for target, layer in enumerate(layers):
        for call in layer.calls:
            for ref in call.inputs:
                neighbours[target].add(ref.layer)
                neighbours[ref.layer].add(target)
    seen = {0}
    todo = [0]
    while todo:
        for other in neighbours[todo.pop()] - seen:
            seen.add(other)
            todo.append(other)
    apart = [layer.name for i, layer in enumerate(layers) if i not in seen]
    if apart:
        raise ArchitectureError(
            f"the graph is in more than one part: {apart[0]!r} is not connected with "
            f"{layers[0].name!r}"
        )


def _topological_order(layers: Sequence[Layer]) -> list[int]:
    """Orders layers behind their inputs; the listed order decides wherever it can.

    Layers that feed themselves by a further call stand behind their first call's inputs. A real
    cycle among calls is left to the hashing, which sees calls and not only layers.
    """
    waiting = [{ref.layer for call in layer.calls for ref in call.inputs} for layer in layers]
    followers: list[list[int]] = [[] for _ in layers]
    for index, sources in enumerate(waiting):
        sources.discard(index)
        for source in sources:
            followers[source].append(index)
    ready = [index for index, sources in enumerate(waiting) if not sources]
    heapq.heapify(ready)
    order: list[int] = []
    placed = [False] * len(layers)
    while len(order) < len(layers):
        # Nothing ready: shared layers that feed each other. The first listed goes first.
        index = heapq.heappop(ready) if ready else placed.index(False)
        if placed[index]:
            continue
        placed[index] = True
        order.append(index)
        for follower in followers[index]:
            waiting[follower].discard(index)
            if not waiting[follower] and not placed[follower]:
                heapq.heappush(ready, follower)
    return order


def _renumber(layer: Layer, place: dict[int, int]) -> Layer:
    if all(old == new for old, new in place.items()):
        return layer
    calls = tuple(
        Call(tuple(ref._replace(layer=place[ref.layer]) for ref in call.inputs), call.node)
        for call in layer.calls
    )
    return Layer(
        layer.name,
        layer.class_name,
        layer.config,
        calls,
        layer.module,
        layer.registered_name,
        layer.build_config,
    )
