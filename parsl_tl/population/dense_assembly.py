"""Dense-skip and feed-forward architectures as flat arrays, thousands of them at a time.

Building a million graphs object by object takes hours. Here every variable layer has the same
slots (dense, one projection per anchor, add, activation), of which a model fills some. All models
of a chunk are assembled side by side, one slot after the other; the filled slots, counted from the
left, are the layers in the order of the space's ``build``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture.canonical_order import FlatCalls
from parsl_tl.architecture.prefix import hash_calls
from parsl_tl.population.assembler import Assembler
from parsl_tl.population.flat_graphs import FlatGraphs, starts_of
from parsl_tl.population.layer_templates import (
    LayerTemplate,
    TemplateTable,
    input_templates,
    layer_template,
)
from parsl_tl.spaces import DenseSkipSpace, FeedForwardSpace, Shapes
from parsl_tl.spaces.dense_choices import apply_dense
from parsl_tl.spaces.keras_layers import activation, add, concatenate, dense
from parsl_tl.spaces.space import input_shapes

CLASS_NAMES = ("InputLayer", "Dense", "Add", "Activation", "Concatenate")
_INPUT, _DENSE, _ADD, _ACTIVATION, _CONCATENATE = range(5)


class _Output(NamedTuple):
    """Where a tensor comes from in each model, and how wide it is.

    Attributes:
        slot: uint16 [n].
        width: int64 [n], index into the assembler's widths.
    """

    slot: NDArray[np.uint16]
    width: NDArray[np.int64]


class DenseAssembler(Assembler):
    """Assembles architectures of one dense-skip or feed-forward space."""

    def __init__(
        self,
        space: DenseSkipSpace | FeedForwardSpace,
        input_shape: Shapes,
        output_shape: Sequence[int],
        output_activation: str = "linear",
    ) -> None:
        """See ``assembler_for``."""
        # What does not fit the space gets the error of its own ``build``.
        space.build([0] * len(space.choices()), input_shape, output_shape, output_activation)
        self.class_names = list(CLASS_NAMES)
        self._max_anchors = space.max_anchors if isinstance(space, DenseSkipSpace) else 0
        self._anchors = [min(i + 1, self._max_anchors) for i in range(space.num_layers)]
        labels = space.choices()[0].values
        widths = [int(str(label).split()[0]) for label in labels[1:]]
        shapes = input_shapes(input_shape)
        width = sum(shape[0] for shape in shapes)
        self._widths = sorted({width, *widths})
        self._num_inputs = len(shapes)
        self._first_width = self._widths.index(width)
        # Label 0 is "no layer"; its width is never read.
        self._width_of_label = np.array([0, *map(self._widths.index, widths)], np.int64)
        self._numbers = _TemplateNumbers(len(shapes), len(labels), len(self._widths))
        self._inputs = input_templates(shapes)
        self._shapes, self._labels = shapes, labels
        self._units, self._activation = int(output_shape[0]), output_activation
        size = self._numbers.size(self._max_anchors)
        self._table = TemplateTable(self._template, size, len(shapes))

    def count(self, arch_seqs: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the numbers of layers and of edges of each architecture, int64 [n] each."""
        joined = self._num_inputs > 1
        layers = np.full(len(arch_seqs), 1 + self._num_inputs + joined, np.int64)
        edges = np.full(len(arch_seqs), 1 + self._num_inputs * joined, np.int64)
        column = 0
        for anchors in self._anchors:
            own = arch_seqs[:, column] > 0
            chosen = arch_seqs[:, column + 1 : column + 1 + anchors].sum(axis=1, dtype=np.int64)
            merged = chosen > 0
            layers += own + chosen + 2 * merged
            edges += own + 2 * chosen + 2 * merged
            column += 1 + anchors
        return layers, edges

    def assemble(self, arch_seqs: NDArray[np.integer]) -> FlatGraphs:
        """See ``Assembler.assemble``."""
        return self._assemble(arch_seqs)[0]

    def assemble_with_json(self, arch_seqs: NDArray[np.integer]) -> tuple[FlatGraphs, bytes]:
        """See ``Assembler.assemble_with_json``."""
        flat, places = self._assemble(arch_seqs)
        text = self._table.keras_json(
            places, flat.layer_starts, flat.prefix_hashes, flat.edge_starts, flat.edges
        )
        return flat, text

    def _assemble(self, arch_seqs: NDArray[np.integer]) -> tuple[FlatGraphs, NDArray[np.uint32]]:
        chunk = _Chunk(len(arch_seqs), self._num_inputs, self._anchors)
        tensor = self._add_inputs(chunk)
        anchors = [tensor]
        column = 0
        for count in self._anchors:
            chosen = arch_seqs[:, column + 1 : column + 1 + count] == 1
            tensor = self._dense(chunk, arch_seqs[:, column], tensor)
            if count:
                tensor = self._merge(chunk, chosen, anchors[::-1], tensor)
                anchors = [*anchors, tensor][-self._max_anchors :]
            column += 1 + count
        chunk.add_slot(_DENSE, True, self._numbers.output(tensor.width))
        chunk.add_edge(tensor.slot, True)
        return chunk.flatten(self._table)

    def _add_inputs(self, chunk: _Chunk) -> _Output:
        slots = [chunk.add_slot(_INPUT, True, number) for number in range(self._num_inputs)]
        last = slots[0]
        if len(slots) > 1:
            last = chunk.add_slot(_CONCATENATE, True, self._numbers.concatenate)
            for slot in slots:
                chunk.add_edge(slot, True)
        return _Output(
            np.full(chunk.num_models, last, np.uint16),
            np.full(chunk.num_models, self._first_width, np.int64),
        )

    def _dense(self, chunk: _Chunk, label: NDArray[np.integer], tensor: _Output) -> _Output:
        present = label > 0
        own = chunk.add_slot(_DENSE, present, self._numbers.dense(label, tensor.width))
        chunk.add_edge(tensor.slot, present)
        return _Output(
            np.where(present, np.uint16(own), tensor.slot),
            np.where(present, self._width_of_label[label], tensor.width),
        )

    def _merge(
        self, chunk: _Chunk, chosen: NDArray[np.bool_], anchors: Sequence[_Output], tensor: _Output
    ) -> _Output:
        """Adds the chosen anchors, projected to the tensor's width, and an activation."""
        projections = []
        for present, anchor in zip(chosen.T, anchors, strict=True):
            number = self._numbers.projection(tensor.width, anchor.width)
            projections.append((chunk.add_slot(_DENSE, present, number), present))
            chunk.add_edge(anchor.slot, present)
        count = chosen.sum(axis=1)
        merged = count > 0
        added = chunk.add_slot(_ADD, merged, self._numbers.add(count, tensor.width))
        chunk.add_edge(tensor.slot, merged)
        for own, present in projections:
            chunk.add_edge(own, present)
        last = chunk.add_slot(_ACTIVATION, merged, self._numbers.activation(tensor.width))
        chunk.add_edge(added, merged)
        return _Output(np.where(merged, np.uint16(last), tensor.slot), tensor.width)

    def _template(self, number: int) -> LayerTemplate:
        """Makes the template of a number; the counterpart of ``_TemplateNumbers``."""
        if number < self._num_inputs:
            return self._inputs[number]
        if number == self._numbers.concatenate:
            return layer_template(concatenate, self._shapes)
        kind, first, second = self._numbers.parts(number)
        width = (self._widths[second],)
        if kind == "dense":
            label = self._labels[first]
            return layer_template(lambda b, t: apply_dense(b, t[0], label), [width])
        if kind == "projection":
            units = self._widths[first]
            return layer_template(lambda b, t: dense(b, t[0], units, "linear"), [width])
        if kind == "add":
            return layer_template(add, [width] * (first + 1))
        if kind == "activation":
            return layer_template(lambda b, t: activation(b, t[0], "relu"), [width])
        return layer_template(lambda b, t: dense(b, t[0], self._units, self._activation), [width])


