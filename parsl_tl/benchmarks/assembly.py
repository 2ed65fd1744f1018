"""Dense-skip architectures as flat arrays, thousands of them at a time.

Building a million graphs object by object takes hours. Here every variable layer has the same
slots (dense, one projection per anchor, add, activation), of which a model fills some. All models
of a chunk are assembled side by side, one slot after the other; the filled slots, counted from the
left, are the layers in the order of ``DenseSkipSpace.build``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from parsl_tl.architecture import GraphBuilder
from parsl_tl.native import native
from parsl_tl.spaces import DenseSkipSpace
from parsl_tl.spaces.dense_choices import apply_dense
from parsl_tl.spaces.keras_layers import activation, add, dense

CLASS_NAMES = ["InputLayer", "Dense", "Add", "Activation"]
_INPUT, _DENSE, _ADD, _ACTIVATION = range(4)
_FLOAT_BYTES = 4


class FlatGraphs(NamedTuple):
    """Many graphs in flat arrays; starts have one entry more than there are graphs, as in CSR.

    Attributes:
        layer_starts: int64 [n + 1].
        prefix_hashes: uint64, one per layer.
        layer_digests: uint64, the layer by itself.
        class_ids: uint8, indices into ``CLASS_NAMES``.
        layer_bytes: uint64, size of the layer's float32 weights.
        edge_starts: int64 [n + 1].
        edges: uint32 [m, 2], (source, target), layer numbers within the graph.
    """

    layer_starts: NDArray[np.int64]
    prefix_hashes: NDArray[np.uint64]
    layer_digests: NDArray[np.uint64]
    class_ids: NDArray[np.uint8]
    layer_bytes: NDArray[np.uint64]
    edge_starts: NDArray[np.int64]
    edges: NDArray[np.uint32]


def starts_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the CSR starts, int64 [n + 1], of items that are so many per graph."""
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


