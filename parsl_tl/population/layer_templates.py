"""The few different layers that the models of one space are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture import GraphBuilder, Tensor
from parsl_tl.architecture.keras_json import write_foot, write_head, write_layer
from parsl_tl.architecture.parameter_count import parameter_count
from parsl_tl.native import native
from parsl_tl.spaces.keras_layers import concatenate

# Marks that stand for names until a model's own are filled in; no config holds such a text.
_OWN = "@@own@@"
_MARK = re.compile(r"@@(own|-?\d+)@@")
_OWN_GAP = -1

Shape = tuple[int, ...]
# Adds the layer to the builder, on the tensors that it is given.
MakeLayer = Callable[[GraphBuilder, Sequence[Tensor]], Tensor]
GapText = tuple[list[str], list[int]]


class LayerTemplate(NamedTuple):
    """What all layers have in common that differ only in their name and history.

    Attributes:
        class_name: the Keras class.
        text: the layer's Keras JSON, cut where names go; and what goes there: the number of an
            input, or -1 for the layer's own name.
        digest: of the layer by itself.
        call_digest: of the form of its call; 0 for an input layer.
        parameters: number of its weights; -1 where that is not known.
    """

    class_name: str
    text: GapText
    digest: int
    call_digest: int
    parameters: int


def input_templates(shapes: Sequence[Shape]) -> list[LayerTemplate]:
    """Returns the templates of a model's input layers."""
    builder = GraphBuilder()
    tensors = [builder.input(shape) for shape in shapes]
    graph = builder.build(tensors[0] if len(tensors) == 1 else concatenate(builder, tensors))
    return [
        LayerTemplate(
            layer.class_name,
            _cut(write_layer(layer, _OWN, [])),
            digest,
            0,
            parameter_count(layer) or 0,
        )
        for layer, digest in zip(graph.layers, graph.layer_digests, strict=True)
        if layer.is_input
    ]


def layer_template(make: MakeLayer, shapes: Sequence[Shape]) -> LayerTemplate:
    """Returns the template of a layer on inputs of given shapes.

    Args:
        make: adds the layer.
        shapes: of its inputs, without the batch dimension.
    """
    builder = GraphBuilder()
    graph = builder.build(make(builder, [builder.input(shape) for shape in shapes]))
    layer = graph.layers[-1]
    marks = [f"@@{number}@@" for number in range(len(shapes))]
    count = parameter_count(layer)
    return LayerTemplate(
        layer.class_name,
        _cut(write_layer(layer, _OWN, [marks[ref.layer] for ref in layer.calls[0].inputs])),
        graph.layer_digests[-1],
        graph.call_digests[-1][0],
        -1 if count is None else count,
    )


def _cut(text: str) -> GapText:
    parts = _MARK.split(text)
    return parts[::2], [_OWN_GAP if mark == "own" else int(mark) for mark in parts[1::2]]


class TemplateTable:
    """Templates by number, made when they are first needed.

    Attributes:
        digests: uint64, one per template.
        call_digests: uint64.
        parameters: int64.
    """

    def __init__(self, make: Callable[[int], LayerTemplate], size: int, num_inputs: int) -> None:
        """Begins with no template made.

        Args:
            make: makes the template of a number.
            size: how many numbers there are.
            num_inputs: input layers of a model; they are its first layers. Its last layer gives
                its output.
        """
        self._make = make
        self._num_inputs = num_inputs
        # Number -> position among those that were made.
        self._place = np.full(size, -1, np.int64)
        self._made: list[LayerTemplate] = []
        self._writer: Any = None
        self.digests = np.zeros(0, np.uint64)
        self.call_digests = np.zeros(0, np.uint64)
        self.parameters = np.zeros(0, np.int64)

    def places(self, numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Returns, for each number, where its template stands in the arrays."""
        used = np.zeros(len(self._place), np.bool_)
        used[numbers] = True
        new = np.flatnonzero(used & (self._place < 0))
        if len(new):
            self._place[new] = np.arange(len(self._made), len(self._made) + len(new))
            self._made += [self._make(number) for number in new.tolist()]
            self.digests = np.array([t.digest for t in self._made], np.uint64)
            self.call_digests = np.array([t.call_digest for t in self._made], np.uint64)
            self.parameters = np.array([t.parameters for t in self._made], np.int64)
            self._writer = None
        return self._place[numbers].astype(np.uint32)

    def keras_json(
        self,
        places: NDArray[np.uint32],
        layer_starts: NDArray[np.int64],
        prefix_hashes: NDArray[np.uint64],
        edge_starts: NDArray[np.int64],
        edges: NDArray[np.uint32],
    ) -> bytes:
        """Returns the Keras JSON of models, one line each.

        Args:
            places: one per layer, what ``places`` gave.
            layer_starts: [n + 1].
            prefix_hashes: one per layer.
            edge_starts: [n + 1].
            edges: [m, 2], in the order of the targets.
        """
        if self._writer is None:
            layers = [(t.class_name, *t.text) for t in self._made]
            inputs = [f"@@{number}@@" for number in range(self._num_inputs)]
            foot = _cut(write_foot(inputs, ["@@-1@@"]))
            # In the foot, a number stands for a layer; -1 is the last one.
            self._writer = native.KerasJsonLines(layers, write_head(), foot)
        text: bytes = self._writer.write(
            layer_starts, prefix_hashes, places, edge_starts, edges.reshape(-1)
        )
        return text