class _TemplateNumbers:
    """Numbers of templates: input layers, their concatenation, then one run for each kind.

    Within a run a number is ``first * widths + second``, where second is the width that goes in.
    """

    def __init__(self, num_inputs: int, num_labels: int, num_widths: int) -> None:
        self._num_widths = num_widths
        self.concatenate = num_inputs
        self._starts: dict[str, int] = {}
        start = num_inputs + 1
        # The last run has as many numbers as there are anchors.
        for kind, firsts in (
            ("dense", num_labels),
            ("projection", num_widths),
            ("activation", 1),
            ("output", 1),
            ("add", 0),
        ):
            self._starts[kind] = start
            start += firsts * num_widths

    def size(self, max_anchors: int) -> int:
        return self._starts["add"] + (max_anchors + 1) * self._num_widths

    def dense(self, label: NDArray[np.integer], width: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._starts["dense"] + label.astype(np.int64) * self._num_widths + width

    def projection(self, units: NDArray[np.int64], width: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._starts["projection"] + units * self._num_widths + width

    def add(self, count: NDArray[np.int64], width: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._starts["add"] + count * self._num_widths + width

    def activation(self, width: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._starts["activation"] + width

    def output(self, width: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._starts["output"] + width

    def parts(self, number: int) -> tuple[str, int, int]:
        """Returns the kind, the first and the second part of a number behind the inputs."""
        kind = max(
            (name for name, start in self._starts.items() if start <= number),
            key=self._starts.__getitem__,
        )
        return kind, *divmod(number - self._starts[kind], self._num_widths)


class _Chunk:
    """The slots of a chunk of models, [n, slots], and what goes into them, [n, edge slots]."""

    def __init__(self, num_models: int, num_inputs: int, anchors: Sequence[int]) -> None:
        self.num_models = num_models
        slots = 2 + num_inputs + sum(3 + count for count in anchors)
        edges = 1 + num_inputs + sum(3 + 2 * count for count in anchors)
        self._present = np.zeros((num_models, slots), np.bool_)
        self._templates = np.zeros((num_models, slots), np.uint32)
        self._classes = np.zeros(slots, np.uint8)
        self._used = np.zeros((num_models, edges), np.bool_)
        self._sources = np.zeros((num_models, edges), np.uint16)
        self._targets = np.zeros(edges, np.int64)
        self._num_slots = self._num_edges = 0

    def add_slot(
        self,
        class_id: int,
        present: NDArray[np.bool_] | bool,
        template: NDArray[np.int64] | int,
    ) -> int:
        slot = self._num_slots
        self._num_slots += 1
        self._classes[slot] = class_id
        self._present[:, slot] = present
        self._templates[:, slot] = template
        return slot

    def add_edge(self, source: NDArray[np.uint16] | int, present: NDArray[np.bool_] | bool) -> None:
        """Adds an input of the slot that was added last."""
        self._sources[:, self._num_edges] = source
        self._used[:, self._num_edges] = present
        self._targets[self._num_edges] = self._num_slots - 1
        self._num_edges += 1

    def flatten(self, table: TemplateTable) -> tuple[FlatGraphs, NDArray[np.uint32]]:
        """Returns the graphs, and where each layer's template stands in the table."""
        num_slots = self._present.shape[1]
        number = np.cumsum(self._present, axis=1, dtype=np.uint32) - np.uint32(1)
        layer_starts = starts_of(self._present.sum(axis=1, dtype=np.int64))
        edge_starts = starts_of(self._used.sum(axis=1, dtype=np.int64))
        rows = np.arange(0, self.num_models * num_slots, num_slots)[:, None]
        edges = np.empty((edge_starts[-1], 2), np.uint32)
        edges[:, 0] = number.ravel()[(rows + self._sources)[self._used]]
        edges[:, 1] = number.ravel()[(rows + self._targets)[self._used]]

        places = table.places(self._templates[self._present])
        digests = table.digests[places]
        inputs = np.zeros((len(edges), 3), np.uint32)
        inputs[:, 0] = edges[:, 0]
        # Edges stand in the order of their targets, so that they are the inputs of the calls.
        target = edges[:, 1] + np.repeat(layer_starts[:-1], np.diff(edge_starts))
        calls = FlatCalls(
            layer_starts,
            np.arange(len(digests) + 1, dtype=np.int64),  # every layer is called once
            starts_of(np.bincount(target, minlength=len(digests))),
            inputs,
        )
        # Slots follow the data, so that layers stand in canonical order already.
        hashes = hash_calls(calls, digests, table.call_digests[places])
        flat = FlatGraphs(
            layer_starts,
            hashes,
            digests,
            np.broadcast_to(self._classes, self._present.shape)[self._present],
            table.parameters[places],
            edge_starts,
            edges,
        )
        return flat, places