class DenseSkipAssembler:
    """Assembles architectures of one dense-skip space, for vectors of one width."""

    def __init__(self, space: DenseSkipSpace, input_width: int = 10, units: int = 1) -> None:
        """Takes the digests of the few different layers from a graph that has them all.

        Args:
            space: any dense-skip space.
            input_width: length of the input vectors.
            units: width of the output layer, which is linear.
        """
        self._space = space
        self._input_width = input_width
        self._units = units
        self._anchors = [min(i + 1, space.max_anchors) for i in range(space.num_layers)]
        labels = space.choices()[0].values
        # Label 0 is "no layer"; its width is never read.
        self._label_width = np.array([0, *(int(str(x).split()[0]) for x in labels[1:])], np.int64)
        widths = sorted({input_width, *self._label_width[1:].tolist()})

        builder = GraphBuilder()
        tensor = builder.input((input_width,))
        for label in labels[1:]:
            apply_dense(builder, tensor, label)
        for width in widths:
            dense(builder, tensor, width, "linear")
        sizes = range(2, space.max_anchors + 2)
        for size in sizes:
            add(builder, [tensor] * size)
        activation(builder, tensor, "relu")
        graph = builder.build(dense(builder, tensor, units, "linear"))

        digests = np.array(graph.layer_digests, np.uint64)
        calls = np.array([own[0] if own else 0 for own in graph.call_digests], np.uint64)
        first_width, first_add = len(labels), len(labels) + len(widths)
        self._input_digest, self._output_digest = digests[0], digests[-1]
        self._activation_digest, self._activation_call = digests[-2], calls[-2]
        self._dense_digest = digests[: len(labels)]
        self._dense_call = calls[-1]
        self._width_digest = np.zeros(max(widths) + 1, np.uint64)
        self._width_digest[widths] = digests[first_width:first_add]
        self._add_digest = digests[first_add]
        # By how many projections are added; never read at 0.
        self._add_call = np.concatenate([calls[:1], calls[first_add : first_add + len(sizes)]])

    def count(self, arch_seqs: NDArray[np.int8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the numbers of layers and of edges of each architecture, int64 [n] each."""
        layers = np.full(len(arch_seqs), 2, np.int64)
        edges = np.ones(len(arch_seqs), np.int64)
        column = 0
        for anchors in self._anchors:
            own = arch_seqs[:, column] > 0
            chosen = arch_seqs[:, column + 1 : column + 1 + anchors].sum(axis=1, dtype=np.int64)
            merged = chosen > 0
            layers += own + chosen + 2 * merged
            edges += own + 2 * chosen + 2 * merged
            column += 1 + anchors
        return layers, edges

    def assemble(self, arch_seqs: NDArray[np.int8]) -> FlatGraphs:
        """Assembles architectures; keep it to some thousands, as all slots are in memory.

        Args:
            arch_seqs: int8 [n, choices], every index within its choice.
        """
        chunk = _Chunk(len(arch_seqs), self._anchors)
        start = chunk.add_slot(_INPUT, True, self._input_digest, 0)
        slot = np.full(len(arch_seqs), start, np.uint8)
        width = np.full(len(arch_seqs), self._input_width, np.int64)
        anchors = [(slot, width)]
        column = 0
        for count in self._anchors:
            chosen = arch_seqs[:, column + 1 : column + 1 + count] == 1
            slot, width = self._dense(chunk, arch_seqs[:, column], slot, width)
            slot = self._merge(chunk, chosen, anchors[::-1], slot, width)
            anchors = [*anchors, (slot, width)][-self._space.max_anchors :]
            column += 1 + count
        size = _FLOAT_BYTES * self._units * (width + 1)
        chunk.add_slot(_DENSE, True, self._output_digest, self._dense_call, size)
        chunk.add_edge(slot, True)
        return chunk.flatten()

    def _dense(
        self,
        chunk: _Chunk,
        label: NDArray[np.int8],
        slot: NDArray[np.uint8],
        width: NDArray[np.int64],
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        present = label > 0
        units = self._label_width[label]
        size = _FLOAT_BYTES * units * (width + 1)
        own = chunk.add_slot(_DENSE, present, self._dense_digest[label], self._dense_call, size)
        chunk.add_edge(slot, present)
        return np.where(present, np.uint8(own), slot), np.where(present, units, width)

    def _merge(
        self,
        chunk: _Chunk,
        chosen: NDArray[np.bool_],
        anchors: list[tuple[NDArray[np.uint8], NDArray[np.int64]]],
        slot: NDArray[np.uint8],
        width: NDArray[np.int64],
    ) -> NDArray[np.uint8]:
        projections = []
        for present, (anchor, anchor_width) in zip(chosen.T, anchors, strict=True):
            size = _FLOAT_BYTES * width * (anchor_width + 1)
            digest = self._width_digest[width]
            own = chunk.add_slot(_DENSE, present, digest, self._dense_call, size)
            chunk.add_edge(anchor, present)
            projections.append((own, present))
        count = chosen.sum(axis=1)
        merged = count > 0
        added = chunk.add_slot(_ADD, merged, self._add_digest, self._add_call[count])
        chunk.add_edge(slot, merged)
        for own, present in projections:
            chunk.add_edge(own, present)
        last = chunk.add_slot(_ACTIVATION, merged, self._activation_digest, self._activation_call)
        chunk.add_edge(added, merged)
        return np.where(merged, np.uint8(last), slot)


class _Chunk:
    """The slots of a chunk of models, [n, slots], and what goes into them, [n, edge slots]."""

    def __init__(self, num_models: int, anchors: list[int]) -> None:
        slots = 2 + sum(3 + count for count in anchors)
        edges = 1 + sum(3 + 2 * count for count in anchors)
        if slots > np.iinfo(np.uint8).max:
            raise ValueError(f"{slots} slots per model are more than the 255 that fit")
        self._present = np.zeros((num_models, slots), np.bool_)
        self._digests = np.zeros((num_models, slots), np.uint64)
        self._calls = np.zeros((num_models, slots), np.uint64)
        self._bytes = np.zeros((num_models, slots), np.uint64)
        self._classes = np.zeros(slots, np.uint8)
        self._used = np.zeros((num_models, edges), np.bool_)
        self._sources = np.zeros((num_models, edges), np.uint8)
        self._targets = np.zeros(edges, np.int64)
        self._num_slots = self._num_edges = 0

    def add_slot(
        self,
        class_id: int,
        present: NDArray[np.bool_] | bool,
        digest: NDArray[np.uint64] | np.uint64,
        call: NDArray[np.uint64] | np.uint64 | int,
        size: NDArray[np.int64] | int = 0,
    ) -> int:
        slot = self._num_slots
        self._num_slots += 1
        self._classes[slot] = class_id
        self._present[:, slot] = present
        self._digests[:, slot] = digest
        self._calls[:, slot] = call
        self._bytes[:, slot] = size
        return slot

    def add_edge(self, source: NDArray[np.uint8] | int, present: NDArray[np.bool_] | bool) -> None:
        """Adds an input of the slot that was added last."""
        self._sources[:, self._num_edges] = source
        self._used[:, self._num_edges] = present
        self._targets[self._num_edges] = self._num_slots - 1
        self._num_edges += 1

    def flatten(self) -> FlatGraphs:
        num_models, num_slots = self._present.shape
        number = np.cumsum(self._present, axis=1, dtype=np.uint32) - np.uint32(1)
        layer_starts = starts_of(self._present.sum(axis=1, dtype=np.int64))
        edge_starts = starts_of(self._used.sum(axis=1, dtype=np.int64))
        rows = np.arange(0, num_models * num_slots, num_slots)[:, None]
        edges = np.empty((edge_starts[-1], 2), np.uint32)
        edges[:, 0] = number.ravel()[(rows + self._sources)[self._used]]
        edges[:, 1] = number.ravel()[(rows + self._targets)[self._used]]

        digests = self._digests[self._present]
        inputs = np.zeros((len(edges), 3), np.uint32)
        inputs[:, 0] = edges[:, 0]
        # Edges stand in the order of their targets, so that they are the inputs of the calls.
        target = edges[:, 1] + np.repeat(layer_starts[:-1], np.diff(edge_starts))
        hashes = native.prefix_hashes(
            layer_starts,
            digests,
            np.arange(len(digests) + 1, dtype=np.int64),  # every layer is called once
            self._calls[self._present],
            starts_of(np.bincount(target, minlength=len(digests))),
            inputs.ravel(),
        )
        return FlatGraphs(
            layer_starts,
            hashes,
            digests,
            np.broadcast_to(self._classes, self._present.shape)[self._present],
            self._bytes[self._present],
            edge_starts,
            edges,
        )
